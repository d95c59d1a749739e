"""Columns compared one by one and in pairs, against values derived by hand and by numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gantrain.metrics import correlation_errors, correlations, marginal_distances


def test_the_distance_of_a_column_is_its_shift_in_standard_deviations_of_the_real_one() -> None:
    real = torch.tensor([[0.0, 1.0], [2.0, 1.0], [0.0, 1.0], [2.0, 1.0]])  # standard deviations 1 and 0
    assert marginal_distances(real + torch.tensor([3.0, -0.5]), real) == pytest.approx([3, 0.5])
    # Half of the mass at 0 moves to 2 if all of it lies at 2; sizes may differ.
    assert marginal_distances(torch.tensor([[2.0, 1.0]]), 10 * real)[0] == pytest.approx((0.5 * 2 + 0.5 * 18) / 10)
    assert marginal_distances(real[[3, 0]], real) == pytest.approx([0, 0])


def test_correlations_are_those_of_numpy_and_none_of_a_column_that_does_not_vary() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 4)) @ np.random.default_rng(1).normal(size=(4, 4))
    np.testing.assert_allclose(correlations(torch.from_numpy(rows)), np.corrcoef(rows.T), atol=1e-12)
    rows[:, 2] = 5
    found = correlations(torch.from_numpy(rows))
    assert not found[2].any() and not found[:, 2].any()


def test_the_errors_are_those_of_pairs_of_columns() -> None:
    real = torch.tensor([[-1.0, -1.0, 0.0], [1.0, 1.0, 0.0]])  # correlation 1 of the first two, 0 of the others
    fake = torch.tensor([[-1.0, 1.0, -1.0], [1.0, -1.0, 1.0]])  # -1, 1, -1
    assert correlation_errors(fake, real) == pytest.approx([2, 1, 1])
    assert correlation_errors(real[:, :1], real[:, :1]).shape == (0,)
