"""What is computed once for a data set and kept: classifiers and what is known of the real samples."""

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

from gantrain import storage
from gantrain.errors import first_line
from gantrain.progress import say

Content = tuple[dict[str, Tensor], dict[str, str]]
"""Tensors by name, and facts about them."""


class Cache:
    """A folder of safetensors files, each made once; a second process waits for the first instead of making its own.

    Args:
        folder: made when it is needed; ``~`` is the home folder.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder).expanduser()

    def fetch(self, kind: str, identity: dict[str, object], make: Callable[[], Content]) -> Content:
        """Return what is kept for ``identity``, or make and keep it.

        A file that cannot be read is made again; a folder that cannot be written costs a warning.
        """
        name = f"{kind}-{hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]}"
        path = self.folder / f"{name}.safetensors"
        if (found := read(path)) is not None:
            return found
        try:
            storage.make_folder(self.folder)
            lock = (self.folder / f".{name}.lock").open("a")
        except OSError as error:
            say(f"{self.folder} cannot be written ({first_line(error)}); the {kind} is made anew for every run")
            return make()
        with lock:
            fcntl.lockf(lock, fcntl.LOCK_EX)
            if (found := read(path)) is not None:
                return found
            tensors, facts = make()
            temporary = path.with_name(f".{name}.{os.getpid()}.tmp")
            try:
                save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, temporary, facts)
                storage.sync(temporary)
                temporary.replace(path)
            except (OSError, SafetensorError) as error:
                say(f"{path} could not be written ({first_line(error)}); the {kind} is made anew for every run")
                with suppress(OSError):
                    temporary.unlink()
            return tensors, facts


def read(path: Path) -> Content | None:
    """Return a file's content, None if there is none or it is damaged."""
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        say(f"{path} is damaged ({first_line(error)}) and is made again")
        return None
