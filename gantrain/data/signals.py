"""Signals: sine waves whose class is the frequency, and your own from a file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gantrain.data import memory
from gantrain.data.ahead import Ahead, in_a_thread
from gantrain.data.arrays import array_in, check_whole, labels_in
from gantrain.data.known import Fresh
from gantrain.data.names import path_named, plain
from gantrain.data.source import WHOLE, Batch, Batches, Data, EpochOrder
from gantrain.errors import ConfigError, DataError
from gantrain.kinds import Units
from gantrain.terminal import each

NUMBERS = 2**22
"""Of a file that are looked at in one go."""
LEAST_PER_CYCLE = 4
"""Values of a wave: with fewer it is drawn as spikes."""


class Sines(Fresh):
    """Sine waves of random phase and amplitude with noise; every batch is drawn fresh. The label is the frequency's.

    Args:
        frequencies: cycles over the length of a signal, one class each.
        length: numbers in a signal.
        amplitude: the smallest and the largest; each signal's is uniform between them.
        noise: standard deviation of what is added to each number; the sum is cut off at -1 and 1.
    """

    def __init__(self, frequencies: Sequence[float], length: int, amplitude: Sequence[float], noise: float) -> None:
        cycles = [f for f in frequencies if isinstance(f, int | float) and 0 < f <= length / LEAST_PER_CYCLE]
        if not cycles or len(cycles) < len(frequencies) or len(set(cycles)) < len(cycles):
            raise ConfigError(
                f"data.frequencies must be different numbers above 0, at most a quarter of data.length={length}, "
                f"got {list(frequencies)}"
            )
        if len(amplitude) != 2 or not 0 < amplitude[0] <= amplitude[1] <= 1:
            raise ConfigError(f"data.amplitude must be two numbers in (0, 1], the smaller first, got {list(amplitude)}")
        if not noise >= 0:
            raise ConfigError(f"data.noise must be 0 or more, got {noise}")
        self.frequencies, self.noise = np.array(cycles, dtype=np.float64), noise
        self.amplitude = amplitude[0], amplitude[1]
        self.shape, self.classes = (1, int(length)), len(cycles)
        self.class_names = tuple(f"cycles_{f:g}" for f in cycles)

    def __str__(self) -> str:
        of = ", ".join(f"{f:g}" for f in self.frequencies)
        low, high = self.amplitude
        return f"sine waves of {of} cycles, {self.shape[1]} long, amplitude {low:g} to {high:g}, noise {self.noise:g}"

    def sample(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return signals (n, 1, length) float32 and the numbers of their frequencies (n,) int64."""
        drawn = rng.integers(self.classes, size=n)
        amplitude, phase = rng.uniform(*self.amplitude, (n, 1)), rng.uniform(0, 2 * np.pi, (n, 1))
        time = np.arange(self.shape[1]) / self.shape[1]
        waves = amplitude * np.sin(2 * np.pi * self.frequencies[drawn, None] * time + phase)
        waves += self.noise * rng.standard_normal(waves.shape)
        return waves.clip(-1, 1).astype(np.float32)[:, None], drawn


class StoredSignals(Data):
    """Signals that there is a number of, all in memory or read batch by batch."""

    signals: Tensor | None = None
    """All of them (count, channels, length) float32, if they are held in memory."""

    def stream(self, batch_size: int, seed: int, device: torch.device, take: slice = WHOLE) -> Batches:
        """Return batches of signals and their labels."""
        order = EpochOrder(self.count or 0, batch_size, seed, torch.device("cpu"), take)
        pinned = device.type == "cuda"  # only from there a GPU copies while it computes

        def prepare(position: int) -> Batch:
            index = order(position)
            signals, labels = self.at(index.tolist()), None if self.labels is None else self.labels[index]
            if pinned:
                return signals.pin_memory(), None if labels is None else labels.pin_memory()
            return signals, labels

        at = prepare if self.signals is not None and not pinned else Ahead(in_a_thread(prepare))

        def batch_at(position: int) -> Batch:
            signals, labels = at(position)
            there = None if labels is None else labels.to(device, non_blocking=True)
            return signals.to(device, non_blocking=True), there

        return Batches(batch_at)


class SignalFile(StoredSignals):
    """Signals from a file that ``numpy.save`` has written: held in memory if they fit, else read batch by batch.

    Args:
        root: a .npy file with an array (n, channels, length), or (n, length), of real numbers.
        labels: a .npy file with a whole number for each signal (n,); None: there are none.
        scale: map the smallest number of all to -1 and the largest to 1; else all must lie there already.
        in_memory: whether to hold all; None: if they take at most a quarter of the memory.

    Raises:
        ConfigError: for a setting that makes no sense.
        DataError: if a file is missing or holds anything else.
    """

    def __init__(self, root: str, labels: str | None, scale: bool, in_memory: bool | None) -> None:
        for name, value, allowed in (
            ("scale", scale, "true or false"),
            ("in_memory", in_memory, "true, false or null"),
        ):
            if value not in (True, False) and not (value is None and "null" in allowed):
                raise ConfigError(f"data.{name} must be {allowed}, got {value!r}")
        self.path = path_named(root, "file")
        self.array = as_signals(array_in(self.path, "data.root"), self.path)
        self.count, self.shape, self.scale = len(self.array), tuple(self.array.shape[1:]), bool(scale)
        self.size = self.path.stat().st_size
        self.low, self.high, self.digest = looked_over(self.array, self.path)
        self._check_range()
        if self.scale:
            self.units = Units((self.low / 2 + self.high / 2,), ((self.high - self.low) / 2,))
        self.classes = 0
        if labels is not None:
            file = path_named(labels, "file", "data.labels")
            self.labels, self.class_names = labels_in(array_in(file, "data.labels", "fiub"), self.count, file)
            self.classes = len(self.class_names)
        held = 4 * self.array.size <= memory.limit() / 4 if in_memory is None else in_memory
        self.signals = torch.cat([self.as_floats(part) for part in parts(self.array)]) if held else None

    def __str__(self) -> str:
        scaled = f", scaled from {self.low:.4g} to {self.high:.4g}" if self.scale else ""
        return f"{self.count:,} signals {super().__str__()}{scaled}"

    def fingerprint(self) -> str:
        """Return the description and a digest of every number."""
        return f"{self} ({self.digest})"

    def at(self, index: Sequence[int]) -> Tensor:
        """Return signals by their numbers, (n, channels, length) float32 in [-1, 1].

        Raises:
            DataError: if the file has become shorter since it was opened.
        """
        rows = np.asarray(index, dtype=np.int64)
        if self.signals is not None:
            return self.signals[torch.from_numpy(rows)]
        check_whole(self.path, self.size)
        return self.as_floats(self.array[rows])

    def as_floats(self, rows: np.ndarray) -> Tensor:
        """Return rows of the array as float32 in [-1, 1]."""
        if self.scale:
            rows = (rows.astype(np.float64) - self.low) * (2 / (self.high - self.low)) - 1
        return torch.from_numpy(np.clip(rows, -1, 1).astype(np.float32))

    def _check_range(self) -> None:
        reach = f"{plain(self.path)}: the numbers reach from {self.low:.6g} to {self.high:.6g}"
        if not self.scale and not -1 <= self.low <= self.high <= 1:
            raise DataError(f"{reach}, and signals lie in [-1, 1]; use data.scale=true")
        if self.scale and not 1e-300 < self.high - self.low < np.inf:
            raise DataError(f"{reach}, which cannot be scaled to [-1, 1]")


def as_signals(array: np.ndarray, path: Path) -> np.ndarray:
    """Return the array as (n, channels, length); raise DataError if it has another shape, or nothing in it."""
    if array.ndim not in (2, 3) or not array.size:
        raise DataError(
            f"{plain(path)} must hold an array (n, length) or (n, channels, length) that is not empty, got shape "
            f"{array.shape}"
        )
    return array[:, None] if array.ndim == 2 else array


def parts(array: np.ndarray) -> list[np.ndarray]:
    """Return the array in parts of whole signals, none of which takes much memory."""
    rows = max(1, NUMBERS // array[0].size)
    return [array[start : start + rows] for start in range(0, len(array), rows)]


def looked_over(array: np.ndarray, path: Path) -> tuple[float, float, str]:
    """Return the smallest and the largest number, and a digest of all.

    Raises:
        DataError: if one is not finite.
    """
    low, high, digest, start = np.inf, -np.inf, hashlib.sha256(str(array.dtype).encode()), 0
    for part in each(parts(array), "reading the signals", "part"):
        finite = np.isfinite(part).all(axis=(1, 2))
        if not finite.all():
            first = start + int(finite.argmin())
            raise DataError(f"{plain(path)}: signal {first:,} has a value that is not finite; mend it or leave it out")
        low, high = min(low, float(part.min())), max(high, float(part.max()))
        digest.update(np.ascontiguousarray(part).data)
        start += len(part)
    return low, high, digest.hexdigest()[:12]
