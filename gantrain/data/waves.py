"""Signals whose modes are known: sums of sine waves of a few frequencies, at a few phases."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch

from gantrain.data.known import Known
from gantrain.data.signals import LEAST_PER_CYCLE
from gantrain.errors import ConfigError

REACH = 3.0
"""Standard deviations of the noise: how far the numbers of a signal may be from a mode's, root mean square."""


class Waves(Known):
    """Means of ``together`` sine waves with noise; every batch is drawn fresh. The label is the mode.

    A mode is a choice of frequencies and one of ``phases`` phases 2πk/phases, which all its waves begin with: amplitude
    · mean over f of sin(2πfτ + phase), τ in [0, 1). All modes have equal shares. A signal is near a mode if the root
    mean square of their difference is below three times the noise; no signal is near two.

    Args:
        frequencies: cycles over the length of a signal.
        together: how many different ones a signal has.
        phases: how many.
        length: numbers in a signal.
        amplitude: of the sum at most.
        noise: standard deviation of what is added to each number; the sum is cut off at -1 and 1.
    """

    def __init__(
        self, frequencies: Sequence[float], together: int, phases: int, length: int, amplitude: float, noise: float
    ) -> None:
        cycles = [f for f in frequencies if isinstance(f, int | float) and 0 < f <= length / LEAST_PER_CYCLE]
        if not cycles or len(cycles) < len(frequencies) or len(set(cycles)) < len(cycles):
            raise ConfigError(
                f"data.frequencies must be different numbers above 0, at most a quarter of data.length={length}, "
                f"got {list(frequencies)}"
            )
        if not isinstance(together, int) or not 1 <= together <= len(cycles):
            raise ConfigError(f"data.together must be a whole number from 1 to {len(cycles)}, got {together!r}")
        if isinstance(phases, bool) or not isinstance(phases, int) or phases < 1:
            raise ConfigError(f"data.phases must be a whole number above 0, got {phases!r}")
        if not noise > 0 or not 0 < amplitude <= 1 - 4 * noise:
            raise ConfigError(
                "data.noise must be above 0 and data.amplitude at most 1 - 4 · data.noise, so that hardly a number is "
                f"cut off, got {noise} and {amplitude}"
            )
        self.std, self.amplitude, self.phases, self.together = noise, amplitude, phases, together
        self.frequencies, self.shape = cycles, (1, int(length))
        self.centers, self.class_names = self._modes()
        self.classes = len(self.centers)
        self.weights, self.mode_of = np.full(self.classes, 1 / self.classes), np.arange(self.classes)
        self._check_apart()

    def __str__(self) -> str:
        of = ", ".join(f"{f:g}" for f in self.frequencies)
        return (
            f"{self.classes} waves of {self.together} of {of} cycles at {self.phases} phases, {self.shape[1]} long, "
            f"amplitude {self.amplitude:g}, noise {self.std:g}"
        )

    @property
    def reach(self) -> float:
        """The distance of two signals that is three times the noise in each number."""
        return REACH * self.std * math.sqrt(self.shape[1])

    def sample(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return signals (n, 1, length) float32 and their modes (n,) int64."""
        mode = rng.integers(self.classes, size=n)
        waves = self.centers[mode] + self.std * rng.standard_normal((n, self.shape[1]))
        return waves.clip(-1, 1).astype(np.float32)[:, None], mode

    def _modes(self) -> tuple[np.ndarray, tuple[str, ...]]:
        """Return the modes without noise (K, length), and their names."""
        time, signals, names = np.arange(self.shape[1]) / self.shape[1], [], []
        for chosen in itertools.combinations(self.frequencies, self.together):
            for k in range(self.phases):
                waves = [np.sin(2 * math.pi * (f * time + k / self.phases)) for f in chosen]
                signals.append(self.amplitude * np.mean(waves, axis=0))
                names.append(f"cycles_{'_'.join(f'{f:g}' for f in chosen)}_phase_{360 * k / self.phases:g}")
        return np.array(signals), tuple(names)

    def _check_apart(self) -> None:
        if self.classes == 1:
            return
        least = float(torch.pdist(torch.from_numpy(self.centers)).min())
        if least <= 2 * self.reach:
            raise ConfigError(
                f"two of the {self.classes} waves differ by {least / math.sqrt(self.shape[1]):.3g}, root mean square, "
                f"which must be more than 6 · data.noise to tell them apart, and that is {6 * self.std:.3g}; "
                "set data.noise or data.phases lower"
            )
