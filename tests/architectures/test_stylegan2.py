"""StyleGAN2: published sizes, every size and conditioning, style mixing, the mean w, and truncation towards it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from torch import Tensor, nn

from gantrain.architectures import stylegan2
from gantrain.architectures.conditioning import OF_D
from gantrain.architectures.stylegan2_layers import MinibatchDeviation
from gantrain.errors import ConfigError
from gantrain.training.ema import Ema
from tests.conftest import config

SIDES, CLASSES, DIM = (8, 16, 32, 64, 128, 256), 3, 6
BASE = {"channel_base": 2048, "channel_max": 16, "clamp": 256.0}


def generator(side: int = 8, way: str = "none", **more: Any) -> nn.Module:
    torch.manual_seed(0)
    own = {"latent_dim": DIM, "w_dim": 8, "mapping_layers": None, "style_mixing": None, "average_decay": 0.9}
    return stylegan2.Generator((3, side, side), CLASSES, **BASE | own | {"conditioning": way} | more)


def discriminator(side: int = 8, way: str = "none", **more: Any) -> nn.Module:
    torch.manual_seed(0)
    own = {"architecture": None, "minibatch_group": None, "conditioning": way}
    return stylegan2.Discriminator((3, side, side), CLASSES, **BASE | own | more)


def loud(net: nn.Module) -> nn.Module:
    """The same network with noise, biases and styles as training leaves them."""
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.endswith(("bias", "strength")):
                parameter.add_(0.3 * torch.randn_like(parameter))
    return net


def pixels(n: int, side: int = 8) -> Tensor:
    return torch.rand(n, 3, side, side) * 2 - 1


@pytest.mark.parametrize(
    ("side", "way", "g_count", "d_count"),
    [
        (32, "none", 19_947_539, 20_720_641),  # cfg=cifar
        (32, "projection", 20_215_315, 23_089_664),  # cfg=cifar --cond=1
        (64, "none", 27_032_600, 26_488_833),  # cfg=stylegan2
        (256, "none", 24_767_458, 24_001_089),  # cfg=paper256
    ],
)
def test_stylegan2_has_the_published_numbers_of_parameters(side: int, way: str, g_count: int, d_count: int) -> None:
    cfg = config("architecture=stylegan2", "data=cifar10", f"conditioning={way}")
    with torch.device("meta"):
        nets = [
            instantiate(cfg.architecture[role], shape=(3, side, side), classes=10, conditioning=cfg.conditioning[role])
            for role in ("generator", "discriminator")
        ]
    assert [sum(p.numel() for p in net.parameters()) for net in nets] == [g_count, d_count]


@pytest.mark.parametrize(
    ("side", "layers", "residual", "group", "mixing"),
    [
        (8, 2, False, 32, 0),
        (32, 2, False, 32, 0),
        (64, 8, True, 4, 0.9),
        (128, 8, True, 4, 0.9),
        (256, 8, True, 8, 0.9),
    ],
)
def test_what_is_left_open_is_as_in_the_authors_preset_for_the_size(
    side: int, layers: int, residual: bool, group: int, mixing: float
) -> None:
    g, d = generator(side), discriminator(side)
    assert (len(g.mapping.layers), g.style_mixing) == (layers, mixing)
    assert ((d.blocks[0].skip is not None), d.deviation.group) == (residual, group)


def test_channels_follow_base_and_most() -> None:
    assert stylegan2.stages(256, None, 512) == [
        (4, 512),
        (8, 512),
        (16, 512),
        (32, 512),
        (64, 256),
        (128, 128),
        (256, 64),
    ]
    assert stylegan2.stages(128, None, 512)[-2:] == [(64, 512), (128, 256)]
    assert stylegan2.stages(16, 64, 10) == [(4, 10), (8, 8), (16, 4)]


@pytest.mark.parametrize(("side", "way"), [*itertools.product(SIDES, OF_D)])
def test_stylegan2_makes_and_scores_images_of_every_size_and_conditioning(side: int, way: str) -> None:
    g, d = generator(side, "none" if way == "none" else "auto"), discriminator(side, way)
    labels = torch.tensor([2, 0])
    images = g(torch.randn(2, DIM), labels)
    assert images.shape == (2, 3, side, side) and images.dtype == torch.float32
    found = d(images, labels)
    assert (found if isinstance(found, Tensor) else found[0]).shape == (2, 1)
    assert g.conditional == (way != "none")


@pytest.mark.parametrize(("side", "way"), [*itertools.product([16, 64], OF_D)])
def test_gradients_reach_every_weight(side: int, way: str) -> None:
    g = loud(generator(side, "none" if way == "none" else "auto"))
    d = loud(discriminator(side, way, categories=[4], continuous=1))
    labels = torch.arange(8) % CLASSES
    parts = d(g(torch.randn(8, DIM), labels), labels)
    sum(part.square().sum() * k for k, part in enumerate(parts, 1) if part is not None).backward()
    for net in (g, d):
        missed = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        assert not missed, missed


def test_the_first_images_have_the_size_of_real_ones() -> None:
    torch.manual_seed(0)
    g = generator(64, w_dim=64, latent_dim=64, channel_base=4096, channel_max=64).eval()
    images = g(torch.randn(16, 64))
    # Styles begin at 1 and a little, features at mean square 1, so each of the five stages adds colours of about 1;
    # doubling the image averages most of that away.
    assert 0.5 < images.std() < 3


@pytest.mark.parametrize("way", ["auto", "concat"])
def test_another_class_makes_another_sample_and_leaves_the_others(way: str) -> None:
    g, z = generator(16, way).eval(), torch.randn(4, DIM)
    before, after = g(z, torch.tensor([0, 1, 2, 0])), g(z, torch.tensor([2, 1, 2, 0]))
    torch.testing.assert_close(before[1:], after[1:])
    assert (before[0] - after[0]).abs().max() > 1e-2
    with pytest.raises(ConfigError, match="call it with labels"):
        g(z)


@pytest.mark.parametrize(("side", "way"), [*itertools.product([8, 64], ["projection", "concat"])])
def test_the_score_depends_on_the_class(side: int, way: str) -> None:
    d, x = loud(discriminator(side, way)), pixels(4, side)
    before, after = d(x, torch.tensor([0, 1, 2, 0])), d(x, torch.tensor([2, 1, 2, 0]))
    assert (before[0] - after[0]).abs() > 1e-4
    if way == "projection":  # its class meets the features last, so others' scores stay
        torch.testing.assert_close(before[1:], after[1:])


@pytest.mark.parametrize("way", ["none", "projection"])
@pytest.mark.parametrize("side", [8, 64])
def test_a_score_is_of_one_sample_without_the_minibatchs_deviation_and_of_its_group_with_it(
    side: int, way: str
) -> None:
    x, other, labels = pixels(8, side), pixels(8, side), torch.zeros(8, dtype=torch.int64)
    other *= 0.1
    other[0] = x[0]
    alone, mixing = discriminator(side, way, minibatch_group=0), discriminator(side, way, minibatch_group=4)
    torch.testing.assert_close(alone(x, labels)[0], alone(other, labels)[0])
    assert not any(getattr(module, "mixes_samples", False) for module in alone.modules())
    assert (mixing(x, labels)[0] - mixing(other, labels)[0]).abs() > 1e-5
    assert any(isinstance(module, MinibatchDeviation) and module.mixes_samples for module in mixing.modules())


def test_each_layer_is_driven_by_its_own_w() -> None:
    g = generator(32).eval()
    w = torch.randn(1, g.synthesis.layers, 8)
    assert g.synthesis.layers == 8  # seven convolutions, and the last way to colours
    image = g.synthesis(w)
    for layer in range(8):
        changed = w.clone()
        changed[:, layer] += 1
        assert (g.synthesis(changed) - image).abs().max() > 1e-4
    # The way to colours of a stage shares the w of the next stage's first convolution.
    w = torch.randn(1, 8, 8).requires_grad_()
    first = g.synthesis.to_image[0](g.synthesis.convolutions[0](g.synthesis.constant[None], w[:, 0]), w[:, 1])
    (by,) = torch.autograd.grad(first.square().sum(), w)
    assert (by[0].abs().sum(1) > 0).tolist() == [True, True, *[False] * 6]


def test_style_mixing_gives_late_layers_the_w_of_another_latent_in_its_share_of_samples() -> None:
    g = generator(64, style_mixing=0.6)
    z = torch.randn(1, DIM).expand(2000, -1)
    w, layers = g.mapping(z[:1]), g.synthesis.layers
    own = torch.isclose(g.styles(z), w[:, None], rtol=1e-3, atol=1e-4).all(2)  # (samples, layers)
    assert own[:, 0].all() and not (own[:, 1:] & ~own[:, :-1]).any()  # from a place on, all are the other's
    assert own.all(1).double().mean().item() == pytest.approx(0.4, abs=0.05)
    places = own.sum(1)[~own.all(1)]
    shares = places.bincount(minlength=layers)[1:].double() / len(places)
    assert len(shares) == layers - 1 and (shares - 1 / (layers - 1)).abs().max() < 0.04  # each place as likely
    for unmixed in (g.eval(), generator(64, style_mixing=0.0)):
        torch.testing.assert_close(unmixed.styles(z[:2]), w[:, None].expand(2, layers, -1))


def test_the_mean_w_follows_training_and_stays_in_evaluation() -> None:
    g, z = generator(average_decay=0.9), torch.randn(5, DIM)
    mean = g.mapping(z).mean(0)
    g(z)
    torch.testing.assert_close(g.average, 0.1 * mean)
    with torch.no_grad():
        g(z)  # in D's turn too
    torch.testing.assert_close(g.average, 0.19 * mean)
    g.eval()(z), g.truncated(z, None, 0.5)
    torch.testing.assert_close(g.average, 0.19 * mean)


def test_the_averaged_generator_has_the_mean_w_and_the_noise_of_the_one_that_plays() -> None:
    g = generator()
    ema = Ema(g, halflife_images=1000, rampup=None)
    g(torch.randn(5, DIM))
    ema.advance(5), ema.follow()
    assert g.average.any() and torch.equal(ema.net.average, g.average)
    assert torch.equal(ema.net.synthesis.convolutions[1].noise, g.synthesis.convolutions[1].noise)


@pytest.mark.parametrize("way", ["none", "auto"])
def test_truncation_0_makes_one_image_1_the_ordinary_and_between_them_w_lies_between(way: str) -> None:
    g, z, labels = generator(16, way), torch.randn(4, DIM), torch.tensor([0, 1, 2, 0])
    for _ in range(20):
        g(torch.randn(16, DIM), torch.randint(0, CLASSES, (16,)))
    g.eval()
    one = g.truncated(z, labels, 0.0)
    torch.testing.assert_close(one, one[:1].expand_as(one))
    torch.testing.assert_close(g.truncated(z, labels, 1.0), g(z, labels))
    half = g.average + 0.5 * (g.mapping(z, labels) - g.average)
    torch.testing.assert_close(g.truncated(z, labels, 0.5), g.synthesis(g.everywhere(half)))
    assert 0 < g.truncated(z, labels, 0.5).std(0).mean() < g(z, labels).std(0).mean()


@pytest.mark.parametrize("side", [8, 64])
def test_both_networks_can_be_differentiated_twice(side: int) -> None:
    g, d = loud(generator(side, style_mixing=0.0)), loud(discriminator(side))
    x = pixels(4, side).requires_grad_()
    (gradient,) = torch.autograd.grad(d(x).sum(), x, create_graph=True)
    gradient.square().sum().backward()
    silent = {name for name, p in d.named_parameters() if p.grad is None or not p.grad.any()}
    assert silent <= {"score.bias", "convolution.bias", "dense.bias"}  # they move kinks at most
    w = g.styles(torch.randn(4, DIM))
    images = g.synthesis(w)
    (gradient,) = torch.autograd.grad((images * torch.randn_like(images)).sum(), w, create_graph=True)
    gradient.square().sum().backward()
    silent = {name for name, p in g.named_parameters() if p.grad is None or not p.grad.any()}
    assert silent <= {f"synthesis.to_image.{k}.bias" for k in range(5)}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("side", [16, 64])
def test_in_half_precision_both_networks_stay_near_float32(side: int, dtype: torch.dtype) -> None:
    g, d = loud(generator(side, "auto", style_mixing=0.0)).eval(), loud(discriminator(side, "projection"))
    z, labels = torch.randn(4, DIM), torch.tensor([0, 1, 2, 0])
    exact, scores = g(z, labels), d(pixels(4, side), labels)
    torch.manual_seed(0)
    x = pixels(4, side)
    scores = d(x, labels)
    with torch.autocast("cpu", dtype=dtype):
        images, found = g(z, labels), d(x, labels)
        assert torch.autograd.grad(found.sum() + d(g(z, labels), labels).sum(), d.from_image.weight)[0].isfinite().all()
    assert images.dtype == found.dtype == torch.float32
    assert ((images - exact).std() / exact.std()).item() < 0.05
    assert (found - scores).abs().max() < 0.1 * scores.abs().max().clamp_min(1)


def test_float16_does_not_overflow_where_styles_are_large() -> None:
    g = generator(16).eval()
    with torch.no_grad():
        for layer in g.synthesis.convolutions:
            layer.style.bias.fill_(3e4)
    with torch.autocast("cpu", dtype=torch.float16):
        assert g(torch.randn(4, DIM)).isfinite().all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: generator(way="batch_norm"), "batch_norm needs .* architecture=sagan, biggan or biggan_deep; use"),
        (lambda: discriminator(way="acgan"), "must be one of none, concat, projection"),
        (lambda: discriminator(way="projection", outputs=2), "one score a sample, not 2"),
        (lambda: discriminator(architecture="skip"), "architecture must be one of orig, resnet, got 'skip'"),
        (lambda: discriminator(minibatch_group=-1), "minibatch_group must be a whole number, 0 or more"),
        (lambda: discriminator(clamp=0.0), "clamp must be above 0"),
        (lambda: generator(style_mixing=1.5), "style_mixing must be a number between 0 and 1"),
        (lambda: generator(style_mixing="half"), "style_mixing must be a number between 0 and 1, got 'half'"),
        (lambda: generator(style_mixing=True), "style_mixing must be a number between 0 and 1, got True"),
        (lambda: generator(average_decay=-0.1), "average_decay must be a number between 0 and 1"),
        (lambda: generator(mapping_layers=0), "mapping_layers must be a whole number above 0"),
        (lambda: generator(channel_base=0), "channel_base must be a whole number above 0, got 0"),
        (lambda: discriminator(architecture=""), "architecture must be one of orig, resnet, got ''"),
        (lambda: generator(64, channel_base=32), "channel_base=32 leaves no channels at 64"),
        (lambda: stylegan2.stages(8, None, 0), "channel_max must be a whole number above 0"),
        (lambda: generator(24), "architecture=stylegan2 needs square images"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(make, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()
