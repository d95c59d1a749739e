"""The report's statistics against scipy and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from gantrain.report import statistics


@pytest.mark.parametrize("n", [2, 3, 5, 12])
def test_means_and_spreads_are_scipys(n: int) -> None:
    x = np.random.default_rng(n).gamma(2.0, 3.0, n)
    found = statistics.summarise(x)
    assert (found.n, found.mean) == (n, pytest.approx(x.mean())) and found.sd == pytest.approx(scipy.stats.tstd(x))
    assert found.iqm == (pytest.approx(scipy.stats.trim_mean(x, 0.25)) if n >= 4 else None)
    assert found.interval is not None and statistics.interval(x) == (found.interval.low, found.interval.high)


@pytest.mark.parametrize(
    "values", [[1.0, 3.0], [1.0, 2.0, 3.0], [4.0, 4.0, 4.0], [-2.0, -1.0, 1.0, 7.0], list(range(12))]
)
def test_the_interval_is_students(values: list[float]) -> None:
    half = scipy.stats.t.ppf(0.975, len(values) - 1) * scipy.stats.sem(values)
    assert statistics.interval(values) == pytest.approx((np.mean(values) - half, np.mean(values) + half))


DRAWS = {
    "normal": (lambda rng, shape: rng.normal(size=shape), 0.0),
    "gamma": (lambda rng, shape: rng.gamma(2.0, size=shape), 2.0),
    "lognormal": (lambda rng, shape: rng.lognormal(0, 0.5, shape), float(np.exp(0.125))),
}


@pytest.mark.parametrize("n", [3, 5, 8])
@pytest.mark.parametrize("kind", DRAWS)
def test_the_interval_covers_the_mean_of_few_and_skewed_values(kind: str, n: int) -> None:
    draw, mean = DRAWS[kind]
    found = np.array([statistics.interval(x) for x in draw(np.random.default_rng(0), (3000, n))])
    covered = ((found[:, 0] <= mean) & (mean <= found[:, 1])).mean()
    assert 0.9 <= covered <= 0.97


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 10, 29, 100, 999])
def test_students_quantile_is_scipys(freedom: int) -> None:
    assert statistics.students_quantile(freedom) == pytest.approx(scipy.stats.t.ppf(0.975, freedom), rel=1e-10)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, float("nan")], [1.0, float("inf")]])
def test_an_interval_of_one_value_or_of_none_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="two finite values or more"):
        statistics.interval(values)


@pytest.mark.parametrize(("mean", "sd"), [(1.0, 1.0), (0.3, 1.0), (5.0, 0.5), (0.1, 1.0), (0.01, 1.0), (0.0, 1.0)])
def test_the_number_of_seeds_needed_is_the_first_whose_interval_leaves_out_zero(mean: float, sd: float) -> None:
    x = np.array([mean - sd, mean, mean + sd])  # its standard deviation is sd
    found = statistics.needed(x)
    if found is None:
        low, _ = scipy.stats.t.interval(0.95, 999, mean, sd / np.sqrt(1000))
        assert low <= 0
        return
    assert scipy.stats.t.interval(0.95, found - 1, mean, sd / np.sqrt(found))[0] > 0
    assert found == 2 or scipy.stats.t.interval(0.95, found - 2, mean, sd / np.sqrt(found - 1))[0] <= 0


def test_one_seed_has_no_spread() -> None:
    found = statistics.summarise([2.0])
    assert (found.n, found.mean, found.sd, found.interval, found.iqm) == (1, 2.0, None, None, None)


@pytest.mark.parametrize("lower", [True, False])
def test_the_chance_to_beat_is_mann_whitneys_u_and_counts_ties_half(lower: bool) -> None:
    rng = np.random.default_rng(5)
    a, b = rng.integers(0, 6, 9).astype(float), rng.integers(1, 7, 8).astype(float)
    u = scipy.stats.mannwhitneyu(b, a).statistic if lower else scipy.stats.mannwhitneyu(a, b).statistic
    found = statistics.chance_to_beat(a, b, lower)
    assert found.probability == pytest.approx(u / 72)
    assert found.interval is not None and found.interval.low <= found.probability <= found.interval.high
    other = statistics.chance_to_beat(b, a, lower)
    assert other.probability == pytest.approx(1 - found.probability)


def test_a_certain_win_is_certain_and_equals_are_even() -> None:
    low, high = list(range(8)), list(range(10, 18))
    assert statistics.chance_to_beat(low, high, True) == statistics.Chance(1.0, statistics.Interval(1.0, 1.0))
    assert statistics.chance_to_beat(low[:7], high, True) == statistics.Chance(1.0, None)  # too few to say how sure
    assert statistics.chance_to_beat([1, 1], [1, 1], True).probability == 0.5
    assert statistics.chance_to_beat([1], [3, 4], False) == statistics.Chance(0.0, None)


def test_differences_are_paired_by_seed_and_leave_out_seeds_of_one_alone() -> None:
    a, b = {0: 1.0, 1: 4.0, 2: 9.0, 7: 100.0}, {0: 2.0, 1: 4.0, 2: 6.0, 5: -3.0}
    found = statistics.paired_difference(a, b, lower_is_better=True)
    assert found is not None and (found.n, found.mean, found.wins) == (3, pytest.approx(2 / 3), 1.5)
    assert found.interval == statistics.Interval(*statistics.interval([-1.0, 0.0, 3.0])) and not found.separated
    assert found.needed == statistics.needed(np.array([-1.0, 0.0, 3.0]))
    assert statistics.paired_difference({0: 1.0}, {1: 1.0}, True) is None


def test_a_performance_profile_is_an_empirical_distribution() -> None:
    x, at = [3.0, 1.0, 2.0, 2.0], np.array([0.5, 1.0, 2.0, 3.0])
    assert list(statistics.profile(x, at, lower_is_better=True)) == list(scipy.stats.ecdf(x).cdf.evaluate(at))
    assert list(statistics.profile(x, at, lower_is_better=False)) == [1.0, 1.0, 0.75, 0.25]
