"""The cost of a training: floating-point operations, seconds a step, and peak memory."""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from gantrain.training.trainer import Trainer

WARM_UP, SECONDS = 3, 1.0
"""Steps before a speed is estimated, and the seconds that the estimate takes."""


class Flops(TorchDispatchMode):
    """Adds up floating-point operations by torch's own formulas.

    torch's FlopCounterMode also tracks modules, and its tracking fails where a penalty differentiates by D's input.
    """

    total = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Carry out an operation and count it."""
        result = func(*args, **(kwargs or {}))
        if (formula := flop_registry.get(func.overloadpacket)) is not None:
            self.total += formula(*args, **(kwargs or {}), out_val=result)
        return result


class Meter:
    """Counts the operations of a run's first steps, without changing them.

    It counts one full period of the lazy terms. A period costs the same wherever it starts, so a run that was killed
    meanwhile and resumed finds the same number.

    Args:
        trainer: plays its turns as written, because the operations of a recording cannot be seen.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer, self.steps, self.wanted = trainer, 0, min(period(trainer), trainer.total_steps)
        self.counter = Flops()  # type: ignore[no-untyped-call]
        trainer.play = self.play  # type: ignore[method-assign]

    def play(self, measure: bool = False) -> None:
        """Play a step and count it."""
        with self.counter:
            type(self.trainer).play(self.trainer, measure)
        self.steps += 1
        if self.steps == self.wanted:
            del self.trainer.play

    def per_step(self) -> float | None:
        """Return the operations of a step, None until the counting is done."""
        return self.trainer.ranks.world * self.counter.total / self.steps if self.steps == self.wanted else None


def count_flops(trainer: Trainer) -> float:
    """Return the floating-point operations of a step's matrix products and convolutions (2 for a multiply-add).

    It plays steps, so the trainer's state changes.
    """
    counter, steps = Flops(), period(trainer)  # type: ignore[no-untyped-call]
    with counter:
        for _ in range(steps):
            trainer.play()
    return trainer.ranks.world * counter.total / steps


class Ledger:
    """Counts what a run costs, over all the processes that carry it on.

    Args:
        trainer: the run's.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer, self.device = trainer, trainer.precision.device
        self.flops_per_step: Callable[[], float | None] = lambda: None
        self.peak_before = 0

    def go_on(self, before: dict[str, Any], flops_per_step: float | None) -> None:
        """Count on from the costs of a checkpoint.

        Args:
            before: what ``so_far`` returned then; {} for a new run.
            flops_per_step: None if the trainer's next steps are to be counted, which must be carried out as written.
        """
        self.trainer.clock.training = float(before.get("training_seconds", 0.0))
        self.trainer.clock.other = float(before.get("other_seconds", 0.0))
        self.peak_before = before.get("peak_memory_bytes", 0)
        if flops_per_step is None:
            self.flops_per_step = Meter(self.trainer).per_step
        else:
            self.flops_per_step = lambda: flops_per_step
        forget_peak_memory(self.device)

    def so_far(self) -> dict[str, Any]:
        """Return seconds, floating-point operations (None while a step is still being counted) and peak memory."""
        flops, clock = self.flops_per_step(), self.trainer.clock
        return {
            "training_seconds": clock.training,
            "other_seconds": clock.other,
            "flops_per_step": flops,
            "flops": None if flops is None else flops * self.trainer.step,
            "peak_memory_bytes": max(self.peak_before, peak_memory_bytes(self.device)),
        }


def period(trainer: Trainer) -> int:
    """Return after how many steps the lazy terms repeat, 1 if there are none."""
    moves = math.lcm(*(getattr(term, "every", 1) for term in trainer.loss.regularizers.values()))
    return moves * trainer.d.turns_per_move if moves > 1 else 1


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def estimated_seconds(trainer: Trainer) -> float:
    """Return about how long a step takes. It plays steps, so the trainer's state changes."""
    for _ in range(WARM_UP):
        trainer.play()
    synchronize(trainer.precision.device)
    steps, start = 0, time.perf_counter()
    while trainer.ranks.from_first(time.perf_counter() - start < SECONDS):
        trainer.play()
        synchronize(trainer.precision.device)
        steps += 1
    return trainer.ranks.from_first((time.perf_counter() - start) / steps)


def steps_in(seconds: float, trainer: Trainer) -> int:
    """Return about how many steps fit, in two digits, so that evaluations fall on round numbers.

    It plays steps, so the trainer's state changes.
    """
    steps = seconds / estimated_seconds(trainer)
    unit: int = 10 ** max(math.floor(math.log10(max(steps, 1))) - 1, 0)
    return max(round(steps / unit) * unit, 1)


def forget_peak_memory(device: torch.device) -> None:
    """Start to count peak memory anew, if the system can; memory that is still in use counts from the start."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return  # no Linux, or not allowed: the peak is then that of the whole process


def peak_memory_bytes(device: torch.device) -> int:
    """Return the peak memory in bytes: on a GPU what torch reserved, pools of graphs included, else the process's."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_reserved(device))
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
