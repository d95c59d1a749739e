"""Files that are complete or absent, so that every file left by a power cut or a kill can be read."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from gantrain.errors import ConfigError


class StrangeFileError(OSError):
    """Where a file or folder of a run's own belongs, there is a link, a pipe or a device: it may lead anywhere."""


DEBRIS = re.compile(r"\.(?P<name>.+)\.(?P<process>\d+)-[0-9a-f]{16}\.tmp")
"""Names that ``temporary_name`` gives."""


def temporary_name(path: Path) -> str:
    """Return a hidden name that nobody can guess, and by which ``clear_debris`` knows what killed processes left."""
    return f".{path.name[:80]}.{os.getpid()}-{secrets.token_hex(8)}.tmp"


def clear_debris(folder: Path, name: str | None = None, all_dead: bool = False) -> None:
    """Remove from a folder the temporary files and folders of processes that were killed.

    Args:
        folder: where they lie.
        name: of the file or folder that they were to become; None: any.
        all_dead: whether no other process can be writing here; else those of running processes stay.
    """
    for left in folder.iterdir() if folder.is_dir() else ():
        found = DEBRIS.fullmatch(left.name)
        if found is None or (name is not None and found["name"] != name[:80]):
            continue
        if not all_dead and Path(f"/proc/{found['process']}").exists():
            continue
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Force a file's or folder's content to disk; for a folder, the names in it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_own(path: Path, folder: bool = False) -> None:
    """Raise StrangeFileError unless ``path`` is free, or a file (a folder) that is no link."""
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    if not (stat.S_ISDIR(mode) if folder else stat.S_ISREG(mode)):
        raise StrangeFileError(f"{path} is {kind(path, mode)}, not a {'folder' if folder else 'file'} of its own")


def kind(path: Path, mode: int) -> str:
    """Return in words what stands at a path."""
    if stat.S_ISLNK(mode):
        return f"a link to {os.readlink(path)}"  # noqa: PTH115  (as it is written, whatever it is)
    names = {stat.S_IFDIR: "a folder", stat.S_IFREG: "a file", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return names.get(stat.S_IFMT(mode), "a device")


def opened(path: Path, flags: int = os.O_RDONLY, linked: bool = False) -> int:
    """Return a descriptor of a file, made with the usual mode if ``flags`` ask for it.

    Args:
        path: the file.
        flags: as ``os.open`` takes them.
        linked: whether a link that leads to a file is followed, as where the user may have made it.

    Raises:
        StrangeFileError: if it is a link, a pipe or a device; the opening of a pipe would wait for its other end.
        OSError: as ``os.open`` does.
    """
    if linked:
        check_regular(path, path.stat().st_mode)
    else:
        check_own(path)  # says what it is; the flags and the second look are for who would change it meanwhile
    descriptor = os.open(path, flags | (0 if linked else os.O_NOFOLLOW) | os.O_NONBLOCK, 0o666)
    try:
        check_regular(path, os.fstat(descriptor).st_mode)
    except StrangeFileError:
        os.close(descriptor)
        raise
    return descriptor


def check_regular(path: Path, mode: int) -> None:
    """Raise StrangeFileError unless the mode is that of a file."""
    if not stat.S_ISREG(mode):
        raise StrangeFileError(f"{path} is {kind(path, mode)}, not a file of its own")


def content(path: Path, most: int, linked: bool = False) -> bytes:
    """Return at most the first ``most`` bytes of a file that is no pipe or device, and no link unless ``linked``.

    Raises:
        OSError: if it is one, or cannot be read.
    """
    with os.fdopen(opened(path, linked=linked), "rb") as file:
        return file.read(most)


def whole(path: Path, most: int, linked: bool = False) -> bytes:
    """Return all of a file, as ``content`` does.

    Raises:
        StrangeFileError: if it has more than ``most`` bytes.
        OSError: as ``content`` does.
    """
    found = content(path, most + 1, linked)
    if len(found) > most:
        raise StrangeFileError(f"{path} has more than {most:,} bytes")
    return found


def is_text(path: Path) -> bool:
    """Tell whether a path is UTF-8, which libraries that write files ask for."""
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError:
        return False
    return True


def at_home(path: str | Path) -> Path:
    """Return a path whose ``~`` is the home folder; ``~name``, if there is no such user, may be a file's own name.

    Raises:
        ConfigError: if there is none, as for a user of a container who stands in no list of users.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        if os.path.lexists(path):
            return Path(path)
        raise ConfigError(f"{path}: the home folder is not known; write it out") from error


def own_files(folder: Path, pattern: str) -> list[Path]:
    """Return the files in a run's sub-folder whose names fit a pattern, in order; no links, and none through a link."""
    if folder.is_symlink():
        return []
    return sorted(path for path in folder.glob(pattern) if stat.S_ISREG(path.lstat().st_mode))


@contextmanager
def replacing(path: Path, durable: bool = False, inside: bool = False) -> Iterator[IO[bytes]]:
    """Give a new file, which takes the place of ``path`` once the block is done: others see the old or the whole new.

    If a link stood there, it is replaced itself, and what it led to stays as it was.

    Args:
        path: where it will be; the file lies in the same folder meanwhile, by a name that nobody can guess.
        durable: whether it is to bear a power cut.
        inside: whether its folder lies in a run's folder, and so may not be a link either.
    """
    if inside:
        check_own(path.parent, folder=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | (os.O_NOFOLLOW if inside else 0))
    try:
        name = temporary_name(path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        file = os.fdopen(os.open(name, flags, 0o666, dir_fd=folder), "wb")
        try:
            with file:
                yield file
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            os.replace(name, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with suppress(OSError):
                os.unlink(name, dir_fd=folder)
            raise
        if durable:
            os.fsync(folder)
    finally:
        os.close(folder)


def write_durably(path: Path, text: str) -> None:
    """Replace ``path`` by ``text`` in one step: a reader sees the old content or the new, whole."""
    with replacing(path, durable=True) as file:
        file.write(text.encode())


def write_new(path: Path, text: str) -> None:
    """Write a file that must not be there yet, not even as a link."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text.encode())


@contextmanager
def with_usual_mode(path: Path) -> Iterator[None]:
    """Let the block write a new file, and give it the mode that every file gets here; safetensors' own is 0600."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
    try:
        mode = stat.S_IMODE(os.fstat(descriptor).st_mode)  # asking for the umask would change it for other threads
    finally:
        os.close(descriptor)
    yield
    descriptor = opened(path)
    try:
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


def unshare(path: Path) -> None:
    """Give a file that has other names too, as ``cp -al`` makes them, a copy of its own under this one."""
    with os.fdopen(opened(path), "rb") as shared:
        if os.fstat(shared.fileno()).st_nlink > 1:
            with replacing(path, durable=True) as own:
                shutil.copyfileobj(shared, own)


def own_folder(path: Path) -> None:
    """Make a folder durably, or find it there.

    Raises:
        StrangeFileError: if it is a link to one: what is written into it or deleted from it would lie elsewhere.
    """
    make_folder(path)
    check_own(path, folder=True)


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


def is_checkpoint_s(path: Path) -> bool:
    """Tell by its name whether a folder is a checkpoint, or what a killed save or removal left of one."""
    return step_of(path) >= 0 or path.name.startswith((".tmp-", ".del-"))


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

    A file that has other names too (``cp -al``) is copied first, so that no line appears under those.

    Raises:
        OSError: if the file is a link, a pipe or a device.
        OSError: by ``append``, if the disk does not take the line; the file then ends with the line before it.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.fdopen(opened(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "ab", buffering=0)
        if os.fstat(self._file.fileno()).st_nlink > 1:
            self._file.close()
            unshare(path)
            self._file = os.fdopen(opened(path, os.O_WRONLY | os.O_APPEND), "ab", buffering=0)

    def append(self, line: str) -> None:
        """Add a line."""
        content, end = (line + "\n").encode(), self._file.seek(0, os.SEEK_END)
        try:
            if self._file.write(content) != len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            self._file.truncate(end)
            raise

    def fileno(self) -> int:
        """Return the file's descriptor."""
        return self._file.fileno()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
