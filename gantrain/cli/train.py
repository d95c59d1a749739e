"""``gantrain``: train one GAN, or with ``-m`` a sweep of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from gantrain.cli import summary
from gantrain.cli.entry import Reported, fail, start
from gantrain.cli.overrides import CARRYING_OUT, check_kinds, flat, plain, run_directory
from gantrain.errors import ConfigError, StoppedError
from gantrain.run import RunDirectory, StopSignal, digest
from gantrain.schema import validated

if TYPE_CHECKING:
    from gantrain.trainer import Trainer


@hydra.main(version_base="1.3", config_path="pkg://gantrain.configs", config_name="train")
def job(cfg: DictConfig) -> None:
    """Run one training and report its error here, so that in a sweep it stands beside its job."""
    try:
        run_one(cfg)
    except Exception as error:
        code = fail(error)
        in_sweep = HydraConfig.get().mode == RunMode.MULTIRUN
        if in_sweep and code != StoppedError.exit_code:  # a signal means the whole sweep
            raise Reported(code) from error
        raise SystemExit(code) from None


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
    from gantrain.checkpoint import Checkpoints, environment, read
    from gantrain.records import Records

    stop = StopSignal()
    with stop.listening():
        built = build(cfg)
        trainer = built.trainer
        given = None if cfg.resume in ("auto", "never") else read(Path(cfg.resume))
        print(summary.table(cfg, path, built))
        text = OmegaConf.to_yaml(cfg)
        now = environment(trainer.precision.device)
        with run.open(), run.recording(lambda: trainer.step):
            checkpoints = Checkpoints(path / "checkpoints", cfg.checkpoint.keep_last, {"config": digest(text)} | now)
            if cfg.resume == "auto":
                restore(trainer, checkpoints.latest(print), now)
            else:
                checkpoints.refuse_beyond(given[1]["step"] if given else -1)
                restore(trainer, given, now)
            run.write_config(text)
            with Records(path, trainer.step, built.limits) as records:
                records.hyperparameters(summary.hyperparameters(cfg), ["d/loss", "g/loss"])
                records.picture("samples/real", trainer.step, built.preview, "real.png")
                trainer.train(records, checkpoints, stop.__bool__)
    print(summary.where(path))


def restore(trainer: Trainer, found: tuple[dict[str, Any], dict[str, Any]] | None, now: dict[str, Any]) -> None:
    """Put a checkpoint's state, if there is one, into the trainer, and say whether the rest will be bit-exact."""
    if found is None:
        return
    manifest, state = found
    if state["step"] > trainer.total_steps:
        raise ConfigError(f"the checkpoint is at step {state['step']}, beyond total_steps={trainer.total_steps}")
    trainer.load_state_dict(state)
    changed = [f"{key} {manifest.get(key)} → {value}" for key, value in now.items() if manifest.get(key) != value]
    exact = f"not bit-exact: {', '.join(changed)}" if changed else "same torch, threads and device"
    print(f"resumed       from step {state['step']:,} ({exact})")


def check_same_run(cfg: DictConfig, run: RunDirectory) -> None:
    """Raise ConfigError if the directory holds a run of another configuration; some settings may change."""
    text = run.read_config()
    if text is None:
        return
    stored = OmegaConf.create(text)
    assert isinstance(stored, DictConfig)
    before, after = dict(flat(plain(stored))), dict(flat(plain(cfg)))
    differing = [
        f"{key}: {before.get(key)} → {after.get(key)}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key) and not key.startswith(("total_steps", *CARRYING_OUT))
    ]
    if differing:
        raise ConfigError(f"{run.path} holds another run ({'; '.join(differing)}); choose another run.dir")


def is_finished(cfg: DictConfig, run: RunDirectory) -> bool:
    """Tell whether this run has already reached ``total_steps``."""
    status = run.status()
    return cfg.resume == "auto" and status.get("state") == "finished" and status.get("step") == cfg.total_steps
