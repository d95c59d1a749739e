"""The stream's promises: order, position, and what becomes of bytes."""

from __future__ import annotations

import pytest
import torch

from gantrain.data import Images, Ring
from gantrain.errors import DataError

CPU = torch.device("cpu")


def numbered(n: int, flip: bool = False) -> Images:
    """Images whose every pixel, and label, is their number."""
    pixels = torch.arange(n, dtype=torch.uint8)[:, None, None, None].expand(n, 1, 2, 2).contiguous()
    return Images(pixels, torch.arange(n), n, flip)


def test_an_epoch_shows_every_sample_once_and_the_next_is_shuffled_anew() -> None:
    stream = numbered(12).stream(4, seed=0, device=CPU)
    epochs = [torch.cat([stream.next()[1] for _ in range(3)]).tolist() for _ in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(12))
    assert epochs[0] != epochs[1] != list(range(12))


def test_batches_are_a_function_of_seed_and_position() -> None:
    for data in (numbered(20, flip=True), Ring(8, 2.0, 0.02)):
        first = data.stream(4, seed=3, device=CPU)
        seen = [first.next() for _ in range(12)]
        later = data.stream(4, seed=3, device=CPU)
        later.load_state_dict({"position": 7})
        for x, labels in seen[7:]:
            x_again, labels_again = later.next()
            assert torch.equal(x, x_again) and torch.equal(labels, labels_again)
        assert first.state_dict() == later.state_dict() == {"position": 12}
        assert not torch.equal(data.stream(4, seed=4, device=CPU).next()[0], seen[0][0])


def test_peeking_leaves_the_position() -> None:
    stream = numbered(20).stream(4, seed=0, device=CPU)
    peeked = stream.peek(10)
    assert len(peeked) == 10
    assert torch.equal(torch.cat([stream.next()[0] for _ in range(3)])[:10], peeked)


def test_bytes_become_floats_from_minus_one_to_one() -> None:
    x, _ = Images(torch.tensor([0, 255], dtype=torch.uint8)[:, None, None, None], None, 0).stream(2, 0, CPU).next()
    assert x.dtype == torch.float32 and sorted(x.flatten().tolist()) == [-1.0, 1.0]


def test_flip_mirrors_about_half_of_the_images_and_nothing_else() -> None:
    pixels = torch.tensor([[10, 20]], dtype=torch.uint8).expand(1000, 1, 1, 2).contiguous()
    x, _ = Images(pixels, None, 0, flip=True).stream(1000, 0, CPU).next()
    mirrored = x[:, 0, 0, 0] > x[:, 0, 0, 1]
    assert 400 < mirrored.sum() < 600
    assert (x.sum((1, 2, 3)) == x[0].sum()).all()


def test_a_set_smaller_than_the_batch_is_refused_with_the_remedy() -> None:
    with pytest.raises(DataError, match=r"10 samples.*batch_size=64.*batch_size=10"):
        numbered(10).stream(64, 0, CPU)
