"""Many files read by threads: in order, each within its time, and warnings with the name of the file."""

from __future__ import annotations

import multiprocessing
import os
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from multiprocessing.pool import AsyncResult, ThreadPool
from pathlib import Path
from typing import Any, TypeVar

from gantrain.data.names import plain
from gantrain.errors import DataError
from gantrain.terminal import say

T = TypeVar("T")
AHEAD = 8
"""Files per thread that may be read before their turn: the results wait in memory."""
_now = threading.local()


def in_threads(function: Callable[[Path], T], paths: Iterable[Path], timeout: float) -> Iterator[T]:
    """Yield ``function`` of every path, in their order.

    Raises:
        DataError: if no result comes for ``timeout`` seconds.
    """
    rest = iter(paths)
    threads = os.cpu_count() or 1
    # Not concurrent.futures: at exit it would wait for a thread that hangs in the file system.
    with ThreadPool(threads) as pool:
        ahead: deque[tuple[Path, AsyncResult[T]]] = deque()
        while True:
            for path in islice(rest, AHEAD * threads - len(ahead)):
                ahead.append((path, pool.apply_async(function, (path,))))
            if not ahead:
                return
            yield awaited(*ahead.popleft(), timeout)


def awaited(path: Path, result: AsyncResult[T], timeout: float) -> T:
    """Return a thread's result.

    Raises:
        DataError: if it does not come for ``timeout`` seconds.
    """
    try:
        return result.get(timeout)
    except multiprocessing.TimeoutError as error:
        raise DataError(
            f"reading {plain(path)} takes longer than data.timeout={timeout:g} seconds; "
            "does the disk or network share answer?"
        ) from error


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Note that this thread reads a file."""
    _now.path = path
    try:
        yield
    finally:
        _now.path = None


@contextmanager
def warnings_of_files() -> Iterator[None]:
    """Print Pillow's warnings inside the block at its end, each once, with the files that they are about."""
    found: dict[str, list[Path]] = {}
    before = warnings.showwarning

    def note(message: Warning | str, *rest: Any, **more: Any) -> None:
        path = getattr(_now, "path", None)
        if path is None:
            before(message, *rest, **more)
        else:
            found.setdefault(str(message).strip().partition("\n")[0], []).append(path)

    with warnings.catch_warnings():
        warnings.filterwarnings("always", module="PIL")
        warnings.showwarning = note
        yield
    for text, paths in found.items():
        others = f" and {len(paths) - 1:,} more" if len(paths) > 1 else ""
        say(f"{plain(min(paths))}{others}: {plain(text)}")
