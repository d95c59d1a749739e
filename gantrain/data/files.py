"""Image files of any sizes, wherever they lie: in memory if they fit, else decoded in a file, else read each time."""

from __future__ import annotations

import hashlib
import os
import warnings
import weakref
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Unpack

import numpy as np
import PIL
import torch
from torch import Tensor

from gantrain.data import copies, memory
from gantrain.data.ahead import Ahead
from gantrain.data.copies import Facts
from gantrain.data.decode import Decoded
from gantrain.data.depth import PLAIN, in_bytes, say_if_dark
from gantrain.data.form import COPY, MEMORY, Formed, FormedFiles
from gantrain.data.listing import Listing
from gantrain.data.names import plain
from gantrain.data.reading import awaited, in_threads, warnings_of_files
from gantrain.data.source import WHOLE, Batch, Batches, Data, EpochOrder, Images, as_floats, channels_first, flip_some
from gantrain.data.unreadable import attempted, left_after
from gantrain.errors import DataError
from gantrain.terminal import each

VERSION = 1
"""Of decoding: moved when the same files would give other pixels."""


class ImageFiles(FormedFiles, Data):
    """Images of files, each decoded once: into memory if they fit, else into a file that later runs read too.

    Args:
        found: the files, in a fixed order, with their labels.
        depth, range, formed: settings, see ``gantrain.data.form.FormedFiles``.

    Raises:
        ConfigError: for a setting that makes no sense.
        DataError: for an image that cannot be read, or not in time; it names the file.
    """

    def __init__(
        self,
        found: Listing,
        depth: int = 8,
        range: Sequence[float] | None = None,
        **formed: Unpack[Formed],
    ) -> None:
        super().__init__(found, depth=depth, range=range, **formed)
        self.units = self.depth.units
        self.in_memory = self.home == MEMORY
        self._pixels, facts = self._read_all()
        self.shape = (self.decoder.channels or facts.channels, self.decoder.size, self.decoder.size)
        if self._pixels is not None:
            self._pixels = self._pixels[..., : self.shape[0]]
        self.transparent, self.reduced = facts.transparent, facts.reduced
        say_if_dark(facts.brightest)
        self._leave_out(facts.skipped)
        self.paths, self.count = [entry.path for entry in self.entries], len(self.entries)

    def __str__(self) -> str:
        return f"{len(self.paths):,} images {super().__str__()}"

    def fingerprint(self) -> str:
        """Return the description and a digest of every file's name and size, and of what decides on their pixels."""
        names = [os.fsencode(f"{entry.path.relative_to(self.place.top)} {entry.size}") for entry in self.entries]
        how = [self.decoder.way]
        how += [f"transparent on {self.decoder.background}"] if self.transparent else []
        how += ["reduced"] if self.reduced else []
        how += [str(self.depth)] if self.depth != PLAIN else []
        digest = hashlib.sha256(b"\n".join([*names, *(text.encode() for text in how)])).hexdigest()[:12]
        return f"{self} ({digest}, Pillow {PIL.__version__})"

    def freshness(self) -> str:
        """Return a digest of when each file was last written."""
        times = "\n".join(str(entry.written) for entry in self.entries)
        return hashlib.sha256(times.encode()).hexdigest()[:12]

    def stream(self, batch_size: int, seed: int, device: torch.device, take: slice = WHOLE) -> Batches:
        """Return batches of images in [-1, 1] and their labels."""
        if self.in_memory:
            return self._held.stream(batch_size, seed, device, take)
        order = EpochOrder(len(self.paths), batch_size, seed, torch.device("cpu"), take)
        if self._pixels is None:
            pixels_of = self._from_files(order)
        else:
            memory.read_at_random(self._pixels)

            def pixels_of(position: int) -> Tensor:
                return self._stored(order(position).tolist())

        def batch_at(position: int) -> Batch:
            images = as_floats(pixels_of(position).to(device, non_blocking=True))
            if self.flip:
                images = flip_some(images, seed, position, take)
            labels = self.labels
            return images, None if labels is None else labels[order(position)].to(device, non_blocking=True)

        return Batches(batch_at)

    def at(self, index: Sequence[int]) -> Tensor:
        """Return images by their numbers, (n, C, H, W) uint8, read by threads if they are not kept decoded."""
        return self._held.at(index) if self.in_memory else in_bytes(self._stored(index))

    def _stored(self, index: Sequence[int]) -> Tensor:
        if self._pixels is not None:
            return channels_first(np.array(self._pixels[list(index)]))
        images = in_threads(self._image, [self.paths[k] for k in index], self.timeout)
        return self._stacked(images)

    @cached_property
    def _held(self) -> Images:
        assert self._pixels is not None
        return Images(channels_first(self._pixels), self.labels, self.classes, self.flip)

    def _read_all(self) -> tuple[np.ndarray | None, Facts]:
        """Decode every file once; return the readable images (n, H, W, C), None if they are kept nowhere, and facts."""
        shape = (self.decoder.size, self.decoder.size, self.decoder.channels or 3)
        if self.in_memory:
            pixels, count = np.empty((len(self.entries), *shape), dtype=self.depth.dtype), 0

            def keep(image: np.ndarray) -> None:
                nonlocal count
                pixels[count] = image
                count += 1

            facts = self._decode_all(keep)
            return np.ascontiguousarray(pixels[:count, ..., : self.decoder.channels or facts.channels]), facts
        if self.home == COPY:
            kept = copies.fetch(self._key(), len(self.entries), shape, self._decode_all, self.depth.dtype)
            if kept is not None:
                return kept
        return None, self._decode_all(lambda image: None)

    def _key(self) -> str:
        """Return all that the decoded images depend on: files are known by path, size and time of writing."""
        files = "\n".join(
            f"{plain(self.place.known_as(entry.path))} {entry.size} {entry.written}" for entry in self.entries
        )
        deep = "" if self.depth == PLAIN else f" {self.depth}"
        return f"{VERSION} Pillow {PIL.__version__} {self.decoder}{deep} {self.on_bad}\n{files}"

    def _decode_all(self, keep: Callable[[np.ndarray], None]) -> Facts:
        """Give every image that can be read to ``keep``, in order; it is the only look at most files."""
        facts = Facts()
        paths = [entry.path for entry in self.entries]
        results = in_threads(self._decoded, paths, self.timeout)
        with warnings_of_files():
            for k, image in enumerate(each(results, "reading images", "image", len(paths))):
                if isinstance(image, DataError):
                    facts.skipped.append((k, str(image)))
                    continue
                keep(image.pixels)
                facts.channels = max(facts.channels, image.pixels.shape[-1])
                facts.transparent |= image.transparent
                facts.reduced |= image.reduced
                facts.brightest = max(facts.brightest, image.brightest or 0)
        return facts

    def _image(self, path: Path) -> Decoded:
        return self.decoder(path, self.place.source)

    def _decoded(self, path: Path) -> Decoded | DataError:
        return attempted(lambda: self._image(path), self.on_bad)

    def _leave_out(self, unreadable: Sequence[tuple[int, str]]) -> None:
        """Take what cannot be read out of entries and labels; raise DataError if it is too much."""
        of = (len(self.entries), self.labels, self.class_names)
        left = left_after(unreadable, *of, self.skip_limit, "images")
        self.skipped = [reason for _, reason in unreadable]
        self.entries = [self.entries[k] for k in left]
        self.labels = None if self.labels is None else self.labels[left]

    def _stacked(self, images: Iterable[Decoded]) -> Tensor:
        channels = self.shape[0]
        every = [np.broadcast_to(i.pixels, (*self.shape[1:], channels)) for i in images]
        return channels_first(np.stack(every))

    def _from_files(self, order: EpochOrder) -> Callable[[int], Tensor]:
        """Return a function that gives the images of a batch, read by threads a few batches ahead."""
        warnings.filterwarnings("ignore", module="PIL")  # each was printed when all files were read
        pool = ThreadPool(os.cpu_count())
        weakref.finalize(order, pool.terminate)  # a pool that is open when Python ends prints a traceback

        def begin(position: int) -> Callable[[], Tensor]:
            paths = [self.paths[i] for i in order(position)]
            readings = [(path, pool.apply_async(self._image, (path,))) for path in paths]
            return lambda: self._stacked(awaited(*reading, self.timeout) for reading in readings)

        return Ahead(begin)
