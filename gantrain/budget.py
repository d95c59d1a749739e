"""What is held equal between runs: how much of it a step costs, and how many steps an amount of it buys."""

from __future__ import annotations

import math
from typing import Any

from gantrain.errors import ConfigError

UNITS = {
    "steps": "steps",
    "images": "real images",
    "d_updates": "updates of D",
    "seconds": "seconds of training",
    "flops": "floating-point operations",
}
"""Budgets, in words. Seconds and operations of a step must be measured (``performance.cost``)."""


def per_step(cfg: Any) -> dict[str, int]:
    """Return how much of each budget a step costs, of those that are known without measuring."""
    d_steps: int = cfg.ratio.d_steps
    return {"steps": 1, "d_updates": d_steps, "images": d_steps * cfg.batch_size}


def set_length(cfg: Any) -> bool:
    """Set ``total_steps`` to the steps that the budget buys, and ``budget.amount`` where it is null.

    Returns:
        False if a step's cost must be measured first; then both stay as they are.

    Raises:
        ConfigError: if the budget does not buy a single step.
    """
    of, cost = cfg.budget.of, per_step(cfg)
    if of not in cost:
        return False
    if cfg.budget.amount is None:
        at_one_to_one = {"steps": 1, "d_updates": 1, "images": cfg.batch_size}
        cfg.budget.amount = cfg.total_steps * at_one_to_one[of]
    cfg.total_steps = steps_bought(cfg, cost[of], f"{cost[of]:,}")
    return True


def as_record(cfg: Any) -> dict[str, Any]:
    """Return the budget as a record: its unit, and how much of it."""
    return {"of": cfg.budget.of, "amount": cfg.budget.amount}


def keep_length(cfg: Any, stored: dict[str, Any]) -> bool:
    """Set ``total_steps`` to those of a run that goes on, given by its ``stored`` settings, if its budget is the same.

    Of seconds another amount will do: the length is an estimate, by which evaluations are spread, and is made once.

    Returns:
        Whether it was.
    """
    before = stored.get("budget") or {}
    same = before == as_record(cfg) or (before.get("of") == cfg.budget.of == "seconds")
    if cfg.budget.amount is None or not same or "total_steps" not in stored:
        return False
    cfg.total_steps = stored["total_steps"]
    return True


def steps_bought(cfg: Any, cost: float, in_words: str) -> int:
    """Return how many steps the budget buys if each costs ``cost``.

    Raises:
        ConfigError: if none.
    """
    steps: int = math.floor(cfg.budget.amount / cost)
    if steps < 1:
        raise ConfigError(f"budget.amount={cfg.budget.amount:g} {cfg.budget.of} buys no step; a step takes {in_words}")
    return steps
