from __future__ import annotations

import pytest
import torch

from gantrain.augment import DiffAugment
from gantrain.augment.diffaug import color, cutout, translation
from gantrain.errors import ConfigError


def test_every_policy_is_differentiable_in_the_pixels() -> None:
    for policy in (["color"], ["translation"], ["cutout"]):
        augment = DiffAugment((2, 8, 8), policy)
        x = torch.randn(2, 2, 8, 8, dtype=torch.float64, requires_grad=True)

        def seeded(x: torch.Tensor, augment: DiffAugment = augment) -> torch.Tensor:
            torch.manual_seed(0)
            return augment(x)

        assert torch.autograd.gradcheck(seeded, x)


def test_translation_shifts_each_image_by_up_to_an_eighth_and_fills_with_gray() -> None:
    torch.manual_seed(0)
    image = torch.zeros(1, 1, 16, 16)
    image[..., 8, 8] = 1
    moved = translation(image.expand(400, -1, -1, -1))
    assert (moved.flatten(1).sum(1) == 1).all()
    _, _, rows, columns = moved.nonzero(as_tuple=True)
    assert set(rows.tolist()) == set(columns.tolist()) == set(range(6, 11))
    ones = translation(torch.ones(100, 1, 16, 16))
    assert set(ones.unique().tolist()) == {0.0, 1.0}
    assert ones.flatten(1).sum(1).min() == 14 * 14


def test_cutout_grays_a_square_of_at_most_half_the_side() -> None:
    torch.manual_seed(0)
    kept = cutout(torch.ones(300, 3, 16, 16))
    gray = (kept == 0).sum((1, 2, 3)) / 3
    assert gray.max() == 64 and gray.min() >= 16
    assert (kept[:, 0] == kept[:, 2]).all()


def test_color_acts_on_each_image_with_its_own_numbers() -> None:
    torch.manual_seed(0)
    changed = color(torch.zeros(200, 3, 4, 4))
    means = changed.mean((1, 2, 3))
    assert means.unique().numel() == 200 and -0.5 <= means.min() < -0.4 and 0.4 < means.max() <= 0.5


def test_points_and_unknown_policies_are_refused() -> None:
    with pytest.raises(ConfigError, match="augment=none"):
        DiffAugment((2,), ["color"])
    with pytest.raises(ConfigError, match="blur"):
        DiffAugment((1, 8, 8), ["blur"])
