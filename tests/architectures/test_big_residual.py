"""What holds of SAGAN's, BigGAN's and BigGAN-deep's networks alike."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from gantrain.architectures import biggan, biggan_deep, sagan
from gantrain.architectures.attention import Attention
from gantrain.architectures.conditioning import OF_D
from gantrain.errors import ConfigError

CLASSES, FAMILIES, SIZES = 5, ("sagan", "biggan", "biggan_hierarchical", "biggan_deep"), (8, 16, 32, 64, 128, 256)
DIM = 420  # divided by 2, 3, … 7 chunks


def generator(family: str, side: int, way: str = "none", width: int = 8, dim: int = DIM, **more: Any) -> nn.Module:
    common: dict[str, Any] = {"shape": (3, side, side), "classes": CLASSES, "latent_dim": dim, "conditioning": way}
    common |= {"attention": "auto", "spectral": True, "width": width}
    own: dict[str, Any] = {"multiples": None, "init": "orthogonal"}
    match family:
        case "sagan":
            return sagan.Generator(**common | {"max_width": 4 * width} | more)
        case "biggan_deep":
            return biggan_deep.Generator(**common | own | {"depth": 2, "shared_dim": 6} | more)
    of_z = {"shared_dim": 6, "hierarchical": True} if "hier" in family else {"shared_dim": None, "hierarchical": False}
    return biggan.Generator(**common | own | of_z | more)


def discriminator(family: str, side: int, way: str = "none", width: int = 8, **more: Any) -> nn.Module:
    common: dict[str, Any] = {"shape": (3, side, side), "classes": CLASSES, "conditioning": way, "norm": "spectral"}
    common |= {"attention": "auto", "width": width}
    own: dict[str, Any] = {"multiples": None, "init": "orthogonal"}
    match family:
        case "sagan":
            return sagan.Discriminator(**common | {"max_width": 4 * width} | more)
        case "biggan_deep":
            return biggan_deep.Discriminator(**common | own | {"depth": 2} | more)
    return biggan.Discriminator(**common | own | more)


def pixels(n: int, side: int) -> Tensor:
    return torch.rand(n, 3, side, side) * 2 - 1


@pytest.mark.parametrize(("family", "side"), [*itertools.product(FAMILIES, SIZES)])
def test_every_size_makes_and_scores_images(family: str, side: int) -> None:
    g, d = generator(family, side), discriminator(family, side)
    images = g(torch.randn(2, DIM))
    assert images.shape == (2, 3, side, side) and images.abs().max() <= 1
    assert d(images).shape == (2, 1) and not g.conditional


@pytest.mark.parametrize(("family", "way"), [*itertools.product(FAMILIES, OF_D)])
def test_every_conditioning_builds_and_its_gradients_reach_every_weight(family: str, way: str) -> None:
    g = generator(family, 32, {"none": "none", "concat": "concat"}.get(way, "auto"), dim=12, attention=16)
    d = discriminator(family, 32, way, attention=16)
    for net in (g, d):
        for module in net.modules():
            if isinstance(module, Attention):
                nn.init.constant_(module.gamma, 0.5)  # at 0, as it begins, nothing reaches what is behind it
            if isinstance(module, nn.Embedding) and not is_parametrized(module):
                nn.init.normal_(module.weight)
    labels = torch.arange(10) % CLASSES
    images = g(torch.randn(10, 12), labels)
    out = d(images, labels)
    parts = (out,) if isinstance(out, Tensor) else out
    sum(part.square().sum() * k for k, part in enumerate(parts, 1)).backward()
    for net in (g, d):
        missed = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        assert not missed, missed


@pytest.mark.parametrize(("family", "way"), [*itertools.product(FAMILIES, ["auto", "concat"])])
def test_a_conditional_generator_makes_another_sample_of_another_class_and_of_no_other(family: str, way: str) -> None:
    g = generator(family, 8, way, dim=12).eval()
    for module in g.modules():
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, 1.0)
    z, labels = torch.randn(4, 12), torch.tensor([0, 1, 2, 3])
    before, after = g(z, labels), g(z, torch.tensor([4, 1, 2, 3]))
    assert g.conditional and torch.equal(before[1:], after[1:]) and (before[0] - after[0]).abs().max() > 1e-3
    with pytest.raises(ConfigError, match="call it with labels"):
        g(z)


@pytest.mark.parametrize(("family", "training"), [*itertools.product(FAMILIES, [True, False])])
def test_a_score_does_not_depend_on_the_other_samples(family: str, training: bool) -> None:
    torch.manual_seed(0)
    d = discriminator(family, 16, "projection", attention=8)
    for module in d.modules():
        if isinstance(module, Attention):
            nn.init.constant_(module.gamma, 1.0)
    with torch.no_grad():
        for _ in range(100):  # so that training's power iteration finds what it has found already
            d(pixels(1, 16), torch.zeros(1, dtype=torch.int64))
        d.train(training)
        x, labels = pixels(4, 16), torch.tensor([0, 1, 2, 3])
        together = d(x, labels)
        others = torch.cat([x[:1], pixels(3, 16)])
        torch.testing.assert_close(d(others, labels)[0], together[0], rtol=1e-4, atol=1e-4)
        assert (d(others, labels)[1:] - together[1:]).abs().min() > 1e-3


@pytest.mark.parametrize("family", FAMILIES)
def test_every_weight_is_spectrally_normalised_but_embeddings_of_the_generator(family: str) -> None:
    g, d = generator(family, 32, "auto", dim=12, attention=16), discriminator(family, 32, "projection", attention=16)
    kinds = (nn.Linear, nn.Conv2d, nn.Embedding)
    of_g, of_d = ([m for m in net.modules() if isinstance(m, kinds)] for net in (g, d))
    assert all(is_parametrized(m, "weight") for m in of_d)
    assert all(is_parametrized(m, "weight") != isinstance(m, nn.Embedding) for m in of_g)
    bare = generator(family, 32, dim=12, spectral=False), discriminator(family, 32, norm="none")
    assert not any(is_parametrized(m) for net in bare for m in net.modules())


@pytest.mark.parametrize("family", FAMILIES)
def test_the_first_samples_and_scores_are_of_a_size_that_can_learn(family: str) -> None:
    # Behind batch norm every channel has variance 1, half of it behind ReLU; the last 3×3 has norm 1 over all of its
    # inputs, and tanh bounds what it makes: G's pixels spread over a good part of [-1, 1] without being at its ends.
    # D sums 64 pixels of features of order 0.1, and reads them by a vector of length 1: 1 to 10, not 0.01 or 1000.
    torch.manual_seed(0)
    of_sagan = family == "sagan"  # its width is the channels', the others' a quarter of them
    g = generator(family, 32, "auto", 256 if of_sagan else 32, 120, **{"max_width": 256} if of_sagan else {})
    d = discriminator(family, 32, "projection", 128 if of_sagan else 32, **{"max_width": 128} if of_sagan else {})
    labels = torch.arange(32) % CLASSES
    with torch.no_grad():
        images = g(torch.randn(32, 120), labels)
        scores = d(images, labels)
    assert 0.3 < images.std() < 0.7 and images.mean().abs() < 0.4
    assert images.std(0).mean() > 0.2  # other latents, other images
    assert 0.3 < scores.abs().mean() < 40


@pytest.mark.parametrize("family", FAMILIES)
def test_a_penalty_can_differentiate_the_scores_twice(family: str) -> None:
    d = discriminator(family, 16, attention=8, norm="none")
    x = pixels(2, 16).requires_grad_()
    (slope,) = torch.autograd.grad(d(x).sum(), x, create_graph=True)
    slope.square().sum().backward()
    reached = [name for name, p in d.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0]
    assert "score.weight" in reached and any("conv1.weight" in name for name in reached)


@pytest.mark.parametrize("family", FAMILIES)
def test_samples_and_scores_stay_finite_in_bfloat16(family: str) -> None:
    g, d = generator(family, 32, "auto", dim=12, attention=16), discriminator(family, 32, "projection", attention=16)
    labels = torch.tensor([0, 1])
    with torch.autocast("cpu", torch.bfloat16):
        images = g(torch.randn(2, 12), labels)
        scores = d(images, labels)
    assert images.dtype == torch.bfloat16 and torch.isfinite(images).all() and torch.isfinite(scores).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_what_makes_no_sense_is_refused_in_a_sentence(family: str) -> None:
    name = family.removesuffix("_hierarchical")
    cases = [
        (lambda: generator(family, 24), rf"architecture={name} needs square images"),
        (lambda: discriminator(family, 24), rf"architecture={name} needs square images"),
        (lambda: generator(family, 32, attention=64), r"generator\.attention=64.*maps of side 8, 16, 32"),
        (lambda: discriminator(family, 32, attention=32), r"discriminator\.attention=32.*maps of side 8, 16"),
        (lambda: discriminator(family, 32, norm="batch"), "norm must be one of spectral, none"),
        (lambda: discriminator(family, 32, outputs=0), "outputs"),
        (lambda: discriminator(family, 32, "projection", outputs=2), "one score a sample"),
        (lambda: generator(family, 32, classes=0, way="auto"), "no labels"),
        (lambda: generator(family, 32, dim=0), "latent_dim"),
    ]
    for make, message in cases:
        with pytest.raises(ConfigError, match=message):
            make()
