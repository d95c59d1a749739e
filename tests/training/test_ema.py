from __future__ import annotations

import pytest
import torch
from torch import nn

from gantrain.training.ema import Ema


def constant(value: float) -> nn.Module:
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(value)
    return net


def followed(start: float, then: float, **settings: float | None) -> tuple[Ema, nn.Module]:
    """An average that began at ``start``, and its original, which has moved on."""
    net = constant(start)
    ema = Ema(net, **settings)
    net.load_state_dict(constant(then).state_dict())
    return ema, net


@pytest.mark.parametrize("recorded", [False, True])
def test_half_of_the_way_is_left_after_one_halflife_whatever_the_batch_size(recorded: bool) -> None:
    for batch in (10, 50, 100):
        ema, _ = followed(0.0, 1.0, halflife_images=100, rampup=None)
        ema.live_share = torch.zeros(()) if recorded else None
        for _ in range(100 // batch):
            ema.advance(batch), ema.follow()
        assert torch.allclose(ema.net[0].weight, torch.tensor(0.5))


def test_early_on_the_memory_is_a_share_of_the_images_so_far() -> None:
    ema, _ = followed(0.0, 1.0, halflife_images=1e9, rampup=0.05)
    ema.advance(64), ema.follow()  # half-life 3.2 images
    assert torch.allclose(ema.net[0].weight, torch.tensor(1 - 0.5**20))


@pytest.mark.parametrize("recorded", [False, True])
def test_no_halflife_copies_and_buffers_are_always_copied(recorded: bool) -> None:
    ema, source = followed(0.0, 1.0, halflife_images=0, rampup=None)
    ema.live_share = torch.zeros(()) if recorded else None
    source(torch.randn(8, 2))
    source[1].running_mean = source[1].running_mean + 1  # a new tensor, as a module of a user's may put there
    ema.advance(8), ema.follow()
    for mine, theirs in zip(ema.net.state_dict().values(), source.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)
    assert not ema.net.training and not any(p.requires_grad for p in ema.net.parameters())


def test_an_average_of_trained_weights_has_no_ramp_up() -> None:
    ema, _ = followed(0.0, 1.0, halflife_images=100, rampup=0.05)
    ema.end_rampup()
    ema.advance(100), ema.follow()
    assert torch.allclose(ema.net[0].weight, torch.tensor(0.5))
