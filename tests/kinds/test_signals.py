"""Signals as they are drawn: lines at the right height, without gaps, in the colour of their channel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from gantrain.kinds import Signals
from gantrain.kinds.signals import COLOURS, HEIGHT, MARGIN, WIDE, WIDTH, ZERO, charts, ink


def height(level: float) -> float:
    """The row, in pixels from above, at which a level lies."""
    return HEIGHT / 2 + 0.5 - level * (HEIGHT / 2 - MARGIN)


def center(covered: Tensor) -> Tensor:
    """The mean row of the ink in each column (width,)."""
    rows = torch.arange(HEIGHT)[:, None] + 0.5
    return (covered * rows).sum(0) / covered.sum(0)


@pytest.mark.parametrize("level", [-1.0, -0.3, 0.0, 0.7, 1.0])
def test_a_constant_lies_at_its_height_in_every_column(level: float) -> None:
    covered = ink(torch.full((1, 50), level), WIDTH)[0]
    torch.testing.assert_close(center(covered), torch.full((WIDTH,), height(level)), atol=0.1, rtol=0)
    torch.testing.assert_close(covered.sum(0), torch.full((WIDTH,), 1.6), atol=1e-4, rtol=0)


def test_a_ramp_rises_from_the_lower_left_to_the_upper_right() -> None:
    middle = center(ink(torch.linspace(-1, 1, 64)[None], WIDTH)[0])
    expected = torch.tensor([height(level) for level in torch.linspace(-1, 1, 2 * WIDTH + 1)[1::2].tolist()])
    torch.testing.assert_close(middle, expected, atol=0.05, rtol=0)


@pytest.mark.parametrize(("length", "width"), [(16, WIDTH), (128, WIDTH), (129, WIDE), (5000, WIDE)])
def test_a_single_peak_reaches_its_height_however_many_values_a_column_has(length: int, width: int) -> None:
    signal = torch.zeros(1, 1, length)
    signal[..., length // 3] = 1
    drawn = charts(signal)
    assert drawn.shape == (1, 3, HEIGHT, width)
    assert drawn[0, 0, int(height(1.0))].min() < 0.3


def test_no_column_of_a_finite_line_is_empty_and_a_value_that_is_not_finite_leaves_a_gap() -> None:
    noise = torch.rand(20, 200, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert (ink(noise, WIDE).sum(1) >= 1.5).all()
    broken = torch.zeros(1, 1, 64)
    broken[0, 0, 32], broken[0, 0, 10] = torch.nan, torch.inf
    dark = charts(broken)[0, 0, HEIGHT // 2] < 0.5
    assert 0.9 < dark.float().mean() < 1 and not dark[64] and not dark[20] and dark[0] and dark[-1]


def test_each_channel_has_its_colour_and_the_zero_is_marked() -> None:
    two = torch.stack([torch.full((64,), 0.8), torch.full((64,), -0.8)])
    drawn = charts(two[None])[0]
    for level, colour in zip((0.8, -0.8), COLOURS, strict=False):
        torch.testing.assert_close(drawn[:, int(height(level)), 5], torch.tensor(colour))
    assert (drawn[:, HEIGHT // 2] == ZERO).all() and (drawn[:, 0] == 1).all()


def test_all_charts_reach_from_minus_one_to_one_whatever_is_in_them() -> None:
    small, large = torch.full((1, 1, 8), 0.1), torch.full((1, 1, 8), 5.0)
    together = charts(torch.cat([small, large]))
    assert torch.equal(together[:1], charts(small)) and torch.equal(together[1:], charts(torch.ones(1, 1, 8)))


def test_a_grid_has_the_columns_asked_for_or_as_many_as_rows() -> None:
    signals = torch.zeros(6, 2, 64)
    assert Signals().draw(signals, columns=3).shape == (3, 2 * (HEIGHT + 2) + 2, 3 * (WIDTH + 2) + 2)
    assert Signals().draw(signals[:4]).shape == (3, 2 * (HEIGHT + 2) + 2, 2 * (WIDTH + 2) + 2)
    assert torch.equal(Signals().still(signals[0]), charts(signals[:1])[0])


def test_the_file_holds_the_numbers(tmp_path: Path) -> None:
    signals = torch.rand(3, 2, 5)
    assert Signals().write_files(signals, tmp_path)
    assert np.array_equal(np.load(tmp_path / "signals.npy", allow_pickle=False), signals.numpy())
