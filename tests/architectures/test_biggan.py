from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from gantrain.architectures import biggan
from gantrain.architectures.attention import Attention
from gantrain.architectures.conditioning import Projection
from gantrain.errors import ConfigError


def generator(side: int = 32, classes: int = 10, way: str = "auto", **more: Any) -> nn.Module:
    usual: dict[str, Any] = {"latent_dim": 128, "width": None, "multiples": None, "attention": "auto", "spectral": True}
    usual |= {"shared_dim": None, "hierarchical": False, "init": "N02"}
    return biggan.Generator((3, side, side), classes, conditioning=way, **usual | more)


def discriminator(side: int = 32, classes: int = 10, way: str = "projection", **more: Any) -> nn.Module:
    usual: dict[str, Any] = {"width": None, "multiples": None, "attention": "auto", "norm": "spectral", "init": "N02"}
    return biggan.Discriminator((3, side, side), classes, conditioning=way, **usual | more)


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_biggan_for_cifar_has_the_authors_numbers_of_parameters() -> None:
    assert (count(generator()), count(discriminator())) == (4_304_387, 4_207_361)


def test_biggan_as_studiogan_sizes_it_has_its_numbers_of_parameters() -> None:
    g = generator(latent_dim=80, width=96, shared_dim=128, hierarchical=True, attention=16)
    assert (count(g), count(discriminator(width=48, attention=16))) == (9_416_196, 2_415_170)


def test_biggan_for_imagenet_has_the_numbers_that_the_paper_rounds() -> None:
    # 70.4M and 88.0M in Appendix B; these to the last one in the tests of google/compare_gan.
    of_paper = {"shared_dim": 128, "hierarchical": True, "spectral": False}
    with torch.device("meta"):
        g = generator(128, 1000, latent_dim=120, **of_paper)
        d = discriminator(128, 1000, norm="none")
    assert (count(g), count(d)) == (70_433_988, 87_982_370)


@pytest.mark.parametrize(
    ("side", "of_g", "of_d"),
    [
        (64, [16, 16, 8, 4, 2], [1, 2, 4, 8, 16]),
        (128, [16, 16, 8, 4, 2, 1], [1, 2, 4, 8, 16, 16]),
        (256, [16, 16, 8, 8, 4, 2, 1], [1, 2, 4, 8, 8, 16, 16]),
    ],
)
def test_biggan_has_the_authors_channels(side: int, of_g: list[int], of_d: list[int]) -> None:
    with torch.device("meta"):
        g, d = generator(side, spectral=False), discriminator(side, norm="none")
    assert [g.dense.out_features // 16, *(row[0].conv1.out_channels for row in g.blocks)] == [96 * c for c in of_g]
    assert [row[0].conv1.out_channels for row in d.blocks] == [96 * c for c in of_d]
    sides = [2**k for k in range(3, side.bit_length())]
    attending = [s for s, row in zip(sides, g.blocks, strict=True) if isinstance(row[-1], Attention)]
    assert attending == ([side // 2] if side > 64 else [])  # the paper's Tables 4 and 5
    of_d_ = [side >> (k + 1) for k, row in enumerate(d.blocks) if isinstance(row[-1], Attention)]
    assert of_d_ == ([64] if side > 64 else [])


def test_studiogans_channels_at_64_can_be_named() -> None:
    with torch.device("meta"):
        g = generator(64, width=2, multiples=[16, 8, 4, 2, 1], spectral=False)
    assert [row[0].conv1.out_channels for row in g.blocks] == [16, 8, 4, 2]
    for make, message in (
        (lambda: generator(64, multiples=2), r"generator\.multiples must be a list of 5 whole numbers, got 2"),
        (lambda: generator(64, multiples=[1, 2]), r"generator\.multiples has 2 numbers.*need 5"),
        (lambda: discriminator(64, multiples=[1, 2, 4, 8, 0]), r"multiples\[4\]"),
    ):
        with pytest.raises(ConfigError, match=message):
            make()


def test_conditioned_norm_is_batch_norm_with_gain_and_bias_linear_in_its_condition() -> None:
    norm = biggan.ConditionedNorm(4, lambda channels: nn.Linear(3, channels, bias=False))
    x, c = torch.randn(5, 4, 2, 2), torch.randn(5, 3)
    plain = (x - x.mean((0, 2, 3), keepdim=True)) / (x.var((0, 2, 3), unbiased=False, keepdim=True) + 1e-5).sqrt()
    gain, bias = (1 + c @ norm.gain.weight.T)[:, :, None, None], (c @ norm.bias.weight.T)[:, :, None, None]
    torch.testing.assert_close(norm(x, c), plain * gain + bias)


def test_each_chunk_of_z_reaches_the_block_that_it_is_for() -> None:
    g = generator(width=8, latent_dim=8, shared_dim=6, hierarchical=True).eval()
    seen: list[list[torch.Tensor]] = [[], []]
    for row in g.blocks:
        row[0].norm1.gain.register_forward_hook(lambda layer, inputs, out: seen[0].append(inputs[0]))
    z, labels = torch.randn(2, 8), torch.tensor([3, 7])
    g(z, labels)
    for k, told in enumerate(seen[0], 1):
        torch.testing.assert_close(told, torch.cat([g.shared.weight[labels], z[:, 2 * k : 2 * k + 2]], 1))
    assert len(seen[0]) == 3 and g.dense.in_features == 2


def test_an_unconditional_biggan_has_norms_of_z_or_plain_ones() -> None:
    plain = generator(width=8, way="none")
    assert not any(isinstance(m, biggan.ConditionedNorm) for m in plain.modules()) and not plain.conditional
    of_z = generator(width=8, way="none", latent_dim=8, hierarchical=True, shared_dim=128)
    assert of_z.shared is None and of_z.blocks[0][0].norm1.gain.in_features == 2
    z = torch.randn(2, 8)
    other = torch.cat([z[:, :6], torch.randn(2, 2)], 1)  # the last block's
    assert (of_z.eval()(z) - of_z(other)).abs().max() > 1e-4


@pytest.mark.parametrize("init", biggan.INITS)
def test_all_weights_begin_as_init_says(init: str) -> None:
    g = generator(width=16, init=init, spectral=False, shared_dim=32, classes=5)
    d = discriminator(width=16, init=init, norm="none", classes=5)
    (special,) = (m for m in d.modules() if isinstance(m, Projection))
    for layer in (g.shared, g.dense, g.blocks[0][0].conv1, g.blocks[0][0].norm1.gain, d.blocks[1][0].conv2, d.score,
                  special.embedding):  # fmt: skip
        weight = layer.weight.detach().flatten(1)
        if init == "orthogonal":
            short = weight @ weight.T if weight.shape[0] <= weight.shape[1] else weight.T @ weight
            torch.testing.assert_close(short, torch.eye(len(short)), atol=1e-5, rtol=0)
            continue
        fan = sum(torch.nn.init._calculate_fan_in_and_fan_out(layer.weight))
        std = 0.02 if init == "N02" else (2 / fan) ** 0.5
        assert weight.std() == pytest.approx(std, rel=4 / (2 * weight.numel()) ** 0.5)  # four standard errors
        assert (weight.abs().max() > 2 * std) == (init == "N02") or weight.numel() < 100


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hierarchical": True}, r"chunks of z beside the shared embedding.*shared_dim"),
        ({"hierarchical": True, "shared_dim": 8, "latent_dim": 81}, r"latent_dim=81 cannot be split into 4.*take 80"),
        ({"init": "zeros"}, "init must be one of orthogonal, N02, xavier"),
        ({"shared_dim": 0}, "shared_dim"),
        ({"width": 0}, "width"),
    ],
)
def test_what_biggan_cannot_be_is_refused_in_a_sentence(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        generator(**settings)
