"""DCGAN along one axis: lengths, sizes of layers, norms, classes, and what is refused."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from gantrain.architectures import conv1d
from gantrain.errors import ConfigError
from tests.conftest import built

LENGTHS = (16, 32, 64, 512, 4096, 16384)


def networks(length: int = 64, channels: int = 1, **changes: object) -> tuple[conv1d.Generator, conv1d.Discriminator]:
    torch.manual_seed(0)
    settings = {"width": 4, "max_width": 16, "kernel": 8, "stride": 2, "norm": "batch"} | changes
    shape = (channels, length)
    d = {name: value for name, value in settings.items() if name != "norm"} | {"norm": "none"}
    return conv1d.Generator(shape, 0, latent_dim=5, **settings), conv1d.Discriminator(shape, 0, **d)


@pytest.mark.parametrize(
    ("length", "channels", "kernel", "stride"),
    [*itertools.product(LENGTHS, (1,), (8, 25), (2, 4)), (64, 3, 8, 2), (64, 5, 9, 4), (64, 1, 2, 2)],
)
def test_signals_of_every_length_are_made_and_scored(length: int, channels: int, kernel: int, stride: int) -> None:
    g, d = networks(length, channels, kernel=kernel, stride=stride)
    x = g(torch.randn(2, 5))
    assert x.shape == (2, channels, length) and x.abs().max() <= 1 and d(x).shape == (2, 1)


def test_channels_double_as_the_length_halves_up_to_the_maximum() -> None:
    assert conv1d.plan((1, 128), 32, 128, 8, 2) == ([128, 128, 128, 64, 32], [2] * 5)
    assert conv1d.plan((1, 16384), 64, 1024, 25, 4) == ([1024, 1024, 1024, 1024, 256, 64][-6:], [4] * 6)
    assert conv1d.plan((1, 32), 8, 999, 8, 4)[1] == [2, 4]  # a stride of 4 does not go into 8


def test_every_weight_moves_g_and_every_number_moves_the_score_of_its_own_sample_alone() -> None:
    g, d = networks(norm="layer")
    z = torch.randn(3, 5)
    x = g(z)
    d(x).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in g.parameters())
    x = x.detach().requires_grad_()
    d(x)[0].sum().backward()
    assert x.grad[0].ne(0).all() and x.grad[1:].eq(0).all()


@pytest.mark.parametrize("norm", conv1d.NORMS)
def test_norms_are_what_they_are_called(norm: str) -> None:
    shape, sizes = (2, 64), {"width": 8, "max_width": 16, "kernel": 8, "stride": 2, "norm": norm}
    g, d = conv1d.Generator(shape, 0, 5, **sizes), conv1d.Discriminator(shape, 0, **sizes)
    kinds = {"batch": nn.BatchNorm1d, "layer": nn.GroupNorm, "instance": nn.InstanceNorm1d}
    for net in (g, d):
        assert {type(m) for m in net.modules()} & {*kinds.values()} == ({kinds[norm]} if norm in kinds else set())
        spectral = [m for m in net.modules() if is_parametrized(m, "weight")]
        weights = [m for m in net.modules() if isinstance(m, nn.Conv1d | nn.ConvTranspose1d | nn.Linear)]
        assert len(spectral) == (len(weights) if norm == "spectral" else 0)


@pytest.mark.parametrize("way", ["concat", "projection", "acgan"])
def test_a_class_changes_what_is_made_and_what_is_said_of_it(way: str) -> None:
    overrides = ["data=waves", f"conditioning={way}", "evaluation=none", "device=cpu"]
    trainer = built(*overrides).trainer
    g, d = trainer.g.net.eval(), trainer.d.net.eval()
    with torch.no_grad():  # at first all classes have the same gains and biases
        for p in g.parameters():
            p.add_(0.1 * torch.randn_like(p))
    z, labels = torch.randn(4, 16), torch.tensor([0, 0, 1, 1])
    ones, others = g(z, labels), g(z, labels.flip(0))
    assert (ones - others).abs().amax((1, 2)).min() > 0 and torch.equal(ones, g(z, labels))
    assert d(ones, labels) is not None


@pytest.mark.parametrize(
    ("shape", "changes", "words"),
    [
        ((1, 48), {}, "48"),
        ((1, 8), {}, "8"),
        ((1, 32768), {}, "32768"),
        ((3, 8, 8), {}, "conv1d"),
        ((2,), {}, "conv1d"),
        ((1, 64), {"stride": 3}, "stride must be 2 or 4, got 3"),
        ((1, 64), {"kernel": 3, "stride": 4}, "kernel must be at least as long as stride=4"),
        ((1, 64), {"width": 0}, "width"),
        ((1, 64), {"norm": "group"}, "norm"),
    ],
)
def test_what_does_not_go_together_is_refused(shape: tuple[int, ...], changes: dict, words: str) -> None:
    settings = {"width": 4, "max_width": 16, "kernel": 8, "stride": 2, "norm": "batch"} | changes
    with pytest.raises(ConfigError, match=words):
        conv1d.Generator(shape, 0, latent_dim=5, **settings)
