"""Each number against an independent computation, a closed form, or what it must do by its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from scipy.spatial.distance import cdist
from torch import Tensor

from gantrain.metrics import (
    Gaussian,
    coverage,
    density_coverage,
    directions,
    frechet_distance,
    frechet_infinity,
    inception_score,
    kid,
    memorised,
    mode_kl,
    ms_ssim,
    nearest,
    precision_recall,
    sliced_wasserstein,
    threshold,
    wasserstein_2,
)


def features(n: int, d: int, seed: int, scale: float = 1.0, shift: float = 0.0, rank: int | None = None) -> np.ndarray:
    """Rectified, correlated, like those of a network."""
    mix = np.random.default_rng(99).standard_normal((rank or d, d)) / np.sqrt(d)
    return np.maximum(scale * np.random.default_rng(seed).standard_normal((n, rank or d)) @ mix + shift, 0)


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


def test_exact_wasserstein_distance_pairs_by_rank_on_a_line() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((200, 1)), 2 * rng.standard_normal((200, 1)) + 1
    expected = np.sqrt(((np.sort(a, 0) - np.sort(b, 0)) ** 2).mean())
    assert wasserstein_2(torch.from_numpy(a), torch.from_numpy(b)) == pytest.approx(expected, rel=1e-12)


def test_exact_wasserstein_distance_of_a_shift_is_its_length() -> None:
    points = torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
    assert wasserstein_2(points, points.flip(0) + torch.tensor([3.0, 4.0])) == pytest.approx(5, rel=1e-6)


def test_sliced_wasserstein_distance_of_a_shift_is_its_length_over_the_root_of_the_dimension() -> None:
    points = torch.randn(400, 16, generator=torch.Generator().manual_seed(0)).double()
    onto = directions(16, 4000, 0).double()
    shift = torch.full((16,), 0.5, dtype=torch.float64)  # of length 2
    assert sliced_wasserstein(points @ onto, (points + shift) @ onto) == pytest.approx(2 / 4, rel=0.05)
    # The same set: 0 but for rounding, as a row's product may be added up in another order at another place.
    assert sliced_wasserstein(points @ onto, points.flip(0) @ onto) < 1e-12


def test_sliced_wasserstein_distance_compares_sets_of_different_sizes_at_quantiles() -> None:
    a = torch.linspace(0, 1, 1001)[:, None]
    b = torch.linspace(0, 1, 300)[:, None]
    assert sliced_wasserstein(a, b) < 0.002
    assert sliced_wasserstein(a, b + 1) == pytest.approx(1, abs=0.002)


def ssim_by_hand(a: np.ndarray, b: np.ndarray) -> float:
    """Of images as large as the window, where there is one place."""
    side = len(a)
    line = np.exp(-((np.arange(side) - (side - 1) / 2) ** 2) / (2 * 1.5**2))
    w = np.outer(line, line) / line.sum() ** 2
    ma, mb = (w * a).sum(), (w * b).sum()
    va, vb, cov = (w * a * a).sum() - ma**2, (w * b * b).sum() - mb**2, (w * a * b).sum() - ma * mb
    c1, c2 = 2.55**2, 7.65**2
    return ((2 * ma * mb + c1) / (ma**2 + mb**2 + c1)) * ((2 * cov + c2) / (va + vb + c2))


def test_ms_ssim_of_the_smallest_images_is_ssim_by_hand() -> None:
    rng = np.random.default_rng(0)
    a = rng.integers(256, size=(8, 8))
    b = np.clip(a + rng.integers(-60, 60, size=(8, 8)), 0, 255)
    found = ms_ssim(*(torch.from_numpy(x)[None, None].to(torch.uint8) for x in (a, b)))
    assert float(found) == pytest.approx(ssim_by_hand(a.astype(float), b.astype(float)), rel=1e-9)


@pytest.mark.parametrize("side", [8, 16, 32, 64, 256])
def test_ms_ssim_is_one_for_equal_images_and_falls_with_noise(side: int) -> None:
    smooth = torch.nn.functional.interpolate(torch.rand(6, 3, 4, 4) * 255, side, mode="bilinear")
    values = []
    for noise in (0, 10, 40, 120):
        other = (smooth + noise * torch.randn(6, 3, side, side)).clamp(0, 255)
        values.append(float(ms_ssim(smooth.to(torch.uint8), other.to(torch.uint8)).mean()))
    assert values[0] == pytest.approx(1) and sorted(values, reverse=True) == values and values[-1] < 0.8


def test_copies_are_found_also_with_noise_and_independent_samples_are_flagged_once_in_a_hundred() -> None:
    rng = np.random.default_rng(0)
    training = torch.from_numpy(rng.standard_normal((2000, 6)))
    limit = threshold(nearest(training[:1000], training.split(300), torch.arange(1000)))

    def share(samples: Tensor) -> float:
        return memorised(nearest(samples, training.split(300)), limit)

    fresh = torch.from_numpy(rng.standard_normal((1000, 6)))
    assert share(fresh) == pytest.approx(0.01, abs=0.008)
    assert share(training[500:900]) == 1
    assert share(training[500:900] + 0.01) == 1
    assert share(torch.cat([fresh[:300], training[:100]])) == pytest.approx(0.25, abs=0.02)


def test_the_nearest_sample_is_found_across_blocks_and_never_the_query_itself() -> None:
    data = torch.from_numpy(np.random.default_rng(0).standard_normal((50, 3)))
    distances = cdist(data, data)
    np.fill_diagonal(distances, np.inf)
    found = nearest(data[10:30], data.split(7), torch.arange(10, 30))
    assert found.index.tolist() == distances[10:30].argmin(1).tolist()
    np.testing.assert_allclose(found.distance, distances[10:30].min(1), rtol=1e-9)


@pytest.mark.parametrize("share", [0.02, 0.75, 1.0])
def test_duplicates_in_the_training_set_leave_a_threshold_that_finds_copies(share: float) -> None:
    data = 100 * torch.from_numpy(np.random.default_rng(0).standard_normal((400, 300)))
    doubled = torch.cat([data, data[: int(400 * share)]])
    limit = threshold(nearest(doubled[:400], [doubled], torch.arange(400)))
    assert 0 <= limit < 10
    assert memorised(nearest(data[:50], [doubled]), limit) == 1
    assert memorised(nearest(data[:50] + 20, [doubled]), limit) == 0


def test_mode_kl_is_zero_for_true_shares_and_log_k_for_one_mode() -> None:
    weights = torch.tensor([0.5, 0.25, 0.25])
    assert mode_kl(torch.tensor([0, 0, 1, 2]), weights) == pytest.approx(0, abs=1e-12)
    assert mode_kl(torch.zeros(9, dtype=torch.long), torch.full((8,), 1 / 8)) == pytest.approx(math.log(8))


def test_modes_are_covered_by_one_in_a_hundred() -> None:
    centers = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    samples = torch.cat([centers[0].repeat(985, 1), centers[1].repeat(11, 1), centers[2].repeat(4, 1)])
    found = coverage(samples, centers, 0.1)
    assert (found.modes, found.high_quality, found.counts) == (2, 1.0, [985, 11, 4])
    rare = coverage(samples, centers, 0.1, torch.tensor([0.95, 0.02, 0.03]))  # a tenth of 3% is enough for the last
    assert rare.modes == 3
    grid = torch.cartesian_prod(torch.arange(11.0), torch.arange(11.0))
    assert coverage(grid.repeat(20, 1), grid, 0.05).modes == 121  # each has less than 1%
