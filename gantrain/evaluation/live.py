"""Evaluation while training: measured on the way, recorded, and summed up."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import nn

from gantrain.distributed import ALONE, Alone
from gantrain.errors import PrunedError
from gantrain.evaluation.history import History
from gantrain.evaluation.images import Fakes, ImageQuality
from gantrain.evaluation.prepare import Quality
from gantrain.evaluation.result import Interrupted, Result
from gantrain.inputs import Inputs, asked_of
from gantrain.run import files, read
from gantrain.run.directory import RunDirectory
from gantrain.sampling import samples_of, truncating
from gantrain.terminal import say

if TYPE_CHECKING:
    from gantrain.run.records import Records

Judge = Callable[[int, dict[int, dict[str, float]]], bool]
"""Tells from a step and all values by step whether a run is not worth going on with."""


class Live:
    """Measures a generator on the way, on the same latents each time.

    Nothing here depends on the clock, so that a run that was killed and went on has the same records; how long it all
    took is counted, and ``evaluation.every`` is for the user to move.

    Args:
        quality: what measures, and by which protocol.
        inputs: what the generator gets.
        best_by: the value that the best checkpoint is chosen by, None for none.
        run: whose records hold what has been measured so far.
        g: a generator of the kind that is measured; it says what is truncated.
        judge: asked after each evaluation; None: the run is never given up.
        ranks: that play the game; images are made and looked at by all of them, and the first keeps the records.
    """

    def __init__(
        self,
        quality: Quality,
        inputs: Inputs,
        best_by: str | None,
        run: RunDirectory,
        g: nn.Module,
        judge: Judge | None = None,
        ranks: Alone = ALONE,
    ) -> None:
        self.quality, self.protocol, self.run, self.judge, self.ranks = quality, quality.protocol, run, judge, ranks
        bound = truncating(g, self.protocol.truncation)[1]
        self.given = inputs.fixed(self.protocol.n_fake, self.protocol.seed, bound)
        self.history = History(quality.gives, best_by)
        self.earlier: dict[str, dict[str, Any]] = {}
        self.seconds = 0.0

    def go_on(self, step: int) -> None:
        """Read the values that the run has measured up to ``step``; records of later steps do not count."""
        self.history.values = read.history(self.run.path, self.protocol.tag, step)
        recorded = read.evaluation(self.run.path)
        if recorded.damaged:
            say(f"{recorded.damaged}; it is made anew from metrics.jsonl")
        self.earlier = recorded.bests(but=self.protocol.tag)
        self.write()  # a kill may have left evaluation.json behind the records

    def measured(self, step: int) -> bool:
        """Tell whether this step has been evaluated."""
        return step in self.history.values

    def protected(self) -> set[int]:
        """Return the steps whose checkpoints stay: the best by this protocol and by those the run had before."""
        bests = {self.history.best_step(), *(found["best"]["step"] for found in self.earlier.values())}
        return {step for step in bests if step is not None}

    def evaluate(
        self, nets: dict[str, nn.Module], step: int, records: Records | None, stop: Callable[[], bool]
    ) -> bool:
        """Measure the generator that the protocol names (``ema`` or ``raw``), and record it; False if stopped.

        Raises:
            PrunedError: if the judge gives the run up.
        """
        began = time.monotonic()
        net = nets[self.protocol.generator]
        looked = self._look(net, stop) if isinstance(self.quality, ImageQuality) else None

        def measured() -> bool:
            try:
                result = self._measure(net, looked, stop)
            except Interrupted:
                return False
            self.seconds += time.monotonic() - began
            assert records is not None
            self._record(result, step, records)
            return True

        return self.ranks.first(measured)

    def _look(self, net: nn.Module, stop: Callable[[], bool]) -> Fakes | None:
        """Let all ranks make images and look at them; None if that was stopped."""
        assert isinstance(self.quality, ImageQuality)
        samples = samples_of(truncating(net, self.protocol.truncation)[0], *self.given, ranks=self.ranks)
        try:
            return self.quality.look(samples, stop, self.ranks)
        except Interrupted:
            return None
        finally:
            samples.close()

    def _measure(self, net: nn.Module, looked: Fakes | None, stop: Callable[[], bool]) -> Result:
        asked = asked_of(net, self.given)
        if isinstance(self.quality, ImageQuality):
            if looked is None:
                raise Interrupted
            return self.quality.judge(looked, stop, asked)
        samples = samples_of(truncating(net, self.protocol.truncation)[0], *self.given)
        try:
            return self.quality.measure(samples, stop, asked)
        finally:
            samples.close()

    def _record(self, result: Result, step: int, records: Records) -> None:
        self.history.values[step] = result.values
        records.scalars(step, {f"{self.protocol.tag}/{name}": value for name, value in result.values.items()})
        if result.pairs is not None:
            records.pairs(self.protocol.hash, step, result.pairs)
        if (best := self.history.best_step()) is not None:
            value = self.history.values[best][str(self.history.best_by)]
            records.best(f"{self.protocol.features}_{self.protocol.hash}", step, str(self.history.best_by), value)
        self.write()
        if self.judge is not None and self.judge(step, self.history.values):
            raise PrunedError(f"pruned by its search at step {step:,}")

    def write(self) -> None:
        """Replace the run's ``evaluation.json``; like any record that a full disk refuses, it costs a warning."""
        self.run.check_place()
        if self.history.values or self.earlier:
            try:
                files.write_durably(self.run.path / "evaluation.json", json.dumps(self.summary(), indent=1) + "\n")
            except OSError as error:
                self.run.lost_a_record(error)

    def summary(self) -> dict[str, Any]:
        """Return best, final and median with the whole protocol, and the best by protocols that the run had before."""
        own = {"protocol": self.protocol.recorded(), "tag": self.protocol.tag, "earlier": self.earlier}
        return own | self.history.summary()
