"""Fréchet distance between two sets of feature vectors, and its value for infinitely many samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BLOCK = 2048  # rows in float64 at a time


@dataclass(frozen=True)
class Gaussian:
    """The normal distribution fitted to feature vectors: mean (d,), and a factor R (r, d) of the covariance RᵀR.

    It holds the factor instead of the covariance: nothing is squared and rooted again, so the distance is right to
    1e-10 even if there are fewer samples than dimensions and the covariance is singular. (torch-fidelity's eigenvalues
    of a product lose half the digits there: the distance of a set from itself comes out as 6e-5.)
    """

    mean: np.ndarray
    factor: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> Gaussian:
        """Fit features (n, d), n ≥ 2, float32 or float64; computed in float64, with the unbiased n - 1."""
        fitting = Fitting()
        fitting.add(features)
        return fitting.gaussian()


class Fitting:
    """Fits a normal distribution to feature vectors that come in batches and are not kept.

    Only R of the QR decomposition of [1 X] is kept. Its first row is √n (1, mean), the others are a factor
    of the centred XᵀX, because the first column of Q is constant and all others are orthogonal to it.
    """

    def __init__(self) -> None:
        self.n = 0
        self._triangle: np.ndarray | None = None
        self._waiting: list[np.ndarray] = []

    def add(self, features: np.ndarray) -> None:
        """Take in features (b, d)."""
        for start in range(0, len(features), BLOCK):
            block = features[start : start + BLOCK].astype(np.float64)
            self.n += len(block)
            self._waiting.append(np.hstack([np.ones((len(block), 1)), block]))
            if sum(map(len, self._waiting)) >= BLOCK:
                self._reduce()

    def gaussian(self) -> Gaussian:
        """Return the distribution; raise ValueError for fewer than two samples."""
        if self.n < 2:
            raise ValueError(f"a covariance needs 2 samples or more, got {self.n}")
        self._reduce()
        assert self._triangle is not None
        mean = self._triangle[0, 1:] / self._triangle[0, 0]
        return Gaussian(mean, self._triangle[1:, 1:] / np.sqrt(self.n - 1))

    def _reduce(self) -> None:
        known = [] if self._triangle is None else [self._triangle]
        if self._waiting:
            self._triangle = np.asarray(np.linalg.qr(np.vstack([*known, *self._waiting]), mode="r"))
            self._waiting = []


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """‖m₁ - m₂‖² + tr(S₁ + S₂ - 2 (S₁S₂)^½). Heusel et al. 2017, arXiv:1706.08500, Section 3.

    The trace of the root is the sum of the singular values of R₁R₂ᵀ, since the eigenvalues of S₁S₂ are their squares.
    """
    root = np.linalg.svd(a.factor @ b.factor.T, compute_uv=False).sum()
    return float(((a.mean - b.mean) ** 2).sum() + (a.factor**2).sum() + (b.factor**2).sum() - 2 * root)


def frechet_infinity(features: np.ndarray, reference: Gaussian, seed: int, points: int = 10) -> tuple[float, float]:
    """Return the distance extrapolated to infinitely many generated samples, and the standard error of that fit.

    The distance of n samples has a bias of about c / n, and c depends on the generator, so at one n two generators can
    be ranked wrongly. Distances of random subsets of n/10 to n are fitted by a line in 1/n, whose value at 0 is
    returned. Chong & Forsyth 2020, arXiv:1911.07023, Algorithm 1 (with random instead of Sobol latents). The reference
    keeps its own size and bias.

    Args:
        features: (n, d), n ≥ 20.
        reference: of the real samples.
        seed: of the subsets.
        points: subset sizes, evenly spaced.
    """
    rng = np.random.default_rng(seed)
    sizes = np.unique(np.linspace(max(len(features) // 10, 2), len(features), points).astype(int))
    distances = [
        frechet_distance(Gaussian.of(features[rng.permutation(len(features))[:size]]), reference) for size in sizes
    ]
    design = np.stack([np.ones(len(sizes)), 1 / sizes], 1)
    fit, *_ = np.linalg.lstsq(design, np.array(distances), rcond=None)
    residual = np.array(distances) - design @ fit
    variance = (residual**2).sum() / max(len(sizes) - 2, 1)
    return float(fit[0]), float(np.sqrt(variance * np.linalg.inv(design.T @ design)[0, 0]))
