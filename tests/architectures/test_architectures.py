from __future__ import annotations

import itertools
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from gantrain.architectures import autoencoder, dcgan, mlp, sngan_resnet
from gantrain.architectures.layers import MinibatchDiscrimination, norm_2d
from gantrain.errors import ConfigError
from tests.conftest import built

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
    with pytest.raises(ConfigError, match=r"data\.size.*architecture=mlp"):
        dcgan.Discriminator(shape, 0, width=8, max_width=8, norm="none")


def test_layer_norm_of_images_is_per_sample() -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 6, 5, 5) * torch.tensor([1.0, 2, 3, 4])[:, None, None, None]
    y = norm_2d("layer", 6)(x).flatten(1)
    torch.testing.assert_close(y.mean(1), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.std(1, unbiased=False), torch.ones(4), atol=1e-3, rtol=0)


@pytest.mark.parametrize("norm", mlp.NORMS)
def test_mlp_makes_points_without_bounds_and_images_within(norm: str) -> None:
    for shape in ((2,), (1, 8, 8)):
        g = mlp.Generator(shape, 0, latent_dim=4, width=16, depth=2, norm=norm)
        d = mlp.Discriminator(shape, 0, width=16, depth=2, norm=norm)
        with torch.no_grad():
            g.net[-1].bias.fill_(9.0)
        samples = g(torch.randn(3, 4))
        assert samples.shape == (3, *shape)
        assert (samples.abs().max() <= 1) == (len(shape) == 3)
        assert d(samples).shape == (3, 1)


@pytest.mark.parametrize("bad", [{"width": -3}, {"width": 0}, {"depth": 2.5}, {"norm": "instance"}, {"latent_dim": 0}])
def test_mlp_refuses_senseless_arguments(bad: dict) -> None:
    with pytest.raises(ConfigError):
        mlp.Generator(**{"shape": (2,), "classes": 0, "latent_dim": 4, "width": 16, "depth": 2, "norm": "none"} | bad)


def test_layer_norm_discriminators_score_each_sample_alone() -> None:
    torch.manual_seed(0)
    for d in (
        dcgan.Discriminator((3, 16, 16), 0, width=8, max_width=16, norm="layer"),
        mlp.Discriminator((3, 16, 16), 0, width=8, depth=2, norm="layer"),
    ):
        x = torch.randn(5, 3, 16, 16)
        torch.testing.assert_close(d(x)[:2], d(x[:2]))


@pytest.mark.parametrize("shape", [(2,), (5,), (1, 8, 8), (3, 16, 16), (3, 32, 32)])
@pytest.mark.parametrize("error", ["l1", "l2"])
def test_an_autoencoders_score_is_minus_its_mean_reconstruction_error(shape: tuple[int, ...], error: str) -> None:
    torch.manual_seed(0)
    g = autoencoder.Generator(shape, 0, latent_dim=6, width=8, depth=2)
    d = autoencoder.Discriminator(shape, 0, code_dim=3, width=8, depth=2, error=error)
    x = g(torch.randn(4, 6))
    assert x.shape == (4, *shape) and d.encoder(x).shape == (4, 3) and d.decoder(d.encoder(x)).shape == x.shape
    difference = (d.decoder(d.encoder(x)) - x).flatten(1)
    expected = difference.abs().mean(1) if error == "l1" else difference.square().mean(1)
    torch.testing.assert_close(d(x), -expected[:, None])
    assert d.reconstructs


@pytest.mark.parametrize(("shape", "code"), [((2,), 1), ((1,), 1), ((1, 8, 8), 32), ((3, 32, 32), 64)])
def test_an_autoencoders_code_is_shorter_than_the_sample_unless_told_otherwise(shape: tuple, code: int) -> None:
    d = autoencoder.Discriminator(shape, 0, code_dim=None, width=4, depth=1, error="l1")
    assert d.encoder(torch.zeros(2, *shape)).shape == (2, code)


def test_the_autoencoder_refuses_images_it_cannot_halve_and_unknown_errors() -> None:
    with pytest.raises(ConfigError, match="28×28"):
        autoencoder.Generator((1, 28, 28), 0, latent_dim=6, width=8, depth=2)
    with pytest.raises(ConfigError, match="l1, l2"):
        autoencoder.Discriminator((2,), 0, code_dim=1, width=8, depth=2, error="l3")


def test_minibatch_discrimination_by_hand() -> None:
    layer = MinibatchDiscrimination(2, features=1, size=1)
    layer.project.weight.data = torch.tensor([[1.0, 0.0]])
    x = torch.tensor([[0.0, 5.0], [1.0, 6.0], [3.0, 7.0]])  # distances 1, 3 and 2
    e = torch.exp(-torch.tensor([1.0, 3.0, 2.0]))
    expected = torch.stack([e[0] + e[1], e[0] + e[2], e[1] + e[2]])[:, None]
    torch.testing.assert_close(layer(x), torch.cat([x, expected], 1))
    same = layer(torch.zeros(4, 2))
    assert (same[:, 2] == 3).all()  # a collapsed batch is as close as can be


@pytest.mark.parametrize("data", ["ring", "digits"])
def test_d_takes_minibatch_discrimination_and_several_outputs(data: str) -> None:
    options = ("architecture.discriminator.minibatch_features=8", "architecture.discriminator.outputs=3")
    trainer = built(f"data={data}", *options).trainer
    assert trainer.d.net(trainer.data.peek(4)).shape == (4, 3)
    trainer.d_turn(*trainer.data.next())
    with pytest.raises(ConfigError, match="minibatch_features must be"):
        built(f"data={data}", "architecture.discriminator.minibatch_features=-1")
    with pytest.raises(ConfigError, match="outputs must be"):
        built(f"data={data}", "architecture.discriminator.outputs=0")


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
    with pytest.raises(ConfigError, match=r"architecture=sngan_resnet.*data\.size"):
        sngan_resnet.Discriminator((1, 28, 28), 0, 4, 8, "none", True, pool="sum")
