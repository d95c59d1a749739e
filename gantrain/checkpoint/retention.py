"""The rule of which checkpoints of a run are kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Retention:
    """Keep the newest ``last``, those whose step is a multiple of ``every``, and the best by one logged value.

    Args:
        last: at least 2, so that one damaged checkpoint is never the only one.
        every: in steps; 0: none for this reason.
        best: the name of the value, as metrics.jsonl has it; None: none for this reason.
        highest: True: the highest value is the best; False: the lowest.
    """

    last: int = 3
    every: int = 0
    best: str | None = None
    highest: bool = False

    def kept(self, steps: Iterable[int], values: Mapping[int, float]) -> set[int]:
        """Return the steps to keep; ``values`` are those of ``best`` by step, as far as they are known.

        Of equal values the latest counts. The best so far is kept and compared again each time, so the best of the
        whole run stays.
        """
        steps = sorted(steps)
        kept = set(steps[-self.last :])
        if self.every:
            kept |= {step for step in steps if step % self.every == 0}
        if rated := [(values[step] * (1 if self.highest else -1), step) for step in steps if step in values]:
            kept.add(max(rated)[1])
        return kept
