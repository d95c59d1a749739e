"""Budgets whose price must be measured: how many steps a number of seconds or of operations buys."""

from __future__ import annotations

import copy
import math
from typing import Any

from omegaconf import DictConfig

from gantrain.build import build
from gantrain.data import Data
from gantrain.errors import ConfigError
from gantrain.performance import cost
from gantrain.schema import refuse_nothing
from gantrain.training.trainer import Trainer


def flops_of_a_step(cfg: DictConfig, data: Data) -> float:
    """Return the floating-point operations of a step, by torch's counter, on a trainer of its own."""
    return cost.count_flops(scratch(cfg, data))


def measured_steps(cfg: DictConfig, data: Data, before: dict[str, Any] | None) -> int:
    """Return how many steps a budget of seconds or operations buys.

    Of seconds it is an estimate, by which evaluations and pictures are spread; the run ends when the time is spent.

    Args:
        cfg: the configuration.
        data: what is trained on.
        before: the settings of this run if it goes on: an estimate is made once.

    Raises:
        ConfigError: if it buys no step, or a schedule needs to know the last step beforehand.
    """
    amount = cfg.budget.amount
    if amount is None:
        raise ConfigError(f"budget.amount is not set: add budget.amount=… ({cfg.budget.of}) to the command")
    if cfg.budget.of == "flops":
        price = flops_of_a_step(cfg, data)
        steps: int = math.floor(amount / price)
        refuse_nothing(cfg, steps, f"a step takes {price:.4g}")
        return steps
    if cfg.schedule.g is not None or cfg.schedule.d is not None:
        raise ConfigError(
            "budget=seconds cannot tell a schedule which step is the last; use schedule=constant, or budget=flops"
        )
    return int(before["total_steps"]) if before else steps_in(amount, scratch(cfg, data))


def steps_in(seconds: float, trainer: Trainer) -> int:
    """Return about how many steps fit, in two digits, so that evaluations fall on round numbers."""
    steps = seconds / cost.estimated_seconds(trainer)
    unit: int = 10 ** max(math.floor(math.log10(max(steps, 1))) - 1, 0)
    return max(round(steps / unit) * unit, 1)


def scratch(cfg: DictConfig, data: Data) -> Trainer:
    """Build a trainer to be thrown away; the one that is built next begins with the same random numbers all the same.

    It plays turns as they are written: compiling them takes long, and a recording's operations cannot be counted.
    """
    cfg = copy.deepcopy(cfg)
    cfg.compile, cfg.performance.cuda_graphs = "none", False
    return build(cfg, data).trainer
