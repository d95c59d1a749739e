"""``gantrain``: train one GAN, or with ``-m`` a sweep of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from gantrain.cli import summary
from gantrain.cli.entry import in_sweep, reported, start
from gantrain.cli.overrides import check_kinds, check_same_run, run_directory
from gantrain.errors import CheckpointError, ConfigError, StoppedError, first_line
from gantrain.run import RunDirectory, StopSignal, digest
from gantrain.schema import validated

Found = tuple[dict[str, Any], dict[str, Any]]
"""A checkpoint's manifest and state."""

if TYPE_CHECKING:
    from gantrain.checkpoint import Checkpoints
    from gantrain.trainer import Trainer


@hydra.main(version_base="1.3", config_path="pkg://gantrain.configs", config_name="train")
def job(cfg: DictConfig) -> None:
    """Run one training and report its error here, so that in a sweep it stands beside its job."""
    reported(lambda: run_one(cfg))


def main() -> None:
    """Start the ``gantrain`` command."""
    start(job, "train")


def run_one(cfg: DictConfig) -> None:
    """Check everything, build everything, and only then make the run directory and train."""
    overrides = list(HydraConfig.get().overrides.task)
    check_kinds(overrides, cfg, "train")
    cfg = validated(cfg)
    path = run_directory(cfg, overrides)
    cfg.run.dir = str(path)
    run = RunDirectory(path)
    check_same_run(cfg, run)
    if is_finished(cfg, run):
        print(f"{path} is finished ({cfg.total_steps:,} steps); remove it to train again\n{summary.where(path)}")
        return

    from gantrain.build import build  # imports torch, which takes seconds: not before it is needed
    from gantrain.checkpoint import Checkpoints, environment
    from gantrain.records import Records

    built = build(cfg)
    trainer = built.trainer
    text = OmegaConf.to_yaml(cfg)
    now = environment(trainer.precision.device)
    checkpoints = Checkpoints(path / "checkpoints", cfg.checkpoint.keep_last, {"config": digest(text)} | now)
    given = named_checkpoint(cfg, checkpoints)
    print(summary.table(cfg, path, built))
    stop = StopSignal()
    with run.open():
        restore(trainer, checkpoints.latest(print) if cfg.resume == "auto" else given, now)
        run.write_config(text)
        with run.recording(lambda: trainer.step), Records(path, trainer.step, built.limits) as records:
            records.hyperparameters(summary.hyperparameters(cfg, trainer.g, trainer.d), ["d/loss", "g/loss"])
            records.picture("samples/real", trainer.step, built.preview, "real.png")
            with stop.listening():
                trainer.train(records, checkpoints, stop.__bool__)
    print(summary.where(path))
    if stop and in_sweep():
        raise StoppedError(f"{path} is finished, the rest of the sweep was stopped by {stop.name}")


def named_checkpoint(cfg: DictConfig, checkpoints: Checkpoints) -> Found | None:
    """Return the checkpoint that ``resume=PATH`` names, None for auto and never; nothing has been written yet.

    Raises:
        ConfigError: if it is of another configuration, or this run already has checkpoints beyond it.
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
    checkpoints.refuse_beyond(found[1]["step"])
    return found


def check_not_beyond(found: Found, total_steps: int) -> None:
    """Raise ConfigError if the checkpoint is later than the run is to end."""
    if (step := found[1]["step"]) > total_steps:
        raise ConfigError(f"the checkpoint is at step {step}, beyond total_steps={total_steps}")


def restore(trainer: Trainer, found: Found | None, now: dict[str, Any]) -> None:
    """Put a checkpoint's state, if there is one, into the trainer, and say whether the rest will be bit-exact.

    Raises:
        CheckpointError: if the state is of other networks or optimizers.
    """
    if found is None:
        return
    check_not_beyond(found, trainer.total_steps)
    manifest, state = found
    try:
        trainer.load_state_dict(state)
    except (RuntimeError, KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"the checkpoint does not fit this configuration: {first_line(error)}") from error
    changed = [f"{key} {manifest.get(key)} → {value}" for key, value in now.items() if manifest.get(key) != value]
    exact = f"not bit-exact: {', '.join(changed)}" if changed else "same torch, threads and device"
    print(f"resumed       from step {state['step']:,} ({exact})")


def is_finished(cfg: DictConfig, run: RunDirectory) -> bool:
    """Tell whether this run has already reached ``total_steps``."""
    status = run.status()
    return cfg.resume == "auto" and status.get("state") == "finished" and status.get("step") == cfg.total_steps
