"""What becomes of files that cannot be read: the first ends the run, or some of them are left out and listed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

from gantrain.errors import ConfigError, DataError
from gantrain.terminal import say

T = TypeVar("T")
WAYS = ("error", "skip")


def check_on_bad(on_bad: Any, skip_limit: Any) -> None:
    """Raise ConfigError for a setting that makes no sense."""
    if on_bad not in WAYS:
        raise ConfigError(f"data.on_bad must be error or skip, got {on_bad!r}")
    if not isinstance(skip_limit, int | float) or not 0 <= skip_limit < 1:
        raise ConfigError(f"data.skip_limit must be a share from 0 to below 1, got {skip_limit!r}")


def attempted(read: Callable[[], T], on_bad: str) -> T | DataError:
    """Return what ``read`` returns; its DataError is raised with ``error``, and returned with ``skip``."""
    try:
        return read()
    except DataError as error:
        if on_bad == "error":
            raise
        return error


def left_after(
    unreadable: Sequence[tuple[int, str]],
    count: int,
    labels: Tensor | None,
    class_names: Sequence[str] | None,
    skip_limit: float,
    what: str,
) -> np.ndarray:
    """Return the numbers (n,) of the files that are left, ascending; if any are left out, a line says so.

    Args:
        unreadable: number and reason of each file that cannot be read.
        count: of all files.
        labels: their classes (count,) int64, if they have any.
        class_names: of the classes.
        skip_limit: share of the files that may be left out.
        what: the files hold, in the plural.

    Raises:
        DataError: if more would be left out, or a whole class.
    """
    left = np.delete(np.arange(count), [k for k, _ in unreadable])
    if not unreadable:
        return left
    of, first = f"{len(unreadable)} of {count:,} {what}", f"the first: {unreadable[0][1]}"
    if len(unreadable) > skip_limit * count:
        raise DataError(f"{of} cannot be read, more than data.skip_limit={skip_limit:g} of them; {first}")
    if labels is not None and (gone := set(labels.tolist()) - set(labels[left].tolist())):
        name = (class_names or ())[min(gone)]
        raise DataError(f"no {what.removesuffix('s')} of the class {name} can be read; {first}")
    say(f"{of} are left out; {first}")
    return left
