"""Grids and points as they are drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gantrain.run.pictures import draw_images, draw_points


def test_the_grid_has_the_grey_levels_of_the_files(tmp_path: Path) -> None:
    from gantrain.run import pictures

    levels = torch.arange(256).reshape(1, 1, 16, 16) / 127.5 - 1
    pictures.grid(levels, tmp_path / "grid.png")
    grid = np.asarray(Image.open(tmp_path / "grid.png"))[..., 0]
    assert sorted(set(grid.ravel().tolist())) == list(range(256))


def test_small_images_are_enlarged_and_laid_out_in_a_square() -> None:
    images = torch.linspace(-1, 1, 9)[:, None, None, None].expand(9, 1, 8, 8)
    grid = draw_images(images)
    assert grid.shape == (3, 3 * 34 + 2, 3 * 34 + 2)
    centers = grid[0, 18::34, 18::34]
    torch.testing.assert_close(centers.flatten(), torch.linspace(0, 1, 9))


def test_points_are_drawn_where_they_are() -> None:
    picture = draw_points(torch.tensor([[0.5, 0.5], [9.0, 9.0]]), limits=1.0, side=100)
    rows, columns = (picture[0] < 0.5).nonzero(as_tuple=True)
    assert rows.float().mean().item() == pytest.approx(24, abs=1)  # up is positive
    assert columns.float().mean().item() == pytest.approx(75, abs=1)
    assert len(rows) == 9  # the far point is outside
