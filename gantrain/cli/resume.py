"""Where a run goes on: which checkpoint, whether it fits, and whether the rest will be bit-exact."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from gantrain import budget
from gantrain.errors import CheckpointError, ConfigError
from gantrain.run.directory import RunDirectory
from gantrain.run.identity import Identity, check_same_run, recorded, settings_digest

if TYPE_CHECKING:
    from gantrain.checkpoint import Checkpoints
    from gantrain.training.trainer import Trainer

Found = tuple[dict[str, Any], dict[str, Any]]
"""A checkpoint's manifest and state."""


def named_checkpoint(cfg: DictConfig, checkpoints: Checkpoints, identity: Identity) -> Found | None:
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
    folder = Path(cfg.resume).resolve()
    found = read(folder)
    check_same_run(cfg, RunDirectory(folder.parent.parent))
    check_settings(found, RunDirectory(folder.parent.parent), folder, identity)
    check_not_beyond(found, cfg.total_steps)
    checkpoints.refuse_beyond(found[0]["step"])
    return found


def newest(run: RunDirectory, checkpoints: Checkpoints, identity: Identity) -> Found | None:
    """Return the newest usable checkpoint of a run, None for a run that has none yet.

    Raises:
        CheckpointError: if it had some, and none is left.
        ConfigError: if it is of another configuration.
    """
    found = checkpoints.latest()
    status = run.status()
    if found is None and status.get("state") in ("finished", "stopped"):
        raise CheckpointError(
            f"{run.path} is {status['state']} at step {status.get('step')}, but {checkpoints.folder} is empty or gone; "
            "start again with resume=never"
        )
    if found is not None:
        check_settings(found, run, checkpoints.path(found[0]["step"]), identity)
    return found


def check_settings(found: Found, run: RunDirectory, folder: Path, identity: Identity) -> None:
    """Raise ConfigError if a checkpoint was saved under other settings, by digest.

    An earlier version of gantrain may have named a setting otherwise. Then the digest is that of the run's config.yaml,
    which ``check_same_run`` has compared.
    """
    allowed = {identity.settings}
    if run.read_config() is not None:
        allowed.add(settings_digest(recorded(run.settings())))
    if found[0].get("settings", identity.settings) not in allowed:
        raise ConfigError(
            f"{folder} was saved with other settings than these, and there is no config.yaml that lists them"
        )


def check_not_beyond(found: Found, total_steps: int) -> None:
    """Raise ConfigError if the checkpoint is later than the run is to end."""
    if (step := found[0]["step"]) > total_steps:
        raise ConfigError(f"the checkpoint is at step {step}, beyond total_steps={total_steps}")


def restore(trainer: Trainer, found: Found, environment: dict[str, Any]) -> list[dict[str, Any]]:
    """Put a checkpoint's state into the trainer, and say whether the rest will be bit-exact.

    Returns:
        Its ``departures``, which all later manifests keep: at which steps it went on, and what had changed since.

    Raises:
        CheckpointError: if the state is of other networks or optimizers.
    """
    from gantrain.checkpoint import changes

    if trainer.clock.limit == math.inf:  # else the last step is an estimate
        check_not_beyond(found, trainer.total_steps)
    manifest, state = found
    if state.get("step") != manifest["step"]:
        raise CheckpointError(f"the checkpoint of step {manifest['step']} holds the state of step {state.get('step')}")
    trainer.load_state_dict(state)
    departures = list(manifest.get("departures", []))
    if changed := ", ".join(changes(manifest, environment)):
        departures.append({"step": trainer.step, "changed": changed})
    exact = f"not bit-exact: {changed}" if changed else "same torch, threads, device and data"
    print(f"resumed       from step {trainer.step:,} ({exact})")
    return departures


def is_finished(cfg: DictConfig, run: RunDirectory) -> bool:
    """Tell whether this run has already come to the end that its budget sets."""
    status = run.status()
    if cfg.resume != "auto":
        return False
    if status.get("state") == "pruned" and status.get("search") == search_of(cfg) is not None:
        return True  # by the same search, which was killed before it heard of that
    if status.get("state") != "finished":
        return False
    if cfg.budget.of in budget.per_step(cfg):
        return bool(status.get("step") == cfg.total_steps)
    return bool(status.get("budget") == budget.as_record(cfg))


def search_of(cfg: DictConfig) -> dict[str, Any] | None:
    """Return which search a run is a trial of, None if it is none that prunes."""
    if cfg.search.trial is None or cfg.search.pruner == "none":
        return None
    return {key: cfg.search[key] for key in ("study", "metric", "pruner", "startup_trials", "warmup_eighths")}
