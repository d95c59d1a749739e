"""The time that a run has trained, summed over all processes that continued it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Counts the seconds of training, and separately those of evaluation, pictures and saving.

    Attributes:
        training: seconds of batches and turns.
        other: seconds of everything else between the first step and the last.
        limit: seconds of training after which the run is to end; infinite without a budget of seconds.
    """

    def __init__(self) -> None:
        self.training = self.other = 0.0
        self.limit = math.inf
        self._since = time.monotonic()
        self._lap = (0.0, 0)

    def start(self, step: int, planned: int) -> int:
        """Start counting at ``step``. Return the last step: ``step`` itself if it is not 0 and time is up.

        Otherwise it is what ``last_step`` says: a run that goes on may have played more steps than were ``planned``.
        """
        self._since, self._lap = time.monotonic(), (self.training, step)
        return step if step > 0 and self.is_up() else self.last_step(step, planned)

    def seconds(self) -> float:
        """Return the seconds of training so far."""
        now = time.monotonic()
        self.training, self._since = self.training + now - self._since, now
        return self.training

    def is_up(self) -> bool:
        """Tell whether the time for training is up."""
        return self.limit < math.inf and self.seconds() >= self.limit

    def last_step(self, step: int, planned: int) -> int:
        """Return the step that the run ends with, as far as that is known after ``step``.

        Without a limit it is ``planned``. With one it is the next step once the time is up; until then ``planned``,
        but at least ``step + 2``, so that the next step is not taken for the last.
        """
        if self.limit == math.inf:
            return planned
        return step + 1 if self.is_up() else max(planned, step + 2)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Count the seconds of the block as ``other``, not as training."""
        self.seconds()
        try:
            yield
        finally:
            now = time.monotonic()
            self.other, self._since = self.other + now - self._since, now

    def steps_per_s(self, step: int) -> float:
        """Return the speed of training since the last call; the run is at ``step`` now."""
        (then, step_then), self._lap = self._lap, (self.seconds(), step)
        return (step - step_then) / max(self.training - then, 1e-9)
