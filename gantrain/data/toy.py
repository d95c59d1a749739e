"""Gaussian mixtures on a line or in the plane, whose density is known and can be drawn."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike

from gantrain.data.source import Batch, Batches, Data, numbered
from gantrain.errors import ConfigError


class Mixture(Data):
    """Mixture of isotropic Gaussians; every batch is drawn fresh. A sample's label is its component.

    Args:
        centers: (K, d) means, d = 1 or 2.
        std: standard deviation of every component.
        weights: (K,) shares, scaled to sum to 1; None for equal ones.
    """

    def __init__(self, centers: ArrayLike, std: float, weights: Sequence[float] | None = None) -> None:
        if not std > 0:
            raise ConfigError(f"data.std must be above 0, got {std}")
        try:
            self.centers = np.asarray(centers, dtype=np.float64)
        except (ValueError, TypeError):
            self.centers = np.empty(0)
        if self.centers.ndim != 2 or len(self.centers) == 0 or self.centers.shape[1] not in (1, 2):
            raise ConfigError(
                "data.centers must be a list of points of one or two numbers each, "
                f"like [[-1.0],[2.0]], got {centers!r}"
            )
        shares = np.ones(len(self.centers)) if weights is None else np.asarray(weights, dtype=np.float64)
        if shares.shape != (len(self.centers),) or not (shares > 0).all():
            raise ConfigError(f"data.weights must be {len(self.centers)} numbers above 0, got {weights}")
        self.std, self.weights = std, shares / shares.sum()
        self.shape, self.classes = (self.centers.shape[1],), len(self.centers)
        self.class_names = numbered(self.classes)

    def __str__(self) -> str:
        where = "on a line" if self.shape == (1,) else "in the plane"
        return f"{self.classes} Gaussian{'s' if self.classes > 1 else ''} {where}, std {self.std:.4g}"

    def identity(self) -> str:
        """Return the description with a digest of centres, weights and width."""
        content = self.centers.tobytes() + self.weights.tobytes() + np.float64(self.std).tobytes()
        return f"{self} ({hashlib.sha256(content).hexdigest()[:12]})"

    def shares(self) -> list[float]:
        """Return the components' shares."""
        shares: list[float] = self.weights.tolist()
        return shares

    def sample(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return points (n, d) float32 and components (n,) int64."""
        if (self.weights == self.weights[0]).all():
            component = rng.integers(len(self.centers), size=n)
        else:
            component = rng.choice(len(self.centers), size=n, p=self.weights)
        points = self.centers[component] + self.std * rng.standard_normal((n, *self.shape))
        return points.astype(np.float32), component

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Return log p at x (N, d), (N,) float64."""
        squared = ((np.asarray(x, dtype=np.float64)[:, None] - self.centers) ** 2).sum(2)
        constant = np.log(self.weights) - self.shape[0] * math.log(self.std * math.sqrt(2 * math.pi))
        log_density: np.ndarray = np.logaddexp.reduce(constant - squared / (2 * self.std**2), axis=1)
        return log_density

    def stream(self, batch_size: int, seed: int, device: torch.device) -> Batches:
        """Return fresh points and their components."""

        def batch_at(position: int) -> Batch:
            points, component = self.sample(batch_size, np.random.default_rng([seed, position]))
            # A blocking copy would wait for the GPU at every batch.
            labels = torch.from_numpy(component).to(device, non_blocking=True)
            return torch.from_numpy(points).to(device, non_blocking=True), labels

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
