"""Divergences against closed forms, scipy, and brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist, jensenshannon
from scipy.stats import entropy, wasserstein_distance, wasserstein_distance_nd

from gantrain.theory.divergences import (
    F_DIVERGENCES,
    Discrete,
    Gaussian,
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
    with pytest.raises(ValueError, match="50 of 50 samples coincide"):
        f_divergence(Samples(x), Samples(x.copy()), name)
    with pytest.raises(ValueError, match="2 of 51 samples coincide"):
        f_divergence(Samples([*x, x[7]]), Samples(x + 1), name if name != "reverse_kl" else "kl")
