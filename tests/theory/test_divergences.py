"""Divergences against closed forms, scipy, and brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist, jensenshannon
from scipy.stats import entropy, wasserstein_distance, wasserstein_distance_nd

from gantrain.theory import integration
from gantrain.theory.divergences import (
    F_DIVERGENCES,
    Discrete,
    Gaussian,
    Mixture,
    Samples,
    f_divergence,
    fisher_distance,
    js,
    kl,
    total_variation,
    wasserstein,
)

P, Q = [0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]


def test_the_coin_of_the_textbooks() -> None:
    assert js([0.5, 0.5], [0.9, 0.1]) == pytest.approx(0.101749, abs=5e-7)
    assert js([0.5, 0.5], [0.9, 0.1], unit="bits") == pytest.approx(0.146793, abs=5e-7)


def test_discrete_divergences_at_the_published_pair() -> None:
    published = {
        "kl": 0.456434819147,
        "reverse_kl": 0.456434819147,
        "pearson": 1.208333333333,
        "neyman": 1.208333333333,
        "squared_hellinger": 0.220204102887,
        "jensen_shannon": 0.212880270572,
        "gan": -1.173414090547,
        "total_variation": 0.4,
    }
    for name, value in published.items():
        assert f_divergence(P, Q, name) == pytest.approx(value, abs=1e-12)
    assert fisher_distance(P, Q) == pytest.approx(0.894427191, abs=1e-9)
    assert js(P, Q) == pytest.approx(0.106440135286, abs=1e-12)


def test_discrete_divergences_are_scipys() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        p, q = rng.dirichlet(np.ones(6), size=2)
        assert kl(p, q) == pytest.approx(entropy(p, q))
        assert kl(p, q, unit="bits") == pytest.approx(entropy(p, q, base=2))
        assert js(p, q) == pytest.approx(jensenshannon(p, q) ** 2)
        assert total_variation(p, q) == pytest.approx(np.abs(p - q).sum() / 2)


@pytest.mark.parametrize("name", F_DIVERGENCES)
def test_f_divergences_of_equal_distributions_are_zero_and_of_others_above(name: str) -> None:
    offset = -math.log(4) if name == "gan" else 0
    assert f_divergence(P, P, name) == pytest.approx(offset, abs=1e-12)
    rng = np.random.default_rng(1)
    for _ in range(20):
        p, q = rng.dirichlet(np.ones(5), size=2)
        assert f_divergence(p, q, name) > offset


def test_limits_where_one_distribution_has_no_mass() -> None:
    p, q = [0.3, 0.7, 0.0, 0.0], [0.0, 0.0, 0.4, 0.6]
    expected = {
        "kl": math.inf,
        "reverse_kl": math.inf,
        "pearson": math.inf,
        "neyman": math.inf,
        "squared_hellinger": 2,
        "jensen_shannon": 2 * math.log(2),
        "gan": 0,
        "total_variation": 1,
        "le_cam": 1,
    }
    assert {name: f_divergence(p, q, name) for name in expected} == pytest.approx(expected)
    assert kl([1, 0], [0.5, 0.5]) == pytest.approx(math.log(2))  # p = 0 costs nothing
    assert kl([0.5, 0.5], [1, 0]) == math.inf
    assert fisher_distance(p, q) == pytest.approx(2)


def test_gaussians_in_closed_form_and_by_integration() -> None:
    p, q = Gaussian(0.0, 1.0), Gaussian(1.0, 4.0)
    assert kl(p, q) == pytest.approx(math.log(2) + (1 + 1) / 8 - 0.5)
    assert f_divergence(p, q, "reverse_kl") == pytest.approx(kl(q, p))
    # Bhattacharyya coefficient of N(0, 1), N(1, 4): sqrt(2·2/5) exp(-1/20)
    assert f_divergence(p, q, "squared_hellinger") == pytest.approx(2 - 2 * math.sqrt(0.8) * math.exp(-0.05), rel=1e-6)
    # N(0, 1), N(1, 1): TV = 2Φ(½) - 1
    same = Gaussian(1.0, 1.0)
    assert total_variation(p, same) == pytest.approx(math.erf(0.5 / math.sqrt(2)), rel=1e-5)
    assert f_divergence(p, same, "pearson") == pytest.approx(math.e - 1, rel=1e-6)  # e^{μ²} - 1


@pytest.mark.parametrize("squared", [0.01, 0.4999, 0.5, 0.5001, 1.0, 1.9999, 2.0, 2.0001, 100.0])
@pytest.mark.parametrize("name", F_DIVERGENCES)
def test_a_divergence_of_gaussians_is_infinite_exactly_where_its_integrand_does_not_fall(
    name: str, squared: float
) -> None:
    # p = N(0, s²), q = N(0, 1). p²/q falls like exp(-x² (2/s² - 1)/2), so ∫ p²/q is infinite if and only if s² >= 2;
    # q²/p falls like exp(-x² (2 - 1/s²)/2), so it is infinite if and only if s² <= 1/2. log(p/q) is a polynomial, and
    # the other generators are bounded by p + q: they are finite.
    infinite = {"pearson": squared >= 2, "neyman": squared <= 0.5}.get(name, False)
    p, q = Gaussian([0.0, 0.0], np.diag([squared, 1.0])), Gaussian([0.0, 0.0], np.eye(2))
    assert math.isinf(f_divergence(p, q, name)) == infinite
    line = Mixture([0.0], math.sqrt(squared)), Mixture([0.0], 1.0)
    if squared not in (0.5, 2.0):  # whose root is rounded
        assert math.isinf(f_divergence(*line, name)) == infinite


def test_chi_squared_of_gaussians_by_hand() -> None:
    # ∫ p²/q = 1/(s² √(2/s² - 1)) for p = N(0, s²), q = N(0, 1): at s² = 3/2 it is √3/1.5
    value = 2 / math.sqrt(3) - 1
    assert f_divergence(Gaussian(0.0, 1.5), Gaussian(0.0, 1.0), "pearson") == pytest.approx(value, rel=1e-12)
    assert f_divergence(Gaussian(0.0, 1.0), Gaussian(0.0, 1.5), "neyman") == pytest.approx(value, rel=1e-12)
    five = Gaussian(np.zeros(5), 1.5 * np.eye(5)), Gaussian(np.zeros(5), np.eye(5))
    assert f_divergence(*five, "pearson") == pytest.approx((1 + value) ** 5 - 1, rel=1e-12)
    # What counts is each direction: along (1, -1) p has variance 1 - 0.9, q 1, but along (1, 1) 1.9, and q only 0.9.
    p = Gaussian([0.0, 0.0], [[1.0, 0.9], [0.9, 1.0]])
    assert math.isinf(f_divergence(p, Gaussian([0.0, 0.0], 0.9 * np.eye(2)), "pearson"))
    assert math.isfinite(f_divergence(p, Gaussian([0.0, 0.0], 0.96 * np.eye(2)), "pearson"))


def test_chi_squared_of_mixtures_is_scipys_integral() -> None:
    p = Mixture([-1.0, 1.0], 0.5, [0.3, 0.7])
    for q in (Mixture([0.0], 0.9), Mixture([-0.8, 1.3], 0.4), Mixture([-3.0, 3.0], 0.38)):

        def ratio(x: float, q: Mixture = q) -> float:
            at = np.array([[x]])
            return math.exp(2 * p.log_density(at)[0] - q.log_density(at)[0])

        expected = quad(ratio, -30, 30, points=[-9, -5, -3, -1, 0, 1, 3, 5, 9], limit=2000)[0] - 1
        assert f_divergence(p, q, "pearson") == pytest.approx(expected, rel=1e-3)
        assert f_divergence(q, p, "neyman") == f_divergence(p, q, "pearson")
    assert f_divergence(Mixture([-1.0, 1.0], 0.6), Mixture([0.0, 1.0], 0.42), "pearson") == math.inf  # 0.6 > √2 · 0.42
    assert f_divergence(Mixture([0.0, 50.0], 1.0), Mixture([0.0, 1.0], 1.0), "pearson") == math.inf  # too large
    # The third mode gives KL(p‖q) a share of ⅓ · 1000²/2σ², and e to its power is too large: no cell need be cut.
    thin = Mixture([[0.0, 0.0], [1.0, 0.0], [0.0, 1000.0]], 1e-3), Mixture([[0.0, 0.0], [1.0, 0.0]], 1e-3)
    assert f_divergence(*thin, "pearson") == math.inf


def test_a_thin_ridge_is_not_missed() -> None:
    # With one covariance TV = erf(Δ/2√2), Δ² = δᵀ Σ⁻¹ δ; for δ = (d, 0) and correlation ρ, Δ² = d²/(1 - ρ²).
    for correlation in (0.0, 0.999, -0.999999):
        covariance = [[1.0, correlation], [correlation, 1.0]]
        shift = 1.1182 * math.sqrt(1 - correlation**2)
        p, q = Gaussian([0.0, 0.0], covariance), Gaussian([shift, 0.0], covariance)
        assert total_variation(p, q) == pytest.approx(math.erf(1.1182 / math.sqrt(8)), abs=2e-4)  # 0.4239
        # ∫ √(pq) = exp(-Δ²/8)
        assert f_divergence(p, q, "squared_hellinger") == pytest.approx(2 - 2 * math.exp(-(1.1182**2) / 8), rel=1e-4)
    wide, thin = Gaussian(0.0, 1.0), Gaussian(3.0, 1e-12)
    assert total_variation(wide, thin) == pytest.approx(1, abs=1e-3)
    assert js(wide, thin) == pytest.approx(math.log(2), abs=1e-3)


@pytest.mark.parametrize("d", [1, 2])
def test_thin_components_far_apart_give_the_divergences_of_their_weights(d: int) -> None:
    # p has one half here, one half far away, q is all here: p = (½, ½), q = (1, 0).
    here, far = np.zeros(d), np.full(d, 1000.0)
    p, q = Mixture([here, far], 1e-3), Mixture([here], 1e-3)
    expected = {
        "reverse_kl": math.log(2),
        "neyman": 1,  # (½)²/½ + (½)²/½
        "squared_hellinger": 2 - math.sqrt(2),
        "jensen_shannon": math.log(4 / 3) + 0.5 * math.log(2 / 3) + 0.5 * math.log(2),  # m = (¾, ¼)
        "total_variation": 0.5,
        "le_cam": 1 / 3,  # ½ ((½)²/(3/2) + ½)
    }
    assert {name: f_divergence(p, q, name) for name in expected} == pytest.approx(expected, abs=1e-6)
    assert f_divergence(p, q, "kl") == pytest.approx(0.5 * 0.5 * d * 1e12, rel=1e-6)  # ½ · d²/2σ²


def test_an_integral_of_too_many_cells_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(integration, "MOST_CELLS", 1000)
    with pytest.raises(ValueError, match=r"more than 1,000 cells.*compare Samples"):
        js(Mixture([[0.0, 0.0]], 1.0), Mixture([[1.0, 0.0]], 1.0))


def test_cells_are_halved_until_the_integral_holds(monkeypatch) -> None:
    monkeypatch.setattr("gantrain.theory.divergences.WIDTH", 8.0)
    found = total_variation(Mixture([0.0], 1.0), Mixture([0.7], 1.0))
    assert found == pytest.approx(math.erf(0.35 / math.sqrt(2)), abs=1e-3)


def test_subnormal_probabilities_leave_bounded_divergences_bounded() -> None:
    p, q = [1 - 1e-5, 1e-5], [1.0, 5e-324]
    expected = {
        "total_variation": 1e-5,  # ½ (1e-5 + 1e-5)
        "le_cam": 0.5e-5,  # ½ (1e-10/2 + 1e-5)
        "squared_hellinger": 1e-5,  # (1e-5/2)² + 1e-5
        "jensen_shannon": 1e-5 * math.log(2),  # at the second symbol; at the first (1e-5)²/4
    }
    assert {name: f_divergence(p, q, name) for name in expected} == pytest.approx(expected, rel=1e-4)
    assert f_divergence(p, q, "pearson") == math.inf  # 1e-10/5e-324 is too large for a number


def test_gaussians_in_the_plane() -> None:
    p = Gaussian([0.0, 0.0], [[1.0, 0.0], [0.0, 1.0]])
    q = Gaussian([1.0, 0.0], [[1.0, 0.0], [0.0, 1.0]])
    assert total_variation(p, q) == pytest.approx(math.erf(0.5 / math.sqrt(2)), rel=1e-3)  # only the first axis differs
    assert js(p, q) == pytest.approx(js(Gaussian(0.0, 1.0), Gaussian(1.0, 1.0)), rel=1e-4)
    assert kl(p, Gaussian([0.0, 0.0], [[2.0, 0.3], [0.3, 0.5]])) == pytest.approx(
        0.5 * (2.5 / 0.91 - 2 + math.log(0.91)), rel=1e-12
    )


def test_wasserstein_of_gaussians() -> None:
    assert wasserstein(Gaussian(0.0, 1.0), Gaussian(3.0, 4.0), order=2) == pytest.approx(math.sqrt(9 + 1))
    p = Gaussian([0.0, 0.0], [[1.0, 0.0], [0.0, 4.0]])
    q = Gaussian([3.0, 4.0], [[4.0, 0.0], [0.0, 1.0]])
    assert wasserstein(p, q, order=2) == pytest.approx(math.sqrt(25 + 1 + 1))
    assert wasserstein(Gaussian(0.0, 1.0), Gaussian(3.0, 1.0)) == pytest.approx(3, rel=1e-6)
    rotated = Gaussian([0.0, 0.0], [[2.0, 1.5], [1.5, 2.0]])
    from scipy.linalg import sqrtm

    root = sqrtm(rotated.covariance)
    cross = np.trace(sqrtm(root @ p.covariance @ root)).real
    assert wasserstein(p, rotated, order=2) == pytest.approx(math.sqrt(5 + 4 - 2 * cross), rel=1e-9)


@pytest.mark.parametrize("order", [1, 2])
def test_wasserstein_of_samples_is_exact_optimal_transport(order: int) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 2)), rng.normal(1, 2, size=(60, 2))
    costs = cdist(x, y) ** order
    expected = costs[linear_sum_assignment(costs)].mean() ** (1 / order)
    assert wasserstein(Samples(x), Samples(y), order) == pytest.approx(expected, rel=1e-12)
    line, other = rng.normal(size=80), rng.normal(3, 1, size=80)
    matched = (np.abs(np.sort(line) - np.sort(other)) ** order).mean() ** (1 / order)
    assert wasserstein(Samples(line), Samples(other), order) == pytest.approx(matched, rel=1e-12)


def test_wasserstein_of_weighted_points_and_unequal_samples_is_scipys() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=30), rng.normal(1, 2, size=17)
    assert wasserstein(Samples(x), Samples(y)) == pytest.approx(wasserstein_distance(x, y), rel=1e-9)
    p, q = rng.dirichlet(np.ones(30)), rng.dirichlet(np.ones(17))
    found = wasserstein(Discrete(p, x), Discrete(q, y))
    assert found == pytest.approx(wasserstein_distance(x, y, p, q), rel=1e-9)
    a, b = rng.normal(size=(8, 2)), rng.normal(size=(5, 2))
    p, q = rng.dirichlet(np.ones(8)), rng.dirichlet(np.ones(5))
    found = wasserstein(Discrete(p, a), Discrete(q, b))
    assert found == pytest.approx(wasserstein_distance_nd(a, b, p, q), rel=1e-6)


def test_divergences_estimated_from_samples_come_near_the_true_ones() -> None:
    rng = np.random.default_rng(0)
    p, q = Gaussian([0.0, 0.0], np.eye(2)), Gaussian([1.0, 0.0], np.eye(2))
    x, y = rng.normal(size=(4000, 2)), rng.normal([1, 0], 1, size=(4000, 2))
    for name, tolerance in [("kl", 0.15), ("reverse_kl", 0.15), ("jensen_shannon", 0.15), ("total_variation", 0.1),
                            ("squared_hellinger", 0.2)]:  # fmt: skip
        estimate = f_divergence(Samples(x), Samples(y), name)
        assert estimate == pytest.approx(f_divergence(p, q, name), rel=tolerance), name
    assert abs(kl(Samples(x), Samples(rng.normal(size=(4000, 2))))) < 0.05
    assert js(Samples(x), Samples(x + 50)) == pytest.approx(math.log(2), abs=0.01)


@pytest.mark.parametrize("name", F_DIVERGENCES)
def test_samples_that_coincide_are_refused(name: str) -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 50, 2))
    assert math.isfinite(f_divergence(Samples(x), Samples(y), name))
    for other in (x.copy(), np.concatenate([y, y[:1]]), np.concatenate([y, x[:1]])):
        with pytest.raises(ValueError, match=r"coincide with another.*add noise"):
            f_divergence(Samples(x), Samples(other), name)
    with pytest.raises(ValueError, match="1 of 4 samples"):
        f_divergence(Samples([0.0, 1.0]), Samples([-0.0, 2.0]), name)


@pytest.mark.parametrize(
    ("name", "bound"),
    [("total_variation", 1), ("squared_hellinger", 2), ("le_cam", 1), ("jensen_shannon", 2 * math.log(2))],
)
def test_estimates_of_bounded_divergences_stay_within_their_bounds(name: str, bound: float) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 400)), 1e-3 * rng.normal(size=(60, 400))  # log p/q is in the thousands
    assert f_divergence(Samples(x), Samples(y), name) == pytest.approx(bound, abs=1e-9)
    assert f_divergence(Samples(y), Samples(x), name) == pytest.approx(bound, abs=1e-9)


def test_wasserstein_1_on_a_line_by_hand() -> None:
    # Quantiles are matched: E|m + sZ|, for m = 0 it is s √(2/π)
    p, q = Gaussian(0.0, 1.0), Gaussian(0.0, 4.0)
    assert wasserstein(p, q) == pytest.approx(math.sqrt(2 / math.pi), rel=1e-12)
    assert wasserstein(p, Gaussian(-9.0, 4.0)) == pytest.approx(9, rel=1e-9)
    thin = Mixture([0.0, 1000.0], 1e-3), Mixture([0.5, 1000.0], 1e-3)
    assert wasserstein(*thin) == pytest.approx(0.25, rel=1e-6)  # half of the mass moves by one half
    assert wasserstein(*thin, order=2) == pytest.approx(math.sqrt(0.125), rel=1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: kl([0.5, 0.6], [0.5, 0.5]), "sum to 1"),
        (lambda: kl([0.5, 0.5], [1.0]), "same symbols"),
        (lambda: kl([0.5, 0.5], Gaussian(0.0, 1.0)), "Discrete cannot be compared with Gaussian"),
        (lambda: kl(P, Q, unit="hartleys"), "nats or bits"),
        (lambda: f_divergence(P, Q, "chi"), "there is kl"),
        (lambda: wasserstein(P, Q), "where the symbols lie"),
        (lambda: wasserstein(P, Q, order=3), "order must be 1 or 2"),
        (lambda: wasserstein(Gaussian([0, 0], np.eye(2)), Gaussian([0, 1], np.eye(2))), "order=2, or Samples"),
        (lambda: wasserstein(Gaussian(0, 1), Gaussian([0, 1], np.eye(2))), "same dimension"),
        (lambda: js(Gaussian([0] * 3, np.eye(3)), Gaussian([1] * 3, np.eye(3))), "compare Samples"),
        (lambda: Gaussian(0.0, -1.0), "positive definite"),
        (lambda: Gaussian([0.0, 0.0], [[1.0, 2.0], [0.0, 1.0]]), "symmetric"),
        (lambda: Discrete([0.5, 0.5], [[0.0]]), "as many points"),
        (lambda: kl(Samples([[0.0]]), Samples([[1.0]])), "too few samples"),
        (lambda: Samples([0.0, math.nan]), "points must be finite"),
        (lambda: Gaussian([0.0, 0.0], [[1.0, 1.0], [1.0, 1.0]]), "positive definite"),
        (lambda: Gaussian([0.0, 0.0], [[0.1, 0.3], [0.3, 0.9]]), "positive definite"),  # singular but for rounding
        (lambda: Gaussian(math.inf, 1.0), "mean must be finite"),
        (lambda: Mixture([0.0], 0.0), "std must be a number above 0"),
        (lambda: Mixture([0.0, 1.0], 1.0, [0.5, 0.6]), "sum to 1"),
        (lambda: Mixture([], 1.0), "centers must be"),
        (lambda: js(Mixture(np.zeros((1, 3)), 1.0), Mixture(np.zeros((1, 3)), 1.0)), "compare Samples"),
        (lambda: wasserstein(Mixture([[0.0, 0.0]], 1.0), Mixture([[0.0, 0.0]], 1.0)), "compare Samples"),
        (lambda: js(Gaussian([0, 0], np.eye(2)), Gaussian([0, 0], np.diag([1e8, 1e-8]))), "over a million times"),
        (lambda: f_divergence(Mixture([0.0], math.sqrt(2)), Mixture([-1.0, 1.0], 1.0), "pearson"), "not sure where"),
    ],
)
def test_senseless_questions_are_refused_in_one_sentence(call, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_pearsons_divergence_of_gaussians_is_the_integral_and_infinite_where_it_diverges() -> None:
    # On a line ∫ p²/q of N(0, a²) and N(0, b²) is b² / (a √(2b² - a²)), finite for a² < 2b².
    for a, b in ((1.0, 1.0), (1.3, 1.0), (0.2, 1.0), (1.0, 3.0)):
        p, q = Gaussian(0.0, a**2), Gaussian(0.0, b**2)
        expected = b**2 / (a * math.sqrt(2 * b**2 - a**2)) - 1
        assert f_divergence(p, q, "pearson") == pytest.approx(expected, abs=1e-12)
        assert f_divergence(q, p, "neyman") == pytest.approx(expected, abs=1e-12)
    for wide in (math.sqrt(2), 1.5, 10.0):
        assert f_divergence(Gaussian(0.0, wide**2), Gaussian(0.0, 1.0), "pearson") == math.inf
        assert f_divergence(Gaussian(0.0, 1.0), Gaussian(0.0, wide**2), "neyman") == math.inf
    # Of shifted normals of one covariance it is exp(ΔᵀΣ⁻¹Δ) - 1, in any dimension.
    covariance = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.2], [0.0, 0.2, 1.5]])
    shift = np.array([0.3, -0.2, 0.4])
    expected = math.expm1(shift @ np.linalg.solve(covariance, shift))
    found = f_divergence(Gaussian(5 + shift, covariance), Gaussian(np.full(3, 5.0), covariance), "pearson")
    assert found == pytest.approx(expected, rel=1e-9)
    one_direction = np.diag([1.0, 1.0, 2.5])  # too wide along the third axis only
    assert f_divergence(Gaussian(np.zeros(3), one_direction), Gaussian(np.zeros(3), np.eye(3)), "pearson") == math.inf


@pytest.mark.parametrize("correlation", [0.0, 0.9, 0.999, 0.999999])
def test_thin_gaussians_are_integrated_where_they_are(correlation: float) -> None:
    covariance = np.array([[1.0, correlation], [correlation, 1.0]])
    shift = np.array([0.05, 0.0])
    p, q = Gaussian(shift, covariance), Gaussian(np.zeros(2), covariance)
    distance = math.sqrt(shift @ np.linalg.solve(covariance, shift))
    assert total_variation(p, q) == pytest.approx(math.erf(distance / math.sqrt(8)), abs=1e-4)
    coefficient = math.exp(-(distance**2) / 8)
    assert f_divergence(p, q, "squared_hellinger") == pytest.approx(2 - 2 * coefficient, abs=1e-6)
    round_one = Gaussian(np.zeros(2), np.eye(2))  # BC = |Σ|^¼ / |(1 + Σ)/2|^½
    determinants = np.linalg.det(covariance), np.linalg.det((np.eye(2) + covariance) / 2)
    expected = 2 - 2 * determinants[0] ** 0.25 / determinants[1] ** 0.5
    assert f_divergence(round_one, q, "squared_hellinger") == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("std", [1.0, 0.1, 1e-3, 1e-6])
def test_a_thin_gaussian_beside_a_broad_one_on_a_line(std: float) -> None:
    p, q = Gaussian(0.0, 1.0), Gaussian(0.0, std**2)
    assert wasserstein(p, q, order=1) == pytest.approx((1 - std) * math.sqrt(2 / math.pi), abs=1e-8)
    expected = 2 - 2 * math.sqrt(2 * std / (1 + std**2))
    assert f_divergence(p, q, "squared_hellinger") == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("name", F_DIVERGENCES)
def test_samples_that_coincide_are_refused_and_not_called_infinitely_near(name: str) -> None:
    x = np.random.default_rng(0).standard_normal((50, 2))
    with pytest.raises(ValueError, match="50 of 100 samples coincide"):
        f_divergence(Samples(x), Samples(x.copy()), name)
    with pytest.raises(ValueError, match="1 of 101 samples coincide"):
        f_divergence(Samples([*x, x[7]]), Samples(x + 1), name if name != "reverse_kl" else "kl")
