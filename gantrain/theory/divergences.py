"""How far apart are two distributions? KL, JS, every f-divergence of Nowozin et al., and Wasserstein distances.

A distribution is a list of probabilities, or one of

    Discrete(weights, points)   probabilities of symbols, which for Wasserstein lie at points
    Samples(points)             if only samples are known; the results are consistent estimates, not exact
    Gaussian(mean, covariance)
    Mixture(centers, std)       Gaussians of one width

    >>> from gantrain.theory.divergences import js
    >>> round(js([0.5, 0.5], [0.9, 0.1]), 6), round(js([0.5, 0.5], [0.9, 0.1], unit="bits"), 6)
    (0.101749, 0.146793)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gantrain.theory.integration import WIDTH, Array, Mixture, where_either_is, where_the_square_is

__all__ = [
    "F_DIVERGENCES",
    "Discrete",
    "Gaussian",
    "Mixture",
    "Samples",
    "f_divergence",
    "fisher_distance",
    "js",
    "kl",
    "total_variation",
    "wasserstein",
]


class Discrete:
    """Probabilities of K symbols.

    Args:
        weights: (K,), 0 or more, summing to 1.
        points: (K, d) or (K,), where the symbols lie; only Wasserstein needs it.

    Raises:
        ValueError: if the weights are no probabilities, or the points do not match.
    """

    def __init__(self, weights: ArrayLike, points: ArrayLike | None = None) -> None:
        self.weights = np.asarray(weights, dtype=np.float64)
        if (
            self.weights.ndim != 1
            or not (self.weights >= 0).all()
            or not math.isclose(self.weights.sum(), 1, rel_tol=1e-6)
        ):
            raise ValueError(f"probabilities must be 0 or more and sum to 1, got {weights!r}")
        self.points = None if points is None else as_points(points)
        if self.points is not None and len(self.points) != len(self.weights):
            raise ValueError(f"{len(self.weights)} probabilities need as many points, got {len(self.points)}")


class Samples:
    """Points (N, d) or (N,), finite, drawn from a distribution."""

    def __init__(self, points: ArrayLike) -> None:
        self.points = as_points(points)


class Gaussian:
    """A normal distribution: ``mean`` (d,) or a number, ``covariance`` (d, d), or a number for d = 1.

    Raises:
        ValueError: unless the mean is finite and the covariance symmetric and positive definite beyond rounding.
    """

    def __init__(self, mean: ArrayLike, covariance: ArrayLike) -> None:
        self.mean = np.atleast_1d(np.asarray(mean, dtype=np.float64))
        self.covariance = np.atleast_2d(np.asarray(covariance, dtype=np.float64))
        d = len(self.mean)
        if not np.isfinite(self.mean).all():
            raise ValueError(f"the mean must be finite, got {mean!r}")
        if self.covariance.shape != (d, d) or not np.allclose(self.covariance, self.covariance.T):
            raise ValueError(f"a mean of {d} numbers needs a symmetric {d}×{d} covariance, got {covariance!r}")
        variances = np.diag(self.covariance)
        if (variances <= 0).any() or np.linalg.eigvalsh(correlations(self.covariance)).min() <= d * ROUNDING:
            raise ValueError(
                f"the covariance must be positive definite, no correlation being 1 within rounding, got {covariance!r}"
            )


ROUNDING = 1e-12
"""The smallest eigenvalue of a correlation matrix that is known to three digits beside float64's rounding."""


def correlations(covariance: Array) -> Array:
    """Return the correlation matrix of a covariance matrix (d, d)."""
    deviations = np.sqrt(np.diag(covariance))
    matrix: Array = covariance / np.outer(deviations, deviations)
    return matrix


Distribution = Discrete | Samples | Gaussian | Mixture


@dataclass(frozen=True)
class Generator:
    """A divergence D_f(p‖q) = Σ q f(p/q): its summand, and the limits where p or q is 0.

    The summand takes log p and log q, because densities themselves underflow in their tails.
    """

    summand: Callable[[Array, Array], Array]
    at_zero: float  # f(0): the summand of a symbol with p = 0, over q
    slope: float  # lim f(u)/u: the summand of a symbol with q = 0, over p
    in_nats: bool = False


def kl_summand(log_p: Array, log_q: Array) -> Array:
    """Return p log(p/q)."""
    summand: Array = np.exp(log_p) * (log_p - log_q)
    return summand


def chi_squared_summand(log_p: Array, log_q: Array) -> Array:
    """Return (p-q)²/q = q (e^r - 1)², r = log p/q; |e^r - 1| = e^max(r, 0) (1 - e^-|r|)."""
    r = log_p - log_q
    with np.errstate(divide="ignore"):  # log 0 = -∞ where p = q: a summand of 0
        summand: Array = np.exp(log_q + 2 * np.maximum(r, 0) + 2 * np.log(-np.expm1(-abs(r))))
    return summand


def gan_summand(log_p: Array, log_q: Array, shift: float = 0.0) -> Array:
    """Return p (log p/(p+q) + shift) + q (log q/(p+q) + shift)."""
    summand: Array = np.exp(log_p) * (shift - np.logaddexp(0, log_q - log_p)) + np.exp(log_q) * (
        shift - np.logaddexp(0, log_p - log_q)
    )
    return summand


F_DIVERGENCES: dict[str, Generator] = {
    "kl": Generator(kl_summand, 0, math.inf, True),
    "reverse_kl": Generator(lambda p, q: kl_summand(q, p), math.inf, 0, True),
    "pearson": Generator(chi_squared_summand, 1, math.inf),
    "neyman": Generator(lambda p, q: chi_squared_summand(q, p), math.inf, 1),
    "squared_hellinger": Generator(lambda p, q: (np.exp(p / 2) - np.exp(q / 2)) ** 2, 1, 1),
    "jensen_shannon": Generator(lambda p, q: gan_summand(p, q, math.log(2)), math.log(2), math.log(2), True),
    "gan": Generator(gan_summand, 0, 0, True),
    "total_variation": Generator(lambda p, q: np.abs(np.exp(p) - np.exp(q)) / 2, 0.5, 0.5),
    "le_cam": Generator(lambda p, q: np.abs((np.exp(p) - np.exp(q)) * np.tanh((p - q) / 2)) / 2, 0.5, 0.5),
}
"""By the names of the f-GAN losses; ``jensen_shannon`` is Nowozin's, twice ``js``; ``le_cam`` is ½ Σ (p-q)²/(p+q)."""

BOUNDED: dict[str, Callable[[Array], Array]] = {
    "squared_hellinger": lambda r: 1 - 1 / np.cosh(np.minimum(abs(r), 1400) / 2),
    "jensen_shannon": lambda r: gan_summand(-np.logaddexp(0, -r), -np.logaddexp(0, r), math.log(2)),
    "total_variation": lambda r: np.abs(np.tanh(r / 2)) / 2,
    "le_cam": lambda r: np.tanh(r / 2) ** 2 / 2,
}
"""h(log p/q) = q f(p/q)/(p+q), so that D_f = E_p h + E_q h: an estimate from samples stays within its bounds."""


def f_divergence(p: Any, q: Any, name: str) -> float:
    """Return D_f(p‖q), in nats where a logarithm is involved. Nowozin et al. 2016, arXiv:1606.00709, Table 1.

    It is ∞ if the divergence is infinite, or too large for a number, beyond 1.8e308.

    Discrete: exact. Gaussian: kl, reverse_kl, pearson, neyman and squared_hellinger in closed form, the rest by
    integration in one or two dimensions. Mixture: by integration on a line or in the plane; pearson and neyman in
    closed form if the one that divides has one component. Samples: the density ratio at each sample from its nearest
    neighbours; an infinite divergence has a finite estimate, which grows with the number of samples.

    Raises:
        ValueError: for an unknown name, distributions of different kinds or dimensions, more than two dimensions where
            there is no closed form, an integral that takes too many cells, or samples that coincide.
    """
    if name not in F_DIVERGENCES:
        raise ValueError(f"there is no f-divergence {name!r}; there is {', '.join(F_DIVERGENCES)}")
    p, q = pair(p, q)
    if isinstance(p, Gaussian):
        if name in ("kl", "reverse_kl"):
            return kl_of_gaussians(p, q) if name == "kl" else kl_of_gaussians(q, p)
        p, q = with_common_axes(p, q)
        if name == "squared_hellinger":
            return hellinger_of_gaussians(p, q)
    if isinstance(p, Mixture):
        return of_mixtures(p, q, [name])[name]
    if isinstance(p, Discrete):
        return of_weights(p.weights, q.weights, F_DIVERGENCES[name])
    return of_samples(p.points, q.points, name)


def kl(p: Any, q: Any, unit: str = "nats") -> float:
    """Return KL(p‖q) = Σ p log(p/q), in nats or bits. For samples: Wang et al. 2009, IEEE Trans. IT 55(5)."""
    return f_divergence(p, q, "kl") / nats_per(unit)


def js(p: Any, q: Any, unit: str = "nats") -> float:
    """Return the Jensen-Shannon divergence ½ KL(p‖m) + ½ KL(q‖m), m = (p+q)/2, in [0, log 2] nats or [0, 1] bits."""
    return f_divergence(p, q, "jensen_shannon") / 2 / nats_per(unit)


def total_variation(p: Any, q: Any) -> float:
    """Return ½ Σ |p - q|, in [0, 1]."""
    return f_divergence(p, q, "total_variation")


def fisher_distance(p: Any, q: Any) -> float:
    """Return (Σ (p-q)²/((p+q)/2))^½, in [0, 2]: what Fisher GAN estimates. Mroueh & Sercu 2017, arXiv:1705.09675."""
    return 2 * math.sqrt(f_divergence(p, q, "le_cam"))


def wasserstein(p: Any, q: Any, order: int = 1) -> float:
    """Return the Wasserstein distance of order 1 or 2, in units of the points, for the Euclidean distance.

    Discrete and Samples: exact optimal transport between them, by quantiles on a line, by assignment for equally many
    samples, else by linear programming (some hundred points). Gaussian: order 2 in closed form, order 1 on a line.
    Mixture: on a line, by quantiles of fine cells.

    Raises:
        ValueError: for another order, discrete distributions without points, Gaussians of order 1 beyond a line, or
            mixtures beyond a line.
    """
    if order not in (1, 2):
        raise ValueError(f"order must be 1 or 2, got {order}")
    p, q = pair(p, q)
    if isinstance(p, Gaussian):
        if order == 2:
            return wasserstein_2_of_gaussians(p, q)
        if len(p.mean) > 1:
            raise ValueError("order 1 has no closed form beyond a line; use order=2, or Samples")
        return wasserstein_1_of_gaussians(p, q)
    if isinstance(p, Mixture):
        if p.centers.shape[1] > 1:
            raise ValueError("mixtures have no closed form beyond a line; compare Samples")
        points, log_volume = where_either_is(p, q)
        p, q = (Discrete(np.exp(log_shares(x, points, log_volume)), points) for x in (p, q))
    if isinstance(p, Samples):
        p, q = (Discrete(np.full(len(s.points), 1 / len(s.points)), s.points) for s in (p, q))
    if p.points is None or q.points is None:
        raise ValueError("Wasserstein needs to know where the symbols lie: Discrete(weights, points)")
    return transport(p, q, order)


def as_points(points: ArrayLike) -> Array:
    """Return points as (N, d) float64."""
    array = np.asarray(points, dtype=np.float64)
    if array.ndim not in (1, 2) or len(array) == 0:
        raise ValueError(f"points must be (N, d) or (N,), got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"points must be finite, got {int((~np.isfinite(array)).sum())} numbers that are not")
    return array[:, None] if array.ndim == 1 else array


def pair(p: Any, q: Any) -> tuple[Any, Any]:
    """Return both as distributions of one kind and dimension; plain lists are probabilities."""
    p, q = (x if isinstance(x, Distribution) else Discrete(x) for x in (p, q))
    if type(p) is not type(q):
        raise ValueError(f"{type(p).__name__} cannot be compared with {type(q).__name__}")
    if isinstance(p, Discrete) and p.points is None and len(p.weights) != len(q.weights):
        raise ValueError(f"both need the same symbols, got {len(p.weights)} and {len(q.weights)}")
    widths = [d for x in (p, q) if (d := dimensions(x)) is not None]
    if len(set(widths)) > 1:
        raise ValueError(f"both need the same dimension, got {widths[0]} and {widths[1]}")
    return p, q


def dimensions(x: Distribution) -> int | None:
    """Return the number of dimensions, None for symbols that lie nowhere."""
    if isinstance(x, Gaussian):
        return len(x.mean)
    if isinstance(x, Mixture):
        return len(x.std)
    return None if x.points is None else x.points.shape[1]


def nats_per(unit: str) -> float:
    """Return how many nats one ``unit`` is."""
    if unit not in ("nats", "bits"):
        raise ValueError(f"unit must be nats or bits, got {unit!r}")
    return math.log(2) if unit == "bits" else 1.0


def of_weights(p: Array, q: Array, generator: Generator) -> float:
    """Return Σ q f(p/q) with the limits where p or q is 0."""
    if len(p) != len(q):
        raise ValueError(f"both need the same symbols, got {len(p)} and {len(q)}")
    both = (p > 0) & (q > 0)
    with np.errstate(over="ignore"):  # a value too large for a number is infinite
        total = float(generator.summand(np.log(p[both]), np.log(q[both])).sum())
    only_p, only_q = float(p[q == 0].sum()), float(q[p == 0].sum())
    if only_q > 0:
        total += only_q * generator.at_zero
    if only_p > 0:
        total += only_p * generator.slope
    return total


def of_mixtures(p: Mixture, q: Mixture, names: Collection[str]) -> dict[str, float]:
    """Return D_f of each name, by integration on cells that are fine where p or q is thin.

    Raises:
        ValueError: in more than two dimensions, or if it takes too many cells.
    """
    if "pearson" in names or "neyman" in names:
        ways = {"pearson": (p, q), "neyman": (q, p)}
        found = {name: chi_squared(*ways[name]) for name in ways if name in names}
        return found | of_mixtures(p, q, [name for name in names if name not in ways])
    if not names:
        return {}
    if (d := p.centers.shape[1]) > 2:
        raise ValueError(f"in {d} dimensions this has no closed form and no grid fits; compare Samples")

    def integrals(width: float) -> Array:
        points, log_volume = where_either_is(p, q, width)
        logs = [log_shares(x, points, log_volume) for x in (p, q)]
        return np.array([F_DIVERGENCES[name].summand(*logs).sum() for name in names])

    return dict(zip(names, refined(integrals).tolist(), strict=True))


def refined(integrals: Callable[[float], Array]) -> Array:
    """Return integrals, given the width of a cell -> (n,), on cells so narrow that the last halving left three digits.

    Raises:
        ValueError: if that takes too many cells.
    """
    width = 2 * WIDTH
    before, found = integrals(width), integrals(width / 2)
    while not np.isclose(before, found, rtol=1e-3, atol=1e-3).all():
        width /= 2
        before, found = found, integrals(width / 2)
    return found


def of_samples(x: Array, y: Array, name: str) -> float:
    """Return D_f from samples x ~ p (N, d), y ~ q (M, d), by density ratios estimated from nearest neighbours.

    KL with one neighbour, whose bias cancels; the others with √N neighbours, whose noise is small.

    Raises:
        ValueError: for too few samples, or if any two coincide.
    """
    if name in ("reverse_kl", "neyman"):
        return of_samples(y, x, {"reverse_kl": "kl", "neyman": "pearson"}[name])
    if name == "gan":
        return of_samples(x, y, "jensen_shannon") - math.log(4)
    check_no_ties(x, y)
    if name == "kl":
        return float(np.mean(log_ratio(x, x, y, 1)))
    neighbours = max(1, round(math.sqrt(min(len(x), len(y)))))
    at_x, at_y = log_ratio(x, x, y, neighbours), log_ratio(y, x, y, neighbours)
    if name in BOUNDED:
        value = float(BOUNDED[name](at_x).mean() + BOUNDED[name](at_y).mean())
        if name != "jensen_shannon":
            return value
        # E_p log 2p/(p+q) + E_q log 2q/(p+q) is nearer, but with a wrong ratio it may fall anywhere below JS.
        return max(value, float(2 * math.log(2) - np.logaddexp(0, -at_x).mean() - np.logaddexp(0, at_y).mean()))
    with np.errstate(over="ignore"):  # a value too large for a number is infinite
        return float((np.expm1(at_y) ** 2).mean())  # pearson: E_q (p/q - 1)²


def check_no_ties(x: Array, y: Array) -> None:
    """Raise ValueError if two samples coincide.

    The estimators are for densities, under which no two do (Pérez-Cruz 2008, ISIT; Wang et al. 2009): the distance to
    a neighbour would be 0, and its logarithm -∞.
    """
    points = np.concatenate([x, y])
    ties = len(points) - len(np.unique(points, axis=0))
    if ties:
        raise ValueError(
            f"{ties} of {len(points)} samples coincide with another, but nearest neighbours measure densities, under "
            "which none do: count equal samples and compare Discrete, or add noise to both"
        )


def log_ratio(at: Array, x: Array, y: Array, k: int) -> Array:
    """Return log p/q at points ``at``, which are x or y themselves, from the distances to the k-th neighbours."""
    from scipy.spatial import cKDTree

    def distance(to: Array) -> Array:
        own = to is at  # a sample is its own nearest neighbour
        found: Array = cKDTree(to).query(at, k=[k + own])[0][:, 0]
        return found

    n, m = len(x) - (at is x), len(y) - (at is y)
    if min(n, m) < k:
        raise ValueError("too few samples to find a nearest neighbour")
    ratio: Array = at.shape[1] * (np.log(distance(y)) - np.log(distance(x))) + math.log(m / n)
    return ratio


def check_digits(name: str, fine: float, coarse: float) -> None:
    """Raise ValueError unless two integrals agree to 1e-3, or are both too large for a number."""
    if fine != coarse and not abs(fine - coarse) <= 1e-3 * max(abs(fine), 1):
        raise ValueError(
            f"the integral of {name} is not sure to three digits: it is {fine:.6g}, and {coarse:.6g} on cells of twice "
            "the width; compare Samples"
        )


def log_shares(x: Mixture, points: Array, log_volume: Array) -> Array:
    """Return the logarithm of the probability (N,) of the cells around points, summing to 1."""
    logs = x.log_density(points) + log_volume
    shares: Array = logs - log_of_sum(logs)
    return shares


def log_of_sum(logs: Array) -> float:
    """Return log Σ e^logs."""
    largest = logs.max()
    return float(largest + np.log(np.exp(logs - largest).sum()))


def chi_squared(p: Mixture, q: Mixture) -> float:
    """Return ∫ p²/q - 1, Pearson's χ² divergence of p from q.

    It is infinite if on any axis 2/σ_p² < 1/σ_q², σ_p > √2 σ_q: p² then falls more slowly than q. So it is at
    equality if q has one component, because only the linear part of the exponent is left.

    Raises:
        ValueError: at equality, if q has more components, and where the integral takes too many cells.
    """
    precision = 2 / p.std**2 - 1 / q.std**2
    rounding = 1e-12 / q.std**2
    alone = len(q.centers) == 1
    if (precision < -rounding).any() or (alone and (precision <= rounding).any()):
        return math.inf
    if (precision <= rounding).any():
        raise ValueError("whether χ² is finite is not sure where one width is √2 times the other; change a width a bit")
    with np.errstate(over="ignore"):  # a value too large for a number is infinite
        if alone:
            return max(float(np.expm1(log_of_sum(log_squares_over(p, q, precision)))), 0.0)
        divergence = of_mixtures(p, q, ["kl"])["kl"]
        if np.isinf(np.exp(divergence)):  # which is at most ∫ p²/q, by Jensen's inequality
            return math.inf

        def square(width: float) -> Array:
            points, log_volume = where_the_square_is(p, q, divergence, width)
            logs = 2 * p.log_density(points) - q.log_density(points) + log_volume
            return np.expm1([log_of_sum(logs)])

        return max(float(refined(square)[0]), 0.0)  # below 0 by rounding


def log_squares_over(p: Mixture, q: Mixture, precision: Array) -> Array:
    """Return log w_i w_k ∫ p_i p_k/q for all components of p (K, K), q being one Gaussian.

    With a and b the distances of their centres from q's, on each axis it is
    log σ_q/σ_p² - ½ log A + ½ ((a+b)²/σ_p⁴ A - (a² + b²)/σ_p²), A = 2/σ_p² - 1/σ_q².
    """
    a = (p.centers - q.centers)[:, None]
    b = a.swapaxes(0, 1)
    exponent = ((a + b) / p.std**2) ** 2 / precision - (a**2 + b**2) / p.std**2
    log_weights = np.log(p.weights)
    logs: Array = (np.log(q.std / p.std**2) + 0.5 * (exponent - np.log(precision))).sum(2)
    return logs + log_weights[:, None] + log_weights


def with_common_axes(p: Gaussian, q: Gaussian) -> tuple[Mixture, Mixture]:
    """Return both in coordinates in which p is standard normal and q's axes are independent.

    An invertible linear map changes no f-divergence, and no narrow diagonal ridge is left for a grid to miss.

    Raises:
        ValueError: if the ratio of their widths differs between directions by so much that rounding hides the smallest.
    """
    inverse = np.linalg.inv(np.linalg.cholesky(p.covariance))
    variances, axes = np.linalg.eigh(inverse @ q.covariance @ inverse.T)
    if variances.min() <= ROUNDING * variances.max():
        raise ValueError(
            "the ratio of the two Gaussians' widths is over a million times as large in one direction as in another, "
            "where rounding hides it; compare Samples"
        )
    d = len(p.mean)
    return Mixture(np.zeros((1, d)), np.ones(d)), Mixture(
        (axes.T @ inverse @ (q.mean - p.mean))[None], np.sqrt(variances)
    )


def hellinger_of_gaussians(p: Mixture, q: Mixture) -> float:
    """Return ∫ (√p - √q)² = 2 - 2 ∫ √(pq) of two Gaussians with independent axes.

    On each axis ∫ √(pq) = (2 σ_p σ_q/(σ_p² + σ_q²))^½ exp(-(μ_p - μ_q)²/4(σ_p² + σ_q²)).
    """
    squares = p.std**2 + q.std**2
    log_overlap = 0.5 * np.log(2 * p.std * q.std / squares) - (p.centers[0] - q.centers[0]) ** 2 / (4 * squares)
    return float(-2 * np.expm1(log_overlap.sum()))


def kl_of_gaussians(p: Gaussian, q: Gaussian) -> float:
    """Return ½ (tr Σ_q⁻¹Σ_p + (μ_q-μ_p)ᵀ Σ_q⁻¹ (μ_q-μ_p) - d + log |Σ_q|/|Σ_p|)."""
    inverse = np.linalg.inv(q.covariance)
    difference = q.mean - p.mean
    volumes = np.linalg.slogdet(q.covariance)[1] - np.linalg.slogdet(p.covariance)[1]
    stretch = np.trace(inverse @ p.covariance) + difference @ inverse @ difference
    return float(0.5 * (stretch - len(p.mean) + volumes))


def wasserstein_1_of_gaussians(p: Gaussian, q: Gaussian) -> float:
    """Return E|m + sZ| on a line, m = μ_p - μ_q, s = |σ_p - σ_q|, Z standard normal: quantiles are matched."""
    m = float(p.mean[0] - q.mean[0])
    s = abs(math.sqrt(p.covariance[0, 0]) - math.sqrt(q.covariance[0, 0]))
    if s == 0:
        return abs(m)
    return s * math.sqrt(2 / math.pi) * math.exp(-(m**2) / (2 * s**2)) + m * math.erf(m / (s * math.sqrt(2)))


def wasserstein_2_of_gaussians(p: Gaussian, q: Gaussian) -> float:
    """Return (‖μ_p-μ_q‖² + tr(Σ_p + Σ_q - 2(Σ_q^½ Σ_p Σ_q^½)^½))^½, the Fréchet distance. Dowson & Landau 1982."""
    values, vectors = np.linalg.eigh(q.covariance)
    root = (vectors * np.sqrt(values)) @ vectors.T
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ p.covariance @ root), 0, None)).sum()
    squared = ((p.mean - q.mean) ** 2).sum() + np.trace(p.covariance) + np.trace(q.covariance) - 2 * cross
    return math.sqrt(max(float(squared), 0.0))


def transport(p: Discrete, q: Discrete, order: int) -> float:
    """Return the distance of order 1 or 2 between weighted points, exactly."""
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    assert p.points is not None and q.points is not None
    if p.points.shape[1] == 1:
        return on_a_line(p, q, order)
    costs = cdist(p.points, q.points) ** order
    if len(p.weights) == len(q.weights) and np.ptp(p.weights) == np.ptp(q.weights) == 0:
        cost = float(costs[linear_sum_assignment(costs)].mean())
    else:
        cost = linear_program(costs, p.weights, q.weights)
    return math.sqrt(max(cost, 0.0)) if order == 2 else cost


def on_a_line(p: Discrete, q: Discrete, order: int) -> float:
    """Return (∫ |F⁻¹ - G⁻¹|^order du)^(1/order): on a line the sorted points are matched."""
    assert p.points is not None and q.points is not None
    positions, edges = [], []
    for x in (p, q):
        assert x.points is not None
        by_position = np.argsort(x.points[:, 0], kind="stable")
        positions.append(x.points[by_position, 0])
        edges.append(np.minimum(np.cumsum(x.weights[by_position]), 1.0))
        edges[-1][-1] = 1.0
    levels = np.unique(np.concatenate([[0.0], *edges]))
    middles, mass = (levels[1:] + levels[:-1]) / 2, np.diff(levels)
    quantiles = [x[np.searchsorted(e, middles)] for x, e in zip(positions, edges, strict=True)]
    cost = float((mass * np.abs(quantiles[0] - quantiles[1]) ** order).sum())
    return math.sqrt(cost) if order == 2 else cost


def linear_program(costs: Array, p: Array, q: Array) -> float:
    """Return min Σ π c over plans π >= 0 (N, M) with marginals p (N,) and q (M,)."""
    from scipy.optimize import linprog
    from scipy.sparse import eye_array, kron, vstack

    n, m = costs.shape
    rows, columns = kron(eye_array(n), np.ones((1, m))), kron(np.ones((1, n)), eye_array(m))
    found = linprog(costs.ravel(), A_eq=vstack([rows, columns]), b_eq=np.concatenate([p, q]), method="highs")
    if not found.success:
        raise ValueError(f"optimal transport was not found: {found.message}")
    return float(found.fun)
