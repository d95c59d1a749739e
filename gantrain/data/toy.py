"""Two-dimensional Gaussian mixtures, where the whole distribution is known and can be seen."""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch

from gantrain.data.source import Batch, Batches, Data
from gantrain.errors import ConfigError


class Mixture(Data):
    """Equal-weight mixture of isotropic Gaussians; every batch is drawn fresh. A sample's label is its component.

    Args:
        centers: (K, 2) means.
        std: standard deviation of every component.
    """

    def __init__(self, centers: np.ndarray, std: float) -> None:
        if std <= 0:
            raise ConfigError(f"data.std must be above 0, got {std}")
        self.centers, self.std = np.asarray(centers, dtype=np.float64), std
        self.shape, self.classes = (2,), len(self.centers)

    def __str__(self) -> str:
        return f"{self.classes} Gaussians in the plane, std {self.std}"

    def sample(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return points (n, 2) float32 and components (n,) int64."""
        component = rng.integers(len(self.centers), size=n)
        points = self.centers[component] + self.std * rng.standard_normal((n, 2))
        return points.astype(np.float32), component

    def stream(self, batch_size: int, seed: int, device: torch.device) -> Batches:
        """Return fresh points and their components."""

        def batch_at(position: int) -> Batch:
            points, component = self.sample(batch_size, np.random.default_rng([seed, position]))
            return torch.from_numpy(points).to(device), torch.from_numpy(component).to(device)

        return Batches(batch_at)


class Ring(Mixture):
    """``modes`` Gaussians on a circle of ``radius``. Metz et al. 2017, arXiv:1611.02163, Section 3.1."""

    def __init__(self, modes: int, radius: float, std: float) -> None:
        if modes < 1 or radius <= 0:
            raise ConfigError(f"data.modes and data.radius must be above 0, got {modes} and {radius}")
        angles = 2 * math.pi * np.arange(modes) / modes
        super().__init__(radius * np.stack([np.cos(angles), np.sin(angles)], 1), std)


class Grid(Mixture):
    """side × side Gaussians, ``spacing`` apart, centred on the origin. Dumoulin et al. 2017, arXiv:1606.00704."""

    def __init__(self, side: int, spacing: float, std: float) -> None:
        if side < 1 or spacing <= 0:
            raise ConfigError(f"data.side and data.spacing must be above 0, got {side} and {spacing}")
        axis = spacing * (np.arange(side) - (side - 1) / 2)
        super().__init__(np.array(list(itertools.product(axis, axis))), std)
