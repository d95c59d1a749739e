"""A look at every file of a folder of images, none of which is held: what training would find, and what is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Unpack

import torch

from gantrain.data import listing
from gantrain.data.decode import Decoded, Decoder, colour
from gantrain.data.depth import depth_of
from gantrain.data.files import home
from gantrain.data.form import check_settings
from gantrain.data.names import plain
from gantrain.data.reading import in_threads, warnings_of_files
from gantrain.data.subset import Which, choose
from gantrain.errors import DataError
from gantrain.terminal import each


class FolderSurvey:
    """The files that ``ImageFolder`` would read; it takes the same settings, writes nothing, and refuses no bad file.

    Args:
        root: the folder, zip or tar.
        size, fit, channels, background: what becomes of an image.
        flip, on_bad, skip_limit: noted only.
        timeout: seconds to wait for an image.
        in_memory, copy: where training would keep the images.
        depth, range: of images of more than 8 bits.
        labels, class_level, which: which images are read, and of which class they are.

    Raises:
        ConfigError: for a setting that makes no sense.
        DataError: for a missing or empty folder.
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
        skip_limit: float = 0.01,
        background: Any = "white",
        copy: bool | None = None,
        labels: str | None = None,
        class_level: int = 1,
        depth: int = 8,
        range: Sequence[float] | None = None,
        **which: Unpack[Which],
    ) -> None:
        check_settings(size, fit, channels, on_bad, timeout, in_memory, skip_limit, copy)
        deep = depth_of(depth, range, channels)
        self.decoder = Decoder(size, fit, channels, colour(background), deep)
        self.flip, self.on_bad, self.skip_limit, self.timeout = flip, on_bad, skip_limit, timeout
        found = listing.find(root, labels, class_level)
        numbers = None if found.labels is None else torch.tensor(found.labels)
        kept, self.labels, self.class_names = choose(numbers, len(found.entries), found.class_names or (), **which)
        self.place, entries = found.place, [found.entries[k] for k in kept]
        self.paths, self.passed_over = [entry.path for entry in entries], found.passed_over
        self.bytes = sum(entry.size for entry in entries)
        self.needed = len(self.paths) * size * size * (channels or 3) * (deep.bits // 8)
        self.home = home(self.needed, in_memory, copy)

    def look(self) -> Iterator[Decoded | DataError]:
        """Yield what becomes of each file, in order, as the training's own decoder makes it, or why it cannot be read.

        Raises:
            DataError: if a file is not there in time.
        """
        results = in_threads(self._decoded, self.paths, self.timeout)
        with warnings_of_files():
            yield from each(results, "reading images", "image", len(self.paths))

    def image(self, number: int) -> Decoded:
        """Return what becomes of one file that can be read."""
        return self.decoder(self.paths[number], self.place.source)

    def name(self, number: int) -> str:
        """Return a file's path in the folder, as it is shown."""
        return plain(self.paths[number].relative_to(self.place.top))

    def _decoded(self, path: Path) -> Decoded | DataError:
        try:
            return self.decoder(path, self.place.source)
        except DataError as error:
            return error
