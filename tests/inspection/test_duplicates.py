"""Copies: equal ones, and images that nearly are; none that only look alike in part."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance

from gantrain.inspection import duplicates
from gantrain.inspection.tally import Tally
from gantrain.kinds import kind_of


def pictures(n: int, side: int = 32, seed: int = 0) -> torch.Tensor:
    """Images (n, 3, side, side) uint8 with detail at several scales, no two alike."""
    rng, total = np.random.default_rng(seed), np.zeros((n, side, side, 3))
    for cells in (2, 4, 8, 16):
        total += np.kron(rng.normal(0, 60 / cells**0.5, (n, cells, cells, 3)), np.ones((side // cells,) * 2 + (1,)))
    return torch.from_numpy((128 + total).clip(0, 255).astype(np.uint8)).permute(0, 3, 1, 2)


def near(images: torch.Tensor) -> duplicates.Groups:
    tally = Tally(images.shape[1:], kind_of(images.shape[1:]))
    for part in images.split(7):
        tally.add(part)
    return duplicates.near(tally.thumbnails, tally.colours, duplicates.exact(tally.digests))


def altered(image: torch.Tensor, how: str) -> torch.Tensor:
    picture = Image.fromarray(image.permute(1, 2, 0).numpy())
    if how == "jpeg":
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=40)
        picture = Image.open(file)
    elif how == "halved":
        picture = picture.resize((16, 16), Image.Resampling.BOX).resize(picture.size)
    elif how == "brighter":
        picture = ImageEnhance.Brightness(picture).enhance(1.1)
    elif how == "mirrored":
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    elif how == "blue":
        picture = Image.merge("RGB", [*picture.split()[:2], picture.split()[2].point(lambda x: min(255, x + 60))])
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def test_equal_samples_are_exact_copies_in_groups_in_order() -> None:
    rows = torch.tensor([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0], [5.0, 6.0], [3.0, 4.0], [1.0, 2.0]])
    tally = Tally((2,), kind_of((2,)))
    tally.add(rows[:4]), tally.add(rows[4:])
    assert duplicates.exact(tally.digests) == [[0, 2, 5], [1, 4]]
    assert duplicates.exact(tally.digests[:2]) == duplicates.exact(tally.digests[:0]) == []


@pytest.mark.parametrize(
    ("how", "is_copy"), [("jpeg", True), ("halved", True), ("brighter", True), ("mirrored", False), ("blue", False)]
)
def test_what_another_program_has_saved_again_is_a_near_copy(how: str, is_copy: bool) -> None:
    images = pictures(30)
    images = torch.cat([images, altered(images[3], how)[None]])
    assert near(images) == ([[3, 30]] if is_copy else [])


def test_an_exact_copy_is_no_near_copy_and_the_first_of_it_stands_for_all() -> None:
    images = pictures(10)
    images = torch.cat([images, images[4:5], images[4:5], altered(images[4], "jpeg")[None]])
    assert near(images) == [[4, 12]]


def test_near_copies_are_linked_and_many_of_them_take_no_memory_for_pairs() -> None:
    images = pictures(1).repeat(400, 1, 1, 1)
    images[:, 0, 0, :9] = torch.arange(400)[:, None].bitwise_right_shift(torch.arange(9)).bitwise_and(1) * 3
    assert near(images) == [list(range(400))]


def test_every_pair_within_the_threshold_is_found_and_no_other() -> None:
    rng = np.random.default_rng(0)
    thumbnails = np.repeat(rng.integers(64, 192, (300, 256)), 2, 0).astype(float)
    thumbnails[1::2] += rng.normal(0, 1, (300, 256)) * rng.uniform(5, 20, (300, 1))
    bytes_ = thumbnails.round().clip(0, 255).astype(np.uint8)
    even = duplicates.even(bytes_)
    distance = np.sqrt(((even[:, None] - even) ** 2).mean(2))
    wanted = [[int(a), int(b)] for a, b in np.argwhere(np.triu(distance <= duplicates.DIFFERENCE, 1))]
    assert 50 < len(wanted) < 250
    assert duplicates.near(bytes_, np.full((600, 1), 100.0), []) == wanted


def test_flat_images_are_copies_if_they_have_one_colour() -> None:
    images = torch.full((3, 3, 16, 16), 200, dtype=torch.uint8)
    images[1, :, 0, 0], images[2] = 198, 90
    assert near(images) == [[0, 1]]


def test_drawings_that_differ_in_a_stroke_are_no_copies() -> None:
    images = torch.zeros(2, 1, 16, 16, dtype=torch.uint8)
    images[:, :, 2:14, 4:6] = images[:, :, 2:4, 4:12] = 255
    images[1, :, 7:9, 4:10] = 255
    assert near(images) == []
