"""Conditional networks: each uses the class, by itself and by no other sample's; what makes no sense is refused."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from gantrain.architectures import conditioning, dcgan, mlp, sngan_resnet
from gantrain.architectures.conditioning import OF_D
from gantrain.errors import ConfigError

CLASSES = 5
WAYS = [way for way in OF_D if way != "none"]
OF_SCORES = ["concat", "projection"]  # the ways in which the score itself depends on the class


def generator(family: str, way: str, norm: str = "batch") -> nn.Module:
    torch.manual_seed(0)
    common = {"classes": CLASSES, "latent_dim": 6, "width": 8, "norm": norm, "conditioning": way}
    if family == "mlp":
        return mlp.Generator(shape=(2,), depth=2, **common)
    if family == "dcgan":
        return dcgan.Generator(shape=(3, 8, 8), max_width=16, **common)
    return sngan_resnet.Generator(shape=(3, 8, 8), max_width=16, commute=True, **common)


def discriminator(family: str, way: str, norm: str = "none", **more: int) -> nn.Module:
    torch.manual_seed(0)
    common = {"classes": CLASSES, "width": 8, "norm": norm, "conditioning": way, **more}
    if family == "mlp":
        return mlp.Discriminator(shape=(2,), depth=2, **common)
    if family == "dcgan":
        return dcgan.Discriminator(shape=(3, 8, 8), max_width=16, **common)
    return sngan_resnet.Discriminator(shape=(3, 8, 8), max_width=16, commute=True, pool="sum", **common)


def samples(family: str, n: int = 6) -> Tensor:
    shape = (2,) if family == "mlp" else (3, 8, 8)
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


def changes_with_labels(net: nn.Module, x: Tensor) -> bool:
    """The label-swap test: whether another class for the first sample changes its score, and no other sample's."""
    labels = torch.zeros(len(x), dtype=torch.int64)
    swapped = labels.clone()
    swapped[0] = 1
    before, after = ((out if isinstance(out, Tensor) else out[0]) for out in (net(x, labels), net(x, swapped)))
    assert torch.allclose(before[1:], after[1:])
    return not torch.allclose(before[0], after[0])


FAMILIES = ["mlp", "dcgan", "sngan_resnet"]


@pytest.mark.parametrize(("family", "way"), [*itertools.product(FAMILIES, ["auto", "concat"])])
def test_every_conditional_generator_makes_other_samples_of_another_class(family: str, way: str) -> None:
    g = generator(family, way).eval()
    if way == "auto" and family != "mlp":  # its gains are equal at first, as Dumoulin et al. have them
        for module in g.modules():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, 1.0)
    assert g.conditional and changes_with_labels(g, torch.randn(6, 6))
    with pytest.raises(ConfigError, match="call it with labels"):
        g(torch.randn(2, 6))


@pytest.mark.parametrize(("family", "way", "norm"), [*itertools.product(FAMILIES, OF_SCORES, ["none", "spectral"])])
def test_the_scores_of_a_conditional_discriminator_change_with_the_class(family: str, way: str, norm: str) -> None:
    assert changes_with_labels(discriminator(family, way, norm).eval(), samples(family))


def test_a_discriminator_that_ignores_the_class_is_caught_by_the_label_swap() -> None:
    d = discriminator("mlp", "projection")
    nn.init.zeros_(d.special.embedding.weight)
    assert not changes_with_labels(d, samples("mlp"))


@pytest.mark.parametrize(
    ("way", "numbers"), [("classifier", CLASSES), ("twin_classifier", 2 * CLASSES), ("multi_hinge", CLASSES + 1)]
)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_classifier_head_gives_a_score_and_logits_that_do_not_see_the_label(
    family: str, way: str, numbers: int
) -> None:
    d = discriminator(family, way)
    scores, logits = d(samples(family), torch.arange(6) % CLASSES)
    assert scores.shape == (6, 1) and logits.shape == (6, numbers)
    again = d(samples(family), torch.zeros(6, dtype=torch.int64))
    assert torch.equal(scores, again[0]) and torch.equal(logits, again[1])


@pytest.mark.parametrize("family", FAMILIES)
def test_codes_and_proxies_have_length_one(family: str) -> None:
    scores, cosines, codes = discriminator(family, "proxies")(samples(family), torch.arange(6) % CLASSES)
    assert scores.shape == (6, 1) and cosines.shape == (6, CLASSES) and cosines.abs().max() <= 1 + 1e-6
    torch.testing.assert_close(codes.norm(dim=1), torch.ones(6))


@pytest.mark.parametrize(("family", "way"), [*itertools.product(FAMILIES, WAYS)])
def test_gradients_reach_every_weight_of_a_conditional_discriminator(family: str, way: str) -> None:
    d = discriminator(family, way)
    out = d(samples(family), torch.arange(6) % CLASSES)
    sum(part.square().sum() * k for k, part in enumerate((out,) if isinstance(out, Tensor) else out, 1)).backward()
    # A code of length one has a constant square, so the projection to it learns through the cosines.
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in d.parameters())


def test_projection_is_the_papers_equation() -> None:
    d = discriminator("mlp", "projection")
    x, labels = samples("mlp"), torch.tensor([0, 1, 2, 3, 4, 0])
    features = d.net[:-1](x)
    expected = features @ d.net[-1].weight.T + d.net[-1].bias
    expected = expected + (features * d.special.embedding.weight[labels]).sum(1, keepdim=True)
    torch.testing.assert_close(d(x, labels), expected)


def test_conditional_batch_norm_is_batch_norm_with_a_gain_and_a_bias_of_each_class() -> None:
    layer = conditioning.ConditionalBatchNorm2d(4, 3)
    nn.init.normal_(layer.gain.weight), nn.init.normal_(layer.bias.weight)
    x, labels = torch.randn(7, 4, 2, 2), torch.tensor([0, 1, 2, 0, 1, 2, 0])
    plain = nn.BatchNorm2d(4, affine=False)(x)
    expected = torch.stack(
        [
            plain[k] * layer.gain.weight[label][:, None, None] + layer.bias.weight[label][:, None, None]
            for k, label in enumerate(labels)
        ]
    )
    torch.testing.assert_close(layer(x, labels), expected)


def test_sngan_32_with_projection_has_the_published_numbers_of_parameters() -> None:
    shape, common = (3, 32, 32), {"classes": 10, "width": None, "max_width": None, "commute": True}
    g = sngan_resnet.Generator(shape=shape, latent_dim=128, norm="batch", conditioning="auto", **common)
    d = sngan_resnet.Discriminator(shape=shape, norm="spectral", pool="sum", conditioning="projection", **common)
    assert sum(p.numel() for p in g.parameters()) == 4_304_387
    assert sum(p.numel() for p in d.parameters()) == 1_055_105


def test_the_projections_embedding_is_spectrally_normalised_where_the_discriminator_is() -> None:
    d = discriminator("sngan_resnet", "projection", "spectral")
    with torch.no_grad():
        for _ in range(30):  # power iterations
            d(samples("sngan_resnet"), torch.arange(6) % CLASSES)
    largest = torch.linalg.svdvals(d.special.embedding.weight.detach())[0]
    assert float(largest) == pytest.approx(1.0, abs=1e-3)
    raw = torch.linalg.svdvals(discriminator("sngan_resnet", "projection").special.embedding.weight.detach())[0]
    assert abs(float(raw) - 1) > 0.05


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: generator("mlp", "batch_norm"), "batch_norm needs batch norm in G"),
        (lambda: generator("dcgan", "batch_norm", "layer"), "norm=batch"),
        (lambda: generator("mlp", "both"), "must be one of none, concat, batch_norm"),
        (lambda: discriminator("mlp", "acgan"), "must be one of none, concat, projection, classifier"),
        (lambda: discriminator("mlp", "projection", outputs=2), "one score a sample, not 2"),
        (lambda: mlp.Discriminator((2,), 0, 8, 1, "none", conditioning="projection"), "these have no labels"),
        (lambda: mlp.Generator((2,), 1, 4, 8, 1, "none", conditioning="auto"), "these have 1"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(make, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_an_unconditional_network_has_the_weights_that_it_always_had() -> None:
    plain = generator("dcgan", "none")
    assert not plain.conditional and next(iter(plain.state_dict())) == "net.0.weight"
    assert torch.equal(plain.eval()(torch.ones(1, 6), torch.tensor([3])), plain(torch.ones(1, 6), None))
