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


def test_fid_at_infinity_takes_the_bias_away() -> None:
    rng = np.random.default_rng(0)
    reference = Gaussian(np.zeros(30), np.eye(30))
    closer = 0
    for seed in range(8):
        found = rng.standard_normal((600, 30))
        found[:, 0] += 0.5  # the true distance is 0.25
        value, error = frechet_infinity(found, reference, seed)
        biased = frechet_distance(Gaussian.of(found), reference)
        assert biased > 0.25 + 0.3 and 0 < error < 0.2
        closer += abs(value - 0.25) < abs(biased - 0.25) / 2
    assert closer == 8
