"""Images as they are drawn."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from gantrain.kinds import Images
from gantrain.kinds.images import draw_images, draw_pairs


def test_small_images_are_enlarged_and_laid_out_in_a_square() -> None:
    images = torch.linspace(-1, 1, 9)[:, None, None, None].expand(9, 1, 8, 8)
    grid = draw_images(images)
    assert grid.shape == (3, 3 * 34 + 2, 3 * 34 + 2)
    centers = grid[0, 18::34, 18::34]
    torch.testing.assert_close(centers.flatten(), torch.linspace(0, 1, 9))


def test_images_that_are_no_squares_keep_their_form() -> None:
    grid = draw_images(torch.zeros(4, 1, 8, 16))  # twice as large, the longer side being half of 32
    assert grid.shape == (3, 2 * (16 + 2) + 2, 2 * (32 + 2) + 2)


def digest(drawn: torch.Tensor) -> str:
    return hashlib.sha256(drawn.mul(255).round().byte().numpy().tobytes()).hexdigest()[:16]


def test_pictures_of_images_are_those_that_they_have_always_been() -> None:
    """The digests are of what the code drew before there were kinds."""
    ramp = torch.linspace(-1.2, 1.2, 6 * 4 * 8 * 12).reshape(6, 4, 8, 12)
    assert digest(draw_images(ramp[:, :1])) == "80606813b7ff6df5"
    assert digest(draw_images(ramp[:, :3], columns=4)) == "c7a7cf8b698402a0"
    assert digest(draw_images(ramp)) == "992182165942ab04"
    assert digest(draw_pairs(ramp.add(1.2).mul(100).byte().reshape(2, 3, 4, 8, 12))) == "82f9cacf6341028d"


def test_an_image_in_a_walk_is_enlarged_and_its_alpha_shows_white() -> None:
    clear = torch.full((4, 8, 8), -1.0)
    assert Images().still(clear).shape == (3, 128, 128) and (Images().still(clear) == 1).all()


def test_files_hold_the_bytes_that_arrays_do_and_those_without_colours_are_not_written(tmp_path: Path) -> None:
    images = torch.linspace(-1, 1, 2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    assert Images().write_files(images, tmp_path)
    for k in range(2):
        with Image.open(tmp_path / "files" / f"{k:05d}.png") as found:
            assert (np.asarray(found) == Images().to_array(images)[k]).all()
    assert not Images().write_files(images[:, :2], tmp_path)
