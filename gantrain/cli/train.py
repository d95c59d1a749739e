"""``gantrain``: train one GAN, or with ``-m`` a sweep of them."""

from __future__ import annotations

import copy
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from gantrain.cli import facts, resume, summary, sweep
from gantrain.cli.entry import in_sweep, reported, start
from gantrain.cli.overrides import check_kinds, check_same_run, compared, plain, run_directory
from gantrain.errors import DivergedError, PrunedError, StoppedError, for_training, memory_errors
from gantrain.run.directory import RunDirectory, digest
from gantrain.run.signals import StopSignal
from gantrain.schema import fill_cadences, per_step, validated
from gantrain.terminal import say

if TYPE_CHECKING:
    from gantrain.build import Built, Quality
    from gantrain.checkpoint import Checkpoints
    from gantrain.evaluation import Live


@hydra.main(version_base="1.3", config_path="pkg://gantrain.configs", config_name="train")
def job(cfg: DictConfig) -> sweep.Result | None:
    """Run one training and report its error here, so that in a sweep it stands beside its job."""
    if in_sweep():
        return sweep.job(cfg, lambda: run_one(cfg))
    reported(lambda: run_one(cfg))
    return None


def main() -> None:
    """Start the ``gantrain`` command."""
    start(job, "train")


def run_one(cfg: DictConfig) -> sweep.Result | None:
    """Check everything, build everything, and only then make the run directory and train."""
    overrides = list(HydraConfig.get().overrides.task)
    check_kinds(overrides, cfg, "train")
    raw, cfg = cfg, validated(copy.deepcopy(cfg))
    raw.run.dir = cfg.run.dir = str(run_directory(cfg, overrides))  # also for whoever reports what happens here
    if cfg.profile:
        profile(cfg)
        return None
    run, stop = RunDirectory(cfg.run.dir), StopSignal()
    with stop.listening():
        check_same_run(cfg, run)
        skipped = resume.is_finished(cfg, run)
        if not skipped:
            run.refuse_if_in_use()
            try:
                train(cfg, run, stop, overrides, raw)
            except PrunedError as error:
                if not in_sweep():
                    print(error)
            except StoppedError:
                if in_sweep():
                    sweep.hand_over(stop)
                raise
        elif not in_sweep():
            print(f"{run.path} is finished ({cfg.total_steps:,} steps); remove it to train again")
        if not in_sweep():
            print(summary.where(run.path))
    if stop and in_sweep():
        raise StoppedError(f"{run.path} is finished, the rest of the sweep was stopped by {stop.name}")
    return sweep.outcome(cfg, skipped) if in_sweep() else None


def profile(cfg: DictConfig) -> None:
    """Play some steps and print where their time goes; no run is begun or touched."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's profiler reports to stderr that there is no GPU
    from gantrain.build import build
    from gantrain.performance import profiling

    folder = Path(f"{cfg.run.dir}-profile")
    with memory_errors(for_training(cfg.batch_size)), RunDirectory(folder).disk_errors():
        fill_cadences(cfg)  # which a budget of seconds or operations leaves open
        built = build(cfg)
        print(summary.table(cfg, folder, built))
        print(f"\n{profiling.profile(built.trainer, folder, built.limits)}")
    print(f"\ntrace         {folder / 'trace.json'} (open in ui.perfetto.dev or chrome://tracing)")


def train(cfg: DictConfig, run: RunDirectory, stop: StopSignal, overrides: list[str], raw: DictConfig) -> None:
    """Build, restore and play; ``raw`` is the configuration as it was composed, nothing in it resolved yet."""
    from gantrain import budget  # all this imports torch, which takes seconds: not before it is needed
    from gantrain.build import build, build_data, build_quality
    from gantrain.checkpoint import Checkpoints, Retention, environment
    from gantrain.evaluation import earlier_protocols

    with memory_errors(for_training(cfg.batch_size)):
        data = build_data(cfg)
        if cfg.budget.of not in per_step(cfg):
            before = run.settings() if run.read_config() is not None else None
            raw.total_steps = budget.measured_steps(cfg, data, before)
            cfg = validated(raw)
            fill_cadences(cfg)
        built = build(cfg, data)
        trainer = built.trainer
        quality = build_quality(cfg, built.data, trainer.precision.device, live=True)
    text = OmegaConf.to_yaml(cfg)
    now = environment(trainer.precision.device, built.data.fingerprint()) | {"performance": built.performance.facts()}
    kept = cfg.checkpoint
    keep = Retention(kept.keep_last, kept.keep_every, kept.keep_best, kept.best_is == "highest")
    settings = digest(json.dumps(compared(plain(cfg)), sort_keys=True))
    generator = {"shape": list(built.data.shape), "classes": built.data.classes}
    facts_of_run = {"config": digest(text), "settings": settings, "generator": generator}
    checkpoints = Checkpoints(run.path / "checkpoints", keep, facts_of_run | now)
    given = resume.named_checkpoint(cfg, checkpoints, settings)
    if not in_sweep():
        print(summary.table(cfg, run.path, built, quality))
    identity = facts.identity(cfg, overrides, built.data, now)

    def recorded() -> dict[str, Any]:
        return facts.standing(built, run, checkpoints) | identity | {"cost": spent()}

    with run.open(), run.disk_errors():
        if built.data.skipped:
            (run.path / "skipped_images.txt").write_text("\n".join(built.data.skipped) + "\n")
        check_same_run(cfg, run)  # again: until now another process may have started a run here
        if cfg.resume == "auto":
            given = resume.newest(run, checkpoints, settings)
        elif cfg.resume == "never":
            checkpoints.refuse_beyond(-1)
        checkpoints.clear_debris()
        bests = [found["best"]["step"] for found in earlier_protocols(run, None).values()]
        checkpoints.protected = lambda: set(bests)  # of a run that went on without evaluation
        with memory_errors(for_training(cfg.batch_size)):
            spent = facts.spending(cfg, built, given[0].get("cost") if given else None)
            checkpoints.changing = lambda: {"cost": spent()}
            resume.restore(trainer, given, checkpoints, now)
        run.write_config(text)
        with run.recording(recorded), memory_errors(for_training(cfg.batch_size)):
            stop.patient = True
            play(cfg, built, quality, run, checkpoints, stop)


def measured_best(cfg: DictConfig, quality: Quality) -> str | None:
    """Return the value of ``evaluation.best`` if it is measured: without the network's weights it may not be."""
    best: str | None = cfg.evaluation.best
    return best if best in quality.gives else None


def begin(cfg: DictConfig, quality: Quality | None, run: RunDirectory, step: int) -> Live | None:
    """Return what evaluates a run that begins or goes on at ``step``; None without evaluation."""
    from gantrain.evaluation import Live

    if quality is None:
        return None
    live = Live(quality, cfg.architecture.latent_dim, measured_best(cfg, quality), run, step)
    live.write()
    if cfg.search.trial is not None:
        from gantrain.sweep.search import Judge

        live.gives_up = Judge(cfg.search, cfg.total_steps, live.history.values)
    return live


def play(
    cfg: DictConfig,
    built: Built,
    quality: Quality | None,
    run: RunDirectory,
    checkpoints: Checkpoints,
    stop: StopSignal,
) -> None:
    """Train to the end; where a value is not finite, go back to the last checkpoint if that is allowed.

    Raises:
        DivergedError: if it is not, or no longer, or there is none.
    """
    from gantrain.run.records import Records

    trainer, shown = built.trainer, ["d/loss", "g/loss"]
    while True:
        try:
            with Records(run, trainer.step, built.limits) as records:
                live = begin(cfg, quality, run, trainer.step)
                if live is not None:
                    checkpoints.protected = live.protected
                    shown = [*shown[:2], *(f"{live.protocol.tag}/{name}" for name in live.quality.gives)]
                records.hyperparameters(summary.hyperparameters(cfg, trainer.g, trainer.d), shown)
                records.picture("samples/real", trainer.step, built.preview, "real.png")
                began = time.monotonic()
                trainer.train(records, checkpoints, stop.__bool__, live)
            if live is not None and not in_sweep():
                print(summary.evaluation(live, time.monotonic() - began))
            return
        except DivergedError as error:
            if cfg.nonfinite.policy == "stop":
                raise
            if trainer.rollbacks >= cfg.nonfinite.max_rollbacks:
                raise DivergedError(f"{error} (after {trainer.rollbacks} rollbacks)") from error
            if (found := checkpoints.latest()) is None:
                raise DivergedError(f"{error} (there is no checkpoint to roll back to)") from error
            trainer.go_on_elsewhere(found[1], cfg.seed)
            trainer.logged = dict(found[0]["metrics"])
            say(f"{error}. Rolled back to step {trainer.step:,}, to go on with other data and random numbers")
