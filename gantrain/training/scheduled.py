"""The numbers of a game that a schedule moves, each found by its key in the configuration."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from gantrain.errors import ConfigError
from gantrain.schedules import Function
from gantrain.training.ema import Ema
from gantrain.training.player import Player

MOVABLE = ("optimizer.g", "optimizer.d", "loss", "augment", "ema")
"""What a scheduled number may belong to."""


class Number(Protocol):
    """A number of the game that can be set."""

    configured: float

    def set(self, value: float) -> None:
        """Give it a value, without waiting for a device."""


class OfAnOptimizer:
    """A number of all parameter groups of an optimizer, such as ``lr``, or an entry of one, such as ``betas.1``.

    Raises:
        ConfigError: if the groups have none of this name.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, name: str) -> None:
        self.optimizer, (self.name, _, self.entry) = optimizer, name.partition(".")
        value = optimizer.param_groups[0].get(self.name)
        if self.entry:
            entries = dict(enumerate(value)) if isinstance(value, list | tuple) else {}
            value = entries.get(int(self.entry)) if self.entry.isdigit() else None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"{type(optimizer).__name__} has no such number")
        self.configured = float(value)
        if name == "lr":
            for group in optimizer.param_groups:
                group.setdefault("initial_lr", self.configured)  # as torch's schedulers keep it

    def set(self, value: float) -> None:
        """Set it in every group."""
        for group in self.optimizer.param_groups:  # others after a state was loaded
            if self.entry:
                entries = list(group[self.name])
                entries[int(self.entry)] = value
                group[self.name] = type(group[self.name])(entries)
            else:
                group[self.name] = value


class OfAModule:
    """A number that a module keeps as an attribute. It becomes a buffer, because recordings read it on the device.

    The buffer is not saved: the schedule knows its value.

    Raises:
        ConfigError: if the module keeps none under this name, or it is a count.
    """

    def __init__(self, module: nn.Module, name: str, device: torch.device) -> None:
        value = getattr(module, name, None)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"{type(module).__name__} keeps no number under this name")
        told = inspect.signature(type(module)).parameters.get(name)
        kind = (
            value.__class__.__name__ if told is None or told.annotation is inspect.Parameter.empty else told.annotation
        )
        if "float" not in str(kind):
            raise ConfigError(f"{type(module).__name__}.{name} is a count, which cannot change while a run goes on")
        self.configured = float(value)
        delattr(module, name)
        module.register_buffer(name, torch.tensor(self.configured, device=device), persistent=False)
        self.module, self.name = module, name

    def set(self, value: float) -> None:
        """Set it, without waiting for the device."""
        buffer: Tensor = getattr(self.module, self.name)
        buffer.fill_(value)


class OfTheAverage:
    """A number of G's average.

    Raises:
        ConfigError: if it has none of this name, or that is null.
    """

    def __init__(self, ema: Ema, name: str) -> None:
        value = getattr(ema, name, None) if name in ("halflife_images", "rampup") else None
        if value is None:
            raise ConfigError("the average has no such number, or it is null")
        self.configured, self.ema, self.name = float(value), ema, name

    def set(self, value: float) -> None:
        """Set it."""
        setattr(self.ema, self.name, value)


@dataclass(frozen=True)
class Scheduled:
    """A number and the function that it follows."""

    number: Number
    function: Function

    def at(self, share: float) -> float:
        """Return its value when a share of the run has been played."""
        return float(self.function(share, self.number.configured))


@dataclass(frozen=True)
class Schedules:
    """All scheduled numbers, by key.

    Args:
        numbers: what is moved.
        steps: length of the schedules; from there on every number keeps its last value.
    """

    numbers: Mapping[str, Scheduled] = field(default_factory=dict)
    steps: int = 1

    def set(self, step: int) -> None:
        """Give every number the value that it has while the step after ``step`` others is played."""
        for scheduled in self.numbers.values():
            scheduled.number.set(scheduled.at(min(step / self.steps, 1.0)))

    def values(self, step: int) -> dict[str, float]:
        """Return what ``set`` gives, by tag; learning rates are logged by their players."""
        share = min(step / self.steps, 1.0)
        return {f"schedule/{key}": s.at(share) for key, s in self.numbers.items() if key not in RATES}

    @property
    def held_by_recordings(self) -> list[str]:
        """The keys of the numbers that a recording of a turn holds as they were when it was made."""
        return [key for key in self.numbers if key.startswith("optimizer.") and key not in RATES]


RATES = ("optimizer.g.lr", "optimizer.d.lr")


def number_at(key: str, g: Player, d: Player, loss: nn.Module, augment: nn.Module, ema: Ema) -> Number:
    """Return the number that a key of the configuration names.

    Raises:
        ConfigError: if there is none that can be moved.
    """
    part = next((part for part in MOVABLE if key.startswith(f"{part}.")), None)
    if part is None:
        raise ConfigError(f"a schedule moves numbers of {', '.join(MOVABLE)}")
    name = key.removeprefix(f"{part}.")
    if part.startswith("optimizer"):
        return OfAnOptimizer((g if part.endswith("g") else d).optimizer, name)
    if part == "ema":
        return OfTheAverage(ema, name)
    module: Any = loss if part == "loss" else augment
    *inner, last = name.split(".")
    for step in inner:
        module = getattr(module, step, None)
    if not isinstance(module, nn.Module):
        raise ConfigError("there is no such part")
    return OfAModule(module, last, g.skipped.device)


def least_and_most(scheduled: Scheduled, steps: int) -> tuple[float, float]:
    """Return the extremes of a number over a run, at most 1,000 places looked at.

    Raises:
        ConfigError: if one is not finite.
    """
    places = range(min(steps, 1000) + 1)
    values = [scheduled.at(k / len(places[1:])) for k in places]
    if not all(map(math.isfinite, values)):
        raise ConfigError(f"it becomes {next(v for v in values if not math.isfinite(v))}")
    return min(values), max(values)
