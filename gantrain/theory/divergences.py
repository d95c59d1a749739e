"""How far apart are two distributions? KL, JS, every f-divergence of Nowozin et al., and Wasserstein distances.

A distribution is a list of probabilities, or one of

    Discrete(weights, points)   probabilities of symbols, which for Wasserstein lie at points
    Samples(points)             if only samples are known; the results are consistent estimates, not exact
    Gaussian(mean, covariance)

    >>> from gantrain.theory.divergences import js
    >>> round(js([0.5, 0.5], [0.9, 0.1]), 6), round(js([0.5, 0.5], [0.9, 0.1], unit="bits"), 6)
    (0.101749, 0.146793)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


class Discrete:
    """Probabilities of K symbols.

    Args:
        weights: (K,), 0 or more, summing to 1.
        points: (K, d) or (K,), where the symbols lie; only Wasserstein needs it.

    Raises:
        ValueError: if the weights are no probabilities, or the points do not match.
    """

    log_weights: Array | None = None
    """Of a density: the logarithms of the weights, kept because the weights themselves underflow in the tails."""

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
    """Points (N, d) or (N,) drawn from a distribution."""

    def __init__(self, points: ArrayLike) -> None:
        self.points = as_points(points)


class Gaussian:
    """A normal distribution: ``mean`` (d,) or a number, ``covariance`` (d, d), or a number for d = 1.

    Raises:
        ValueError: unless the covariance is symmetric and positive definite.
    """

    def __init__(self, mean: ArrayLike, covariance: ArrayLike) -> None:
        self.mean = np.atleast_1d(np.asarray(mean, dtype=np.float64))
        self.covariance = np.atleast_2d(np.asarray(covariance, dtype=np.float64))
        d = len(self.mean)
        if self.covariance.shape != (d, d) or not np.allclose(self.covariance, self.covariance.T):
            raise ValueError(f"a mean of {d} numbers needs a symmetric {d}×{d} covariance, got {covariance!r}")
        if np.linalg.eigvalsh(self.covariance).min() <= 0:
            raise ValueError(f"the covariance must be positive definite, got {covariance!r}")

    def log_density(self, x: Array) -> Array:
        """Return log p at x (N, d)."""
        difference = x - self.mean
        squared = (difference @ np.linalg.inv(self.covariance) * difference).sum(1)
        _, log_determinant = np.linalg.slogdet(2 * math.pi * self.covariance)
        density: Array = -0.5 * (squared + log_determinant)
        return density


Distribution = Discrete | Samples | Gaussian
Components = Sequence[tuple[float, float, float]]


@dataclass(frozen=True)
class Generator:
    """The function f of a divergence D_f(p‖q) = Σ q f(p/q), with its limits where p or q is 0."""

    f: Callable[[Array], Array]
    at_zero: float  # f(0): the term of a symbol with p = 0, over q
    slope: float  # lim f(u)/u: the term of a symbol with q = 0, over p
    in_nats: bool = False


def u_log_u(u: Array) -> Array:
    """Return u log u."""
    return u * np.log(u)


F_DIVERGENCES: dict[str, Generator] = {
    "kl": Generator(u_log_u, 0, math.inf, True),
    "reverse_kl": Generator(lambda u: -np.log(u), math.inf, 0, True),
    "pearson": Generator(lambda u: (u - 1) ** 2, 1, math.inf),
    "neyman": Generator(lambda u: (u - 1) ** 2 / u, math.inf, 1),
    "squared_hellinger": Generator(lambda u: (np.sqrt(u) - 1) ** 2, 1, 1),
    "jensen_shannon": Generator(lambda u: u_log_u(u) - (u + 1) * np.log((u + 1) / 2), math.log(2), math.log(2), True),
    "gan": Generator(lambda u: u_log_u(u) - (u + 1) * np.log(u + 1), 0, 0, True),
    "total_variation": Generator(lambda u: np.abs(u - 1) / 2, 0.5, 0.5),
    "le_cam": Generator(lambda u: (u - 1) ** 2 / (2 * (u + 1)), 0.5, 0.5),
}
"""By the names of the f-GAN losses; ``jensen_shannon`` is Nowozin's, twice ``js``; ``le_cam`` is ½ Σ (p-q)²/(p+q)."""


def kl_of_logarithms(p: Array, q: Array) -> float:
    """Return Σ p log(p/q) from log p and log q."""
    return float((np.exp(p) * (p - q)).sum())


def pearson_of_logarithms(p: Array, q: Array) -> float:
    """Return Σ p²/q - 1 from log p and log q."""
    with np.errstate(over="ignore"):  # a value too large for a number is infinite
        return float(np.expm1(np.logaddexp.reduce(2 * p - q)))


OF_LOGARITHMS: dict[str, Callable[[Array, Array], float]] = {
    "kl": kl_of_logarithms,
    "reverse_kl": lambda p, q: kl_of_logarithms(q, p),
    "pearson": pearson_of_logarithms,
    "neyman": lambda p, q: pearson_of_logarithms(q, p),
}
"""Those that depend on tails where a density is too small for a number."""


def f_divergence(p: Any, q: Any, name: str) -> float:
    """Return D_f(p‖q), in nats where a logarithm is involved. Nowozin et al. 2016, arXiv:1606.00709, Table 1.

    Discrete: exact, ∞ if it is infinite. Gaussian: kl, reverse_kl, pearson and neyman in closed form (the last two are
    ∞ if one distribution is too wide for the other), the rest by integration in one or two dimensions. Samples: the
    density ratio at each sample from its nearest neighbours.

    Raises:
        ValueError: for an unknown name, distributions of different kinds or dimensions, Gaussians of more than two
            dimensions where there is no closed form, or samples that coincide.
    """
    if name not in F_DIVERGENCES:
        raise ValueError(f"there is no f-divergence {name!r}; there is {', '.join(F_DIVERGENCES)}")
    p, q = pair(p, q)
    if isinstance(p, Gaussian):
        if name in ("kl", "reverse_kl"):
            return kl_of_gaussians(p, q) if name == "kl" else kl_of_gaussians(q, p)
        if name in ("pearson", "neyman"):
            return pearson_of_gaussians(p, q) if name == "pearson" else pearson_of_gaussians(q, p)
        p, q = on_nodes(p, q)
    if isinstance(p, Discrete):
        if p.log_weights is not None and q.log_weights is not None and name in OF_LOGARITHMS:
            return OF_LOGARITHMS[name](p.log_weights, q.log_weights)
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

    Raises:
        ValueError: for another order, discrete distributions without points, or Gaussians of order 1 beyond a line.
    """
    if order not in (1, 2):
        raise ValueError(f"order must be 1 or 2, got {order}")
    p, q = pair(p, q)
    if isinstance(p, Gaussian):
        if order == 2:
            return wasserstein_2_of_gaussians(p, q)
        if len(p.mean) > 1:
            raise ValueError("order 1 has no closed form beyond a line; use order=2, or Samples")
        axes = [(float(g.mean[0]), math.sqrt(g.covariance[0, 0])) for g in (p, q)]
        return wasserstein_1_on_a_line(*([(1.0, *axis)] for axis in axes))
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
    return array[:, None] if array.ndim == 1 else array


def pair(p: Any, q: Any) -> tuple[Any, Any]:
    """Return both as distributions of one kind and dimension; plain lists are probabilities."""
    p, q = (x if isinstance(x, Discrete | Samples | Gaussian) else Discrete(x) for x in (p, q))
    if type(p) is not type(q):
        raise ValueError(f"{type(p).__name__} cannot be compared with {type(q).__name__}")
    if isinstance(p, Discrete) and p.points is None and len(p.weights) != len(q.weights):
        raise ValueError(f"both need the same symbols, got {len(p.weights)} and {len(q.weights)}")
    widths = [x.mean.shape[0] if isinstance(x, Gaussian) else x.points.shape[1] for x in (p, q) if has_points(x)]
    if len(set(widths)) > 1:
        raise ValueError(f"both need the same dimension, got {widths[0]} and {widths[1]}")
    return p, q


def has_points(x: Distribution) -> bool:
    """Return whether the positions of a distribution are known."""
    return isinstance(x, Gaussian) or x.points is not None


def nats_per(unit: str) -> float:
    """Return how many nats one ``unit`` is."""
    if unit not in ("nats", "bits"):
        raise ValueError(f"unit must be nats or bits, got {unit!r}")
    return math.log(2) if unit == "bits" else 1.0


MOST = 1e150
"""Ratios from which a probability counts as 0 beside the other, so that its square is still a number."""


def of_weights(p: Array, q: Array, generator: Generator) -> float:
    """Return Σ q f(p/q) with the limits where p or q is 0."""
    if len(p) != len(q):
        raise ValueError(f"both need the same symbols, got {len(p)} and {len(q)}")
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = p / q
    both = (ratio > 1 / MOST) & (ratio < MOST)
    total = float((q[both] * generator.f(ratio[both])).sum())
    only_p, only_q = float(p[~both & (p > q)].sum()), float(q[~both & (q > p)].sum())
    if only_q > 0:
        total += only_q * generator.at_zero
    if only_p > 0:
        total += only_p * generator.slope
    return total


def of_samples(x: Array, y: Array, name: str) -> float:
    """Return D_f from samples x ~ p (N, d), y ~ q (M, d), by density ratios estimated from nearest neighbours.

    KL with one neighbour, whose bias cancels; the others with √N neighbours, whose noise is small.
    """
    if name == "kl":
        return float(np.mean(log_ratio(x, x, y, 1)))
    if name == "reverse_kl":
        return of_samples(y, x, "kl")
    neighbours = max(1, round(math.sqrt(min(len(x), len(y)))))
    at_x, at_y = log_ratio(x, x, y, neighbours), log_ratio(y, x, y, neighbours)
    if name in ("jensen_shannon", "gan"):  # by log p/(p+q) on p and log q/(p+q) on q, both of which are bounded
        value = float(-np.logaddexp(0, -at_x).mean() - np.logaddexp(0, at_y).mean())
        return value + 2 * math.log(2) if name == "jensen_shannon" else value
    return float(F_DIVERGENCES[name].f(np.exp(at_y)).mean())


def log_ratio(at: Array, x: Array, y: Array, k: int) -> Array:
    """Return log p/q at points ``at``, which are x or y themselves, from the distances to the k-th neighbours."""
    from scipy.spatial import cKDTree

    def distance(to: Array) -> Array:
        own = to is at  # a sample is its own nearest neighbour
        first, found = cKDTree(to).query(at, k=[1 + own, k + own])[0].T
        if (first == 0).any():
            raise ValueError(
                f"{int((first == 0).sum())} of {len(at)} samples coincide with others, so that no density can be told "
                "from distances there; leave out what is there twice, or compare Discrete distributions"
            )
        distances: Array = found
        return distances

    n, m = len(x) - (at is x), len(y) - (at is y)
    if min(n, m) < k:
        raise ValueError("too few samples to find a nearest neighbour")
    ratio: Array = at.shape[1] * (np.log(distance(y)) - np.log(distance(x))) + math.log(m / n)
    return ratio


def kl_of_gaussians(p: Gaussian, q: Gaussian) -> float:
    """Return ½ (tr Σ_q⁻¹Σ_p + (μ_q-μ_p)ᵀ Σ_q⁻¹ (μ_q-μ_p) - d + log |Σ_q|/|Σ_p|)."""
    inverse = np.linalg.inv(q.covariance)
    difference = q.mean - p.mean
    volumes = np.linalg.slogdet(q.covariance)[1] - np.linalg.slogdet(p.covariance)[1]
    stretch = np.trace(inverse @ p.covariance) + difference @ inverse @ difference
    return float(0.5 * (stretch - len(p.mean) + volumes))


def wasserstein_2_of_gaussians(p: Gaussian, q: Gaussian) -> float:
    """Return (‖μ_p-μ_q‖² + tr(Σ_p + Σ_q - 2(Σ_q^½ Σ_p Σ_q^½)^½))^½, the Fréchet distance. Dowson & Landau 1982."""
    values, vectors = np.linalg.eigh(q.covariance)
    root = (vectors * np.sqrt(values)) @ vectors.T
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ p.covariance @ root), 0, None)).sum()
    squared = ((p.mean - q.mean) ** 2).sum() + np.trace(p.covariance) + np.trace(q.covariance) - 2 * cross
    return math.sqrt(max(float(squared), 0.0))


def pearson_of_gaussians(p: Gaussian, q: Gaussian) -> float:
    """Return ∫ p²/q - 1, ∞ unless A = 2Σ_p⁻¹ - Σ_q⁻¹ is positive definite.

    With b = 2Σ_p⁻¹μ_p - Σ_q⁻¹μ_q the integral is |Σ_p|⁻¹ |Σ_q|^½ |A|^-½ exp(½ bᵀA⁻¹b - μ_pᵀΣ_p⁻¹μ_p + ½ μ_qᵀΣ_q⁻¹μ_q).
    """
    of_p, of_q = np.linalg.inv(p.covariance), np.linalg.inv(q.covariance)
    a = 2 * of_p - of_q
    if np.linalg.eigvalsh(a).min() <= 1e-12 * np.abs(a).max():
        return math.inf
    centre = q.mean  # of the coordinates, in which the last term is 0 and nothing large cancels
    mean = p.mean - centre
    b = 2 * of_p @ mean
    volumes = [np.linalg.slogdet(m)[1] for m in (p.covariance, q.covariance, a)]
    exponent = 0.5 * b @ np.linalg.solve(a, b) - mean @ of_p @ mean - volumes[0] + 0.5 * volumes[1] - 0.5 * volumes[2]
    with np.errstate(over="ignore"):
        return float(np.expm1(exponent))


Axis = Sequence[tuple[float, float]]
"""Centres and standard deviations of everything that varies along one axis."""
REACH, PANELS = 9, 64
"""Standard deviations around each centre that are integrated over, and panels of an axis at least."""


def nodes(axes: Sequence[Axis]) -> tuple[Array, Array]:
    """Return points (N, d) and weights (N,) to integrate by, in a box around everything that varies.

    Along each axis the panels are as narrow as the narrowest thing that varies there, each with five Gauss-Legendre
    points, so that a thin density inside a broad one is seen.
    """
    at, weight = np.polynomial.legendre.leggauss(5)
    places, widths = [], []
    for axis in axes:
        steps = np.arange(-REACH, REACH + 1)
        around = np.concatenate([centre + std * steps for centre, std in axis])
        centres = np.unique([centre for centre, _ in axis])
        # Between two components the logarithm of a density has an edge.
        between = (centres[1:] + centres[:-1]) / 2
        edges = np.unique(np.concatenate([around, between, np.linspace(around.min(), around.max(), PANELS)]))
        narrowest = min(std for _, std in axis)
        edges = edges[np.concatenate([[True], np.diff(edges) > 1e-6 * narrowest])]
        middle, half = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
        places.append((middle[:, None] + half[:, None] * at).ravel())
        widths.append((half[:, None] * weight).ravel())
    points = np.stack([x.ravel() for x in np.meshgrid(*places, indexing="ij")], axis=1)
    weights = np.prod(np.stack([x.ravel() for x in np.meshgrid(*widths, indexing="ij")], axis=1), axis=1)
    return points, weights


def on_nodes(p: Gaussian, q: Gaussian) -> tuple[Discrete, Discrete]:
    """Return Gaussians of one or two dimensions as probabilities of points to integrate by.

    An f-divergence is the same in all coordinates. Those are taken in which both covariances are diagonal, and the
    first is 1, so that no narrow ridge runs between the points.

    Raises:
        ValueError: for more dimensions.
    """
    d = len(p.mean)
    if d > 2:
        raise ValueError(f"in {d} dimensions this has no closed form and no grid fits; compare Samples")
    root = np.linalg.cholesky(p.covariance)
    inverse = np.linalg.inv(root)
    values, vectors = np.linalg.eigh(inverse @ q.covariance @ inverse.T)
    mean = vectors.T @ inverse @ (q.mean - p.mean)
    ours = Gaussian(np.zeros(d), np.eye(d))
    theirs = Gaussian(mean, np.diag(values))
    points, weights = nodes([[(0.0, 1.0), (float(mean[k]), math.sqrt(values[k]))] for k in range(d)])
    return (
        from_log_density(ours.log_density(points) + np.log(weights), points),
        from_log_density(theirs.log_density(points) + np.log(weights), points),
    )


def wasserstein_1_on_a_line(p: Components, q: Components) -> float:
    """Return ∫ |F - G| dx of two mixtures of Gaussians on a line, given as (weight, mean, standard deviation)."""
    from scipy.special import ndtr

    points, weights = nodes([[(mean, std) for _, mean, std in (*p, *q)]])

    def cumulated(mixture: Components) -> Array:
        parts = [share * ndtr((points[:, 0] - mean) / std) for share, mean, std in mixture]
        found: Array = np.sum(parts, axis=0)
        return found

    return float((weights * np.abs(cumulated(p) - cumulated(q))).sum())


def grid(low: ArrayLike, high: ArrayLike, side: int) -> Array:
    """Return the points (side^d, d) of a regular grid over the box from ``low`` (d,) to ``high`` (d,)."""
    axes = [np.linspace(a, b, side) for a, b in zip(np.asarray(low), np.asarray(high), strict=True)]
    return np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)


def from_log_density(log_density: Array, points: Array) -> Discrete:
    """Return a density as probabilities of points, whose weights are in it or equal."""
    log_weights: Array = log_density - np.logaddexp.reduce(log_density)
    discrete = Discrete(np.exp(log_weights), points)
    discrete.log_weights = log_weights
    return discrete


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
