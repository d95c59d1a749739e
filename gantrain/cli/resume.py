"""Where a run goes on: which checkpoint, whether it fits, and whether the rest will be bit-exact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from gantrain.cli.overrides import check_same_run
from gantrain.errors import ConfigError
from gantrain.run import RunDirectory

if TYPE_CHECKING:
    from gantrain.checkpoint import Checkpoints
    from gantrain.trainer import Trainer

Found = tuple[dict[str, Any], dict[str, Any]]
"""A checkpoint's manifest and state."""


def named_checkpoint(cfg: DictConfig, checkpoints: Checkpoints) -> Found | None:
    """Return the checkpoint that ``resume=PATH`` names, None for auto and never; nothing has been written yet.

    Raises:
        ConfigError: if it is of another configuration, or this run already has checkpoints beyond it.
        CheckpointError: if it cannot be used.
    """
    from gantrain.checkpoint import read

    if cfg.resume == "auto":
        return None
    if cfg.resume == "never":
        checkpoints.refuse_beyond(-1)
        return None
    folder = Path(cfg.resume)
    found = read(folder)
    check_same_run(cfg, RunDirectory(folder.absolute().parent.parent))
    check_not_beyond(found, cfg.total_steps)
    checkpoints.refuse_beyond(found[0]["step"])
    return found


def check_not_beyond(found: Found, total_steps: int) -> None:
    """Raise ConfigError if the checkpoint is later than the run is to end."""
    if (step := found[0]["step"]) > total_steps:
        raise ConfigError(f"the checkpoint is at step {step}, beyond total_steps={total_steps}")


def restore(trainer: Trainer, found: Found | None, checkpoints: Checkpoints, now: dict[str, Any]) -> None:
    """Put a checkpoint's state, if there is one, into the trainer, and say whether the rest will be bit-exact.

    What has changed since is kept in the manifests of all later checkpoints, as ``departures``.

    Raises:
        CheckpointError: if the state is of other networks or optimizers.
    """
    from gantrain.checkpoint import changes

    checkpoints.extra["departures"] = []
    if found is None:
        return
    check_not_beyond(found, trainer.total_steps)
    manifest, state = found
    trainer.load_state_dict(state)
    trainer.logged = dict(manifest.get("metrics", {}))
    departures = list(manifest.get("departures", []))
    if changed := ", ".join(changes(manifest, now)):
        departures.append({"step": trainer.step, "changed": changed})
    checkpoints.extra["departures"] = departures
    exact = f"not bit-exact: {changed}" if changed else "same torch, threads, device and data"
    print(f"resumed       from step {trainer.step:,} ({exact})")


def is_finished(cfg: DictConfig, run: RunDirectory) -> bool:
    """Tell whether this run has already reached ``total_steps``."""
    status = run.status()
    return cfg.resume == "auto" and status.get("state") == "finished" and status.get("step") == cfg.total_steps
