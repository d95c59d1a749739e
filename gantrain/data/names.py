"""Names of files and folders: as they are shown, as they are sorted, and the path that a setting names."""

from __future__ import annotations

import os
import re
from pathlib import Path

from gantrain.errors import DataError
from gantrain.terminal import visible


def plain(name: str | Path) -> str:
    """Return a name as one line of text: bytes that are no UTF-8, and characters that steer a terminal, as escapes."""
    return visible(os.fsencode(name).decode(errors="backslashreplace"))


def natural(name: str) -> tuple[list[str | int], str]:
    """Return a key by which names are sorted as people do: 9 before 10."""
    parts = re.split(r"(\d+)", name)
    return [int(part) if k % 2 else part for k, part in enumerate(parts)], name


def folder_named(root: object) -> Path:
    """Return the folder that ``data.root`` names; it need not exist.

    Raises:
        DataError: if it names nothing, or somebody's home folder that is not known.
    """
    return path_named(root, "folder")


def path_named(given: object, what: str, key: str = "data.root") -> Path:
    """Return the file or folder that a setting names; it need not exist.

    Args:
        given: the value.
        what: ``file`` or ``folder``.
        key: of the setting.

    Raises:
        DataError: if it names nothing, or somebody's home folder that is not known.
    """
    if given is None or not str(given).strip():
        raise DataError(f"{key} is empty; does it come from a variable that is not set? Name the {what}")
    try:
        return Path(str(given)).expanduser()
    except RuntimeError as error:
        raise DataError(f"{key}={plain(str(given))}: the home folder is not known; write it out") from error
