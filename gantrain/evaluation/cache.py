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


class Cache:
    """A folder of safetensors files, each made once; a second process waits for the first instead of making its own.

    Args:
        folder: made when it is needed; ``~`` is the home folder.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder).expanduser()

    def file(self, kind: str, identity: dict[str, object]) -> Path:
        """Return the path that belongs to ``identity``; the file may not exist yet."""
        name = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
        return self.folder / f"{kind}-{name}.safetensors"

    def fetch(self, kind: str, identity: dict[str, object], make: Callable[[], Content]) -> Content:
        """Return the content cached for ``identity``, or make it and cache it.

        A file that cannot be read is made again; a folder that cannot be written costs a warning.
        """
        path = self.file(kind, identity)
        if (found := read(path)) is not None:
            return found
        try:
            files.make_folder(self.folder)
            lock = (self.folder / f".{path.stem}.lock").open("a")
        except OSError as error:
            say(f"{self.folder} cannot be written ({first_line(error)}); the {kind} is made anew for every run")
            return make()
        with lock:
            with suppress(OSError):  # a file system without locks: at worst it is made twice
                fcntl.lockf(lock, fcntl.LOCK_EX)
            if (found := read(path)) is not None:
                return found
            return self._keep(path, *make())

    def _keep(self, path: Path, tensors: dict[str, Tensor], facts: dict[str, str]) -> Content:
        temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp")
        try:
            save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, temporary, facts)
            files.sync(temporary)
            temporary.replace(path)
        except (OSError, SafetensorError) as error:
            say(f"{path} could not be written ({first_line(error)}); it is made anew for every run")
            with suppress(OSError):
                temporary.unlink()
            return tensors, facts
        return read(path) or (tensors, facts)  # mapped from the file, it takes memory only where it is read


def read(path: Path) -> Content | None:
    """Return a file's content, None if there is none or it is damaged."""
    try:
        if not path.exists():
            return None
        with safe_open(path, "pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        say(f"{path} is damaged ({first_line(error)}) and is made again")
        return None
