"""Points as they are drawn."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gantrain.kinds import Points
from gantrain.kinds.points import BOTH, GENERATED, REAL, TITLE, draw_points, principal
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


def test_a_picture_of_points_has_room_for_32_times_as_many_and_they_have_no_bounds() -> None:
    assert Points().grid_count(64) == 2048 and not Points().in_cells
    x = torch.tensor([-9.0, 9.0])
    assert torch.equal(Points().bounded(x), x)


def test_points_of_many_coordinates_are_drawn_on_the_principal_axes_of_the_real_ones_under_a_title() -> None:
    numbers = torch.Generator().manual_seed(0)
    wide = torch.tensor([0.1, 3.0, 0.1, 1.0, 0.1])  # it varies most along the second coordinate, then the fourth
    real = torch.randn(4000, 5, generator=numbers) * wide + 7
    middle, axes, share = principal(real)
    torch.testing.assert_close(axes, torch.eye(5, dtype=torch.float64)[:, [1, 3]], atol=0.02, rtol=0)
    assert share == pytest.approx(10 / 10.03, abs=1e-3) and middle == pytest.approx(7, abs=0.2)
    points = torch.full((20, 5), 7.0)
    drawn = Points().draw(points, real)
    dots = (drawn == torch.tensor(GENERATED)[:, None, None]).all(0).nonzero().float()
    assert drawn.shape == (3, 512 + TITLE, 512) and dots.mean(0).tolist() == pytest.approx([TITLE + 255, 256], abs=4)
    assert Points().preview(real).shape == drawn.shape and Points().draw(points).shape == drawn.shape
    assert (drawn[:, :TITLE] < 0.5).any() and Points().undrawn((5,)) is None


def test_points_of_many_coordinates_that_are_not_finite_are_drawn_nowhere() -> None:
    broken = torch.full((4, 3), torch.nan)
    assert bool((Points().draw(broken)[:, TITLE:] == 1).all())
    assert Points().draw(broken, torch.zeros(4, 3)).isfinite().all()
