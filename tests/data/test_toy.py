"""Mixtures of normals: modes, weights, spread."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gantrain.data import Data, Grid, Ring

CPU = torch.device("cpu")


@pytest.mark.parametrize(("data", "modes"), [(Ring(8, 2.0, 0.02), 8), (Grid(5, 1.0, 0.05), 25)])
def test_mixtures_have_their_modes_weights_and_spread(data: Data, modes: int) -> None:
    points, component = data.stream(50_000, 0, CPU).next()
    assert data.classes == modes and points.dtype == torch.float32
    assert torch.bincount(component, minlength=modes) == pytest.approx(50_000 / modes, rel=0.1)
    offsets = points.double().numpy() - data.centers[component.numpy()]
    assert offsets.std() == pytest.approx(data.std, rel=0.02)
    assert points.mean(0).abs().max() < 0.05
    assert np.unique(data.centers.round(9), axis=0).shape == (modes, 2)


def test_the_ring_has_its_radius_and_the_grid_its_spacing() -> None:
    assert np.hypot(*Ring(8, 2.0, 0.02).centers.T) == pytest.approx(2.0)
    assert np.unique(Grid(5, 1.5, 0.05).centers) == pytest.approx([-3, -1.5, 0, 1.5, 3])
