"""A short run's records, handed to one logger as a training hands them on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch

from gantrain.errors import StoppedError
from gantrain.loggers import Facts, Guard, Logger, guarded
from gantrain.run.directory import RunDirectory
from gantrain.run.records import Records


def play(
    root: Path, logger: Logger, steps: Iterable[int], begin: int = 0, factor: float = 1.0, stopped: bool = False
) -> Guard:
    """Record ``factor`` times the step as d/loss at each step, a picture and a text at the last; by ``begin`` go on."""
    folder = root / "ring" / "seed0"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text("seed: 0\n")
    facts = Facts(folder, "ring/seed0", root, group="sweep of rings")
    (outlet,) = guarded({"tracker": logger}, RunDirectory(folder), facts)
    steps = list(steps)
    try:
        with Records(RunDirectory(folder), begin, outlets=[outlet]) as records:
            records.hyperparameters({"loss": "hinge", "settings/batch_size": 16})
            for step in steps:
                records.scalars(step, {"d/loss": factor * step, "eval_points_1a/fid∞": 0.5})
            records.image("samples/ema", steps[-1], torch.full((3, 8, 8), 0.5), f"step-{steps[-1]:09d}.png")
            records.text("evaluation", steps[-1], "fid  3 < 4")
            records.flush()
            if stopped:
                raise StoppedError("stopped at step 3")
    except StoppedError:
        pass
    return outlet
