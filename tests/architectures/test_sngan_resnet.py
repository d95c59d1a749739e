from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from gantrain.architectures import sngan_resnet
from gantrain.errors import ConfigError

SIZES = (8, 16, 32, 64, 128, 256)


def sngan(side: int, norm: str = "none", commute: bool = True, **settings: int | None) -> tuple[nn.Module, nn.Module]:
    sizes = {"width": 4, "max_width": 16} | settings
    g = sngan_resnet.Generator((3, side, side), 0, 8, **sizes, norm=norm, commute=commute)
    d = sngan_resnet.Discriminator((3, side, side), 0, **sizes, norm=norm, commute=commute, pool="sum")
    return g, d


@pytest.mark.parametrize("side", SIZES)
def test_sngan_resnet_makes_and_scores_images_of_every_size(side: int) -> None:
    g, d = sngan(side)
    images = g(torch.randn(2, 8))
    assert images.shape == (2, 3, side, side) and images.abs().max() <= 1
    assert d(images).shape == (2, 1)


def test_sngan_resnet_is_the_papers_at_32() -> None:
    g = sngan_resnet.Generator((3, 32, 32), 0, 128, None, None, "batch", commute=True)
    d = sngan_resnet.Discriminator((3, 32, 32), 0, None, None, "spectral", commute=True, pool="sum")
    assert sum(p.numel() for p in g.parameters()) == 4_276_739
    assert sum(p.numel() for p in d.parameters()) == 1_053_825
    assert sum(is_parametrized(m, "weight") for m in d.modules()) == 11  # every layer


def test_sngan_resnet_has_the_numbers_of_parameters_of_public_code_at_64() -> None:
    g = sngan_resnet.Generator((3, 64, 64), 0, 128, None, None, "batch", commute=True)
    d = sngan_resnet.Discriminator((3, 64, 64), 0, None, None, "spectral", commute=True, pool="sum")
    assert (sum(p.numel() for p in g.parameters()), sum(p.numel() for p in d.parameters())) == (12_220_675, 10_141_441)


def test_sngan_resnet_has_the_widths_of_table_4_at_128() -> None:
    g, d = sngan(128, width=None, max_width=None)
    assert [block.conv2.out_channels for block in g.blocks] == [1024, 512, 256, 128, 64]
    assert g.dense.out_features == 4 * 4 * 1024
    assert [block.conv2.out_channels for block in d.blocks] == [64, 128, 256, 512, 1024, 1024]


@pytest.mark.parametrize("norm", sngan_resnet.NORMS)
def test_sngan_resnet_norms_are_what_they_are_called(norm: str) -> None:
    kinds = {"batch": nn.BatchNorm2d, "layer": nn.GroupNorm, "instance": nn.InstanceNorm2d}
    for net in sngan(32, norm):
        found = {type(m) for m in net.modules()} & set(kinds.values())
        assert found == ({kinds[norm]} if norm in kinds else set())
        assert any(is_parametrized(m, "weight") for m in net.modules()) == (norm == "spectral")


@pytest.mark.parametrize("norm", ["none", "layer"])
def test_commuted_shortcuts_are_the_same_function(norm: str) -> None:
    torch.manual_seed(0)
    z = torch.randn(3, 8, dtype=torch.float64)
    cheap, plain = ([net.double() for net in sngan(32, norm, commute)] for commute in (True, False))
    for a, b in zip(cheap, plain, strict=True):
        b.load_state_dict(a.state_dict())
    images = cheap[0](z)
    torch.testing.assert_close(images, plain[0](z), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(cheap[1](images), plain[1](images), rtol=1e-10, atol=1e-12)


def test_sngan_resnet_pools_by_sum_or_mean_and_refuses_the_rest() -> None:
    make = partial(sngan_resnet.Discriminator, (3, 16, 16), 0, 4, 8, "none", True)
    by_sum, by_mean = make(pool="sum").eval().double(), make(pool="mean").eval().double()
    by_mean.load_state_dict(by_sum.state_dict())
    x, bias = torch.randn(2, 3, 16, 16, dtype=torch.float64), by_sum.score.bias
    torch.testing.assert_close(by_sum(x) - bias, (by_mean(x) - bias) * 64)  # of an 8×8 map
    for wrong, message in (({"pool": "max"}, "sum, mean"), ({"pool": "sum", "outputs": 0}, "outputs")):
        with pytest.raises(ConfigError, match=message):
            make(**wrong)
    with pytest.raises(ConfigError, match=r"architecture=sngan_resnet.*Bring them to such a size"):
        sngan_resnet.Discriminator((1, 28, 28), 0, 4, 8, "none", True, pool="sum")
