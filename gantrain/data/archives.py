"""Files in a zip or a tar, or in many tars of a folder, which are never unpacked."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from gantrain.data.names import plain
from gantrain.data.places import Entry, Place, Within
from gantrain.errors import DataError, first_line
from gantrain.terminal import each

LARGEST = 2**28
"""Bytes of a file in an archive, unpacked: a few bytes can claim to be any number of them."""
COMPRESSED = {b"\x1f\x8b": "gunzip", b"BZh": "bunzip2", b"\xfd7zXZ\x00": "unxz", b"\x28\xb5\x2f\xfd": "unzstd"}
"""How a compressed tar begins, and what makes a plain one of it."""
BLOCK = 512
"""Bytes of which a tar consists; two of zeros end it."""
Read = Callable[[], bytes]


class Packed(Place):
    """Files that lie packed in others; how each is read is known by its path."""

    def __init__(self, top: Path) -> None:
        super().__init__(top)
        self.reads: dict[Path, Read] = {}

    def identity(self, folder: Path) -> str:
        """Return the folder's path."""
        return str(folder)

    def holds(self, folder: Path, names: Sequence[str]) -> bool:
        """Return whether a folder holds files of all these names."""
        return all(folder / name in self.reads for name in names)

    def source(self, path: Path) -> BinaryIO:
        """Return a file's bytes."""
        return io.BytesIO(self.reads[path]())


class Archive(Packed):
    """The files of a zip or a tar.

    Args:
        file: the archive.
        top: it, or a folder inside of it.

    Raises:
        DataError: if it is neither, is cut off or otherwise damaged, is compressed as a whole, or has a path in it that
            leads out of it.
    """

    def __init__(self, file: Path, top: Path) -> None:
        super().__init__(top)
        self.file, self.folders = file, {file: Within()}
        written = file.stat().st_mtime_ns
        for name, size, other, read in members(file):
            self._add(name, size, written, other, read)

    def _add(self, name: str, size: int, written: int, other: str, read: Read | None) -> None:
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if ".." in parts or name.startswith("/"):
            raise DataError(f"{plain(self.file)} has the path {plain(name)} in it, which leads out of it; make it anew")
        path = self.file
        for part in parts[: None if name.endswith("/") else -1]:
            above, path = path, path / part
            if path not in self.folders:
                self.folders[path] = Within()
                self.folders[above].folders.append(path)
        if name.endswith("/") or not parts:
            return
        path = path / parts[-1]
        if read is None:
            self.folders[path.parent].others.append((other, path))
        elif path not in self.reads:  # the same name twice: tools that unpack keep the last one
            self.folders[path.parent].files.append(Entry(path, size, written))
        if read is not None:
            self.reads[path] = read

    def within(self, folder: Path) -> Within:
        """Return what lies in a folder of the archive."""
        return self.folders[folder]


class Shards(Packed):
    """The files of all tars that lie in a folder, as WebDataset packs them: each is read by its shard and offset.

    Args:
        top: the folder.
        files: the tars.

    Raises:
        DataError: as ``Archive`` does.
    """

    def __init__(self, top: Path, files: Sequence[Path]) -> None:
        super().__init__(top)
        shards = [Archive(file, file) for file in each(sorted(files), "reading shards", "shard", len(files))]
        self.reads = {path: read for shard in shards for path, read in shard.reads.items()}
        inside = [folder for shard in shards for folder in shard.folders.values()]
        self.all = Within([file for folder in inside for file in folder.files])
        self.all.others = [other for folder in inside for other in folder.others]

    def within(self, folder: Path) -> Within:
        """Return the files of all shards, whatever folders they have in them."""
        return self.all


Member = tuple[str, int, str, Read | None]
"""Name, size, what it is if it is no file, and how to read it if it is one."""


def is_archive(file: Path) -> bool:
    """Return whether a file may be an archive, by what it begins with."""
    try:
        with file.open("rb") as opened:
            begin = opened.read(BLOCK)
    except OSError:
        return False
    return begin[:2] == b"PK" or begin[257:262] == b"ustar" or any(begin.startswith(magic) for magic in COMPRESSED)


def members(file: Path) -> Iterator[Member]:
    """Yield the members of an archive; raise DataError unless it is a whole zip or plain tar."""
    try:
        with file.open("rb") as opened:
            begin = opened.read(8)
        for magic, tool in COMPRESSED.items():
            if begin.startswith(magic):
                raise DataError(
                    f"{plain(file)} is compressed as a whole, so no file in it can be read alone; "
                    f"{tool} makes a plain tar of it, which is read in place"
                )
        yield from (zipped if begin[:2] == b"PK" else tarred)(file)
    except (OSError, tarfile.TarError, zipfile.BadZipFile, ValueError, EOFError, NotImplementedError) as error:
        raise DataError(f"{plain(file)} is no whole archive ({plain(first_line(error))}); is it cut off?") from error


def zipped(file: Path) -> Iterator[Member]:
    """Yield the members of a zip."""
    archive = zipfile.ZipFile(file)
    for info in archive.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        is_link = kind not in (0, stat.S_IFREG, stat.S_IFDIR)
        yield info.filename, info.file_size, "link", None if is_link else partial(unzipped, archive, info)


def unzipped(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Return the bytes of a file in a zip; raise ValueError if it is too large, encrypted or damaged."""
    check_size(info.file_size)
    try:
        return archive.read(info)
    except (RuntimeError, NotImplementedError, zlib.error) as error:  # encrypted, or packed by a method of its own
        raise ValueError(first_line(error)) from error


def tarred(file: Path) -> Iterator[Member]:
    """Yield the members of a plain tar; its files are read where they lie."""
    size = file.stat().st_size
    opened = file.open("rb")
    with tarfile.open(fileobj=opened, mode="r:", errorlevel=2) as archive:
        for info in archive:
            begin = info.offset_data
            if info.isreg() and not info.issparse() and begin + info.size > size:
                raise EOFError(f"{info.name} lies beyond its end")
            name = f"{info.name}/" if info.isdir() else info.name.removeprefix("./")
            is_file = info.isreg() and not info.issparse()
            read = partial(untarred, opened, begin, info.size) if is_file else None
            if name.strip("./"):
                yield name, info.size, "link or device", read
        ended = archive.offset
    # tarfile takes a cut between two files, or within a header, for the end.
    if os.pread(opened.fileno(), BLOCK, ended) != bytes(BLOCK):
        raise EOFError("it has no end")


def untarred(file: BinaryIO, begin: int, size: int) -> bytes:
    """Return bytes of a file, whatever other threads read of it; raise ValueError if they are not there."""
    check_size(size)
    found = os.pread(file.fileno(), size, begin)
    if len(found) < size:
        raise ValueError("the archive was cut off")
    return found


def check_size(size: int) -> None:
    """Raise ValueError for a file that is too large to be an image."""
    if size > LARGEST:
        raise ValueError(f"it would take {size:,} bytes, more than {LARGEST:,}")
