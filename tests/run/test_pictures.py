"""Grids and points as they are drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gantrain.run import pictures
from gantrain.run.pictures import BOTH, GENERATED, REAL, draw_images, draw_points, undrawn


def test_the_grid_has_the_grey_levels_of_the_files(tmp_path: Path) -> None:
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


def test_points_that_all_lie_at_the_origin_are_drawn_there(tmp_path: Path) -> None:
    pictures.grid(torch.zeros(5, 2), tmp_path / "grid.png")
    with Image.open(tmp_path / "grid.png") as image:
        rows, columns = np.nonzero(np.asarray(image)[..., 0] < 128)
    assert len(rows) == 9 and (rows.mean(), columns.mean()) == (255, 256)  # the origin is the corner of four pixels


def test_the_bars_of_generated_and_real_numbers_are_in_one_scale() -> None:
    # Of the real numbers all stand in one bin, of the generated ones half, the other half in another bin.
    generated, real = torch.tensor([[-0.5], [0.5]] * 4), torch.full((6, 1), 0.5)
    picture = draw_points(generated, limits=1.0, side=80, real=real)  # ten bins, eight pixels wide
    found = {name: int((picture == torch.tensor(colour)[:, None, None]).all(0).sum())
             for name, colour in (("generated", GENERATED), ("real", REAL), ("both", BOTH))}  # fmt: skip
    # The highest bar is 0.9 · 80 = 72 pixels high, the generated ones 36.
    assert found == {"generated": 36 * 8, "real": 36 * 8, "both": 36 * 8}


def test_images_that_are_no_squares_keep_their_form() -> None:
    grid = draw_images(torch.zeros(4, 1, 8, 16))  # twice as large, the longer side being half of 32
    assert grid.shape == (3, 2 * (16 + 2) + 2, 2 * (32 + 2) + 2)


@pytest.mark.parametrize("shape", [(1,), (2,), (1, 8, 8), (3, 8, 8), (1, 8, 16), (3, 64, 4)])
def test_points_and_images_are_drawn(shape: tuple[int, ...], tmp_path: Path) -> None:
    assert undrawn(shape) is None
    pictures.grid(torch.zeros(5, *shape), tmp_path / "grid.png")
    with Image.open(tmp_path / "grid.png") as image:
        assert image.mode == "RGB"


@pytest.mark.parametrize("shape", [(), (3,), (64,), (1, 64), (2, 64), (2, 8, 8), (4, 8, 8), (1, 4, 8, 8)])
def test_other_samples_are_not_drawn_and_a_sentence_says_why(shape: tuple[int, ...]) -> None:
    assert f"samples of shape {shape} are not drawn" in str(undrawn(shape))
