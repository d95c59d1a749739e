"""Wasserstein distances against sorting and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gantrain.metrics import (
    directions,
    sliced_wasserstein,
    wasserstein_2,
)


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
