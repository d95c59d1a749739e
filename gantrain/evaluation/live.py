"""Evaluation while training: measured on the way, recorded, and summed up."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from torch import nn

from gantrain import storage
from gantrain.evaluation.history import History
from gantrain.evaluation.images import ImageQuality
from gantrain.evaluation.points import PointQuality
from gantrain.evaluation.result import Interrupted
from gantrain.run import RunDirectory
from gantrain.sampling import generated, latents

if TYPE_CHECKING:
    from gantrain.records import Records


class Live:
    """Measures a generator on the way, on the same latents each time.

    Nothing here depends on the clock, so that a run that was killed and went on has the same records; how long it all
    took is counted, and ``evaluation.every`` is for the user to move.

    Args:
        quality: what measures, and by which protocol.
        latent_dim: of the generator.
        best_by: the value that the best checkpoint is chosen by.
        run: whose records hold what has been measured so far.
        step: where the run goes on; later records do not count.
    """

    def __init__(
        self, quality: ImageQuality | PointQuality, latent_dim: int, best_by: str | None, run: RunDirectory, step: int
    ) -> None:
        self.quality, self.protocol, self.run = quality, quality.protocol, run
        self.z = latents(self.protocol.n_fake, latent_dim, self.protocol.seed, self.protocol.truncation)
        self.history = History(best_by, recorded(run, self.protocol.tag, step))
        self.seconds = 0.0

    def measured(self, step: int) -> bool:
        """Tell whether this step has been evaluated."""
        return step in self.history.values

    def best_values(self) -> dict[int, float]:
        """Return by step the values that the best checkpoint is chosen by."""
        name = self.history.best_by
        return {step: found[name] for step, found in self.history.values.items() if name in found}

    def evaluate(self, nets: dict[str, nn.Module], step: int, records: Records, stop: Callable[[], bool]) -> bool:
        """Measure the generator that the protocol names (``ema`` or ``raw``), and record it; False if stopped."""
        began = time.monotonic()
        samples = generated(nets[self.protocol.generator], self.z)
        try:
            result = self.quality.measure(samples, stop)
        except Interrupted:
            return False
        finally:
            samples.close()
        self.seconds += time.monotonic() - began
        self.history.values[step] = result.values
        records.scalars(step, {f"{self.protocol.tag}/{name}": value for name, value in result.values.items()})
        if result.pairs is not None:
            records.pairs(f"{self.protocol.tag}/nearest_training_images", step, result.pairs)
        with self.run.disk_errors():
            storage.write_durably(self.run.path / "evaluation.json", json.dumps(self.summary(), indent=1) + "\n")
        return True

    def summary(self) -> dict[str, Any]:
        """Return best, final and median with the whole protocol."""
        protocol = {"hash": self.protocol.hash, **asdict(self.protocol)}
        return {"protocol": protocol, "tag": self.protocol.tag} | self.history.summary()


def recorded(run: RunDirectory, tag: str, step: int) -> dict[int, dict[str, float]]:
    """Return by step what a run's records hold under a tag, up to ``step``; under ``eval`` of every protocol."""
    found: dict[int, dict[str, float]] = {}
    start = "eval_" if tag == "eval" else f"{tag}/"
    for line in run.metrics():
        values = {name.removeprefix(f"{tag}/"): v for name, v in line.items() if name.startswith(start)}
        if values and line["step"] <= step:
            found[line["step"]] = values
    return found
