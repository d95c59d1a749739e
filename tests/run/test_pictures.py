"""Pictures in files: every kind that is drawn, and the levels of gray in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gantrain.kinds import kind_of
from gantrain.run import pictures


def test_the_grid_has_the_grey_levels_of_the_files(tmp_path: Path) -> None:
    levels = torch.arange(256).reshape(1, 1, 16, 16) / 127.5 - 1
    pictures.grid(levels, tmp_path / "grid.png")
    grid = np.asarray(Image.open(tmp_path / "grid.png"))[..., 0]
    assert sorted(set(grid.ravel().tolist())) == list(range(256))


@pytest.mark.parametrize(
    "shape", [(1,), (2,), (1, 8, 8), (3, 8, 8), (4, 8, 8), (1, 8, 16), (3, 64, 4), (1, 64), (5, 9), (1, 1), (3,), (64,)]
)
def test_points_images_and_signals_are_drawn(shape: tuple[int, ...], tmp_path: Path) -> None:
    assert kind_of(shape).undrawn(shape) is None
    pictures.grid(torch.zeros(5, *shape), tmp_path / "grid.png")
    with Image.open(tmp_path / "grid.png") as image:
        assert image.mode == "RGB"


@pytest.mark.parametrize("shape", [(), (2, 8, 8), (5, 8, 8), (1, 4, 8, 8)])
def test_other_samples_are_not_drawn_and_a_sentence_says_why(shape: tuple[int, ...]) -> None:
    assert f"samples of shape {shape} are not drawn" in str(kind_of(shape).undrawn(shape))
