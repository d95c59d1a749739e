"""Fréchet distance between two sets of feature vectors, and its value for infinitely many samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BLOCK = 2048  # rows in float64 at a time
PER_DIMENSION = 2.5  # samples of each part that a distance is extrapolated from
MOST_PARTS = 4


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


def frechet_infinity(features: np.ndarray, reference: Gaussian | np.ndarray, seed: int) -> tuple[float, float]:
    """Return the distance extrapolated to infinitely many generated samples, and its standard error.

    The distance of n samples has a bias of about c / n, and c depends on the generator, so at one n two generators can
    be ranked wrongly. Halves of the samples have twice the bias, so 2 FID(n) - FID(n/2) has none of this order. Chong &
    Forsyth 2020, arXiv:1911.07023, fit a line through many subsets; here the line goes through the whole and the mean
    of two random halves, because smaller parts bend it: below 2.5 d samples the bias is not c / n any more.

    The error is that of drawing n samples, by the first-order influence of each on the distance, together with what a
    parabola, also through thirds and quarters if these are large enough, would give instead. The reference keeps its
    own size, bias and error.

    Args:
        features: (n, d), float32 or float64.
        reference: of the real samples: their distribution, or their features (m, d).
        seed: of the parts.

    Raises:
        ValueError: if n < 5 d, so that not even halves are large enough.
    """
    n, d = features.shape
    if n < (least := samples_for_infinity(d)):
        raise ValueError(
            f"{n:,} samples of {d:,} features are too few to extrapolate the distance from; {least:,} are needed"
        )
    if not isinstance(reference, Gaussian):
        reference = Gaussian.of(reference)
    shuffled = features[np.random.default_rng(seed).permutation(n)]
    whole = Gaussian.of(features)
    parts = np.arange(1, min(MOST_PARTS, int(n / (PER_DIMENSION * d))) + 1)
    distances = [
        np.mean([frechet_distance(Gaussian.of(part), reference) for part in np.array_split(shuffled, k)]) for k in parts
    ]
    value = 2 * distances[0] - distances[1]
    bend = np.polyfit(parts, distances, 2)[-1] - value if len(parts) > 2 else 0.0
    of_samples = influences(features, whole, reference).std(ddof=1) / np.sqrt(n)
    return float(value), float(np.hypot(of_samples, bend))


def samples_for_infinity(d: int) -> int:
    """Return how many samples of d features ``frechet_infinity`` needs."""
    return int(2 * PER_DIMENSION * d)


def influences(features: np.ndarray, fitted: Gaussian, reference: Gaussian) -> np.ndarray:
    """Return by how much each of the features (n, d), given n times its weight, would move the distance: (n,).

    With y = x - m₁ it is 2 (m₁ - m₂)·y + yᵀ(1 - T)y up to a constant, where T is the map of optimal transport from
    ``fitted`` to ``reference``: the derivative of the distance by the mean, and by the covariance (Bhatia, Jain & Lim
    2019, arXiv:1712.01504). With R₁R₂ᵀ = UΣVᵀ, yᵀTy is ‖Σ^½ Uᵀ w‖² where R₁ᵀw = y.
    """
    left, singular, _ = np.linalg.svd(fitted.factor @ reference.factor.T, full_matrices=False)
    onto = np.sqrt(singular)[:, None] * (left.T @ np.linalg.pinv(fitted.factor.T, rcond=1e-10))
    parts = []
    for start in range(0, len(features), BLOCK):
        y = features[start : start + BLOCK].astype(np.float64) - fitted.mean
        parts.append(2 * y @ (fitted.mean - reference.mean) + (y**2).sum(1) - ((y @ onto.T) ** 2).sum(1))
    return np.concatenate(parts)
