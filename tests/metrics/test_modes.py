"""Covered modes and their shares."""

from __future__ import annotations

import math

import pytest
import torch

from gantrain.metrics import (
    coverage,
    deviations,
    found_modes,
    mode_kl,
)


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


def test_a_mode_holds_as_many_of_its_samples_in_many_dimensions_as_in_the_plane() -> None:
    from scipy.stats import chi

    assert deviations(1) == deviations(2) == 3
    for d in (3, 10, 64, 1000):
        assert chi(d).cdf(deviations(d)) == pytest.approx(chi(2).cdf(3), abs=1e-9)
    samples = torch.randn(20_000, 10)
    assert coverage(samples, torch.zeros(1, 10), 1.0).high_quality == pytest.approx(chi(2).cdf(3), abs=0.003)


def test_without_a_sample_near_a_mode_there_is_no_kl_even_of_a_single_mode() -> None:
    one, mode = torch.ones(1), torch.zeros(4, dtype=torch.long)
    assert found_modes(torch.zeros(4, dtype=torch.bool), mode, one) == {
        "modes": 0, "modes_of_data": 1, "high_quality": 0
    }  # fmt: skip
    some = found_modes(torch.tensor([True, False, False, False]), mode, one)
    assert some == {"modes": 1, "modes_of_data": 1, "high_quality": 0.25, "mode_kl": 0}
