"""Batches prepared ahead are those that would have been made in time."""

from __future__ import annotations

import threading

import pytest
import torch

from gantrain.data import Images
from gantrain.data.ahead import Ahead, in_a_thread


def test_values_come_for_the_position_asked_for_whatever_jump_was_made() -> None:
    ahead = Ahead(in_a_thread(lambda position: position * 10))
    assert [ahead(k) for k in (0, 1, 2, 7, 8, 3, 3, 0)] == [0, 10, 20, 70, 80, 30, 30, 0]


def test_the_next_positions_are_prepared_before_anyone_asks() -> None:
    begun = {k: threading.Event() for k in range(9)}
    ahead = Ahead(in_a_thread(lambda position: begun[position].set()), depth=3)
    ahead(4)
    assert begun[5].wait(60) and begun[6].wait(60) and not begun[7].is_set()


def test_an_error_comes_with_its_own_position_and_the_next_one_still_comes() -> None:
    def prepare(position: int) -> int:
        if position == 2:
            raise RuntimeError("no memory can be pinned")
        return position

    ahead = Ahead(in_a_thread(prepare))
    assert ahead(1) == 1
    with pytest.raises(RuntimeError, match="pinned"):
        ahead(2)
    assert ahead(3) == 3


def test_images_that_do_not_fit_on_the_device_give_the_same_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = torch.randint(0, 256, (40, 1, 4, 4), dtype=torch.uint8)
    images = Images(pixels, torch.arange(40), 40, flip=True)
    held = images.stream(8, 3, torch.device("cpu"))
    monkeypatch.setattr(Images, "_has_room", lambda self, device: False)
    staged = images.stream(8, 3, torch.device("cpu"))
    for position in (0, 1, 2, 3, 4, 11, 12, 2):
        held.position = staged.position = position
        (a, a_labels), (b, b_labels) = held.next(), staged.next()
        assert torch.equal(a, b) and torch.equal(a_labels, b_labels)
