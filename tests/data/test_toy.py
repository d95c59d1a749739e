"""Mixtures of normals: modes, weights, spread, in any dimension."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gantrain.data import Data, Gaussians, Grid, Mixture, Ring
from gantrain.errors import ConfigError

CPU = torch.device("cpu")
LAID_OUT = Gaussians(10, 5, 2.0, 0.4, 0.05, 0)


@pytest.mark.parametrize(
    ("data", "modes"),
    [(Ring(8, 2.0, 0.02), 8), (Grid(5, 1.0, 0.05), 25), (Mixture([[0, 0, 2], [0, 2, 0], [-1, -1, -1]], 0.1), 3),
     (LAID_OUT, 10)],
)  # fmt: skip
def test_mixtures_have_their_modes_weights_and_spread(data: Mixture, modes: int) -> None:
    points, component = data.stream(50_000, 0, CPU).next()
    assert data.classes == modes and points.dtype == torch.float32
    assert torch.bincount(component, minlength=modes) == pytest.approx(50_000 / modes, rel=0.1)
    offsets = points.double().numpy() - data.centers[component.numpy()]
    assert offsets.std() == pytest.approx(data.std, rel=0.02)
    np.testing.assert_allclose(points.mean(0), data.centers.mean(0), atol=0.05)
    assert np.unique(data.centers.round(9), axis=0).shape == (modes, data.shape[0])


def test_the_ring_has_its_radius_and_the_grid_its_spacing() -> None:
    assert np.hypot(*Ring(8, 2.0, 0.02).centers.T) == pytest.approx(2.0)
    assert np.unique(Grid(5, 1.5, 0.05).centers) == pytest.approx([-3, -1.5, 0, 1.5, 3])


@pytest.mark.parametrize("data", [Mixture([[0, 0, 2], [0, 2, 0]], 0.3, [1, 3]), LAID_OUT])
def test_a_density_in_many_dimensions_is_scipys(data: Mixture) -> None:
    from scipy.stats import multivariate_normal

    points = data.sample(50, np.random.default_rng(0))[0].astype(np.float64)
    covariance = data.std**2 * np.eye(data.shape[0])
    parts = [
        w * multivariate_normal(c, covariance).pdf(points) for c, w in zip(data.centers, data.weights, strict=True)
    ]
    np.testing.assert_allclose(np.exp(data.log_density(points)), sum(parts), rtol=1e-9)


@pytest.mark.parametrize("dimensions", [1, 2, 3, 10, 64])
def test_real_points_count_as_good_in_any_dimension(dimensions: int) -> None:
    data = Mixture([[0.0] * dimensions, [20.0] * dimensions], 1.0)
    distance, place = data.nearest(torch.from_numpy(data.sample(20_000, np.random.default_rng(0))[0]))
    assert float((distance < data.reach).double().mean()) == pytest.approx(
        0.9973 if dimensions == 1 else 0.9889, abs=0.004
    )
    assert set(place.tolist()) == {0, 1}


def test_gaussians_lie_apart_in_their_cube_and_stay_where_they_are() -> None:
    again, other = Gaussians(10, 5, 2.0, 0.4, 0.05, 0), Gaussians(10, 5, 2.0, 0.4, 0.05, 1)
    assert np.array_equal(LAID_OUT.centers, again.centers) and not np.array_equal(again.centers, other.centers)
    crowded = Gaussians(30, 2, 1.0, 0.24, 0.04, 0)
    assert torch.pdist(torch.from_numpy(crowded.centers)).min() >= 0.24 and np.abs(crowded.centers).max() <= 1


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Mixture([[1.0, 2.0], [3.0]], 0.1), "points of equally many finite numbers"),
        (lambda: Mixture([[]], 0.1), "points of equally many finite numbers"),
        (lambda: Gaussians(100, 1, 1.0, 0.1, 0.1, 0), "100 Gaussians have no room in a cube of half-width 1 if"),
        (lambda: Gaussians(2, 0, 1.0, 0.1, 0.1, 0), "data.dimensions must be a whole number, 1 or more, got 0"),
        (lambda: Gaussians(2, 2, 1.0, 0.1, 0.1, -1), "data.places_seed must be a whole number, 0 or more, got -1"),
        (lambda: Gaussians(2, 2, 0.0, 0.1, 0.1, 0), "data.half_width must be above 0 and data.apart 0 or more"),
    ],
)
def test_mixtures_that_make_no_sense_are_refused_in_a_sentence(make: type[Data], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as refused:
        make()
    assert "\n" not in str(refused.value)
