"""Lists beside a run's records: of the files that are no part of its data, a line each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gantrain.run import files


def write(path: Path, lines: Sequence[str]) -> None:
    """Write a list, or remove one of before if there is nothing to list any more."""
    if lines:
        files.write_durably(path, "\n".join(lines) + "\n")
    else:
        path.unlink(missing_ok=True)
