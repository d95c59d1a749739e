"""Points as they are drawn."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gantrain.kinds import Points
from gantrain.kinds.points import BOTH, GENERATED, REAL, draw_points
from gantrain.run import pictures


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


@pytest.mark.parametrize(
    ("d", "alone", "above", "preview"),
    [
        (1, "8b37f96dea7163eb", "65e83d871c2d78ca", "8f5f47d92a480186"),
        (2, "c0c9fc002f5c2cc7", "3df286bbbb59a062", "36fa93a9714935f2"),
    ],
)
def test_pictures_of_points_are_those_that_they_have_always_been(d: int, alone: str, above: str, preview: str) -> None:
    """The digests are of what the code drew before there were kinds."""
    angle = torch.linspace(0, 6, 50)
    points, real = (torch.stack([r * angle.cos(), r * angle.sin()], 1)[:, :d] for r in (1.0, 1.5))
    drawn = (Points().draw(points), Points().draw(points, real), Points().preview(real))
    found = [hashlib.sha256(x.mul(255).round().byte().numpy().tobytes()).hexdigest()[:16] for x in drawn]
    assert found == [alone, above, preview]


def test_of_points_of_more_coordinates_the_first_two_are_drawn() -> None:
    points, real = torch.randn(20, 5), torch.randn(30, 5)
    real[:, 2:] *= 100  # it does not change the scale
    assert torch.equal(Points().draw(points, real), Points().draw(points[:, :2], real[:, :2]))


def test_a_picture_of_points_has_room_for_32_times_as_many_and_they_have_no_bounds() -> None:
    assert Points().grid_count(64) == 2048 and not Points().in_cells
    x = torch.tensor([-9.0, 9.0])
    assert torch.equal(Points().bounded(x), x)
