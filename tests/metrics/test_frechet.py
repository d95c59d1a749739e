"""The Fréchet distance against scipy, torch-fidelity and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.linalg
import torch

from gantrain.metrics import (
    Gaussian,
    frechet_distance,
    frechet_infinity,
)
from gantrain.metrics.frechet import influences
from tests.metrics.conftest import features


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    return frechet_distance(Gaussian.of(a), Gaussian.of(b))


def independent(a: np.ndarray, b: np.ndarray) -> float:
    """By scipy, in float64, from the samples themselves: exact also where covariances are singular."""
    one, two = (x - x.mean(0) for x in (a, b))
    root = scipy.linalg.svdvals(one @ two.T).sum() / math.sqrt((len(a) - 1) * (len(b) - 1))
    spread = (one**2).sum() / (len(a) - 1) + (two**2).sum() / (len(b) - 1)
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + spread - 2 * root)


@pytest.mark.parametrize(("n", "m", "d"), [(400, 300, 32), (40, 60, 128), (10, 500, 64), (500, 10, 64), (700, 700, 64)])
def test_fid_equals_scipy_in_float64_with_more_and_with_fewer_samples_than_dimensions(n: int, m: int, d: int) -> None:
    a, b = features(n, d, 0), features(m, d, 1, 1.1, 0.1)
    assert frechet(a, b) == pytest.approx(independent(a, b), rel=1e-6)


def test_fid_equals_the_matrix_square_root_where_that_exists() -> None:
    a, b = features(2000, 24, 0), features(1500, 24, 1, 1.2, 0.2)
    one, two = (np.cov(x, rowvar=False) for x in (a, b))
    root = np.trace(scipy.linalg.sqrtm(one @ two)).real
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(one) + np.trace(two) - 2 * root
    assert frechet(a, b) == pytest.approx(expected, rel=1e-9)


def test_fid_equals_torch_fidelity_where_covariances_are_regular() -> None:
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    a, b = features(3000, 48, 0), features(2000, 48, 1, 1.1)
    statistics = [fid_features_to_statistics(torch.from_numpy(x)) for x in (a, b)]
    expected = fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"]
    assert frechet(a, b) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("n", "d"), [(500, 64), (50, 64), (50, 512)])
def test_fid_of_a_set_with_itself_is_zero(n: int, d: int) -> None:
    a = features(n, d, 0)
    assert abs(frechet(a, a)) < 1e-6
    assert abs(frechet(a, a[::-1])) < 1e-6


def test_fid_of_many_blocks_is_that_of_one() -> None:
    a = features(10_000, 16, 0).astype(np.float32)
    fitted = Gaussian.of(a)
    np.testing.assert_allclose(fitted.factor.T @ fitted.factor, np.cov(a.astype(np.float64), rowvar=False), rtol=1e-10)
    assert fitted.factor.shape == (16, 16)


def test_fid_of_shifted_and_scaled_normals_is_the_closed_form() -> None:
    a = np.random.default_rng(0).standard_normal((200, 5))
    a = (a - a.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(a, rowvar=False))).T  # exactly N(0, I)
    b = 3 * a + np.array([1, 2, 0, 0, 0])
    assert frechet(a, b) == pytest.approx(5 * (3 - 1) ** 2 + 5, rel=1e-10)


def test_fid_needs_two_samples() -> None:
    with pytest.raises(ValueError, match="2 samples or more, got 1"):
        Gaussian.of(np.zeros((1, 3)))


def spectrum(d: int, scale: float, n: int, seed: int) -> np.ndarray:
    """Features (n, d) whose variances are scale / k, k = 1, 2, …"""
    return np.random.default_rng(seed).standard_normal((n, d)) * np.sqrt(scale / np.arange(1, d + 1))


def exact(d: int) -> Gaussian:
    """The distribution of ``spectrum`` with scale 1, from infinitely many samples."""
    return Gaussian(np.zeros(d), np.diag(np.sqrt(1 / np.arange(1, d + 1))))


@pytest.mark.parametrize(
    ("d", "n", "repetitions"),
    [
        (16, 80, 200),  # as few as are allowed
        (16, 800, 100),
        (64, 500, 60),
        pytest.param(64, 1797, 100, marks=pytest.mark.slow),  # the default digits
        pytest.param(256, 2600, 40, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("scale", [1.0, 1.44])
def test_fid_at_infinity_is_unbiased_and_its_error_covers_the_truth(
    d: int, n: int, repetitions: int, scale: float
) -> None:
    # Of covariances that commute the distance is Σ (√s₁ - √s₂)².
    truth = (math.sqrt(scale) - 1) ** 2 * sum(1 / k for k in range(1, d + 1))
    found = [frechet_infinity(spectrum(d, scale, n, seed), exact(d), seed) for seed in range(repetitions)]
    values, errors = np.array(found).T
    spread = values.std(ddof=1)
    biased = np.mean([frechet_distance(Gaussian.of(spectrum(d, scale, n, seed)), exact(d)) for seed in range(10)])
    # What is left of the bias is much less than what was taken away, and than chance.
    assert abs(values.mean() - truth) < 0.25 * (biased - truth) + 3 * spread / math.sqrt(repetitions)
    assert np.mean(abs(values - truth) <= 2 * errors) >= 0.85
    assert 0.7 * spread < np.median(errors) < 2 * spread


@pytest.mark.parametrize(("n", "d"), [(1250, 256), (500, 128), (319, 64), (9, 2)])
def test_fid_at_infinity_of_too_few_samples_is_refused_with_how_many_it_takes(n: int, d: int) -> None:
    with pytest.raises(ValueError, match=f"{n:,} samples of {d:,} features are too few .* {5 * d:,} are needed"):
        frechet_infinity(spectrum(d, 1.44, n, 0), exact(d), 0)


def test_fid_at_infinity_takes_a_reference_as_features_too() -> None:
    a, b = features(200, 16, 0), features(300, 16, 1, 1.2)
    assert frechet_infinity(a, b, 3) == frechet_infinity(a, Gaussian.of(b), 3)
    assert frechet_infinity(a, b, 3) != frechet_infinity(a, b, 4)


def test_the_influence_of_a_sample_is_the_derivative_of_the_distance_by_its_weight() -> None:
    a, reference = features(60, 5, 0, 1.3, 0.2), Gaussian.of(features(80, 5, 1))
    found = influences(a, Gaussian.of(a), reference)

    def weighted(weights: np.ndarray) -> float:
        shares = weights / weights.sum()
        mean = shares @ a
        factor = np.sqrt(shares)[:, None] * (a - mean) * math.sqrt(60 / 59)  # the unbiased covariance of equal weights
        return frechet_distance(Gaussian(mean, factor), reference)

    step = 1e-5
    for k in (0, 7, 59):
        more, less = np.ones(60), np.ones(60)
        more[k], less[k] = 1 + step, 1 - step
        derivative = 60 * (weighted(more) - weighted(less)) / (2 * step)
        # Of the constant that weights are normed by, the influence knows nothing; differences are free of it.
        assert derivative == pytest.approx(found[k] - found.mean(), rel=0.03, abs=1e-3)
