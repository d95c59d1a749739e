"""The report's statistics against scipy and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from gantrain.report import statistics


@pytest.mark.parametrize("n", [2, 3, 5, 12])
def test_means_spreads_and_bootstrap_intervals_are_scipys(n: int) -> None:
    x = np.random.default_rng(n).gamma(2.0, 3.0, n)
    found = statistics.summarise(x)
    assert (found.n, found.mean) == (n, pytest.approx(x.mean())) and found.sd == pytest.approx(scipy.stats.tstd(x))
    theirs = scipy.stats.bootstrap((x,), np.mean, method="percentile", n_resamples=200_000, rng=0).confidence_interval
    assert found.interval is not None
    spread = x.std()  # quantiles of resamples vary; both ends must agree to a twentieth of a standard deviation
    assert (
        abs(found.interval.low - theirs.low) < 0.05 * spread and abs(found.interval.high - theirs.high) < 0.05 * spread
    )
    assert found.iqm == pytest.approx(scipy.stats.trim_mean(x, 0.25))


def test_the_bootstrap_of_two_values_is_known_exactly() -> None:
    found = statistics.bootstrap(np.array([1.0, 3.0]))  # means 1, 2, 3 with chances ¼, ½, ¼
    assert (found.low, found.high) == (1.0, 3.0)


def test_one_seed_has_no_spread() -> None:
    found = statistics.summarise([2.0])
    assert (found.n, found.mean, found.sd, found.interval, found.iqm) == (1, 2.0, None, None, 2.0)


@pytest.mark.parametrize("lower", [True, False])
def test_the_chance_to_beat_is_mann_whitneys_u_and_counts_ties_half(lower: bool) -> None:
    rng = np.random.default_rng(5)
    a, b = rng.integers(0, 6, 7).astype(float), rng.integers(1, 7, 5).astype(float)
    u = scipy.stats.mannwhitneyu(b, a).statistic if lower else scipy.stats.mannwhitneyu(a, b).statistic
    found = statistics.chance_to_beat(a, b, lower)
    assert found.probability == pytest.approx(u / 35)
    assert found.interval is not None and found.interval.low <= found.probability <= found.interval.high
    other = statistics.chance_to_beat(b, a, lower)
    assert other.probability == pytest.approx(1 - found.probability)


def test_a_certain_win_is_certain_and_equals_are_even() -> None:
    assert statistics.chance_to_beat([1, 2], [3, 4], True) == statistics.Chance(1.0, statistics.Interval(1.0, 1.0))
    assert statistics.chance_to_beat([1, 1], [1, 1], True).probability == 0.5
    assert statistics.chance_to_beat([1], [3, 4], False) == statistics.Chance(0.0, None)


def test_differences_are_paired_by_seed_and_leave_out_seeds_of_one_alone() -> None:
    a, b = {0: 1.0, 1: 4.0, 2: 9.0, 7: 100.0}, {0: 2.0, 1: 4.0, 2: 6.0, 5: -3.0}
    found = statistics.paired_difference(a, b, lower_is_better=True)
    assert found is not None and (found.n, found.mean, found.wins) == (3, pytest.approx(2 / 3), 1.5)
    theirs = scipy.stats.bootstrap(
        (np.array([-1.0, 0.0, 3.0]),), np.mean, method="percentile", n_resamples=200_000, rng=0
    ).confidence_interval
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == (
        pytest.approx(theirs.low, abs=0.1),
        pytest.approx(theirs.high, abs=0.1),
    )
    assert statistics.paired_difference({0: 1.0}, {1: 1.0}, True) is None


def test_a_performance_profile_is_an_empirical_distribution() -> None:
    x, at = [3.0, 1.0, 2.0, 2.0], np.array([0.5, 1.0, 2.0, 3.0])
    assert list(statistics.profile(x, at, lower_is_better=True)) == list(scipy.stats.ecdf(x).cdf.evaluate(at))
    assert list(statistics.profile(x, at, lower_is_better=False)) == [1.0, 1.0, 0.75, 0.25]


def test_the_interval_of_three_seeds_covers_less_than_it_says_and_of_thirty_about_what_it_says() -> None:
    def coverage(n: int) -> float:
        rng = np.random.default_rng(0)
        found = [statistics.bootstrap(rng.normal(size=n)) for _ in range(400)]
        return sum(interval.low <= 0 <= interval.high for interval in found) / 400

    assert 0.6 < coverage(3) < 0.85 and 0.9 < coverage(30) < 0.98  # why the page warns of few seeds
