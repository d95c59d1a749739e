"""Sums over samples against numpy's on all of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gantrain.data.source import channels_first
from gantrain.errors import DataError
from gantrain.inspection.tally import Tally
from gantrain.kinds import kind_of


@pytest.mark.parametrize("shape", [(3, 6, 5), (1, 4, 4), (2, 9), (3,)])
def test_range_mean_and_deviation_are_those_of_all_samples(shape: tuple[int, ...]) -> None:
    kind = kind_of(shape)
    every = torch.randn(50, *shape) * 3 + 7
    if kind.name == "images":
        every = torch.randint(0, 256, (50, *shape), dtype=torch.uint8)
    tally = Tally(shape, kind)
    for part in every.split(13):
        tally.add(part)
    rows = every.double().numpy().reshape(50, shape[0], -1)
    found = tally.values()
    np.testing.assert_allclose(found["mean"], rows.mean((0, 2)), rtol=1e-6)
    np.testing.assert_allclose(found["sd"], rows.std((0, 2)), rtol=1e-5)
    assert found["low"] == rows.min((0, 2)).tolist() and found["high"] == rows.max((0, 2)).tolist()
    torch.testing.assert_close(tally.mean, every.double().mean(0), rtol=1e-6, atol=1e-6)
    assert tally.count == 50 and found["not_finite"] == 0


def test_numbers_that_are_not_finite_are_counted_and_left_out() -> None:
    tally = Tally((2,), kind_of((2,)))
    tally.add(torch.tensor([[1.0, torch.nan], [3.0, torch.inf]]))
    found = tally.values()
    assert found["not_finite"] == 2 and found["low"] == [1, None] and found["high"] == [3, None]


def test_images_are_coloured_if_their_channels_differ_anywhere() -> None:
    images = torch.randint(0, 256, (5, 1, 8, 8), dtype=torch.uint8).repeat(1, 3, 1, 1)
    tally = Tally((3, 8, 8), kind_of((3, 8, 8)))
    tally.add(images)
    assert not tally.coloured
    images[4, 2, 3, 3] ^= 1
    tally.add(images)
    assert tally.coloured


def test_samples_of_another_shape_than_was_said_are_refused() -> None:
    with pytest.raises(DataError, match=r"shape \(2,\), and gives \(3,\)"):
        Tally((2,), kind_of((2,))).add(torch.zeros(4, 3))


def test_images_of_16_bits_are_told_in_their_own_numbers_and_compared_as_if_they_had_8() -> None:
    numbers = np.random.default_rng(0).integers(0, 65536, (6, 8, 8, 1), dtype=np.uint16)
    deep, plain = Tally((1, 8, 8), kind_of((1, 8, 8))), Tally((1, 8, 8), kind_of((1, 8, 8)))
    deep.add(channels_first(numbers)), plain.add(channels_first((numbers // 257).astype(np.uint8)))
    found = deep.values()
    assert found["low"] == [numbers.min()] and found["high"] == [numbers.max()] and deep.white == 65535
    np.testing.assert_allclose(found["mean"], numbers.mean(), rtol=1e-9)
    assert np.abs(deep.thumbnails.astype(int) - plain.thumbnails).max() <= 1
    assert np.abs(deep.colours - plain.colours).max() < 1
