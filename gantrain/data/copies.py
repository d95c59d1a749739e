"""The decoded images of a folder in one file of the cache: each image file is decoded once, whoever reads it later."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from gantrain.data.names import plain
from gantrain.errors import first_line
from gantrain.terminal import say

SHARE = 0.1
"""Of the free disk space, that a copy may take unless it was asked for."""
LARGEST = 2**28
"""Bytes of a file of facts, which names every image that cannot be read."""


@dataclass
class Facts:
    """What reading all files of a folder has found."""

    channels: int = 0  # of the image with the most
    transparent: bool = False  # the background shows through in one of them at least
    reduced: bool = False  # one of them at least was decoded at a part of its size
    brightest: float = 0.0  # pixel of more than 8 bits, as a share of the range
    skipped: list[tuple[int, str]] = field(default_factory=list)  # number and reason of each that cannot be read

    @classmethod
    def of(cls, found: Any) -> Facts:
        """Return facts from JSON; raise TypeError, ValueError, KeyError or OverflowError unless they are whole."""
        skipped = [(int(k), str(reason)) for k, reason in found["skipped"]]
        transparent, reduced = (found[key] is True for key in ("transparent", "reduced"))
        return cls(int(found["channels"]), transparent, reduced, float(found.get("brightest", 0)), skipped)


Dtype = type[np.unsignedinteger[Any]]
Make = Callable[[Callable[[np.ndarray], None]], Facts]
"""Gives every readable image to a function, in order, and returns what it found."""


def folder() -> Path | None:
    """Return the folder of copies, None without one: ``$GANTRAIN_CACHE``, else ``~/.cache/gantrain``.

    It is no setting: where files are written is not for a stranger's config.yaml to say.
    """
    try:
        return Path(os.environ.get("GANTRAIN_CACHE") or "~/.cache/gantrain").expanduser()
    except RuntimeError:
        return None


def has_room(needed: int) -> bool:
    """Tell whether a copy of that many bytes takes at most a tenth of the free disk space."""
    place = folder()
    try:
        there = place and next(parent for parent in (place, *place.parents) if parent.exists())
        return there is not None and needed <= SHARE * shutil.disk_usage(there).free
    except OSError:
        return False


def fetch(
    key: str, files: int, shape: tuple[int, int, int], make: Make, dtype: Dtype = np.uint8
) -> tuple[np.ndarray, Facts] | None:
    """Return the copy for ``key``, made if needed: images (n, *shape) mapped from its file, and what was found.

    A second process waits for the first. A folder that cannot be written costs a warning, and None is returned.

    Args:
        key: what the images depend on.
        files: how many there are to decode.
        shape: of each of them; images with fewer channels repeat theirs.
        make: decodes them.
        dtype: of their pixels.

    Raises:
        DataError: if ``make`` does.
    """
    place = folder()
    path = (place or Path()) / f"images-{hashlib.sha256(key.encode()).hexdigest()[:16]}.bin"
    try:
        if place is None:
            raise OSError("there is no home folder")
        place.mkdir(parents=True, exist_ok=True)
        with locked(place / f".{path.stem}.lock"):
            found = read(path, files, shape, dtype)
            if found is None:
                write(path, shape, make)
                found = read(path, files, shape, dtype)
            return found
    except OSError as error:
        say(f"no decoded copy of the images can be kept ({first_line(error)}); their files are read each time")
        return None


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock inside the block, where the file system has locks: at worst a copy is made twice."""
    with os.fdopen(
        os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666), "wb"
    ) as lock:
        with suppress(OSError):
            fcntl.lockf(lock, fcntl.LOCK_EX)
        yield


def read(
    path: Path, files: int, shape: tuple[int, int, int], dtype: Dtype = np.uint8
) -> tuple[np.ndarray, Facts] | None:
    """Return a copy and its facts, None if there is none; one that is not whole or something else is set aside."""
    facts_path = path.with_suffix(".json")
    if not os.path.lexists(facts_path):
        return None
    try:
        found = json.loads(content(facts_path))
        facts, count = Facts.of(found), int(found["count"])
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if {k for k, _ in facts.skipped} - set(range(files)) or count + len(facts.skipped) != files:
            raise ValueError("it is of other files")
        if facts.channels not in (1, 3, 4) and count:
            raise ValueError(f"its images have {facts.channels} channels")
        if not stat.S_ISREG(path.stat().st_mode) or path.stat().st_size != count * size:
            raise ValueError("its size is another")
        if not count:
            return np.empty((0, *shape), dtype), facts
        return np.memmap(path, dtype, "r", shape=(count, *shape)), facts
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        say(f"{plain(path)} is damaged ({first_line(error)}) and is made again; it is kept as {path.name}.set-aside")
        for part in (path, facts_path):
            if os.path.lexists(part):
                part.replace(part.with_name(f"{part.name}.set-aside"))
        return None


def content(path: Path) -> bytes:
    """Return what a file of facts holds.

    Raises:
        OSError: if it is a link, a pipe or a device.
        ValueError: if it is too long.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{plain(path.name)} is no file")
        if len(found := file.read(LARGEST + 1)) > LARGEST:
            raise ValueError(f"{plain(path.name)} has more than {LARGEST:,} bytes")
        return found


def write(path: Path, shape: tuple[int, int, int], make: Make) -> None:
    """Make a copy; a kill on the way leaves a file that the next one replaces."""
    temporary, count = path.with_suffix(".tmp"), 0
    facts_path = path.with_suffix(".json")
    for old in (facts_path, temporary):
        old.unlink(missing_ok=True)
    try:
        with new(temporary) as file:

            def keep(image: np.ndarray) -> None:
                nonlocal count
                file.write(np.broadcast_to(image, shape).tobytes())
                count += 1

            facts = make(keep)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        with new(temporary) as file:
            file.write(json.dumps(asdict(facts) | {"count": count}).encode())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(facts_path)
    finally:
        temporary.unlink(missing_ok=True)


def new(path: Path) -> BinaryIO:
    """Open a new file for writing; one that is there already, or a link, raises OSError."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666), "wb")
