"""What few seeds allow to say: means with intervals, differences paired by seed, and who probably beats whom.

After Agarwal et al. 2021, arXiv:2108.13264 (interquartile mean, probability of improvement, performance profiles) and
Lucic et al. 2018, arXiv:1711.10337 (spread over seeds at equal budgets). Everything random is drawn from a fixed seed,
so that the same runs give the same report.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
RESAMPLES = 5000
LEVEL, LEVEL_OF_FEW = 0.95, 0.98
LEAST_FOR_RESAMPLES = 5
"""Values from which on resampling them tells how skewed they are."""
LEAST_FOR_IQM = 4
"""Runs from which an interquartile mean leaves any out."""
WIDEST = 3.0
"""How far the bootstrap may move an end of an interval from the mean, as a multiple of Student's t: two values that are
almost equal would move it to infinity."""
LEAST_EQUAL = 6
"""Equal differences that are no chance: the two-sided sign test is below 5% from here on (2 · 2⁻⁶ = 3.1%)."""
MOST_NEEDED = 1000
METHOD = (
    f"The 95% interval is Student's t, taken at {LEVEL_OF_FEW:.0%} with fewer than {LEAST_FOR_RESAMPLES} seeds, and "
    "with more of them widened to the side where the bootstrap-t reaches further. It holds the true mean of normal "
    "values in 95% of cases or more, and that of exponential ones, which are skewed, in 93% or more. It is not cut at "
    "what a metric can be: a distance's may begin below 0, a share's end above 1."
)
"""What a reader must know of ``interval``; tests/reports/test_statistics.py measures the shares."""


@dataclass(frozen=True)
class Interval:
    """A confidence interval, of 95%."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Tell whether a value is inside."""
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Summary:
    """One value over the seeds of a variant; ``sd`` (of a sample) and ``interval`` need two seeds, ``iqm`` four."""

    n: int
    mean: float
    sd: float | None
    interval: Interval | None
    iqm: float | None


@dataclass(frozen=True)
class Difference:
    """A minus B over the seeds that both have."""

    n: int
    mean: float
    interval: Interval | None
    wins: float  # seeds in which A is the better, a tie counts half
    needed: int | None  # seeds with which the interval would leave out 0 if mean and spread stayed; None: not known

    @property
    def separated(self) -> bool:
        """Whether the interval leaves out 0.

        Equal differences have an interval without a width. They leave out 0 from ``LEAST_EQUAL`` on.
        """
        if self.interval is None or self.interval.holds(0.0):
            return False
        return self.interval.low < self.interval.high or self.n >= LEAST_EQUAL


@dataclass(frozen=True)
class Chance:
    """The probability that a run of A beats one of B, over all pairs of runs."""

    probability: float
    interval: Interval | None


def summarise(values: Sequence[float]) -> Summary:
    """Return mean, sample standard deviation, the mean's confidence interval, and interquartile mean."""
    x = np.asarray(values, dtype=np.float64)
    several = len(x) > 1
    return Summary(
        n=len(x),
        mean=float(x.mean()),
        sd=float(x.std(ddof=1)) if several else None,
        interval=Interval(*interval(x)) if several else None,
        iqm=interquartile_mean(x) if len(x) >= LEAST_FOR_IQM else None,
    )


def interval(values: Sequence[float] | Values) -> tuple[float, float]:
    """Return the 95% confidence interval (low, high) of the mean of two or more values.

    Of 2 to 4 values Student's t at 98%: at 95% it covers the mean too rarely if values are skewed, and so few have too
    few different resamples to tell whether they are. From 5 values on each end is the further of Student's t at 95% and
    of the bootstrap-t (Efron & Tibshirani 1993, Section 12.5), which follows the skew. The bootstrap's quantiles are
    stretched by n/(n − 1), and no end is further from the mean than ``WIDEST`` times Student's. An end may lie outside
    of what a metric can be.

    All this was chosen by its coverage, for n = 2, 3, 4, 5, 8, 16, measured on 20,000 samples or more (standard error
    at most 0.3%): normal values 98, 98, 98, 98, 97, 97%; lognormal with σ = ½ 98, 97, 96, 96, 96, 96%; exponential 96,
    94, 93, 95, 95, 96%; lognormal with σ = 1 96, 91, 89, 92, 92, 94%. For n = 3, 5, 8 Student's t at 95% covers
    exponential ones in 88, 88, 89% and lognormal ones with σ = 1 in 84, 82, 83%; the percentile bootstrap in 67, 76,
    85% and 64, 71, 78%.

    Raises:
        ValueError: for fewer than two values, or one that is not finite.
    """
    x = np.sort(np.asarray(values, dtype=np.float64))
    if len(x) < 2 or not np.isfinite(x).all():
        raise ValueError(f"a confidence interval needs two finite values or more, got {x.tolist()}")
    n, mean = len(x), float(x.mean())
    if n < LEAST_FOR_RESAMPLES:
        half = half_width(x, LEVEL_OF_FEW)
        return mean - half, mean + half
    half = half_width(x)
    error = half / students_quantile(n - 1)
    low, high = (n / (n - 1) * quantile * error for quantile in studentised_quantiles(x))
    return mean - min(max(half, high), WIDEST * half), mean + min(max(half, -low), WIDEST * half)


def half_width(x: Values, level: float = LEVEL) -> float:
    """Return half the width of Student's interval of the mean of x (n,), t(n − 1)·s/√n."""
    return students_quantile(len(x) - 1, level) * float(x.std(ddof=1)) / math.sqrt(len(x))


@cache
def shares(n: int) -> Values:
    """Return the share of each of ``n`` in samples with replacement, (RESAMPLES, n): the same ones for every value."""
    return np.random.default_rng(n).multinomial(n, np.full(n, 1 / n), RESAMPLES) / n


def studentised_quantiles(x: Values) -> tuple[float, float]:
    """Return the 2.5% and 97.5% quantiles of (x̄* − x̄)·√n/s* over resamples of x (n,), n ≥ 2.

    Resamples of one value alone have no standard deviation and are left out. (0, 0) if there are no others.
    """
    x = x - x.mean()
    means, squares = (shares(len(x)) @ np.stack([x, x * x], 1)).T
    variances = squares - means**2
    differing = variances > 1e-12 * np.mean(x * x)  # of one value alone it is a rounding error
    if not differing.any():
        return 0.0, 0.0
    t = means[differing] * math.sqrt(len(x) - 1) / np.sqrt(variances[differing])
    low, high = np.quantile(t, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


@cache
def students_quantile(freedom: int, level: float = LEVEL) -> float:
    """Return t with P(|T| < t) = level, 95% or 98%, for Student's T with a whole number of degrees of freedom.

    By bisection of the exact probability (Abramowitz & Stegun 1964, 26.7.3 and 26.7.4), since scipy, which has it too,
    takes as long to import as a report takes to make.
    """
    low, high = 1.9, 32.0  # between those of infinitely many at 95% and of one at 98%
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if within(middle, freedom) < level else (low, middle)
    return low


def within(t: float, freedom: int) -> float:
    """Return P(|T| < t) for Student's T."""
    angle = math.atan(t / math.sqrt(freedom))
    sine, square = math.sin(angle), math.cos(angle) ** 2
    odd = freedom % 2
    term = total = math.cos(angle) if odd else 1.0
    for k in range(3 - (1 - odd), freedom - 1, 2):
        term *= square * (k - 1) / k
        total += term
    if odd:
        return 2 / math.pi * (angle + (sine * total if freedom > 1 else 0.0))
    return sine * total


def needed(x: Values) -> int | None:
    """Return how many values of this mean and standard deviation t tells from 0; None if more than 1,000."""
    mean, sd = abs(float(x.mean())), float(x.std(ddof=1))
    if sd == 0 and mean > 0:
        return LEAST_EQUAL
    enough = (m for m in range(2, MOST_NEEDED + 1) if students_quantile(m - 1) * sd < mean * math.sqrt(m))
    return next(enough, None)


def interquartile_mean(x: Values) -> float:
    """Return the mean without the lowest and the highest quarter, each rounded down to whole values."""
    cut = len(x) // 4
    return float(np.sort(x)[cut : len(x) - cut].mean())


def paired_difference(a: dict[int, float], b: dict[int, float], lower_is_better: bool) -> Difference | None:
    """Return how A differs from B in the seeds of both, None if they share none; values are given by seed.

    The interval is Student's: if A and B are skewed alike, their differences are not.
    """
    seeds = sorted(a.keys() & b.keys())
    if not seeds:
        return None
    difference = np.array([a[seed] - b[seed] for seed in seeds])
    better = -difference if lower_is_better else difference
    wins = float((better > 0).sum() + 0.5 * (better == 0).sum())
    mean = float(difference.mean())
    if len(seeds) == 1:
        return Difference(1, mean, None, wins, None)
    half = half_width(difference)
    return Difference(len(seeds), mean, Interval(mean - half, mean + half), wins, needed(difference))


def chance_to_beat(a: Sequence[float], b: Sequence[float], lower_is_better: bool) -> Chance:
    """Return P(A beats B) = E[1(A better) + ½·1(tie)], the Mann-Whitney U divided by the number of pairs.

    Agarwal et al. 2021, Section 4.3; the interval needs two runs of each.
    """
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if lower_is_better:
        x, y = -x, -y
    probability = float(((x[:, None] > y[None, :]) + 0.5 * (x[:, None] == y[None, :])).mean())
    several = min(len(x), len(y)) > 1
    return Chance(probability, interval_of_chance(probability, len(x), len(y)) if several else None)


def interval_of_chance(probability: float, m: int, n: int) -> Interval:
    """Return the 95% interval of P(A beats B), found as ``probability`` over the pairs of m runs of A and n of B.

    All θ with |probability − θ| ≤ t·√V(θ). V is the variance of Newcombe 2006, Statistics in Medicine 25:559, method 5,
    which has a width even where every pair was won. t is Student's with m + n − 2 degrees; with the normal quantile,
    which he takes, the coverage is 83% for 3 runs of N(0, 5²) against 3 of N(0, 1). With t it was measured for 2 to 16
    runs of normal and exponential values, P from 0.5 to 0.95: 94% or more. (Resampling the runs covers in 26 to 80% of
    cases with 3 of each, in 68 to 95% with 8.)
    """
    t, k = students_quantile(m + n - 2), (m + n) / 2 - 1

    def inside(chance: float) -> bool:
        spread = chance * (1 - chance) * (1 + k * (1 - chance) / (2 - chance) + k * chance / (1 + chance)) / (m * n)
        return abs(probability - chance) <= t * math.sqrt(spread)

    def end(far: float) -> float:
        near = probability
        while abs(far - near) > 1e-9:
            middle = (near + far) / 2
            near, far = (middle, far) if inside(middle) else (near, middle)
        return far

    return Interval(end(0.0), end(1.0))


def profile(values: Sequence[float], thresholds: Values, lower_is_better: bool) -> Values:
    """Return for each threshold the share of runs that are at least as good. Agarwal et al. 2021, Section 4.2."""
    x = np.asarray(values, dtype=np.float64)
    reached = x[None, :] <= thresholds[:, None] if lower_is_better else x[None, :] >= thresholds[:, None]
    return np.asarray(reached.mean(1), dtype=np.float64)
