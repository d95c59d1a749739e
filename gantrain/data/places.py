"""Where files lie: a folder of this machine, or an archive that is read in place."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

Identity = tuple[int, int] | str
"""Device and inode of a folder, or its path inside an archive."""


@dataclass(frozen=True)
class Entry:
    """A file."""

    path: Path
    size: int
    written: int  # in nanoseconds since 1970


@dataclass
class Within:
    """What lies in a folder itself, in no order."""

    files: list[Entry] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    others: list[tuple[str, Path]] = field(default_factory=list)  # what it is, and where


class Store(ABC):
    """What files are read from; their paths may be names that only it knows.

    Args:
        top: what all paths begin with.
    """

    def __init__(self, top: Path) -> None:
        self.top = top

    @abstractmethod
    def source(self, path: Path) -> Path | BinaryIO:
        """Return a file as Pillow opens it; what it raises is the file's fault."""

    def known_as(self, path: Path) -> Path:
        """Return what a file is called whatever the current folder is."""
        return path.absolute()


class Place(Store):
    """A folder, or an archive; the paths of an archive go on inside of it: ``pets.zip/cat/1.png``."""

    @abstractmethod
    def within(self, folder: Path) -> Within:
        """Return what lies in a folder itself; raises OSError if it cannot be read."""

    @abstractmethod
    def identity(self, folder: Path) -> Identity:
        """Return what is the same for two paths of one folder; raises OSError."""

    @abstractmethod
    def holds(self, folder: Path, names: Sequence[str]) -> bool:
        """Return whether a folder holds files of all these names; raises OSError."""


class Folder(Place):
    """A folder of this machine. Links are followed."""

    def within(self, folder: Path) -> Within:
        """Return what lies in a folder itself; raises OSError if it cannot be read."""
        found = Within()
        with os.scandir(folder) as entries:
            listed = list(entries)
        for entry in listed:
            path = folder / entry.name
            if entry.is_symlink() and not path.exists():
                found.others.append(("broken link", path))
            elif entry.is_dir():
                found.folders.append(path)
            elif not entry.is_file():
                found.others.append(("pipe or device", path))
            else:
                status = entry.stat()
                found.files.append(Entry(path, status.st_size, status.st_mtime_ns))
        return found

    def identity(self, folder: Path) -> Identity:
        """Return device and inode."""
        status = folder.stat()
        return status.st_dev, status.st_ino

    def holds(self, folder: Path, names: Sequence[str]) -> bool:
        """Return whether a folder holds files of all these names."""
        return all((folder / name).is_file() for name in names)

    def source(self, path: Path) -> Path:
        """Return the path."""
        return path
