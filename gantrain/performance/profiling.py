"""Profile a step: the time of each part, its arithmetic, and the share of the machine's best rate that it reaches."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, record_function

from gantrain.checkpoint import Checkpoints, Retention
from gantrain.loggers import TensorBoard, guarded
from gantrain.performance.cost import count_flops, period, synchronize
from gantrain.regularizers import Regularizer
from gantrain.run import files
from gantrain.run.directory import RunDirectory
from gantrain.run.records import Records
from gantrain.training.eager import Eager
from gantrain.training.trainer import Trainer

WARM_UP, LEAST, SECONDS = 3, 3, 10.0
"""Steps before measuring, steps measured at least, and seconds that each measurement takes."""
MATRIX_SIDE = {"cpu": 2048, "cuda": 8192}


class Stopwatch:
    """Charges time to the innermost part that runs, so that parts add up to the whole.

    It waits for a GPU wherever a part begins or ends, so there the sum is longer than a step that runs freely.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = {}
        self.calls: dict[str, int] = {}
        self._stack: list[str] = []
        self._since = 0.0

    def _charge(self) -> None:
        synchronize(self.device)
        now = time.perf_counter()
        if self._stack:
            self.seconds[self._stack[-1]] = self.seconds.get(self._stack[-1], 0.0) + now - self._since
        self._since = now

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time a block; the profiler's trace shows it by the same name."""
        self._charge()
        self._stack.append(name)
        self.calls[name] = self.calls.get(name, 0) + 1
        try:
            with record_function(name):
                yield
        finally:
            self._charge()
            self._stack.pop()

    def wrap(self, owner: Any, method: str, name: str) -> None:
        """Time every call of an object's method."""
        function: Callable[..., Any] = getattr(owner, method)

        @wraps(function)
        def timed(*arguments: Any, **settings: Any) -> Any:
            with self.part(name):
                return function(*arguments, **settings)

        setattr(owner, method, timed)


def seconds_per_step(trainer: Trainer) -> float:
    """Return the time of a step as the run would play it, from recordings if it uses them."""
    device = trainer.precision.device
    for _ in range(WARM_UP + period(trainer)):  # every kind of turn is recorded before the clock starts
        trainer.play()
    synchronize(device)
    steps, start = 0, time.perf_counter()
    while steps < LEAST or time.perf_counter() - start < SECONDS:
        trainer.play()
        steps += 1
        synchronize(device)
    return (time.perf_counter() - start) / steps


def watched(trainer: Trainer) -> Stopwatch:
    """Put a stopwatch on every part of the trainer's turns; it stays, so use the trainer for nothing else."""
    watch = Stopwatch(trainer.precision.device)
    watch.wrap(trainer.data, "next", "data")
    watch.wrap(trainer.g.net, "forward", "G forward")
    watch.wrap(trainer.d.net, "forward", "D forward")
    for side, move in (("D", "move_d"), ("G", "move_g")):
        watch.wrap(trainer, move, f"{side}'s turn: loss and rest")
    for name, regularizer in trainer.loss.regularizers.items():
        for method in ("for_d", "for_g", "after_d_step"):
            if getattr(type(regularizer), method) is not getattr(Regularizer, method, None):
                watch.wrap(regularizer, method, f"term {name}: all but D forward")
    for side, player in (("D", trainer.d), ("G", trainer.g)):
        watch.wrap(player, "accumulate", f"{side}'s turn: backward")
        watch.wrap(player.optimizer, "step", "optimizers")
    watch.wrap(trainer.ema, "follow", "average of G")
    return watch


def seconds_of_records(trainer: Trainer, folder: Path, real: Tensor) -> float:
    """Return the time a step spends on logs, pictures and checkpoints, spread over their cadence."""
    run = RunDirectory(folder)
    checkpoints = Checkpoints(folder / "checkpoints", Retention(2))
    every = trainer.every
    total = 0.0
    with Records(run, 0, real, outlets=guarded({"tensorboard": TensorBoard()}, run)) as records:
        actions: list[tuple[Callable[[], None], int]] = [
            (lambda: records.scalars(0, dict.fromkeys(trainer.scalars, 0.0)), every.log),
            (lambda: trainer.draw(records), every.samples),
            (lambda: checkpoints.save(trainer.step, trainer.state_dict()), every.checkpoint),
        ]
        for action, cadence in actions:
            start = time.perf_counter()
            action()
            total += (time.perf_counter() - start) / (cadence or trainer.total_steps)
    return total


def best_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Return the FLOP/s of a large square matrix product, the best rate of this device."""
    side = MATRIX_SIDE[device.type]
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    best = 0.0
    for _ in range(10):
        synchronize(device)
        start = time.perf_counter()
        a @ b
        synchronize(device)
        best = max(best, 2 * side**3 / (time.perf_counter() - start))
    return best


def write_trace(trainer: Trainer, path: Path) -> None:
    """Write torch's trace of one step, for chrome://tracing or ui.perfetto.dev."""
    on_gpu = trainer.precision.device.type == "cuda"
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * on_gpu
    with torch.profiler.profile(activities=activities) as profiler:
        trainer.play()
    profiler.export_chrome_trace(str(path))


def profile(trainer: Trainer, folder: Path, real: Tensor) -> str:
    """Profile a fresh trainer and return the table; ``folder`` gets trace.json. ``real`` samples are for its pictures.

    Raises:
        OSError: if the folder cannot be written.
    """
    for player in (trainer.d, trainer.g):
        player.schedule = None  # it may end before the profile does
    free = seconds_per_step(trainer)
    files.own_folder(folder)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:  # on the disk that the run would write to
        records = seconds_of_records(trainer, Path(scratch), real)
    trainer.perform = Eager()  # a recording cannot be timed in parts
    flops = count_flops(trainer)
    precision = trainer.precision
    rate = best_rate(precision.device, precision.forward)
    watch = watched(trainer)
    steps = max(LEAST, int(SECONDS / free))
    for _ in range(steps):
        trainer.play()
    seconds = {name: taken / steps for name, taken in watch.seconds.items()} | {"records": records}
    calls = {name: f"{count / steps:g}" for name, count in watch.calls.items()}
    with tempfile.TemporaryDirectory(dir=folder) as scratch:  # torch would follow a link at the file's own name
        write_trace(trainer, Path(scratch) / "trace.json")
        (Path(scratch) / "trace.json").replace(folder / "trace.json")
    total = sum(seconds.values())
    rows = [("part of a step", "ms", "share", "calls")]
    for name, taken in sorted(seconds.items(), key=lambda item: -item[1]):
        rows.append((name, f"{1e3 * taken:,.3f}", f"{taken / total:.1%}", calls.get(name, "")))
    images = trainer.d_steps * trainer.batch_size / free
    rows += [
        ("all parts", f"{1e3 * total:,.3f}", "", ""),
        ("a step, unwatched", f"{1e3 * free:,.3f}", f"{images:,.0f} real samples/s", ""),
        ("arithmetic", f"{flops / 1e9:,.2f}", "GFLOP a step", ""),
        ("rate", f"{flops / free / 1e9:,.1f}", f"GFLOP/s, {flops / free / rate:.1%} of the best", ""),
        ("best, a matrix product", f"{rate / 1e9:,.1f}", f"GFLOP/s in {str(precision.forward)[6:]}", ""),
    ]
    width = max(len(row[0]) for row in rows)
    return "\n".join(f"{a:<{width}}  {b:>12}  {c:<8} {d}".rstrip() for a, b, c, d in rows)
