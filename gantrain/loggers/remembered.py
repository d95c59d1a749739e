"""By which id a tracker knows a run, kept in the run's folder.

A copy of the folder is another run: were both to go on under one id, their values would be mixed. So the id is kept
with the place and the inode of the folder, and holds where one of them is the same: after ``mv``, not after ``cp -r``.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from gantrain.run import files

FOLDER = "loggers"
MOST = 2**16


def file_of(run: Path, name: str) -> Path:
    """Return where the id of a logger, by its name in the configuration, is kept."""
    return run / FOLDER / f"{re.sub(r'[^A-Za-z0-9_-]', '_', name)[:80]}.json"


def remember(run: Path, name: str, id: str) -> None:
    """Keep the id durably.

    Raises:
        OSError: if the disk does not take it.
    """
    files.own_folder(run / FOLDER)
    files.write_durably(file_of(run, name), json.dumps({"id": id, **place(run)}) + "\n")


def remembered(run: Path, name: str) -> str | None:
    """Return the id, None if there is none, it is damaged, or the folder is a copy of the one that it is of."""
    try:
        found = json.loads(files.whole(file_of(run, name), MOST))
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or not isinstance(found.get("id"), str):
        return None
    return found["id"] if any(found.get(key) == value for key, value in place(run).items()) else None


def place(run: Path) -> dict[str, object]:
    """Return what tells a folder from a copy of it."""
    return {"folder": str(run.resolve()), "inode": run.stat().st_ino}
