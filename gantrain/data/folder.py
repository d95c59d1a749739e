"""Any folder of images: class subfolders or flat, gray or colour, any sizes."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from multiprocessing.pool import AsyncResult, ThreadPool
from pathlib import Path
from typing import TypeVar

import numpy as np
import PIL
import torch
from PIL import Image, ImageOps
from torch import Tensor

from gantrain.data.source import Batch, Batches, Data, EpochOrder, Images, as_floats, flip_some
from gantrain.errors import ConfigError, DataError, first_line
from gantrain.terminal import each, say

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
GRAY = {"1", "L", "LA"}
DEEP = {"I", "F", "I;16", "I;16B", "I;16L"}  # more than 8 bits a channel: Pillow would clip them to white
MOST_SKIPPED = 0.01  # of all images
T = TypeVar("T")
Reading = tuple[Path, AsyncResult[np.ndarray]]
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)
FITS: dict[str, Callable[..., Image.Image]] = {
    "crop": ImageOps.fit,
    "pad": ImageOps.pad,
    "stretch": Image.Image.resize,
}


def find_images(root: str) -> tuple[list[Path], list[int] | None, int]:
    """Return the image files under ``root`` in a fixed order, their class indices (None if flat), and the class count.

    Subfolders are classes, in alphabetical order; images inside them may lie deeper. Other files are skipped.

    Raises:
        DataError: if the folder is missing, holds no image, or mixes loose images with class folders.
    """
    top = Path(str(root)).expanduser()
    if not top.is_dir():
        raise DataError(f"data.root={root} is not a folder")
    flat = images_in(top, top.iterdir())
    by_class = [images_in(top, folder.rglob("*")) for folder in sorted(top.iterdir()) if folder.is_dir()]
    by_class = [files for files in by_class if files]
    if flat and by_class:
        raise DataError(
            f"data.root={root} holds both images ({flat[0].name}) and folders of images "
            f"({by_class[0][0].relative_to(top).parts[0]}); keep one kind, or point data.root at a subfolder"
        )
    if flat:
        return flat, None, 0
    if not by_class:
        raise DataError(f"data.root={root} holds no images ({', '.join(sorted(SUFFIXES))})")
    labels = [k for k, files in enumerate(by_class) for _ in files]
    return [path for files in by_class for path in files], labels, len(by_class)


def images_in(top: Path, paths: Iterable[Path]) -> list[Path]:
    """Return the image files among ``paths``, sorted; hidden files and an archiver's leftovers are skipped."""

    def hidden(path: Path) -> bool:
        return any(part.startswith(".") or part == "__MACOSX" for part in path.relative_to(top).parts)

    return sorted(p for p in paths if p.suffix.lower() in SUFFIXES and p.is_file() and not hidden(p))


def read_mode(path: Path) -> str:
    """Return the Pillow mode of an image file, from its header alone.

    Raises:
        DataError: if it is no image, or has more than 8 bits a channel.
    """
    try:
        with Image.open(path) as image:
            mode = image.mode
    except UNREADABLE as error:
        raise unreadable(path, error) from error
    if mode in DEEP:
        raise DataError(f"{path} has more than 8 bits a channel (mode {mode}); convert it to 8 bits first")
    return mode


def in_threads(function: Callable[[Path], T], paths: Sequence[Path], timeout: float) -> Iterator[T]:
    """Yield ``function`` of every path, in their order.

    Raises:
        DataError: if no result comes for ``timeout`` seconds.
    """
    # Not concurrent.futures: at exit it would wait for a thread that hangs in the file system.
    with ThreadPool(os.cpu_count()) as pool:
        results = pool.imap(function, paths)
        for path in paths:
            try:
                yield results.next(timeout)
            except multiprocessing.TimeoutError as error:
                raise too_slow(path, timeout) from error


def too_slow(path: Path, timeout: float) -> DataError:
    """Return the error for a file that cannot be read in time."""
    return DataError(
        f"reading {path} takes longer than data.timeout={timeout:g} seconds; does the disk or network share answer?"
    )


def unreadable(path: Path, error: BaseException) -> DataError:
    """Return the error that names the file, which Pillow's own text does not."""
    reason = first_line(error).replace(f" {str(path)!r}", "")
    return DataError(f"{path} cannot be read as an image ({reason}); remove or replace it")


def why_unreadable(path: Path) -> str | None:
    """Return the reason why a file cannot be used as an image, None if all of it can be decoded."""
    try:
        read_mode(path)
        with Image.open(path) as image:
            image.load()
    except DataError as error:
        return str(error)
    except UNREADABLE as error:
        return str(unreadable(path, error))
    return None


class ImageFolder(Data):
    """Images of a folder, decoded once into memory if they fit, else read batch by batch by threads.

    Args:
        root: the folder; each subfolder is a class, or the images lie in it directly (no labels).
        size: side of the square images after fitting.
        fit: how an image is made square: ``crop`` the middle, ``pad`` with black, or ``stretch``.
        channels: 1, 3, or None: 1 if every image is gray, else 3.
        flip: mirror each image with probability ½.
        on_bad: ``error``, or ``skip`` images that cannot be read, up to 1% of all; they are listed in ``skipped``.
        timeout: seconds to wait for an image.
        in_memory: True, False, or None: True if the decoded bytes take at most a quarter of the machine's memory.

    Raises:
        DataError: for a missing or empty folder, or an image that cannot be read, or not in time; it names the file.
    """

    def __init__(
        self,
        root: str,
        size: int,
        fit: str,
        channels: int | None,
        flip: bool,
        on_bad: str,
        timeout: float,
        in_memory: bool | None,
    ) -> None:
        if fit not in FITS:
            raise ConfigError(f"data.fit must be one of {', '.join(FITS)}, got {fit!r}")
        if channels not in (None, 1, 3):
            raise ConfigError(f"data.channels must be 1, 3 or null, got {channels}")
        if not isinstance(size, int) or size < 1:
            raise ConfigError(f"data.size must be a whole number above 0, got {size!r}")
        if on_bad not in ("error", "skip"):
            raise ConfigError(f"data.on_bad must be error or skip, got {on_bad!r}")
        if not timeout > 0:
            raise ConfigError(f"data.timeout must be above 0, got {timeout}")
        if in_memory not in (None, True, False):
            raise ConfigError(f"data.in_memory must be true, false or null, got {in_memory!r}")
        self.root = Path(str(root)).expanduser()
        self.paths, labels, self.classes = find_images(root)
        self.labels = None if labels is None else torch.tensor(labels)
        self.size, self.fit, self.flip, self.timeout = size, fit, flip, timeout
        if on_bad == "skip":
            self._leave_out_unreadable()
        self.count = len(self.paths)
        modes = set(in_threads(read_mode, self.paths, timeout))
        self.shape = (channels or (1 if modes <= GRAY else 3), size, size)
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        needed = len(self.paths) * int(np.prod(self.shape))
        self.in_memory = needed <= memory / 4 if in_memory is None else in_memory

    def __str__(self) -> str:
        return f"{len(self.paths):,} images {super().__str__()}"

    def fingerprint(self) -> str:
        """Return the description and a digest of every file's name and size, and of ``fit``."""
        names = (f"{path.relative_to(self.root)} {path.stat().st_size}" for path in self.paths)
        files = "\n".join([*names, self.fit])
        return f"{self} ({hashlib.sha256(files.encode()).hexdigest()[:12]}, Pillow {PIL.__version__})"

    def freshness(self) -> str:
        """Return a digest of when each file was last written."""
        times = "\n".join(str(path.stat().st_mtime_ns) for path in self.paths)
        return hashlib.sha256(times.encode()).hexdigest()[:12]

    def read(self, path: Path) -> np.ndarray:
        """Return one image as bytes (size, size, channels), upright, converted, and fitted to the size."""
        try:
            with Image.open(path) as image:
                upright = ImageOps.exif_transpose(image).convert("L" if self.shape[0] == 1 else "RGB")
                fitted = FITS[self.fit](upright, (self.size, self.size), Image.Resampling.LANCZOS)
        except UNREADABLE as error:
            raise unreadable(path, error) from error
        return np.asarray(fitted, dtype=np.uint8).reshape(self.size, self.size, -1)

    def stream(self, batch_size: int, seed: int, device: torch.device) -> Batches:
        """Return batches of images in [-1, 1] and their labels."""
        order = EpochOrder(len(self.paths), batch_size, seed, torch.device("cpu"))  # first: it may refuse the set
        if self.in_memory:
            return self._held.stream(batch_size, seed, device)
        return self._stream_from_disk(order, self.labels, seed, device)

    def at(self, index: Sequence[int]) -> Tensor:
        """Return images by their numbers, (n, C, H, W) uint8, read by threads unless they are in memory."""
        if self.in_memory:
            return self._held.at(index)
        images = list(in_threads(self.read, [self.paths[k] for k in index], self.timeout))
        return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)

    @cached_property
    def _held(self) -> Images:
        return Images(self._read_all(), self.labels, self.classes, self.flip)

    def _leave_out_unreadable(self) -> None:
        reasons = list(in_threads(why_unreadable, self.paths, self.timeout))
        self.skipped = [reason for reason in reasons if reason is not None]
        if len(self.skipped) > MOST_SKIPPED * len(self.paths):
            raise DataError(
                f"{len(self.skipped)} of {len(self.paths)} images cannot be read, more than {MOST_SKIPPED:.0%}; "
                f"the first: {self.skipped[0]}"
            )
        if self.skipped:
            say(f"{len(self.skipped)} of {len(self.paths):,} images are left out; the first: {self.skipped[0]}")
        if self.labels is not None:
            self.labels = self.labels[torch.tensor([reason is None for reason in reasons])]
        self.paths = [path for path, reason in zip(self.paths, reasons, strict=True) if reason is None]

    def _read_all(self) -> Tensor:
        channels, side, _ = self.shape
        pixels = np.empty((len(self.paths), side, side, channels), dtype=np.uint8)
        images = in_threads(self.read, self.paths, self.timeout)
        for k, image in enumerate(each(images, "reading images", "image", len(self.paths))):
            pixels[k] = image
        return torch.from_numpy(pixels).permute(0, 3, 1, 2)

    def _stream_from_disk(self, order: EpochOrder, labels: Tensor | None, seed: int, device: torch.device) -> Batches:
        pool = ThreadPool(os.cpu_count())
        ahead: deque[tuple[int, list[Reading]]] = deque()  # (position, its images), the next few batches

        def batch_at(position: int) -> Batch:
            if ahead and ahead[0][0] != position:
                ahead.clear()  # a resume moved the position
            while len(ahead) < 3:
                upcoming = position + len(ahead)
                paths = [self.paths[i] for i in order(upcoming)]
                ahead.append((upcoming, [(path, pool.apply_async(self.read, (path,))) for path in paths]))
            _, readings = ahead.popleft()
            pixels = torch.from_numpy(np.stack([self._await(*reading) for reading in readings])).permute(0, 3, 1, 2)
            images = as_floats(pixels.to(device, non_blocking=True))
            if self.flip:
                images = flip_some(images, seed, position)
            return images, None if labels is None else labels[order(position)].to(device, non_blocking=True)

        return Batches(batch_at)

    def _await(self, path: Path, reading: AsyncResult[np.ndarray]) -> np.ndarray:
        try:
            return reading.get(self.timeout)
        except multiprocessing.TimeoutError as error:
            raise too_slow(path, self.timeout) from error
