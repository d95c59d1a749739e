"""Integrals of Gaussian mixtures on cells that are fine where a component is thin, however thin it is."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

WIDTH = 0.25
"""Width of a cell, in standard deviations of the thinnest component that has mass there."""
NEGLIGIBLE = -32.0
"""Logarithm of the share of an integral that a cell may hold and stay coarse: 1e-14."""
MOST_CELLS = 1_000_000
"""A million cells in the plane are four million points, some seconds for a few dozen components."""
AT_ONCE = 4096
"""Points whose densities are computed at a time: their numbers for each component stay in the processor's cache."""
REACH = 10.0
"""Half-width of the box to integrate over, in standard deviations beyond the outermost centres."""
NODES = np.array([-1.0, 1.0]) / math.sqrt(3)
"""Gauss's two points in [-1, 1], of equal weight: exact for polynomials up to the third degree."""


class Mixture:
    """Gaussians of one width: ``centers`` (K, d) or (K,) for d = 1, ``std`` a number or one for each axis (d,).

    Args:
        centers: means of the components.
        std: standard deviation of every component, above 0.
        weights: (K,) shares above 0, summing to 1; None for equal ones.

    Raises:
        ValueError: for other shapes or values.
    """

    def __init__(self, centers: ArrayLike, std: ArrayLike, weights: ArrayLike | None = None) -> None:
        array = np.asarray(centers, dtype=np.float64)
        self.centers = array[:, None] if array.ndim == 1 else array
        if self.centers.ndim != 2 or self.centers.size == 0 or not np.isfinite(self.centers).all():
            raise ValueError(f"centers must be (K, d) or (K,) finite numbers, got {centers!r}")
        count, d = self.centers.shape
        self.std = np.asarray(std, dtype=np.float64)
        if self.std.shape not in ((), (d,)) or not ((self.std > 0) & np.isfinite(self.std)).all():
            raise ValueError(f"std must be a number above 0, or {d} of them, got {std!r}")
        self.std = np.broadcast_to(self.std, (d,))
        self.weights = np.full(count, 1 / count) if weights is None else np.asarray(weights, dtype=np.float64)
        if (
            self.weights.shape != (count,)
            or not (self.weights > 0).all()
            or not math.isclose(self.weights.sum(), 1, rel_tol=1e-6)
        ):
            raise ValueError(f"weights must be {count} numbers above 0 that sum to 1, got {weights!r}")

    @property
    def log_peaks(self) -> Array:
        """The logarithm of each component's density at its centre, (K,)."""
        peaks: Array = np.log(self.weights) - np.log(self.std * math.sqrt(2 * math.pi)).sum()
        return peaks

    def log_density(self, x: Array) -> Array:
        """Return log p at x (N, d)."""
        return self.smallest(x, x)

    def smallest(self, low: Array, high: Array) -> Array:
        """Return numbers (N,) that log p does not fall below in the boxes from ``low`` (N, d) to ``high`` (N, d)."""
        return self.from_distances(low, high, lambda low, high, c: np.maximum(abs(low - c), abs(high - c)))

    def largest(self, low: Array, high: Array) -> Array:
        """Return numbers (N,) that log p does not exceed in the boxes from ``low`` (N, d) to ``high`` (N, d)."""
        return self.from_distances(low, high, lambda low, high, c: np.maximum(np.maximum(low - c, c - high), 0))

    def from_distances(self, low: Array, high: Array, distance: Callable[[Array, Array, Array], Array]) -> Array:
        """Return log p (N,) at the distances from the centres that boxes (N, d) have along each axis."""
        found = []
        for start in range(0, len(low), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            exponents = self.log_peaks
            for axis, s in enumerate(self.std):  # one by one: (N, K, d) numbers would fill the memory
                apart = distance(low[part, axis, None], high[part, axis, None], self.centers[:, axis])
                exponents = exponents - 0.5 * (apart / s) ** 2
            highest = exponents.max(1)
            found.append(highest + np.log(np.exp(exponents - highest[:, None]).sum(1)))
        return np.concatenate(found)


def split(low: Array, high: Array, allowed: Callable[[Array, Array], Array]) -> tuple[Array, Array]:
    """Halve a box until no cell is wider than it may be. Returns the cells' corners, (N, d) each.

    Args:
        low: (d,).
        high: (d,).
        allowed: corners (N, d) of cells -> widths (N, d) that they may have.

    Raises:
        ValueError: if that takes more than ``MOST_CELLS``.
    """
    done: list[tuple[Array, Array]] = []
    low, high = low[None], high[None]
    while len(low):
        excess = (high - low) / allowed(low, high)
        wide = excess.max(1) > 1
        done.append((low[~wide], high[~wide]))
        low, high, axis = low[wide], high[wide], excess[wide].argmax(1)
        if sum(len(some) for some, _ in done) + 2 * len(low) > MOST_CELLS:
            raise ValueError(
                f"the distributions are so thin that their integral takes more than {MOST_CELLS:,} cells: "
                "give fewer or wider components, or compare Samples"
            )
        middle, upper, rows = high.copy(), low.copy(), np.arange(len(low))
        middle[rows, axis] = upper[rows, axis] = (low[rows, axis] + high[rows, axis]) / 2
        low, high = np.concatenate([low, upper]), np.concatenate([middle, high])
    return np.concatenate([a for a, _ in done]), np.concatenate([b for _, b in done])


def nodes(low: Array, high: Array) -> tuple[Array, Array]:
    """Return the points (2^d N, d) of Gauss's rule in cells, and the logarithm of the volume of each (2^d N,)."""
    d = low.shape[1]
    unit = np.stack([axis.ravel() for axis in np.meshgrid(*[NODES] * d, indexing="ij")], axis=1)
    points = ((low + high) / 2)[:, None] + ((high - low) / 2)[:, None] * unit
    log_volume = np.log((high - low) / 2).sum(1)
    return points.reshape(-1, d), np.repeat(log_volume, 2**d)


def where_either_is(p: Mixture, q: Mixture, width: float = WIDTH) -> tuple[Array, Array]:
    """Return points and log volumes that integrate functions of p and q which neither exceed by much.

    A cell that holds more than a negligible share of a distribution is at most ``width`` of its standard deviations
    wide.
    """

    def allowed(low: Array, high: Array) -> Array:
        log_volume = np.log(high - low).sum(1)
        widths = np.full_like(low, math.inf)
        for x in (p, q):
            holds = x.largest(low, high) + log_volume > NEGLIGIBLE
            widths[holds] = np.minimum(widths[holds], width * x.std)
        return widths

    low = np.min([(x.centers - REACH * x.std).min(0) for x in (p, q)], axis=0)
    high = np.max([(x.centers + REACH * x.std).max(0) for x in (p, q)], axis=0)
    return nodes(*split(low, high, allowed))


def where_the_square_is(p: Mixture, q: Mixture, kl: float, width: float = WIDTH) -> tuple[Array, Array]:
    """Return points and log volumes that integrate p²/q, which may lie far from p and from q.

    p_i²/q_j of two components is a Gaussian of precision 2/σ_p² - 1/σ_q², which must be above 0 on each axis. Around
    its centres lies the box. A cell is fine if it may hold more than a negligible share of the integral, which is at
    least exp(KL(p‖q)) by Jensen's inequality.
    """
    precision = 2 / p.std**2 - 1 / q.std**2
    centers = (2 * p.centers[:, None] / p.std**2 - q.centers / q.std**2) / precision
    reach = REACH / np.sqrt(precision)

    def allowed(low: Array, high: Array) -> Array:
        largest = 2 * p.largest(low, high) - q.smallest(low, high) + np.log(high - low).sum(1)
        holds = largest > kl + NEGLIGIBLE
        return np.where(holds[:, None], width * np.minimum(p.std, q.std), math.inf)

    return nodes(*split(centers.min((0, 1)) - reach, centers.max((0, 1)) + reach, allowed))
