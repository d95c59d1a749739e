"""What a run records about itself in status.json, for ``gantrain-status`` and ``gantrain-report``."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from gantrain.cli import summary
from gantrain.cli.overrides import compared, distinguishing, plain
from gantrain.run.directory import RunDirectory, digest
from gantrain.schema import per_step

if TYPE_CHECKING:
    from gantrain.build import Built
    from gantrain.checkpoint import Checkpoints
    from gantrain.data import Data


def identity(cfg: DictConfig, overrides: list[str], data: Data, environment: dict[str, Any]) -> dict[str, Any]:
    """Return which run it is: what was chosen, what is held equal with others, and where it runs.

    ``variant`` is a digest of all settings but the seed: runs that share it differ by chance alone.
    """
    but_seed = {key: value for key, value in compared(plain(cfg)).items() if key != "seed"}
    return {
        "choices": summary.chosen(),
        "overrides": distinguishing(overrides, (*summary.GROUPS, "seed")),
        "seed": cfg.seed,
        "variant": digest(json.dumps(but_seed, sort_keys=True))[:8],
        "budget": budget(cfg),
        "per_step": per_step(cfg),
        "data": data.identity(),
        "search": search(cfg),
        "environment": {key: environment[key] for key in ("torch", "threads", "device", "cpu")},
    }


def budget(cfg: DictConfig) -> dict[str, Any]:
    """Return what the run's length is counted in, and how much of it."""
    return {"of": cfg.budget.of, "amount": cfg.budget.amount}


def search(cfg: DictConfig) -> dict[str, Any] | None:
    """Return which search a run is a trial of, None if it is none that prunes."""
    if cfg.search.trial is None or cfg.search.pruner == "none":
        return None
    return {key: cfg.search[key] for key in ("study", "metric", "pruner", "startup_trials", "warmup_eighths")}


def standing(built: Built, run: RunDirectory, checkpoints: Checkpoints) -> dict[str, Any]:
    """Return how far the run is, and what happened on the way."""
    trainer = built.trainer
    counters = {
        "rollbacks": trainer.rollbacks,
        "skipped_d_turns": int(trainer.d.skipped),
        "skipped_g_turns": int(trainer.g.skipped),
        "skipped_images": len(built.data.skipped),
        "failed_saves": checkpoints.failed,
        "lost_records": run.lost_records,
    }
    departures = checkpoints.extra["departures"]
    return {"step": trainer.step, "total_steps": trainer.total_steps, "counters": counters, "departures": departures}


def spending(cfg: DictConfig, built: Built, before: dict[str, Any] | None) -> Callable[[], dict[str, Any]]:
    """Set the run's clock, and return a function that tells what the run has cost up to now.

    Args:
        cfg: the configuration.
        built: the run.
        before: what it had cost when it was interrupted, None for one that begins.
    """
    from gantrain.performance import cost

    trainer, before = built.trainer, before or {}
    device = trainer.precision.device
    trainer.clock.training = float(before.get("training_seconds", 0.0))
    trainer.clock.other = float(before.get("other_seconds", 0.0))
    if cfg.budget.of == "seconds":
        trainer.clock.limit = cfg.budget.amount
    per_step = flops_per_step(cfg, built, before)
    cost.forget_peak_memory(device)

    def spent() -> dict[str, Any]:
        flops = per_step()
        return {
            "training_seconds": trainer.clock.training,
            "other_seconds": trainer.clock.other,
            "flops_per_step": flops,
            "flops": None if flops is None else flops * trainer.step,
            "peak_memory_bytes": max(before.get("peak_memory_bytes", 0), cost.peak_memory_bytes(device)),
        }

    return spent


def flops_per_step(cfg: DictConfig, built: Built, before: dict[str, Any]) -> Callable[[], float | None]:
    """Return a function that tells the floating-point operations of a step, None as long as that is not known."""
    from gantrain import budget
    from gantrain.performance import cost

    known = before.get("flops_per_step")
    if known is None and built.performance.as_written:
        return cost.Meter(built.trainer).per_step
    if known is None:
        numbers = built.trainer.rng.state_dict()  # of which counting draws some
        known = budget.flops_of_a_step(cfg, built.data)
        built.trainer.rng.load_state_dict(numbers)
    return lambda: known
