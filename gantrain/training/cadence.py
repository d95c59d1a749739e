"""How often a run logs, draws, saves and evaluates."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cadence:
    """Steps between log lines, grids, checkpoints, evaluations; 0: none. The last step always has each of them."""

    log: int
    samples: int
    checkpoint: int
    evaluation: int = 0

    def due(self, every: int, step: int, total_steps: int) -> bool:
        """Return whether something that happens every ``every`` steps is due after ``step``."""
        return step == total_steps or (every > 0 and step % every == 0)
