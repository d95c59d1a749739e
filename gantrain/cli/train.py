"""``gantrain``: train one GAN, or with ``-m`` a sweep of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from gantrain.cli import changed, help, origin, ranked, resume, summary, sweep
from gantrain.cli.entry import reported, start
from gantrain.cli.overrides import check_added, check_kinds
from gantrain.cli.own_files import check_own_files
from gantrain.cli.session import Session, refuse_other_run
from gantrain.cli.summary import in_sweep
from gantrain.errors import (
    WITHOUT_IT,
    EndedError,
    PrunedError,
    StoppedError,
    for_training,
    memory_errors,
    record_errors,
)
from gantrain.run.directory import RunDirectory
from gantrain.run.identity import run_directory
from gantrain.run.signals import StopSignal
from gantrain.schema import TrainConfig, fill_cadences, validated
from gantrain.terminal import call_job, folded

if TYPE_CHECKING:
    from gantrain.distributed import Alone


@hydra.main(version_base="1.3", config_path="pkg://gantrain.configs", config_name="train")
def job(cfg: DictConfig) -> sweep.Result | None:
    """Run one training and report its error here, so that in a sweep it stands beside its job."""
    if in_sweep():
        return sweep.job(cfg, lambda: run_one(cfg))
    reported(lambda: run_one(cfg))
    return None


def main() -> None:
    """Start the ``gantrain`` command; ``gantrain help WORD`` is answered without Hydra, which takes no such word."""
    if help.asked(sys.argv[1:]):
        help.main()
    start(job, "train")


Put = Callable[[DictConfig, list[str]], list[str]]


def settled(composed: DictConfig, put: Put | None = None) -> tuple[DictConfig, list[str]]:
    """Return a training's checked settings, and its overrides, from what has been composed.

    Args:
        composed: without Hydra's own part.
        put: puts objects of Python's into the settings, and returns the overrides with their names.

    Raises:
        ConfigError: naming the key, its value, and what is allowed.
    """
    lines = list(HydraConfig.get().overrides.task)
    check_own_files()
    lines = check_kinds(lines, composed, "train", TrainConfig)
    check_added(lines, "train")
    if put is not None:
        lines = put(composed, lines)
    return validated(composed), lines


@record_errors(WITHOUT_IT)
def run_one(composed: DictConfig) -> sweep.Result | None:
    """Check the settings, and train unless that has been done."""
    cfg, lines = settled(composed)
    composed.run.dir = cfg.run.dir = str(run_directory(cfg, lines))  # a sweep's own record of the job reads the first
    if in_sweep():
        call_job(summary.short(Path(cfg.run.dir), cfg.run.root))
    starts_ranks = ranked.starts_them(cfg)
    if cfg.profile:
        profile(cfg)
        return None
    run, stop = RunDirectory(cfg.run.dir), StopSignal()
    with stop.listening():
        if not starts_ranks:
            with ranked.together(cfg) as ranks:
                if not (finished := ranks.first(lambda: is_over(cfg, run))):
                    train_reported(cfg, run, stop, lines, ranks)
        elif not (finished := is_over(cfg, run)):
            with sweep.handed_over(stop):
                return ranked.start(cfg, run, stop)
    if not in_sweep():
        if finished:
            print(folded(f"{run.path} is finished ({cfg.total_steps:,} steps); remove it to train again"))
        print(folded(summary.where(run.path, cfg.run.root)))
    if stop and in_sweep():
        raise StoppedError(f"{run.path} is finished, the rest of the sweep was stopped by {stop.name}")
    return sweep.outcome(cfg, finished) if in_sweep() else None


def is_over(cfg: DictConfig, run: RunDirectory) -> bool:
    """Tell whether the run has been trained to its end; if so, say if its data are others now, and label it anew.

    Raises:
        ConfigError: if the folder holds another run.
    """
    refuse_other_run(cfg, run)
    if finished := resume.is_finished(cfg, run):
        changed.say_if_changed(cfg, run)
        origin.label(cfg, run)
    return finished


def train_reported(cfg: DictConfig, run: RunDirectory, stop: StopSignal, lines: list[str], ranks: Alone) -> None:
    """Train; a run that its search or a callback ends has ended well, and a scheduler hears of one that was stopped."""
    try:
        with sweep.handed_over(stop):
            train(cfg, run, stop, lines, ranks)
    except (PrunedError, EndedError) as error:
        if not in_sweep():
            print(folded(str(error)))


def train(cfg: DictConfig, run: RunDirectory, stop: StopSignal, lines: list[str], ranks: Alone) -> None:
    """Check and build everything, and only then make the run's folder, go on where it was, and train."""
    ranks.first(run.refuse_if_in_use)
    session = ranks.together(lambda: Session.prepare(cfg, run, lines, ranks))
    if not in_sweep():
        print(folded(session.describe()))
    with ExitStack() as held, run.disk_errors():
        ranks.first(lambda: held.enter_context(run.open()))
        session.restore()
        ranks.first(lambda: held.enter_context(run.recording(session.facts)))
        with record_errors(WITHOUT_IT), ranked.answered(ranks):  # before the error is recorded
            session.play(stop)


def profile(cfg: DictConfig) -> None:
    """Play some steps and print where their time goes; no run is begun or touched."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's profiler reports to stderr that there is no GPU
    from gantrain.build import build
    from gantrain.performance import profiling

    folder = Path(f"{cfg.run.dir}-profile")
    with memory_errors(for_training(cfg.batch_size)), RunDirectory(folder).disk_errors():
        fill_cadences(cfg)  # which a budget of seconds or operations leaves open
        built = build(cfg)
        print(folded(summary.table(cfg, folder, built)))
        print(f"\n{profiling.profile(built.trainer, folder, built.preview)}")
    print(folded(f"\ntrace         {folder / 'trace.json'} (open in ui.perfetto.dev or chrome://tracing)"))
