"""The lock of a run's folder, and whether the folder is still the one in which the run began."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from gantrain.errors import ConfigError, DiskError, GantrainError, RunInUseError
from gantrain.run import files

NAME = "run.lock"
LONGEST = 300  # bytes of it that are read


class Lock:
    """A POSIX lock on ``run.lock``, held until ``release`` or the end of the process, however it ends.

    lockf, not flock: the lock must not live on in child processes when this one is killed.

    Args:
        folder: the run's folder, which exists.

    Raises:
        RunInUseError: if another process holds it.
        ConfigError: if the file system has no locks.
        StrangeFileError: if the file is a link, a pipe or a device.
        OSError: if it cannot be opened.
    """

    held: ClassVar[set[tuple[int, int]]] = set()
    """The locks of this process, by device and inode: closing any descriptor of such a file would give the lock up."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self.descriptor = self._taken()
        self.held.add(identity(os.fstat(self.descriptor)))
        self.folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)  # held open, so that nobody gets its inode
        self._watched = [(folder, self.folder, lost_folder(folder)), (self.path, self.descriptor, lost_lock(folder))]

    def _taken(self) -> int:
        while True:
            if is_held(self.path):
                raise in_use(self.path)
            descriptor = files.opened(self.path, os.O_RDWR | os.O_CREAT)
            try:
                if not acquired(descriptor, fcntl.LOCK_EX):
                    raise in_use(self.path)
                if stands_at(self.path, descriptor):  # else somebody has put another in its place meanwhile
                    if os.fstat(descriptor).st_nlink == 1:
                        return descriptor
                    self.path.unlink()  # a copy by hard links (cp -al) gets a file, and so a lock, of its own
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def sign(self) -> None:
        """Write into the file who holds it.

        Raises:
            OSError: if the disk does not take it.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, f"process {os.getpid()} on {socket.gethostname()} since {now}\n".encode(), 0)

    def watch(self, path: Path, descriptor: int) -> None:
        """Let ``check`` look after a file of the run too, which is open."""
        lost = DiskError(f"{path} was removed or replaced while the run went on, so the run ended")
        self._watched.append((path, descriptor, lost))

    def forget(self, path: Path) -> None:
        """Look after a file no longer."""
        self._watched = [entry for entry in self._watched if entry[0] != path]

    def check(self) -> None:
        """Raise if the folder, its lock or a watched file is no longer the one that this process opened.

        Raises:
            RunInUseError: if the lock is gone: another process may train here.
            DiskError: if something else is.
        """
        for path, descriptor, lost in self._watched:
            if not stands_at(path, descriptor):
                raise lost

    def owns(self) -> bool:
        """Tell whether the folder and its lock are still this process's."""
        return all(stands_at(path, descriptor) for path, descriptor, _ in self._watched[:2])

    def release(self) -> None:
        """Give the lock up."""
        self.held.discard(identity(os.fstat(self.descriptor)))
        os.close(self.descriptor)
        os.close(self.folder)


def lost_folder(folder: Path) -> GantrainError:
    """Return what to say where the folder is another one."""
    return DiskError(
        f"{folder} was removed, renamed or replaced while the run went on, so the run ended, "
        "and nothing was written elsewhere; what was saved lies where the folder went"
    )


def lost_lock(folder: Path) -> GantrainError:
    """Return what to say where the lock is another one."""
    return RunInUseError(
        f"{folder / NAME} was removed or replaced while the run went on, so another process may train here; "
        "this run ended, and the same command goes on from its last checkpoint"
    )


def identity(found: os.stat_result) -> tuple[int, int]:
    """Return what tells a file from every other."""
    return found.st_dev, found.st_ino


def stands_at(path: Path, descriptor: int) -> bool:
    """Tell whether a path leads to the file that is open."""
    try:
        return identity(os.stat(path)) == identity(os.fstat(descriptor))  # noqa: PTH116
    except OSError:
        return False


def is_held(path: Path) -> bool:
    """Tell whether this process holds the lock in a file."""
    try:
        return identity(os.stat(path)) in Lock.held  # noqa: PTH116
    except OSError:
        return False


def is_taken(path: Path) -> bool:
    """Tell whether any process holds the lock in a file."""
    if is_held(path):
        return True
    try:
        descriptor = files.opened(path)
    except OSError:
        return False
    try:
        return not acquired(descriptor, fcntl.LOCK_SH)
    except ConfigError:
        return False
    finally:
        os.close(descriptor)


def in_use(path: Path) -> RunInUseError:
    """Return what to say where the lock is taken: by whom, as the file tells."""
    if is_held(path):
        owner = f"this process, {os.getpid()}"
    else:
        try:
            owner = files.content(path, LONGEST).decode(errors="replace").strip()
        except OSError:
            owner = ""
    return RunInUseError(f"{path.parent} is in use by {owner or 'another process'}")


def acquired(descriptor: int, kind: int) -> bool:
    """Take a POSIX lock, and tell whether that worked; tried for a moment, because somebody may only be looking.

    Raises:
        ConfigError: if the file system has no locks.
    """
    for _ in range(5):
        try:
            fcntl.lockf(descriptor, kind | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise ConfigError(
                    f"the file system of the run's folder gives no locks ({error.strerror}), so that two processes "
                    "could train in one folder; choose a run.dir on another"
                ) from error
            time.sleep(0.02)
        else:
            return True
    return False
