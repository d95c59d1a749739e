"""The report's statistics against scipy and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from gantrain.reports import statistics


@pytest.mark.parametrize("n", [2, 3, 5, 12])
def test_means_and_spreads_are_scipys(n: int) -> None:
    x = np.random.default_rng(n).gamma(2.0, 3.0, n)
    found = statistics.summarise(x)
    assert (found.n, found.mean) == (n, pytest.approx(x.mean())) and found.sd == pytest.approx(scipy.stats.tstd(x))
    assert found.iqm == (pytest.approx(scipy.stats.trim_mean(x, 0.25)) if n >= 4 else None)
    assert found.interval is not None and statistics.interval(x) == (found.interval.low, found.interval.high)


@pytest.mark.parametrize("values", [[1.0, 3.0], [1.0, 2.0, 3.0], [4.0, 4.0, 4.0], [-2.0, -1.0, 1.0, 7.0]])
def test_the_interval_of_two_to_four_values_is_students_at_98_percent(values: list[float]) -> None:
    half = scipy.stats.t.ppf(0.99, len(values) - 1) * scipy.stats.sem(values)
    assert statistics.interval(values) == pytest.approx((np.mean(values) - half, np.mean(values) + half))


def test_the_interval_reaches_as_far_as_the_bootstrap_t_to_the_side_of_the_skew() -> None:
    x = np.array([0.1, 0.2, 0.4, 0.5, 0.8, 1.1, 1.3, 1.9, 3.6])
    low, high = statistics.interval(x)
    mean, error, student = x.mean(), scipy.stats.sem(x), scipy.stats.t.ppf(0.975, 8)
    resampled = np.random.default_rng(0).choice(x, (200_000, 9))
    t = (resampled.mean(1) - mean) / scipy.stats.sem(resampled, axis=1)
    below, above = np.quantile(t, [0.025, 0.975]) * 9 / 8
    assert 3 * student > -below > 1.5 * student and above < student
    assert low == pytest.approx(mean - student * error)
    # The density of t is about 0.018 at its 2.5% quantile of -4.4 (counted), so that of 5,000 resamples has a standard
    # error of √(0.025 · 0.975 / 5,000) / 0.018 = 0.12, which is 3%; three times that are allowed.
    assert high == pytest.approx(mean - below * error, abs=0.09 * -below * error)


def test_an_interval_knows_no_order_follows_the_unit_and_never_runs_away() -> None:
    x = np.array([1.0, 2.0, 4.0, 9.0, 3.0])
    low, high = statistics.interval(x)
    assert statistics.interval(x[::-1]) == (low, high)
    assert statistics.interval(100 + 3 * x) == pytest.approx((100 + 3 * low, 100 + 3 * high))
    assert statistics.interval([4.0] * 6) == (4.0, 4.0)
    x = np.array([2.0, 2.00001, 2.00002, 2.00003, 2.5])  # the bootstrap-t alone would end beyond 1,000
    student = scipy.stats.t.ppf(0.975, 4) * scipy.stats.sem(x)
    assert statistics.interval(x) == pytest.approx((x.mean() - student, x.mean() + 3 * student))


DRAWS = {
    "normal": (lambda rng, shape: rng.normal(size=shape), 0.0),
    "exponential": (lambda rng, shape: rng.exponential(size=shape), 1.0),
    "lognormal": (lambda rng, shape: rng.lognormal(0, 1, shape), float(np.exp(0.5))),
}


@pytest.mark.parametrize("n", [3, 5, 8])
@pytest.mark.parametrize("kind", DRAWS)
def test_the_interval_covers_the_mean_of_few_and_skewed_values(kind: str, n: int) -> None:
    draw, mean = DRAWS[kind]
    found = np.array([statistics.interval(x) for x in draw(np.random.default_rng(0), (2000, n))])
    covered = ((found[:, 0] <= mean) & (mean <= found[:, 1])).mean()
    assert 0.9 <= covered <= 0.985  # its standard error is at most 0.7%


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 10, 29, 100, 999])
def test_students_quantiles_are_scipys(freedom: int) -> None:
    assert statistics.students_quantile(freedom, 0.98) == pytest.approx(scipy.stats.t.ppf(0.99, freedom), rel=1e-10)
    assert statistics.students_quantile(freedom) == pytest.approx(scipy.stats.t.ppf(0.975, freedom), rel=1e-10)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, float("nan")], [1.0, float("inf")]])
def test_an_interval_of_one_value_or_of_none_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="two finite values or more"):
        statistics.interval(values)


def test_equal_differences_are_separated_from_where_the_sign_test_says_so() -> None:
    def equal(n: int) -> statistics.Difference | None:
        return statistics.paired_difference(dict.fromkeys(range(n), 7.0), dict.fromkeys(range(n), 8.0), True)

    few, enough = equal(5), equal(6)
    assert few is not None and enough is not None and enough.separated and not few.separated and few.needed == 6
    assert scipy.stats.binomtest(6, 6).pvalue < 0.05 < scipy.stats.binomtest(5, 5).pvalue


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
    certain = statistics.chance_to_beat(low[:2], high[:2], True)
    assert certain.probability == 1.0 and certain.interval is not None and certain.interval.high == 1.0
    # 2 × 2 runs, all pairs won: (1 − θ)² = t²·V(θ), t = 4.303, V = θ(1 − θ)(1 + (1 − θ)/(2 − θ) + θ/(1 + θ))/4, so that
    # 4(1 − θ) = 18.51·θ·(1 + (1 − θ)/(2 − θ) + θ/(1 + θ)); θ = 0.1206: 3.517 on both sides.
    assert certain.interval.low == pytest.approx(0.1206, abs=1e-4)
    assert statistics.chance_to_beat(low[:1], high, True) == statistics.Chance(1.0, None)  # one run has no spread
    assert statistics.chance_to_beat([1, 1], [1, 1], True).probability == 0.5
    assert statistics.chance_to_beat([1], [3, 4], False) == statistics.Chance(0.0, None)


@pytest.mark.parametrize("n", [2, 3, 5, 8])
@pytest.mark.parametrize("odds", [1.0, 3.0, 9.0])
def test_the_interval_of_a_chance_to_beat_covers_it(odds: float, n: int) -> None:
    rng, chance = np.random.default_rng(n), odds / (odds + 1)  # P(A > B) of exponential values of means odds and 1
    pairs = zip(rng.exponential(odds, (1000, n)), rng.exponential(1.0, (1000, n)), strict=True)
    found = [statistics.chance_to_beat(a, b, lower_is_better=False).interval for a, b in pairs]
    covered = np.mean([interval is not None and interval.holds(chance) for interval in found])
    assert covered >= 0.93  # its standard error is at most 0.8%; of resampled runs it was 29 to 95%


def test_differences_are_paired_by_seed_and_leave_out_seeds_of_one_alone() -> None:
    a, b = {0: 1.0, 1: 4.0, 2: 9.0, 7: 100.0}, {0: 2.0, 1: 4.0, 2: 6.0, 5: -3.0}
    found = statistics.paired_difference(a, b, lower_is_better=True)
    assert found is not None and (found.n, found.mean, found.wins) == (3, pytest.approx(2 / 3), 1.5)
    theirs = scipy.stats.t.interval(0.95, 2, 2 / 3, scipy.stats.sem([-1.0, 0.0, 3.0]))
    assert found.interval is not None and (found.interval.low, found.interval.high) == pytest.approx(theirs)
    assert not found.separated
    assert found.needed == statistics.needed(np.array([-1.0, 0.0, 3.0]))
    assert statistics.paired_difference({0: 1.0}, {1: 1.0}, True) is None


def test_a_performance_profile_is_an_empirical_distribution() -> None:
    x, at = [3.0, 1.0, 2.0, 2.0], np.array([0.5, 1.0, 2.0, 3.0])
    assert list(statistics.profile(x, at, lower_is_better=True)) == list(scipy.stats.ecdf(x).cdf.evaluate(at))
    assert list(statistics.profile(x, at, lower_is_better=False)) == [1.0, 1.0, 0.75, 0.25]
