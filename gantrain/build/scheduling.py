"""From the configuration's ``schedule`` to what moves numbers while a run goes on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from gantrain.build.checks import check_schedule
from gantrain.build.making import make
from gantrain.errors import ConfigError, first_line
from gantrain.losses import Loss
from gantrain.schema import as_text
from gantrain.training.ema import Ema
from gantrain.training.player import Player
from gantrain.training.scheduled import Scheduled, Schedules, least_and_most, number_at

OF_TORCH = ("g", "d")
"""Keys of ``schedule`` that hold a scheduler of torch's for a player's optimizer, not a number's own schedule."""
SETTINGS = (*OF_TORCH, "reference_steps")


def build_schedules(
    cfg: DictConfig, g: Player, d: Player, loss: Loss, augment: nn.Module, ema: Ema, shape: tuple[int, ...]
) -> Schedules:
    """Return the scheduled numbers, each at its first value.

    Raises:
        ConfigError: for a key that names no number, a schedule that is none, or a value that its number must not have.
    """
    numbers: dict[str, Scheduled] = {}
    steps = cfg.schedule.get("reference_steps") or cfg.total_steps
    for key, node in scheduled_keys(cfg.schedule):
        where = f"schedule.{key}"
        if key.startswith("optimizer.") and cfg.schedule.get(key.split(".")[1]) is not None:
            raise ConfigError(f"{where} and schedule.{key.split('.')[1]} would move the same optimizer; keep one")
        if not isinstance(node, dict) or "_target_" not in node:
            raise ConfigError(f"{where} must be null or have a _target_ in gantrain.schedules, got {node}")
        function = make(OmegaConf.create(as_text(node)), where)
        try:
            numbers[key] = Scheduled(number_at(key, g, d, loss, augment, ema), function)
            extremes = least_and_most(numbers[key], steps)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from error
        except Exception as error:  # of a class of the user's, or one that is no schedule
            raise ConfigError(f"{where}: {node['_target_']} is no schedule: {first_line(error)}") from error
        for value in extremes:
            check_value(cfg, key, value, shape)
    schedules = Schedules(numbers, steps)
    schedules.set(0)
    return schedules


def scheduled_keys(schedule: Any) -> Iterator[tuple[str, Any]]:
    """Yield (key, node) of every number that ``schedule`` moves; a key may be written with dots or nested."""
    content: Any = OmegaConf.to_container(schedule, resolve=True) if isinstance(schedule, DictConfig) else schedule

    def walk(node: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
        for name, inner in node.items():
            if isinstance(inner, dict) and "_target_" not in inner:
                yield from walk(inner, f"{prefix}{name}.")
            elif inner is not None:
                yield f"{prefix}{name}", inner

    yield from walk({k: v for k, v in (content or {}).items() if k not in SETTINGS}, "")


def check_value(cfg: DictConfig, key: str, value: float, shape: tuple[int, ...]) -> None:
    """Raise ConfigError if a number must not have a value: if what it belongs to cannot be built with it."""
    if key.startswith("ema."):
        if value < 0:
            raise ConfigError(f"schedule.{key}: it becomes {value:g}, and must be 0 or more")
        return
    of_optimizer = key.startswith("optimizer.")
    parent = ".".join(key.split(".")[:2]) if of_optimizer else key.rpartition(".")[0]
    node = OmegaConf.select(cfg, parent)
    if not isinstance(node, DictConfig) or "_target_" not in node:
        return  # of a part that the user's own class makes
    changed: DictConfig = OmegaConf.create(as_text(OmegaConf.to_container(node, resolve=True)))
    OmegaConf.update(changed, key.removeprefix(f"{parent}."), value, force_add=True)
    facts: dict[str, Any] = {"params": [nn.Parameter(torch.zeros(1, 1))]} if of_optimizer else {}
    if parent == "augment":
        facts = {"shape": shape}
    try:
        make(changed, parent, **facts)
    except ConfigError as error:
        raise ConfigError(f"schedule.{key} becomes {value:g}: {error}") from error


def build_scheduler(cfg: DictConfig, name: str, optimizer: torch.optim.Optimizer) -> LRScheduler | None:
    """Build torch's scheduler of a player's optimizer, None if there is none.

    Raises:
        ConfigError: if it is none, or ends before the run does.
    """
    schedules = cfg.get("schedule")
    node, key = None if schedules is None else schedules.get(name), f"schedule.{name}"
    if node is None:
        return None
    if not isinstance(node, DictConfig) or "_target_" not in node:
        raise ConfigError(f"{key} must be null or have a _target_ in torch.optim.lr_scheduler, got {node}")
    schedule = make(node, key, optimizer=optimizer)
    if not isinstance(schedule, LRScheduler) or isinstance(schedule, ReduceLROnPlateau):
        raise ConfigError(f"{key}: {node._target_} is no schedule that moves on by itself after every step")
    optimizer = make(cfg.optimizer[name], f"optimizer.{name}", params=[nn.Parameter(torch.zeros(1, 1))])
    check_schedule(make(node, key, optimizer=optimizer), optimizer, cfg.total_steps, key)
    return schedule
