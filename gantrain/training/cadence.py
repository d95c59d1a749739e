"""After how many steps something happens."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cadence:
    """Steps between two of a kind; the last step of a run always counts. 0: at the last step only."""

    log: int
    samples: int
    checkpoint: int
    evaluation: int = 0

    def due(self, every: int, step: int, total_steps: int) -> bool:
        """Tell whether something that happens ``every`` steps happens after ``step``."""
        return step == total_steps or (every > 0 and step % every == 0)
