"""What few seeds allow to say: means with intervals, differences paired by seed, and who probably beats whom.

After Agarwal et al. 2021, arXiv:2108.13264 (interquartile mean, probability of improvement, performance profiles) and
Lucic et al. 2018, arXiv:1711.10337 (spread over seeds at equal budgets). Everything random is drawn from a fixed seed,
so that the same runs give the same report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
RESAMPLES = 5000
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A confidence interval, of 95%."""

    low: float
    high: float


@dataclass(frozen=True)
class Summary:
    """One value over the seeds of a variant; ``sd`` (of a sample) and ``interval`` need two seeds."""

    n: int
    mean: float
    sd: float | None
    interval: Interval | None
    iqm: float


@dataclass(frozen=True)
class Difference:
    """A minus B over the seeds that both have."""

    n: int
    mean: float
    interval: Interval | None
    wins: float  # seeds in which A is the better, a tie counts half


@dataclass(frozen=True)
class Chance:
    """The probability that a run of A beats one of B, over all pairs of runs."""

    probability: float
    interval: Interval | None


def summarise(values: Sequence[float]) -> Summary:
    """Return mean, sample standard deviation, percentile bootstrap interval of the mean, and interquartile mean."""
    x = np.asarray(values, dtype=np.float64)
    several = len(x) > 1
    return Summary(
        n=len(x),
        mean=float(x.mean()),
        sd=float(x.std(ddof=1)) if several else None,
        interval=bootstrap(x) if several else None,
        iqm=interquartile_mean(x),
    )


@cache
def draws(n: int, stream: int = 0) -> NDArray[np.intp]:
    """Return the indices (RESAMPLES, n) of samples of ``n`` with replacement: the same ones for every value."""
    return np.random.default_rng([n, stream]).integers(0, n, (RESAMPLES, n))


@cache
def counts(n: int, stream: int = 0) -> Values:
    """Return how often each of ``n`` is in each of the samples with replacement: (RESAMPLES, n)."""
    found = np.zeros((RESAMPLES, n))
    np.add.at(found, (np.arange(RESAMPLES)[:, None], draws(n, stream)), 1.0)
    return found


def bootstrap(x: Values) -> Interval:
    """Return the percentile bootstrap interval of the mean of x (n,). Efron & Tibshirani 1993, Section 13.3."""
    return percentiles(x[draws(len(x))].mean(1))


def percentiles(statistics: Values) -> Interval:
    """Return the middle 95% of bootstrapped statistics."""
    low, high = np.quantile(statistics, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


def interquartile_mean(x: Values) -> float:
    """Return the mean without the lowest and the highest quarter, each rounded down to whole values."""
    cut = len(x) // 4
    return float(np.sort(x)[cut : len(x) - cut].mean())


def paired_difference(a: dict[int, float], b: dict[int, float], lower_is_better: bool) -> Difference | None:
    """Return how A differs from B in the seeds of both, None if they share none; values are given by seed."""
    seeds = sorted(a.keys() & b.keys())
    if not seeds:
        return None
    difference = np.array([a[seed] - b[seed] for seed in seeds])
    better = -difference if lower_is_better else difference
    wins = float((better > 0).sum() + 0.5 * (better == 0).sum())
    interval = bootstrap(difference) if len(seeds) > 1 else None
    return Difference(len(seeds), float(difference.mean()), interval, wins)


def chance_to_beat(a: Sequence[float], b: Sequence[float], lower_is_better: bool) -> Chance:
    """Return P(A beats B) = E[1(A better) + ½·1(tie)], the Mann-Whitney U divided by the number of pairs.

    Agarwal et al. 2021, Section 4.3; the interval by resampling the runs of A and of B, each by itself.
    """
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if lower_is_better:
        x, y = -x, -y
    wins = (x[:, None] > y[None, :]) + 0.5 * (x[:, None] == y[None, :])
    interval = None
    if min(len(x), len(y)) > 1:
        interval = percentiles(
            np.einsum("rn,nm,rm->r", counts(len(x)), wins, counts(len(y), 1), optimize=True) / wins.size
        )
    return Chance(float(wins.mean()), interval)


def profile(values: Sequence[float], thresholds: Values, lower_is_better: bool) -> Values:
    """Return for each threshold the share of runs that are at least as good. Agarwal et al. 2021, Section 4.2."""
    x = np.asarray(values, dtype=np.float64)
    reached = x[None, :] <= thresholds[:, None] if lower_is_better else x[None, :] >= thresholds[:, None]
    return np.asarray(reached.mean(1), dtype=np.float64)
