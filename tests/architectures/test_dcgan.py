from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from gantrain.architectures import dcgan
from gantrain.errors import ConfigError

SIZES = (8, 16, 32, 64, 128, 256)


@pytest.mark.parametrize(("side", "channels"), [*itertools.product(SIZES, (1, 3)), (16, 7)])
def test_dcgan_makes_and_scores_images_of_every_size(side: int, channels: int) -> None:
    shape = (channels, side, side)
    g = dcgan.Generator(shape, 0, latent_dim=5, width=4, max_width=16, norm="batch")
    d = dcgan.Discriminator(shape, 0, width=4, max_width=16, norm="layer")
    images = g(torch.randn(2, 5))
    assert images.shape == (2, *shape)
    assert images.abs().max() <= 1
    assert d(images).shape == (2, 1)


@pytest.mark.parametrize("norm", dcgan.NORMS)
def test_dcgan_norms_are_what_they_are_called(norm: str) -> None:
    g = dcgan.Generator((3, 32, 32), 0, latent_dim=5, width=8, max_width=16, norm=norm)
    d = dcgan.Discriminator((3, 32, 32), 0, width=8, max_width=16, norm=norm)
    kinds = {"batch": nn.BatchNorm2d, "layer": nn.GroupNorm, "instance": nn.InstanceNorm2d}
    for net in (g, d):
        found = {type(m) for m in net.modules()} & set(kinds.values())
        assert found == ({kinds[norm]} if norm in kinds else set())
        spectral = [m for m in net.modules() if is_parametrized(m, "weight")]
        weighted = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)]
        assert len(spectral) == (len(weighted) if norm == "spectral" else 0)
    assert d(g(torch.randn(2, 5))).shape == (2, 1)


@pytest.mark.parametrize("norm", dcgan.NORMS)
def test_dcgan_weights_start_with_the_papers_spread(norm: str) -> None:
    torch.manual_seed(0)
    for net in (
        dcgan.Generator((3, 64, 64), 0, latent_dim=100, width=32, max_width=256, norm=norm),
        dcgan.Discriminator((3, 64, 64), 0, width=32, max_width=256, norm=norm),
    ):
        raw = [p for p in net.parameters() if p.ndim > 1]
        assert len(raw) == 5
        for weight in raw:
            assert weight.std().item() == pytest.approx(0.02, rel=0.1)


def test_dcgan_doubles_its_channels_up_to_the_maximum() -> None:
    d = dcgan.Discriminator((3, 128, 128), 0, width=64, max_width=256, norm="none")
    assert [m.out_channels for m in d.modules() if isinstance(m, nn.Conv2d)] == [64, 128, 256, 256, 256]
    g = dcgan.Generator((3, 64, 64), 0, latent_dim=100, width=64, max_width=512, norm="batch")
    widths = [m.out_channels for m in g.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert widths == [512, 256, 128, 64, 3]  # Radford et al. 2016, Figure 1, halved


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 64), (3, 4, 4), (3, 512, 512), (2,)])
def test_dcgan_refuses_other_shapes_with_the_remedy(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"Bring them to such a size.*architecture=mlp|points.*architecture=mlp"):
        dcgan.Discriminator(shape, 0, width=8, max_width=8, norm="none")
