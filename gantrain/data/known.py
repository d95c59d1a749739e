"""Samples that are drawn fresh for every batch, and those among them whose density is known."""

from __future__ import annotations

import hashlib
import math
from abc import abstractmethod

import numpy as np
import torch
from torch import Tensor

from gantrain.data.source import WHOLE, Batch, Batches, Data

AT_ONCE = 2**22
"""Numbers, one for each pair of a sample and a place, that are held at a time: 32 MB."""


class Fresh(Data):
    """Samples without end: each batch is drawn by itself, from the seed and its position alone."""

    @abstractmethod
    def sample(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return samples (n, *shape) float32 and their classes (n,) int64."""

    def shares(self) -> list[float] | None:
        """Return equal shares; None without classes."""
        return [1 / self.classes] * self.classes if self.classes else None

    def stream(self, batch_size: int, seed: int, device: torch.device, take: slice = WHOLE) -> Batches:
        """Return fresh samples and their classes."""

        def batch_at(position: int) -> Batch:
            samples, drawn = (part[take] for part in self.sample(batch_size, np.random.default_rng([seed, position])))
            # A blocking copy would wait for the GPU at every batch.
            labels = torch.from_numpy(drawn).to(device, non_blocking=True) if self.classes else None
            return torch.from_numpy(samples).to(device, non_blocking=True), labels

        return Batches(batch_at)


class Known(Fresh):
    """Known places with Gaussian noise of one width around them: the density is known, and modes can be counted.

    A place is the centre of a component, or a node on a curve over which the density is integrated.
    """

    centers: np.ndarray
    """The places (K, d) float64, d the numbers in a sample."""
    weights: np.ndarray
    """Their shares (K,), which sum to 1."""
    mode_of: np.ndarray
    """The mode of each place (K,) int64, from 0; all modes have places."""
    std: float
    """Standard deviation of the noise, of each number."""

    @property
    @abstractmethod
    def reach(self) -> float:
        """The distance from the nearest place up to which a sample counts as good."""

    @property
    def mode_shares(self) -> np.ndarray:
        """The share of each mode (modes,)."""
        return np.bincount(self.mode_of, self.weights)

    def identity(self) -> str:
        """Return the description with a digest of places, shares and width."""
        content = self.centers.tobytes() + self.weights.tobytes() + np.float64(self.std).tobytes()
        return f"{self} ({hashlib.sha256(content).hexdigest()[:12]})"

    def nearest(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Return the distance of samples (N, *shape) to their nearest places (N,) float64, and which these are (N,)."""
        places = torch.from_numpy(self.centers)
        parts = samples.flatten(1).double().split(max(1, AT_ONCE // len(places)))
        found = [torch.cdist(part, places).min(1) for part in parts]
        return torch.cat([part.values for part in found]), torch.cat([part.indices for part in found])

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Return log p at x (N, d), (N,) float64."""
        points, d = np.asarray(x, dtype=np.float64), self.centers.shape[1]
        constant = np.log(self.weights) - d * math.log(self.std * math.sqrt(2 * math.pi))
        found, at_once = [np.empty(0)], max(1, AT_ONCE // self.centers.size)
        for start in range(0, len(points), at_once):
            squared = ((points[start : start + at_once, None] - self.centers) ** 2).sum(2)
            found.append(np.logaddexp.reduce(constant - squared / (2 * self.std**2), axis=1))
        return np.concatenate(found)
