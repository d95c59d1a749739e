"""Schedules: a number as a function of the share of the run that has been played, and of nothing else.

Nothing of them is saved: where a run goes on, the share says what the number is.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence

from gantrain.errors import ConfigError

Function = Callable[[float, float], float]
"""(share of the run in [0, 1], the number as configured) -> the number."""


def require_numbers(owner: object, values: Mapping[str, object]) -> None:
    """Raise ConfigError for a value that is no finite number."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ConfigError(f"{type(owner).__name__} needs a number for {name}, got {value!r}")


def given(**values: float | None) -> dict[str, object]:
    """Return the values that are not None, which stands for the number as configured."""
    return {name: value for name, value in values.items() if value is not None}


class Linear:
    """In a straight line from ``start`` to ``end``, which is reached at the share ``until`` and kept.

    Args:
        end: the last value.
        start: the first; None: the number as configured.
        until: share of the run, in (0, 1].

    Raises:
        ConfigError: for a share out of its range.
    """

    def __init__(self, end: float, start: float | None = None, until: float = 1.0) -> None:
        require_numbers(self, given(start=start) | {"end": end, "until": until})
        if not 0 < until <= 1:
            raise ConfigError(f"{type(self).__name__} needs until above 0 and at most 1, got {until}")
        self.start, self.end, self.until = start, end, until

    def __call__(self, share: float, configured: float) -> float:
        """Return the number."""
        start = configured if self.start is None else self.start
        return start + (self.end - start) * self.way(min(share / self.until, 1.0))

    def way(self, share: float) -> float:
        """Return how much of the way from start to end is done, in [0, 1]."""
        return share


class Cosine(Linear):
    """Along half a cosine from ``start`` to ``end``: Loshchilov & Hutter 2017, arXiv:1608.03983, without restarts.

    Its arguments are those of ``Linear``.
    """

    def way(self, share: float) -> float:
        """Return how much of the way is done: slowly at first and at last."""
        return 0.5 - 0.5 * math.cos(math.pi * share)


class WarmUp:
    """In a straight line from ``start`` to where ``then`` begins, within the share ``until``; ``then`` has the rest.

    Args:
        until: share of the run that the warm-up takes, in (0, 1).
        start: the first value.
        then: the schedule of the rest, which it sees as a whole run; None: the number stays as configured.

    Raises:
        ConfigError: for a share out of its range.
    """

    def __init__(self, until: float, start: float = 0.0, then: Function | None = None) -> None:
        require_numbers(self, {"start": start, "until": until})
        if not 0 < until < 1:
            raise ConfigError(f"WarmUp needs until between 0 and 1, got {until}")
        self.until, self.start, self.then = until, start, then

    def __call__(self, share: float, configured: float) -> float:
        """Return the number."""
        rest = max(share - self.until, 0.0) / (1 - self.until)
        goal = configured if self.then is None else self.then(rest, configured)
        return goal if share >= self.until else self.start + (goal - self.start) * share / self.until


class Piecewise:
    """Through given values at given shares of the run; before the first and after the last the number stays.

    Args:
        shares: increasing, each in [0, 1].
        values: as many; null stands for the number as configured.
        between: ``hold`` keeps each value until the next share, ``linear`` goes there in a straight line.

    Raises:
        ConfigError: for shares out of order or range, or another number of values.
    """

    def __init__(self, shares: Sequence[float], values: Sequence[float | None], between: str = "hold") -> None:
        require_numbers(self, {f"shares[{k}]": share for k, share in enumerate(shares)})
        require_numbers(self, given(**{f"values[{k}]": value for k, value in enumerate(values)}))
        if not shares or len(shares) != len(values):
            raise ConfigError(f"Piecewise needs as many values as shares, got {len(values)} and {len(shares)}")
        if list(shares) != sorted(set(shares)) or shares[0] < 0 or shares[-1] > 1:
            raise ConfigError(f"Piecewise needs increasing shares in [0, 1], got {list(shares)}")
        if between not in ("hold", "linear"):
            raise ConfigError(f"Piecewise needs between to be hold or linear, got {between!r}")
        self.shares, self.values, self.between = tuple(shares), tuple(values), between

    def __call__(self, share: float, configured: float) -> float:
        """Return the number."""
        values = [configured if value is None else value for value in self.values]
        after = bisect_right(self.shares, share)
        if after in (0, len(values)) or self.between == "hold":
            return values[max(after - 1, 0)]
        begin, end = self.shares[after - 1], self.shares[after]
        return values[after - 1] + (values[after] - values[after - 1]) * (share - begin) / (end - begin)
