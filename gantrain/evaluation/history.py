"""What a run's evaluations come to: the best, the final, and the median of the last ones."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

from gantrain.run.directions import Better, sign
from gantrain.run.read import LAST, MEDIAN


class History:
    """The values of one protocol over a run, by step.

    Args:
        better: the direction of each value.
        best_by: the value that the best step is chosen by, None for none.
        values: by step, what has been measured so far.
    """

    def __init__(
        self, better: Better, best_by: str | None, values: Mapping[int, Mapping[str, float]] | None = None
    ) -> None:
        self.better, self.best_by = dict(better), best_by
        self.values = {step: dict(found) for step, found in (values or {}).items()}

    def best_step(self) -> int | None:
        """Return the step with the best value, the latest of equal ones; None before there is one."""
        if self.best_by is None:
            return None
        known = {step: found[self.best_by] for step, found in self.values.items() if self.best_by in found}
        factor = sign(self.better, self.best_by)
        return min(known, key=lambda step: (factor * known[step], -step), default=None)

    def summary(self) -> dict[str, Any]:
        """Return ``best`` and ``final`` with their steps, the median of the last of each value, and the directions."""
        if not self.values:
            return {}
        steps, best = sorted(self.values), self.best_step()
        last = [self.values[step] for step in steps[-LAST:]]
        final = self.values[steps[-1]]
        names = dict.fromkeys(name for found in (final, *last) for name in found)  # the final one may lack a value
        return {
            "better": self.better,
            "best_by": self.best_by,
            "best": None if best is None else {"step": best, **self.values[best]},
            "final": {"step": steps[-1], **final},
            MEDIAN: {name: median(found[name] for found in last if name in found) for name in names},
            "evaluations": len(steps),
        }
