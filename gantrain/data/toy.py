"""Gaussian mixtures, whose density is known and can be drawn."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from gantrain.data.known import Known
from gantrain.data.source import numbered
from gantrain.errors import ConfigError
from gantrain.metrics import deviations

WHERE = {1: "on a line", 2: "in the plane"}
TRIES = 1_000
"""Places that are drawn for one Gaussian before it is said that there is no room."""


class Mixture(Known):
    """Mixture of isotropic Gaussians; every batch is drawn fresh. A sample's label is its component.

    Args:
        centers: (K, d) means.
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
        if self.centers.ndim != 2 or self.centers.size == 0 or not np.isfinite(self.centers).all():
            raise ConfigError(
                "data.centers must be a list of points of equally many finite numbers, "
                f"like [[-1.0],[2.0]] on a line or [[0.0,1.0,2.0],[3.0,4.0,5.0]] in space, got {centers!r}"
            )
        shares = np.ones(len(self.centers)) if weights is None else np.asarray(weights, dtype=np.float64)
        if shares.shape != (len(self.centers),) or not (shares > 0).all():
            raise ConfigError(
                f"data.weights must be {len(self.centers)} numbers above 0, got {weights}; "
                "data.weights=null makes them equal"
            )
        self.std, self.weights = std, shares / shares.sum()
        self.freedom = self.centers.shape[1]
        self.shape, self.classes = (self.freedom,), len(self.centers)
        self.mode_of = np.arange(self.classes)
        self.class_names = numbered(self.classes)

    def __str__(self) -> str:
        where = WHERE.get(self.shape[0], f"in {self.shape[0]} dimensions")
        return f"{self.classes} Gaussian{'s' if self.classes > 1 else ''} {where}, std {self.std:.4g}"

    @property
    def reach(self) -> float:
        """Three standard deviations, and more in more than two dimensions, where points lie farther out."""
        return self.std * deviations(self.shape[0])

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


class Gaussians(Mixture):
    """Gaussians at random places, which stay the same: uniform in [-half_width, half_width]^d, but not too close.

    Args:
        modes: how many.
        dimensions: d.
        half_width: of the cube in which their centres lie.
        apart: the least distance between two centres.
        std: standard deviation of each.
        places_seed: other places for another number, 0 or more.
    """

    def __init__(
        self, modes: int, dimensions: int, half_width: float, apart: float, std: float, places_seed: int
    ) -> None:
        for name, number, least in (
            ("modes", modes, 1),
            ("dimensions", dimensions, 1),
            ("places_seed", places_seed, 0),
        ):
            if isinstance(number, bool) or not isinstance(number, int) or number < least:
                raise ConfigError(f"data.{name} must be a whole number, {least} or more, got {number!r}")
        if not half_width > 0 or not apart >= 0:
            raise ConfigError(f"data.half_width must be above 0 and data.apart 0 or more, got {half_width} and {apart}")
        rng, places = np.random.default_rng(places_seed), np.empty((0, dimensions))
        for _ in range(modes):
            tried = rng.uniform(-half_width, half_width, (TRIES, dimensions))
            far = np.ones(TRIES, dtype=bool)
            for place in places:
                far &= ((tried - place) ** 2).sum(1) >= apart**2
            if not far.any():
                raise ConfigError(
                    f"{modes} Gaussians have no room in a cube of half-width {half_width:g} if their centres are "
                    f"{apart:g} apart; set data.half_width higher, or data.apart lower"
                )
            places = np.concatenate([places, tried[far][:1]])
        super().__init__(places, std)
