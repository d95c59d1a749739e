"""Curves in the plane with Gaussian noise around them: spirals, moons, circles and the Swiss roll.

Their density is an integral along the curve, computed at nodes that are dense for the noise.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from gantrain.data.known import Known
from gantrain.data.source import numbered
from gantrain.errors import ConfigError

PANEL, NODES = 4.0, 8
"""Standard deviations that a panel of the quadrature is long at most, and Gauss's nodes in each: exact to 1e-5."""
MOST_NODES = 20_000
"""A curve that is thinner for its length than these can integrate is refused."""
PIECES = 100
"""Into which all curves are cut, of equal shares, to see how much of them is reached."""
REACH = 3.0
"""Standard deviations from a curve up to which a point counts as near it."""


class Curves(Known):
    """Points near one or several curves, all with equal shares; every batch is drawn fresh. The label is the curve's.

    A single curve has no labels. A subclass has ``path``, and calls the constructor when that can be called.

    Args:
        arms: number of curves.
        std: standard deviation of the noise, which is added to each coordinate.
    """

    shape: tuple[int, ...] = (2,)

    def __init__(self, arms: int, std: float) -> None:
        if not std > 0:
            raise ConfigError(f"data.std must be above 0, got {std}")
        self.arms, self.std = arms, std
        self.classes = arms if arms > 1 else 0
        self.class_names = numbered(arms) if arms > 1 else None
        self._integrate()

    @abstractmethod
    def path(self, t: np.ndarray, arm: np.ndarray) -> np.ndarray:
        """Return the places (n, 2) on curves ``arm`` (n,), from t = 0, where a curve begins, to 1, where it ends."""

    def pace(self, u: np.ndarray) -> np.ndarray:
        """Return t where the share ``u`` of a curve's points lies before: u itself if t is uniform."""
        return u

    def slowness(self, t: np.ndarray) -> np.ndarray:
        """Return the density of t, the derivative of what ``pace`` is the inverse of."""
        return np.ones_like(t)

    @property
    def reach(self) -> float:
        """Three standard deviations: noise along a curve leads nowhere, so 99.7% of the points lie within."""
        return REACH * self.std

    @property
    def pieces(self) -> Tensor:
        """The piece of all curves, in [0, 100), that each place belongs to, (K,) int64; shares are about equal."""
        return torch.from_numpy(((np.cumsum(self.weights) - self.weights / 2) * PIECES).astype(np.int64))

    def sample(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return points (n, 2) float32 and the numbers of their curves (n,) int64."""
        arm = rng.integers(self.arms, size=n)
        points = self.path(self.pace(rng.random(n)), arm)
        return (points + self.std * rng.standard_normal(points.shape)).astype(np.float32), arm

    def _integrate(self) -> None:
        """Lay Gauss's nodes along the curves: panels of equal t, so many that none is longer than ``PANEL``."""
        panels = 8
        while (excess := self._longest(panels) / (PANEL * self.std)) > 1:
            panels = math.ceil(1.01 * excess * panels)
            if panels * NODES * self.arms > MOST_NODES:
                raise ConfigError(
                    f"data.std={self.std:g} is too small for curves as long as these: their density cannot be "
                    "integrated; set it higher"
                )
        x, share = np.polynomial.legendre.leggauss(NODES)
        t = ((np.arange(panels)[:, None] + (x + 1) / 2) / panels).ravel()
        self.mode_of = np.arange(self.arms).repeat(len(t))
        self.centers = self.path(np.tile(t, self.arms), self.mode_of)
        weights = np.tile(np.tile(share, panels) * self.slowness(t), self.arms)
        self.weights = weights / weights.sum()

    def _longest(self, panels: int) -> float:
        """Return the length of the longest panel, from eight chords of each."""
        t = np.linspace(0, 1, 8 * panels + 1)
        arms = [self.path(t, np.full(len(t), arm)) for arm in range(self.arms)]
        chords = np.stack([np.hypot(*(b - a)) for arm in arms for a, b in pairwise(arm)])
        return float(chords.reshape(-1, 8).sum(1).max())


class Spiral(Curves):
    """``arms`` spirals r = radius · t, angle 2π · turns · t, t = √u with u uniform: about as many points on any length.

    The two spirals of FFJORD's toy data (Grathwohl et al. 2019, arXiv:1810.01367, the authors' code) are these,
    mirrored, with 1.5 turns, radius π and std 0.1, and with noise in [0, 1/6] beside that.

    Args:
        arms: how many, turned evenly around the origin.
        turns: of each around it.
        radius: of the end.
        std: of the noise.
    """

    def __init__(self, arms: int, turns: float, radius: float, std: float) -> None:
        if isinstance(arms, bool) or not isinstance(arms, int) or arms < 1:
            raise ConfigError(f"data.arms must be a whole number above 0, got {arms!r}")
        if not turns > 0 or not radius > 0:
            raise ConfigError(f"data.turns and data.radius must be above 0, got {turns} and {radius}")
        self.turns, self.radius = turns, radius
        super().__init__(arms, std)

    def __str__(self) -> str:
        arms = f"{self.arms} spirals" if self.arms > 1 else "a spiral"
        return f"{arms} of {self.turns:g} turns to radius {self.radius:g}, std {self.std:.4g}"

    def path(self, t: np.ndarray, arm: np.ndarray) -> np.ndarray:
        """Return places on the spirals."""
        angle = 2 * math.pi * (self.turns * t + arm / self.arms)
        places: np.ndarray = (self.radius * t)[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
        return places

    def pace(self, u: np.ndarray) -> np.ndarray:
        """Return √u: the way grows about as t²."""
        t: np.ndarray = np.sqrt(u)
        return t

    def slowness(self, t: np.ndarray) -> np.ndarray:
        """Return 2t."""
        return 2 * t


class Moons(Curves):
    """Two half circles of radius 1 that reach into each other: scikit-learn's ``make_moons`` with ``noise=std``."""

    def __init__(self, std: float) -> None:
        super().__init__(2, std)

    def __str__(self) -> str:
        return f"two moons, std {self.std:.4g}"

    def path(self, t: np.ndarray, arm: np.ndarray) -> np.ndarray:
        """Return (cos, sin) of the angle πt on the first, (1 - cos, ½ - sin) on the second."""
        outer = np.stack([np.cos(math.pi * t), np.sin(math.pi * t)], 1)
        return np.where(arm[:, None] == 0, outer, np.array([1.0, 0.5]) - outer)


class Rings(Curves):
    """Circles around the origin, one for each radius, with equal shares: those of scikit-learn's ``make_circles``.

    That one has the radii 1 and ``factor``, and ``noise=std``.
    """

    def __init__(self, radii: Sequence[float], std: float) -> None:
        if not radii or not all(radius > 0 for radius in radii) or len(set(radii)) < len(radii):
            raise ConfigError(f"data.radii must be different numbers above 0, got {list(radii)}")
        self.radii = np.asarray(radii, dtype=np.float64)
        super().__init__(len(radii), std)

    def __str__(self) -> str:
        radii = ", ".join(f"{radius:g}" for radius in self.radii)
        return f"circle{'s' if self.arms > 1 else ''} of radius {radii}, std {self.std:.4g}"

    def path(self, t: np.ndarray, arm: np.ndarray) -> np.ndarray:
        """Return places on the circles."""
        places: np.ndarray = self.radii[arm, None] * np.stack([np.cos(2 * math.pi * t), np.sin(2 * math.pi * t)], 1)
        return places


class Circles(Rings):
    """A circle around another, of radius 1 and ``factor``: scikit-learn's ``make_circles`` with ``noise=std``."""

    def __init__(self, factor: float, std: float) -> None:
        if not 0 < factor < 1:
            raise ConfigError(f"data.factor must be between 0 and 1, got {factor}")
        super().__init__([1.0, factor], std)


class SwissRoll(Curves):
    """A rolled-up line, in three dimensions a sheet: scikit-learn's ``make_swiss_roll``, divided by ``scale``.

    (t cos t, t sin t) with t uniform in [1.5π, 4.5π]; in three dimensions (t cos t, h, t sin t) with h uniform in [0,
    21]. WGAN-GP's toy data (Gulrajani et al. 2017, arXiv:1704.00028, Figure 2) are the plane one with scale 7.5, and
    noise 0.25 before it is divided.

    Args:
        dimensions: 2 or 3.
        scale: by what scikit-learn's coordinates are divided.
        std: of the noise, after that.
    """

    def __init__(self, dimensions: int, scale: float, std: float) -> None:
        if dimensions not in (2, 3):
            raise ConfigError(f"data.dimensions must be 2 or 3, got {dimensions}")
        if not scale > 0:
            raise ConfigError(f"data.scale must be above 0, got {scale}")
        self.scale, self.height = scale, 21 / scale if dimensions == 3 else 0.0
        super().__init__(1, std)
        if self.height:
            self.shape = (3,)
            self.centers = self.rolled(self.centers, np.full(len(self.centers), self.height / 2))

    def __str__(self) -> str:
        where = "in three dimensions" if self.height else "in the plane"
        return f"a Swiss roll {where}, scale 1/{self.scale:g}, std {self.std:.4g}"

    def path(self, t: np.ndarray, arm: np.ndarray) -> np.ndarray:
        """Return places on the line."""
        angle = 1.5 * math.pi * (1 + 2 * t)
        places: np.ndarray = (angle / self.scale)[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
        return places

    def rolled(self, line: np.ndarray, height: np.ndarray) -> np.ndarray:
        """Return places (n, 2) of the line at heights (n,) of the sheet, (n, 3)."""
        return np.stack([line[:, 0], height, line[:, 1]], 1)

    def sample(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return points (n, dimensions) float32, and zeros (n,) int64."""
        points, arm = super().sample(n, rng)
        if not self.height:
            return points, arm
        height = self.height * rng.random(n) + self.std * rng.standard_normal(n)
        return self.rolled(points, height.astype(np.float32)), arm

    def nearest(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Return the distance to the line or the sheet, and the nearest place on the line."""
        if not self.height:
            return super().nearest(samples)
        points = samples.double()
        across, place = super().nearest(torch.stack([points[:, 0], torch.full_like(points[:, 1], self.height / 2),
                                                     points[:, 2]], 1))  # fmt: skip
        beyond = (points[:, 1] - points[:, 1].clamp(0, self.height)).abs()
        return torch.hypot(across, beyond), place

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Return log p at x (N, dimensions), (N,) float64."""
        if not self.height:
            return super().log_density(x)
        from scipy.special import log_ndtr  # takes long, and only the sheet needs it

        points = np.array(x, dtype=np.float64)
        height = points[:, 1].copy()
        points[:, 1] = self.height / 2  # the places' height: what is left is the line's density, and noise at its peak
        of_line = super().log_density(points) + math.log(self.std * math.sqrt(2 * math.pi))
        below, above = height / self.std, (height - self.height) / self.std
        # Φ(below) - Φ(above), from the side on which the two are not both close to 1.
        high, low = np.where(below + above > 0, -above, below), np.where(below + above > 0, -below, above)
        log_high = log_ndtr(high)
        of_height = log_high + np.log1p(-np.exp(log_ndtr(low) - log_high)) - math.log(self.height)
        log_density: np.ndarray = of_line + of_height
        return log_density
