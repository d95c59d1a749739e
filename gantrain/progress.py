"""The progress bar, lively on a terminal and sparing in a log file."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm


def bar(**options: Any) -> tqdm[Any]:
    """Return a tqdm bar on stderr: redrawn several times a second on a terminal, every 20 s elsewhere."""
    return tqdm(dynamic_ncols=True, mininterval=0.2 if sys.stderr.isatty() else 20, **options)


def say(text: str) -> None:
    """Print a warning on stderr, above the bar if one is shown."""
    tqdm.write(f"gantrain: warning: {text}", file=sys.stderr)
