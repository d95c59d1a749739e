"""Evaluation while training: measured on the way, recorded, and summed up."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from torch import nn

from gantrain.errors import PrunedError
from gantrain.evaluation.history import History
from gantrain.evaluation.images import ImageQuality
from gantrain.evaluation.points import PointQuality
from gantrain.evaluation.result import Interrupted
from gantrain.run import files
from gantrain.run.directory import RunDirectory
from gantrain.sampling import generated, latents

if TYPE_CHECKING:
    from gantrain.run.records import Records


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
        self.earlier = earlier_protocols(run, self.protocol.tag)
        self.seconds = 0.0
        self.gives_up: Callable[[int, dict[str, float]], bool] | None = None  # asked after each evaluation

    def measured(self, step: int) -> bool:
        """Tell whether this step has been evaluated."""
        return step in self.history.values

    def protected(self) -> set[int]:
        """Return the steps whose checkpoints stay: the best by this protocol and by those the run had before."""
        bests = {self.history.best_step(), *(summary["best"]["step"] for summary in self.earlier.values())}
        return {step for step in bests if step is not None}

    def evaluate(self, nets: dict[str, nn.Module], step: int, records: Records, stop: Callable[[], bool]) -> bool:
        """Measure the generator that the protocol names (``ema`` or ``raw``), and record it; False if stopped.

        Raises:
            PrunedError: if a search gives it up.
        """
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
        self.write()
        if self.gives_up is not None and self.gives_up(step, result.values):
            raise PrunedError(f"pruned by its search at step {step:,}")
        return True

    def write(self) -> None:
        """Replace the run's ``evaluation.json``, also when it goes on: a kill may have left it behind the records.

        As with all records a full disk costs a warning, not the run.
        """
        if self.history.values or self.earlier:
            try:
                files.write_durably(self.run.path / "evaluation.json", json.dumps(self.summary(), indent=1) + "\n")
            except OSError as error:
                self.run.lost_a_record(error)

    def summary(self) -> dict[str, Any]:
        """Return best, final and median with the whole protocol, and the best by protocols that the run had before."""
        protocol = {"hash": self.protocol.hash, **asdict(self.protocol)}
        return {"protocol": protocol, "tag": self.protocol.tag, "earlier": self.earlier} | self.history.summary()


def recorded(run: RunDirectory, tag: str, step: int) -> dict[int, dict[str, float]]:
    """Return by step what a run's records hold under a tag, up to ``step``."""
    found: dict[int, dict[str, float]] = {}
    for line in run.metrics():
        values = {name.removeprefix(f"{tag}/"): v for name, v in line.items() if name.startswith(f"{tag}/")}
        if values and line["step"] <= step:
            found[line["step"]] = values
    return found


def last_summary(run: RunDirectory) -> dict[str, Any]:
    """Return the content of a run's ``evaluation.json``, {} if it has none that can be read."""
    try:
        content = json.loads((run.path / "evaluation.json").read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def earlier_protocols(run: RunDirectory, tag: str | None) -> dict[str, dict[str, Any]]:
    """Return, by tag, the best step of each protocol but ``tag`` that the run was measured by."""
    summary = last_summary(run)
    bests = dict(summary.get("earlier") or {}) | {
        summary.get("tag"): {key: summary.get(key) for key in ("best_by", "best")}
    }
    return {
        name: {"best_by": found.get("best_by"), "best": found["best"]}
        for name, found in bests.items()
        if isinstance(name, str) and name != tag and isinstance((found or {}).get("best"), dict)
    }
