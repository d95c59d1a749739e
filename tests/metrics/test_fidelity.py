"""KID, IS, precision, recall, density and coverage against independent computations and their papers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from gantrain.metrics import (
    density_coverage,
    inception_score,
    kid,
    precision_recall,
)
from tests.metrics.conftest import features


def test_kid_is_that_of_torch_fidelity_to_the_last_bit() -> None:
    from torch_fidelity.metric_kid import kid_features_to_metric

    a, b = torch.from_numpy(features(300, 32, 0)), torch.from_numpy(features(250, 32, 1, 1.2))
    theirs = kid_features_to_metric(a, b, kid_subsets=7, kid_subset_size=100, rng_seed=5, verbose=False)
    mean, spread = kid(a, b, subsets=7, subset_size=100, seed=5)
    assert mean == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-12)
    assert spread == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-9)


def test_kid_is_on_average_the_u_statistic_of_its_kernel() -> None:
    a, b = features(24, 6, 0), features(24, 6, 1, 2.0)

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return float((x @ y / 6 + 1) ** 3)

    within = sum(kernel(s[i], s[j]) for s in (a, b) for i in range(24) for j in range(24) if i != j) / (24 * 23)
    across = sum(kernel(x, y) for x in a for y in b) / 24**2
    found, spread = kid(torch.from_numpy(a), torch.from_numpy(b), subsets=4000, subset_size=12, seed=0)
    assert found == pytest.approx(within - 2 * across, abs=4 * spread / math.sqrt(4000))
    assert abs(within - 2 * across) > 8 * spread / math.sqrt(4000)


def test_kid_of_random_halves_of_one_set_is_zero_on_average() -> None:
    data = torch.from_numpy(features(600, 16, 0))
    rng, values = np.random.default_rng(1), []
    for _ in range(120):
        order = rng.permutation(600)
        values.append(kid(data[order[:300]], data[order[300:]], 1, 150, 0)[0])
    error = np.std(values) / math.sqrt(len(values))
    assert abs(np.mean(values)) < 3 * error
    assert min(values) < 0 < max(values)  # unbiased: it must be able to fall below


def test_kid_does_not_depend_on_the_number_of_samples_but_its_biased_form_does() -> None:
    a, b = torch.from_numpy(features(4000, 8, 0)), torch.from_numpy(features(4000, 8, 1, 1.3))
    (small, spread_small), (large, spread_large) = (kid(a, b, k, size, 0) for k, size in ((400, 20), (40, 800)))
    error = math.hypot(spread_small / 20, spread_large / math.sqrt(40))
    assert abs(small - large) < 3 * error
    diagonal = float(((a * a).sum(1) / 8 + 1).pow(3).mean() / 20)  # what the biased form adds at 20 samples
    assert diagonal > 10 * error


def test_inception_score_is_one_for_equal_answers_and_the_number_of_classes_for_sure_and_even_ones() -> None:
    assert inception_score(torch.zeros(500, 7), 5, 0)[0] == pytest.approx(1)
    sure = torch.eye(7).repeat(200, 1) * 1000
    assert inception_score(sure, 1, 0)[0] == pytest.approx(7, rel=1e-9)


def test_inception_score_is_that_of_torch_fidelity() -> None:
    from torch_fidelity.metric_isc import isc_features_to_metric

    logits = torch.randn(503, 10, generator=torch.Generator().manual_seed(0)) * 3
    theirs = isc_features_to_metric(logits, splits=10, rng_seed=3)
    mean, spread = inception_score(logits, 10, 3)
    assert mean == pytest.approx(theirs["inception_score_mean"], rel=1e-12)
    assert spread == pytest.approx(theirs["inception_score_std"], rel=1e-9)


def test_precision_recall_density_and_coverage_equal_double_loops() -> None:
    fake, real = features(120, 8, 0, 1.1, 0.05), features(150, 8, 1)
    to_real, own_real, own_fake = cdist(fake, real), cdist(real, real), cdist(fake, fake)
    radius = lambda own, k: np.sort(own, 1)[:, k]  # noqa: E731  (the nearest is the sample itself)
    both = torch.from_numpy(fake), torch.from_numpy(real)
    precision, recall = precision_recall(*both, k=3)
    assert precision == pytest.approx((to_real <= radius(own_real, 3)).any(1).mean(), abs=1e-6)
    assert recall == pytest.approx((radius(own_fake, 3) >= to_real.T).any(1).mean(), abs=1e-6)
    density, covered = density_coverage(*both, k=5)
    inside = to_real < radius(own_real, 5)
    assert density == pytest.approx(inside.sum() / (5 * 120)) and covered == pytest.approx(inside.any(0).mean())
    assert 0 < precision < 1 and 0 < recall < 1 and 0 < covered < 1


def test_density_and_coverage_of_equal_distributions_are_what_the_paper_expects() -> None:
    a, b = (torch.from_numpy(np.random.default_rng(k).standard_normal((3000, 4))) for k in range(2))
    density, covered = density_coverage(a, b, k=5)
    assert density == pytest.approx(1, abs=0.05) and covered == pytest.approx(1 - 2**-5, abs=0.01)


def test_one_far_real_sample_makes_precision_but_not_density_believe_anything_near_it() -> None:
    real = torch.from_numpy(np.random.default_rng(0).standard_normal((500, 2)))
    real[:2] = torch.tensor([[200.0, 0.0], [0.0, 200.0]], dtype=torch.float64)  # their balls reach back to the others
    wrong = torch.tensor([[30.0, 30.0]], dtype=torch.float64) + torch.randn(500, 2, dtype=torch.float64)
    assert precision_recall(wrong, real, 3) == (1.0, pytest.approx(0.0, abs=0.01))
    density, covered = density_coverage(wrong, real, 5)
    assert density < 0.5 and covered < 0.01


def test_a_few_far_fakes_make_recall_but_not_coverage_believe_in_all() -> None:
    real = torch.from_numpy(np.random.default_rng(0).standard_normal((500, 2))) + 30
    far = torch.tensor([[500.0, 0.0], [0.0, 500.0], [-500.0, 0.0], [0.0, -500.0]], dtype=torch.float64)
    assert precision_recall(far.repeat(25, 1) + torch.rand(100, 2), real, 30)[1] == 1
    assert density_coverage(far.repeat(25, 1) + torch.rand(100, 2), real, 30)[1] == 0


def test_kid_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    features = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    kid(features, features, 2, 10, 0)
    assert capfd.readouterr() == ("", "")


def test_a_sample_on_the_border_of_a_ball_is_inside_for_precision_and_outside_for_density() -> None:
    # On a line: reals at 0 and 2, whose nearest others are 2 away, and a fake at 4, which is 2 from the real at 2.
    real, fake = torch.tensor([[0.0], [2.0]]), torch.tensor([[4.0], [104.0]])
    assert precision_recall(fake, real, 1)[0] == 0.5
    assert density_coverage(fake, real, 1) == (0.0, 0.0)
    nearer = torch.tensor([[3.99], [104.0]])
    assert precision_recall(nearer, real, 1)[0] == 0.5 and density_coverage(nearer, real, 1) == (0.5, 0.5)
