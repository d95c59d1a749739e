"""Names of folders in settings: ``pics``, ``pics/`` and ``/home/me/pics`` are one folder, and so name one run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gantrain.run import files

PLACES = ("data.root", "data.parts.root", "data.labels", "init_from")
"""Settings that are part of which run it is, and name a folder or a file."""
ROOTS, DATA = PLACES[:2], PLACES[:3]
"""Those of them where the data lie, without and with their labels; what lies there tells which data they are."""


def place(name: object, folder: Path) -> Path:
    """Return the absolute path of what a setting names, seen from a folder; links in it stay as they are."""
    return Path(os.path.normpath(folder / files.at_home(str(name))))


def is_same(one: Path, other: Path) -> bool:
    """Tell whether two absolute paths lead to the same place, there or not."""
    try:
        return one == other or one.resolve() == other.resolve()
    except (OSError, RuntimeError, ValueError):  # a link that leads to itself
        return False


def spelled(name: Any, folder: Path) -> Any:
    """Return the one name that stands for all names of the same place: relative to the folder if it lies in there."""
    if not isinstance(name, str) or not name.strip() or "://" in name:
        return name
    whole = place(name, folder)
    try:
        resolved = whole.parent.resolve() / whole.name  # a shell may give the current folder by a link
    except (OSError, RuntimeError, ValueError):
        resolved = whole
    for way in (whole, resolved):
        if way.is_relative_to(folder):
            return str(way.relative_to(folder))
    return str(whole)


def spellings(name: str, folder: Path) -> Iterator[str]:
    """Yield the names by which a run may have been begun before there was one for all, and from other folders."""
    whole, one = place(name, folder), spelled(name, folder)
    ends = ["/".join(whole.parts[k:]) for k in range(len(whole.parts) - 1, 0, -1)]
    for way in dict.fromkeys((name, one, str(whole), *ends)):
        yield way
        yield f"{way}/"
