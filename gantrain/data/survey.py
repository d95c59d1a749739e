"""A look at every file of a folder of images, none of which is held: what training would find, and what is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Unpack

from gantrain.data import listing
from gantrain.data.decode import Decoded
from gantrain.data.form import Formed, FormedFiles
from gantrain.data.names import plain
from gantrain.data.reading import in_threads, warnings_of_files
from gantrain.errors import DataError
from gantrain.terminal import each


class FolderSurvey(FormedFiles):
    """The files that ``ImageFolder`` would read; it takes the same settings, writes nothing, and refuses no bad file.

    Args:
        root, labels, class_level, depth, range, formed: as for ``ImageFolder``.

    Raises:
        ConfigError: for a setting that makes no sense.
        DataError: for a missing or empty folder.
    """

    def __init__(
        self,
        root: str,
        labels: str | None = None,
        class_level: int = 1,
        depth: int = 8,
        range: Sequence[float] | None = None,
        **formed: Unpack[Formed],
    ) -> None:
        super().__init__(listing.find(root, labels, class_level), depth=depth, range=range, **formed)
        self.paths = [entry.path for entry in self.entries]
        self.bytes = sum(entry.size for entry in self.entries)

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
