"""Which side of a measured value is the good one: a metric says it, a run records it, reports and searches read it."""

from __future__ import annotations

from collections.abc import Mapping

LOWEST, HIGHEST = "lowest", "highest"
AS_REAL = "as_real"  # neither side: good where it is near the value of real samples; shown, never ranked by
BESIDE = "beside"  # tells something of another value, as its error or its best possible; recorded, not in tables
DIRECTIONS = (LOWEST, HIGHEST, AS_REAL, BESIDE)
"""What a metric may say of each of its values."""

Better = Mapping[str, str]
"""Name of a value -> its direction."""


def ranked(better: Better) -> list[str]:
    """Return the values that have a good side."""
    return [name for name, direction in better.items() if direction in (LOWEST, HIGHEST)]


def shown(better: Better) -> list[str]:
    """Return the values that tables show."""
    return [name for name, direction in better.items() if direction != BESIDE]


def sign(better: Better, name: str) -> int:
    """Return the factor by which the better of two values becomes the lower one: 1 or, where high is good, -1."""
    return -1 if better.get(name) == HIGHEST else 1


def arrow(better: Better, name: str) -> str:
    """Return a value's name with an arrow to its good side, if it has one."""
    return f"{name} {({LOWEST: '↓', HIGHEST: '↑'}).get(better.get(name, ''), '')}".rstrip()
