"""How much memory this process may take, that of the machine or less in a container; and files that are mapped."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np


def limit(process: Path = Path("/proc/self/cgroup"), groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the bytes that the machine has, or that a control group of this process allows if these are fewer.

    Args:
        process: which groups the process is in, a line each as in cgroups(7).
        groups: where they are mounted.
    """
    return min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *limits(process, groups)])


def limits(process: Path, groups: Path) -> Iterator[int]:
    """Yield the limits of the process's groups and of those above them, in versions 1 and 2."""
    try:
        lines = process.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers in ("", "memory") or "memory" in controllers.split(","):
            base, name = (groups / "memory", "memory.limit_in_bytes") if controllers else (groups, "memory.max")
            inside = Path(path.lstrip("/"))  # in a container the path may be the host's, and only the base is there
            for folder in (inside, *inside.parents):
                yield from number(base / folder / name)


def number(path: Path) -> Iterator[int]:
    """Yield the number in a file, nothing if there is none, as for ``max``."""
    try:
        yield int(path.read_text())
    except (OSError, ValueError):
        return


def read_at_random(array: np.ndarray) -> None:
    """Let the system read no more of a mapped file than is asked for: around a sample lie others of other batches."""
    mapped = getattr(array, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_RANDOM"):  # not on Windows
        mapped.madvise(mmap.MADV_RANDOM)
