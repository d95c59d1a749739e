"""Files that are complete or absent, so that every file left by a power cut or a kill can be read."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
from pathlib import Path


def sync(path: Path) -> None:
    """Force a file's or folder's content to disk; for a folder, the names in it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, text: str) -> None:
    """Replace ``path`` by ``text`` in one step: a reader sees the old content or the new, whole."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text)
    sync(temporary)
    temporary.replace(path)
    sync(path.parent)


def make_folder(path: Path) -> None:
    """Make a folder and its missing parents durably: a power cut does not undo it."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        sync(folder.parent)


def step_of(checkpoint: Path) -> int:
    """Return the step in a checkpoint folder's name, -1 if it is no checkpoint."""
    match = re.fullmatch(r"step-(\d{9,18})", checkpoint.name)
    return int(match[1]) if match else -1


def sha256(path: Path) -> str:
    """Return the hexadecimal sha256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_space(folder: Path, needed: int) -> None:
    """Raise OSError, as a full disk would, unless ``needed`` bytes are free where ``folder`` lies."""
    if (free := shutil.disk_usage(folder).free) < needed:
        raise OSError(errno.ENOSPC, f"{free / 2**20:,.0f} MiB are free, {needed / 2**20:,.0f} MiB needed")


def size(folder: Path) -> int:
    """Return the bytes of all files under a folder; files that vanish meanwhile count as 0."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(root) / name).lstat().st_size
            except OSError:
                continue
    return total


class Lines:
    """A text file that only grows, by whole lines, each visible to others at once.

    Raises:
        OSError: by ``append``, if the disk does not take the line; the file then ends with the line before it.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)

    def append(self, line: str) -> None:
        """Add a line."""
        content, end = (line + "\n").encode(), self._file.seek(0, os.SEEK_END)
        try:
            if self._file.write(content) != len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            self._file.truncate(end)
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()
