"""Carries out one training in a process that is not gantrain's."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from omegaconf import DictConfig

from gantrain.api import notebook, objects
from gantrain.api.composing import composing, without_hydra
from gantrain.api.surroundings import alone, unchanged
from gantrain.cli import ranked, summary
from gantrain.cli.train import is_over, settled
from gantrain.cli.train import train as play
from gantrain.errors import WITHOUT_IT, ConfigError, EndedError, PrunedError, StoppedError, record_errors
from gantrain.run.directory import RunDirectory
from gantrain.run.identity import run_directory
from gantrain.run.signals import StopSignal
from gantrain.terminal import folded, in_notebook, speaking_after


def named(callbacks: Sequence[object]) -> dict[str, object]:
    """Return the caller's callbacks by name, and in a notebook the one that shows pictures there."""
    from gantrain.training.callbacks import by_name

    if not isinstance(callbacks, Sequence):
        raise ConfigError(f"callbacks must be a list of objects, got {type(callbacks).__name__}")
    shown = [notebook.Display()] if in_notebook() else []
    return by_name([*callbacks, *shown])


def of_lines(lines: list[str], given: dict[str, Any]) -> Path:
    """Train what overrides and objects say, and return the run's folder."""
    from gantrain.build.own import lent

    flat = {key: value for key, value in given.items() if key != "callbacks"}
    flat |= {f"callbacks.{name}": callback for name, callback in given["callbacks"].items()}
    with alone(), unchanged(), composing([*objects.options_for(given, lines), *lines]) as composed, lent(flat):
        cfg, lines = settled(without_hydra(composed), lambda cfg, lines: objects.put(cfg, lines, given))
        check(cfg)
        cfg.run.dir = str(run_directory(cfg, lines))
        run = RunDirectory(cfg.run.dir)
        with record_errors(WITHOUT_IT), speaking_after(), InPython().saving() as stop, ranked.together(cfg) as ranks:
            if ranks.first(lambda: is_over(cfg, run)):
                print(folded(f"{run.path} is finished ({cfg.total_steps:,} steps); remove it to train again"))
            else:
                carried_out(lambda: play(cfg, run, stop, lines, ranks))
        print(folded(summary.where(run.path, cfg.run.root)))
    return Path(cfg.run.dir).absolute()


def carried_out(work: Callable[[], None]) -> None:
    """Train; that a signal or a callback ends it is no error."""
    try:
        work()
    except (StoppedError, PrunedError, EndedError) as error:
        print(folded(str(error).replace("the same command with resume=auto goes on", "the same call goes on")))


def check(cfg: DictConfig) -> None:
    """Raise ConfigError for what a command alone can do."""
    if cfg.profile:
        raise ConfigError("profile=true prints where a step's time goes: give it to the command, gantrain")
    if ranked.starts_them(cfg):
        raise ConfigError(
            f"ranks={cfg.ranks} starts processes, as the command gantrain does; from Python, start this program by "
            f"torchrun --nproc-per-node {cfg.ranks}"
        )


class InPython(StopSignal):
    """Signals in a process that is not gantrain's: before there is anything to save they do what they always do."""

    def _set(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and (self or not self.patient):
            raise KeyboardInterrupt
        if not self.patient:
            self.give_back()
            signal.raise_signal(number)
            return
        super()._set(number, frame)

    def give_back(self) -> None:
        """Let the handlers that were in force before be so again."""
        for number, handler in self.displaced.items():
            signal.signal(number, handler)

    @contextmanager
    def saving(self) -> Iterator[InPython]:
        """Catch signals inside the block; any but Ctrl-C reaches the handler of before once the state is saved."""
        before = StopSignal.received, StopSignal.silent, StopSignal.of_a_rank
        try:
            with self.listening():
                yield self
        finally:
            StopSignal.received, StopSignal.silent, StopSignal.of_a_rank = before
        if self.name not in (None, "SIGINT") and self.displaced:
            signal.raise_signal(signal.Signals[self.name])
