"""A cache of results that are computed once for a data set: classifiers and statistics of the real samples."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from gantrain.errors import first_line
from gantrain.run import files
from gantrain.terminal import say

Content = tuple[dict[str, Tensor], dict[str, str]]
"""Tensors by name, and facts about them."""


Check = Callable[[Content], object]
"""Raises one of ``OTHER`` unless a content is of the kind that is wanted."""
OTHER = (KeyError, ValueError, TypeError, IndexError, AttributeError, RuntimeError)


class Cache:
    """A folder of safetensors files, each made once; a second process waits for the first instead of making its own.

    Args:
        folder: made when it is needed; ``~`` is the home folder. Without a home folder nothing is kept.
    """

    def __init__(self, folder: str) -> None:
        self.given, self.refused = folder, False
        try:
            self.folder: Path | None = Path(folder).expanduser()
        except RuntimeError:  # the user has no entry in the system's list, as in many containers
            self.folder = None

    def file(self, kind: str, identity: dict[str, object]) -> Path | None:
        """Return the path that belongs to ``identity``; the file may not exist yet. None without a home folder."""
        name = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
        return None if self.folder is None else self.folder / f"{kind}-{name}.safetensors"

    def keeps(self, kind: str, identity: dict[str, object]) -> bool:
        """Tell whether the content for ``identity`` lies in a file."""
        path = self.file(kind, identity)
        return path is not None and path.is_file()

    def fetch(
        self, kind: str, identity: dict[str, object], make: Callable[[], Content], check: Check = bool
    ) -> Content:
        """Return the content cached for ``identity``, or make it and cache it.

        A file that cannot be read or holds something else is set aside, and its content is made again. A folder that
        cannot be written costs a warning.

        Args:
            kind: the first part of the file's name.
            identity: what the content depends on.
            make: makes it.
            check: refuses a content that is something else.
        """
        path = self.file(kind, identity)
        if path is None:
            self._refuse("the home folder is not known")
            return make()
        if (found := look(path, check)[0]) is not None:
            return found
        try:
            files.make_folder(path.parent)
            files.clear_debris(path.parent, path.name)
            lock = os.fdopen(files.opened(path.parent / f".{path.stem}.lock", os.O_RDWR | os.O_CREAT), "a")
        except OSError as error:
            self._refuse(first_line(error))
            return make()
        with lock:
            with suppress(OSError):  # a file system without locks: at worst it is made twice
                fcntl.lockf(lock, fcntl.LOCK_EX)
            found, wrong = look(path, check)
            if found is not None:
                return found
            if wrong:
                set_aside(path, wrong)
            return self._keep(path, *make())

    def _refuse(self, why: str) -> None:
        if not self.refused:
            say(f"{self.given} cannot be written ({why}); what it holds is made anew for every run")
        self.refused = True

    def _keep(self, path: Path, tensors: dict[str, Tensor], facts: dict[str, str]) -> Content:
        temporary = path.with_name(files.temporary_name(path))
        try:
            with files.with_usual_mode(temporary):
                save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, temporary, facts)
            files.sync(temporary)
            temporary.replace(path)
        except (OSError, SafetensorError) as error:
            say(f"{path} could not be written ({first_line(error)}); it is made anew for every run")
            with suppress(OSError):
                temporary.unlink()
            return tensors, facts
        return look(path)[0] or (tensors, facts)  # mapped from the file, it takes memory only where it is read


def look(path: Path, check: Check = bool) -> tuple[Content | None, str]:
    """Return a file's content, and None and in words what is wrong with it if it is damaged or something else."""
    if not os.path.lexists(path):
        return None, ""
    try:
        os.close(files.opened(path, linked=True))  # a pipe would keep what follows waiting
        with safe_open(path, "pt") as file:
            found = {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        return None, f"is damaged ({first_line(error)})"
    try:
        check(found)
    except OTHER as error:
        return None, f"holds something else ({first_line(error)})"
    return found, ""


def set_aside(path: Path, wrong: str) -> None:
    """Rename what stands where a file of the cache belongs, whatever it is: it may be somebody's."""
    aside = path.with_name(f"{path.name}.set-aside")
    try:
        path.replace(aside)
        say(f"{path} {wrong}; it is kept as {aside.name}, and made again")
    except OSError as error:
        say(f"{path} {wrong}, and cannot be set aside ({first_line(error)})")
