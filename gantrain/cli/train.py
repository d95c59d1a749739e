"""``gantrain``: train one GAN, or with ``-m`` a sweep of them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from gantrain.cli.entry import Reported, fail, start
from gantrain.cli.overrides import check_kinds, run_directory
from gantrain.errors import ConfigError, GantrainError, StoppedError
from gantrain.run import RunDirectory, StopSignal, digest
from gantrain.schema import validated

if TYPE_CHECKING:
    from gantrain.build import Built
    from gantrain.checkpoint import Checkpoints

MAY_CHANGE = ("total_steps", "device", "resume", "trusted_modules", "run.", "log.", "samples.", "checkpoint.")
"""Settings that may differ when a run is continued."""


@hydra.main(version_base="1.3", config_path="pkg://gantrain.configs", config_name="train")
def job(cfg: DictConfig) -> None:
    """Run one training and report its error here, so that in a sweep it stands beside its job."""
    try:
        run_one(cfg)
    except StoppedError as stopped:
        raise SystemExit(fail(stopped)) from None  # a sweep stops too: the signal meant all of it
    except Exception as error:
        raise Reported(fail(error)) from error


def main() -> None:
    """Start the ``gantrain`` command."""
    start(job, "train")


def run_one(cfg: DictConfig) -> None:
    """Check everything, build everything, and only then make the run directory and train."""
    overrides = list(HydraConfig.get().overrides.task)
    check_kinds(overrides, cfg, "train")
    cfg = validated(cfg)
    path = run_directory(cfg, overrides)
    run = RunDirectory(path)
    cfg.run.dir = str(path)
    check_same_run(cfg, run)
    if is_finished(cfg, run):
        print(f"{path} is finished ({cfg.total_steps:,} steps); remove it to train again")
        return print_where(path)

    from gantrain.build import build

    stop = StopSignal()
    built = build(cfg)
    print_choices(cfg, path, built)
    with run.open(), stop.listening():
        try:
            train(cfg, run, built, stop)
        except GantrainError as error:
            run.write_error(error, built.trainer.step)
            raise
    print_where(path)


def train(cfg: DictConfig, run: RunDirectory, built: Built, stop: StopSignal) -> None:
    """Continue or start the run in its open directory, and train to the end."""
    from gantrain.checkpoint import Checkpoints, environment
    from gantrain.records import Records

    trainer = built.trainer
    text = OmegaConf.to_yaml(cfg)
    now = environment(trainer.precision.device)
    checkpoints = Checkpoints(run.path / "checkpoints", cfg.checkpoint.keep_last, {"config": digest(text)} | now)
    restore(cfg, built, checkpoints, now)
    run.write_config(text)
    run.write_status("running", trainer.step)
    records = Records(run.path, trainer.step, built.limits)
    try:
        records.hyperparameters(choices(cfg), ["d/loss", "g/loss"])
        records.picture("samples/real", trainer.step, built.preview, "real.png")
        trainer.train(records, checkpoints, stop.__bool__)
    finally:
        records.close()
    run.write_status("finished", trainer.step, 0)


def restore(cfg: DictConfig, built: Built, checkpoints: Checkpoints, now: dict[str, Any]) -> None:
    """Load the state that ``resume`` asks for into the trainer, if there is one, and say so."""
    from gantrain.checkpoint import read

    if cfg.resume == "never":
        return checkpoints.refuse_if_any()
    found = checkpoints.latest(print) if cfg.resume == "auto" else read(Path(cfg.resume))
    if found is None:
        return None
    manifest, state = found
    if state["step"] > cfg.total_steps:
        raise ConfigError(f"the checkpoint is at step {state['step']}, beyond total_steps={cfg.total_steps}")
    built.trainer.load_state_dict(state)
    changed = [f"{key} {manifest.get(key)} → {value}" for key, value in now.items() if manifest.get(key) != value]
    exact = f"not bit-exact: {', '.join(changed)}" if changed else "same environment"
    print(f"resumed       from step {state['step']:,} ({exact})")


def check_same_run(cfg: DictConfig, run: RunDirectory) -> None:
    """Raise ConfigError if the directory holds a run of another configuration; some settings may change."""
    text = run.read_config()
    if text is None:
        return
    before, after = flat(OmegaConf.create(text)), flat(cfg)
    differing = [
        f"{key}: {before.get(key)} → {after.get(key)}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key) and not key.startswith(MAY_CHANGE)
    ]
    if differing:
        raise ConfigError(f"{run.path} holds another run ({'; '.join(differing)}); choose another run.dir")


def flat(cfg: Any, prefix: str = "") -> dict[str, Any]:
    """Return a configuration as dotted key -> value, lists as one value."""
    container = OmegaConf.to_container(cfg) if OmegaConf.is_config(cfg) else cfg
    result: dict[str, Any] = {}
    for key, value in container.items():
        result |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return result


def is_finished(cfg: DictConfig, run: RunDirectory) -> bool:
    """Tell whether this run has already reached ``total_steps``."""
    status = run.status()
    return cfg.resume == "auto" and status.get("state") == "finished" and status.get("step") == cfg.total_steps


def choices(cfg: DictConfig) -> dict[str, str | int | float | bool]:
    """Return what distinguishes this run from others, for the HParams tab."""
    chosen = HydraConfig.get().runtime.choices
    groups = ("data", "architecture", "loss", "optimizer", "ratio", "precision", "augment")
    settings = {"seed": cfg.seed, "batch_size": cfg.batch_size, "total_steps": cfg.total_steps}
    rates = {f"{name}/learning_rate": float(cfg.optimizer[name].lr) for name in ("g", "d")}
    return {name: str(chosen[name]) for name in groups} | settings | rates


def print_choices(cfg: DictConfig, path: Path, built: Built) -> None:
    """Print the run directory and the resolved choices as a short table."""
    chosen, trainer = HydraConfig.get().runtime.choices, built.trainer
    sizes = {n: sum(p.numel() for p in getattr(trainer, n).net.parameters()) for n in ("g", "d")}
    norm = {n: cfg.architecture[role].get("norm") for n, role in (("g", "generator"), ("d", "discriminator"))}
    terms = " + ".join([type(trainer.loss.objective).__name__, *trainer.loss.regularizers])
    adam = {n: f"{type(getattr(trainer, n).optimizer).__name__} lr {cfg.optimizer[n].lr:g}" for n in ("g", "d")}
    betas = f", betas {list(cfg.optimizer.g.betas)}" if "betas" in cfg.optimizer.g else ""
    rows = {
        "run": path,
        "data": f"{chosen.data}: {built.data}",
        "architecture": f"{chosen.architecture}: G {sizes['g']:,} parameters (norm {norm['g']}), "
        f"D {sizes['d']:,} (norm {norm['d']})",
        "loss": f"{chosen.loss}: {terms}",
        "optimizer": f"{chosen.optimizer}: G {adam['g']}, D {adam['d']}{betas}",
        "ratio": f"{cfg.ratio.d_steps} D : {cfg.ratio.g_steps} G",
        "precision": f"{chosen.precision} on {trainer.precision.device}, augment {chosen.augment}",
        "steps": f"{cfg.total_steps:,} of batch {cfg.batch_size}, seed {cfg.seed}; "
        f"checkpoint every {cfg.checkpoint.every:,}, samples every {cfg.samples.every:,}",
    }
    for name, row in rows.items():
        print(f"{name:<13} {row}")


def print_where(path: Path) -> None:
    """Print where to look."""
    print(f"samples       {path / 'samples'}")
    print(f"TensorBoard   tensorboard --logdir {shlex.quote(str(path))}")
