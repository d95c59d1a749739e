"""Callbacks: objects that hear of a training as it goes, and may end it."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from gantrain.checkpoint import tree
from gantrain.errors import CallbackError, ConfigError, GantrainError, first_line

if TYPE_CHECKING:
    from gantrain.losses.turn import Precision
    from gantrain.training.clock import Clock
    from gantrain.training.ema import Ema

MOMENTS = ("on_step", "on_log", "on_samples", "on_evaluation", "on_checkpoint", "on_end")


@dataclass
class Moment:
    """What a callback is told.

    Attributes:
        path: the run's folder.
        step: steps that have been played.
        total_steps: steps of the whole run, as far as that is known.
        values: on_log: the line of metrics.jsonl; on_evaluation: what was measured, by the metric's name; else empty.
        samples: on_samples: the averaged generator's samples of the grid (N, *shape) float32 on the run's device; else
            None.
        file: on_samples: the grid's PNG, which is there unless samples of this kind are not drawn or the disk was full;
            on_checkpoint: the checkpoint's folder; else None.
        state: on_end: finished, stopped (a callback's end too), pruned, diverged or failed; else running.
        generator: the averaged generator, which maps (z, labels) to samples. Leave its weights as they are.
    """

    path: Path
    step: int
    total_steps: int
    generator: nn.Module
    values: Mapping[str, float] = field(default_factory=dict)
    samples: Tensor | None = None
    file: Path | None = None
    state: str = "running"
    reason: str | None = None

    def stop(self, reason: str = "asked to") -> None:
        """End the run after this step, its state saved: the same command, or ``resume``, goes on."""
        self.reason = reason


class Callback(Protocol):
    """An object with any of these methods; those that it has not are not called. On the first rank alone.

    A method may draw random numbers of Python, numpy and torch: the training's own stay as they are. What it raises
    ends the run, which goes on from its last checkpoint. If there are ``state_dict`` and ``load_state_dict``, the
    state, plain data and tensors, is saved in checkpoints and restored.
    """

    def on_step(self, moment: Moment) -> None:
        """Hear that a step was played."""

    def on_log(self, moment: Moment) -> None:
        """Hear that a line was written, see ``log.every``; ``moment.values`` has its numbers."""

    def on_samples(self, moment: Moment) -> None:
        """Hear that a grid was drawn, see ``samples.every``; ``moment.samples`` are those of the averaged generator."""

    def on_evaluation(self, moment: Moment) -> None:
        """Hear that the generator was measured, see ``evaluation.every``; ``moment.values`` has the metrics."""

    def on_checkpoint(self, moment: Moment) -> None:
        """Hear that a checkpoint was saved, see ``checkpoint.every``; ``moment.file`` is its folder."""

    def on_end(self, moment: Moment) -> None:
        """Hear that the training is over; ``moment.state`` says how."""


class Training(Protocol):
    """What callbacks see of a trainer."""

    step: int
    total_steps: int
    ema: Ema
    precision: Precision
    clock: Clock


class Callbacks:
    """Tells callbacks what happens, in the order in which they were named.

    Args:
        named: the callbacks, by name.
        path: the run's folder.

    Raises:
        ConfigError: for an object that has no method of a callback.
    """

    def __init__(self, named: Mapping[str, object] | None = None, path: Path = Path()) -> None:
        self.named, self.path = dict(named or {}), path
        self.why: str | None = None
        """Why a callback has ended the run, None if none has."""
        for name, callback in self.named.items():
            if isinstance(callback, type):
                raise ConfigError(f"callbacks: {callback.__name__} is a class; give an object of it")
            if not any(callable(getattr(callback, moment, None)) for moment in MOMENTS):
                raise ConfigError(f"callbacks: {name} has none of the methods {', '.join(MOMENTS)}")

    def hearing(self, moment: str) -> list[str]:
        """Return the names of those that hear of a moment; a method that only stands in the protocol does nothing."""
        own = getattr(Callback, moment)
        found = {name: getattr(callback, moment, None) for name, callback in self.named.items()}
        return [n for n, method in found.items() if callable(method) and getattr(method, "__func__", None) is not own]

    def tell(self, moment: str, trainer: Training, **facts: Any) -> None:
        """Call a method of all callbacks that have it. Its time counts as none of the training.

        Raises:
            CallbackError: if one fails; the error itself is its cause.
        """
        if not self.named or not (names := self.hearing(moment)):
            return
        device, python, numpy = trainer.precision.device, random.getstate(), np.random.get_state()
        try:
            with trainer.clock.paused(), torch.random.fork_rng([device] if device.type == "cuda" else []):
                for name in names:
                    told = Moment(self.path, trainer.step, trainer.total_steps, trainer.ema.net, **facts)
                    told.values = dict(told.values)  # a callback may change what it is told: no other hears of that
                    with failing(name, f"{moment} at step {trainer.step:,}"):
                        getattr(self.named[name], moment)(told)
                    if told.reason is not None and self.why is None:
                        self.why = f"{name}: {told.reason}"
        finally:
            random.setstate(python)
            np.random.set_state(numpy)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of those that have one, by name.

        Raises:
            CallbackError: if one fails, or its state is no plain data.
        """
        found = {}
        for name, callback in self.named.items():
            if hasattr(callback, "state_dict"):
                with failing(name, "state_dict"):
                    found[name] = callback.state_dict()
                    tree.flatten(found[name], "its state")
        return found

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state of those that have one and had one; raise CallbackError if one fails."""
        for name, callback in self.named.items():
            if name in state and hasattr(callback, "load_state_dict"):
                with failing(name, "load_state_dict"):
                    callback.load_state_dict(state[name])


@contextmanager
def failing(name: str, method: str) -> Iterator[None]:
    """Turn what a callback's method raises into CallbackError, which names both; errors of gantrain's stay."""
    try:
        yield
    except GantrainError:
        raise
    except Exception as error:  # somebody's own code
        said = f"{type(error).__name__}: {first_line(error)}"
        raise CallbackError(f"callback {name} failed in {method}: {said}") from error


class StopAt:
    """Ends a run once a value is good enough.

    Args:
        metric: the name of a value of the evaluations, like ``fid``, or of the log, like ``d/loss``.
        value: the bound.
        best_is: lowest: end at or below the bound; highest: at or above it.

    Raises:
        ConfigError: for another word.
    """

    def __init__(self, metric: str, value: float, best_is: str = "lowest") -> None:
        if best_is not in ("lowest", "highest"):
            raise ConfigError(f"callbacks.stop_at.best_is must be lowest or highest, got {best_is}")
        self.metric, self.value, self.lowest = metric, value, best_is == "lowest"

    def on_log(self, moment: Moment) -> None:
        """Look at the log's values."""
        self._look(moment)

    def on_evaluation(self, moment: Moment) -> None:
        """Look at the evaluation's values."""
        self._look(moment)

    def _look(self, moment: Moment) -> None:
        found = moment.values.get(self.metric)
        if found is not None and (found <= self.value if self.lowest else found >= self.value):
            moment.stop(f"{self.metric} is {found:.4g}")


def by_name(callbacks: Iterable[object]) -> dict[str, object]:
    """Return callbacks by the names of their classes; the second of a class is called ``Class2``, and so on."""
    named: dict[str, object] = {}
    for callback in callbacks:
        name, k = type(callback).__name__, 1
        while (full := name if k == 1 else f"{name}{k}") in named:
            k += 1
        named[full] = callback
    return named
