"""What a run's evaluations come to: the best, the final, and the median of the last five."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

from gantrain.better import BETTER, HIGHEST

LAST = 5


class History:
    """The values of one protocol over a run, by step.

    Args:
        best_by: the value that the best step is chosen by, None for none.
        values: by step, what has been measured so far.
    """

    def __init__(self, best_by: str | None, values: Mapping[int, Mapping[str, float]] | None = None) -> None:
        self.best_by = best_by
        self.values = {step: dict(found) for step, found in (values or {}).items()}

    def best_step(self) -> int | None:
        """Return the step with the best value, the latest of equal ones; None before there is one."""
        if self.best_by is None:
            return None
        known = {step: found[self.best_by] for step, found in self.values.items() if self.best_by in found}
        sign = 1 if BETTER.get(self.best_by) == HIGHEST else -1
        return max(known, key=lambda step: (sign * known[step], step), default=None)

    def summary(self) -> dict[str, Any]:
        """Return ``best`` and ``final`` with their steps, and ``median_of_last_5`` of each value."""
        if not self.values:
            return {}
        steps, best = sorted(self.values), self.best_step()
        last = [self.values[step] for step in steps[-LAST:]]
        final = self.values[steps[-1]]
        return {
            "best_by": self.best_by,
            "best": None if best is None else {"step": best, **self.values[best]},
            "final": {"step": steps[-1], **final},
            f"median_of_last_{LAST}": {name: median(found[name] for found in last if name in found) for name in final},
            "evaluations": len(steps),
        }
