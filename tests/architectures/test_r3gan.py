"""R3GAN's networks: the published sizes, the beginning that Fixup promises, every size and conditioning."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from gantrain.architectures import r3gan
from gantrain.architectures.conditioning import OF_D
from gantrain.architectures.resampling import FILTER, doubled_smoothly, halved_smoothly
from gantrain.errors import ConfigError

SMALL = {"width": 16, "groups": 8, "full_side": 32, "blocks": 1, "expansion": 2}
PUBLISHED = {"width": 768, "groups": 96, "full_side": 32, "blocks": 2, "expansion": 2}


def networks(side: int, classes: int = 0, way: str = "none", **sizes: int) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    sizes, shape = SMALL | sizes, (3, side, side)
    g = r3gan.Generator(shape, classes, 8, **sizes, conditioning="auto" if way != "none" else "none")
    return g, r3gan.Discriminator(shape, classes, **sizes, conditioning=way)


def learned(net: nn.Module) -> nn.Module:
    """Return ``net`` with weights as training makes them: no layer is 0."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return net


@pytest.mark.parametrize(
    ("side", "classes", "sizes", "g_count", "d_count"),
    [
        (32, 0, {}, 20_732_160, 20_683_776),  # CIFAR-10
        (32, 10, {}, 20_781_952, 21_280_512),
        (64, 0, {}, 22_429_824, 22_381_440),  # FFHQ
        (256, 0, {}, 23_057_952, 23_009_568),
        (32, 1000, {"width": 1536}, 82_914_304, 86_548_992),  # ImageNet
        (64, 1000, {"width": 1536, "full_side": 64}, 103_570_432, 107_205_120),
    ],
)
def test_r3gan_has_the_published_numbers_of_parameters(
    side: int, classes: int, sizes: dict[str, int], g_count: int, d_count: int
) -> None:
    with torch.device("meta"):
        shape, settings = (3, side, side), PUBLISHED | sizes
        g = r3gan.Generator(shape, classes, 64, **settings, conditioning="auto" if classes else "none")
        d = r3gan.Discriminator(shape, classes, **settings, conditioning="projection" if classes else "none")
    assert sum(p.numel() for p in g.parameters()) == g_count
    assert sum(p.numel() for p in d.parameters()) == d_count


@pytest.mark.parametrize("way", OF_D)
@pytest.mark.parametrize("side", [8, 16, 32, 64, 128, 256])
def test_r3gan_makes_and_scores_images_of_every_size_and_conditioning(side: int, way: str) -> None:
    g, d = (learned(net) for net in networks(side, 0 if way == "none" else 3, way))
    labels = None if way == "none" else torch.tensor([0, 2])
    images = g(torch.randn(2, 8), labels)
    said = d(images, labels)
    scores = said if isinstance(said, Tensor) else said[0]
    assert images.shape == (2, 3, side, side) and scores.shape == (2, 1)
    parts = [scores] if isinstance(said, Tensor) else [part for part in said if part is not None]
    sum(part.square().sum() for part in parts).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for net in (g, d) for p in net.parameters())


@pytest.mark.parametrize("way", ["none", "projection", "concat"])
def test_a_score_is_of_its_own_sample_and_its_class(way: str) -> None:
    d = learned(networks(16, 0 if way == "none" else 3, way)[1])
    x, labels = torch.randn(4, 3, 16, 16), None if way == "none" else torch.tensor([0, 1, 2, 0])
    alone = torch.cat([d(x[k : k + 1], None if labels is None else labels[k : k + 1]) for k in range(4)])
    torch.testing.assert_close(d(x, labels), alone, rtol=1e-4, atol=1e-5)
    if labels is not None:
        other = labels.clone()
        other[0] = 1
        changed = (d(x, labels) - d(x, other)).abs().flatten() > 1e-4
        assert changed.tolist() == [True, False, False, False]


def test_at_first_every_block_is_the_identity_and_sizes_are_as_designed() -> None:
    """Fixup: the branches end in 0. So G's images are a linear function of z, whose variance the filter lowers."""
    g, d = networks(32, width=64, groups=8, full_side=32, blocks=2)
    for net in (g, d):
        for block in (m for m in net.modules() if isinstance(m, r3gan.Block)):
            x = torch.randn(2, block.branch[0].in_channels, 4, 4)
            assert torch.equal(block(x), x)
            first, wide = block.branch[0].weight, block.branch[2].weight
            gain = r3gan.GAIN * 8 ** (-1 / 4)  # two blocks in each of four sizes
            assert first.std().item() == pytest.approx(gain / math.sqrt(64), rel=0.05)
            assert wide.std().item() == pytest.approx(gain / math.sqrt(16 * 9), rel=0.05)
    z = torch.randn(32, 8)
    torch.testing.assert_close(g(z) + g(-z), torch.zeros(32, 3, 32, 32), rtol=0, atol=1e-5)
    # Basis and 1×1 convolution keep variance 1 (over their weights); a doubling by linear interpolation in each of two
    # dimensions leaves (9/16 + 1/16)² of what is independent from pixel to pixel, and more of what is not.
    variance = torch.stack([networks_of_seed(k)(z).var() for k in range(8)]).mean()
    assert (10 / 16) ** 6 < variance < 1


def networks_of_seed(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return r3gan.Generator((3, 32, 32), 0, 8, 64, 8, 32, 1, 2)


def test_sizes_halve_beyond_the_full_side() -> None:
    assert r3gan.stages(256, 768, 96, 32) == [(768, 96)] * 4 + [(384, 48), (192, 24), (96, 12)]
    for width, groups, message in (
        (30, 4, "groups=4 must divide width=30"),
        (12, 8, "groups=8 must divide width=12"),
        (33, 3, r"must both be divisible by 2 for images of side 32, or full_side be larger than 16"),
    ):
        with pytest.raises(ConfigError, match=message):
            r3gan.stages(32, width, groups, 16)
    with pytest.raises(ConfigError, match="power of two"):
        networks(32, full_side=24)
    with pytest.raises(ConfigError, match=r"architecture=r3gan.*Bring them to such a size"):
        networks(28)
    with pytest.raises(ConfigError, match="one score"):
        r3gan.Discriminator((3, 8, 8), 3, **SMALL, outputs=2, conditioning="projection")
    with pytest.raises(ConfigError, match="two classes or more"):
        r3gan.Discriminator((3, 8, 8), 0, **SMALL, conditioning="projection")


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_doubling_and_halving_are_the_filter_by_hand(dtype: torch.dtype) -> None:
    x = torch.randn(2, 3, 4, 6).to(dtype)
    wide = torch.zeros(2, 3, 8 + 4, 12 + 4, dtype=torch.float64)
    wide[:, :, 2:10:2, 2:14:2] = x.double()
    row = torch.tensor(FILTER, dtype=torch.float64) / 8

    def smoothed(y: Tensor, height: int, width: int, step: int, start: int) -> Tensor:
        """Weigh 4×4 pixels for each result, one by one."""
        found = torch.zeros(2, 3, height, width, dtype=torch.float64)
        for i in range(height):
            for j in range(width):
                rows, columns = i * step + start, j * step + start
                patch = y[:, :, rows : rows + 4, columns : columns + 4]
                found[:, :, i, j] = torch.einsum("nchw,h,w->nc", patch, row, row)
        return found

    larger, smaller = doubled_smoothly(x), halved_smoothly(x)
    assert larger.dtype == smaller.dtype == dtype
    tolerance = {"rtol": 1e-2, "atol": 1e-2} if dtype == torch.bfloat16 else {"rtol": 1e-6, "atol": 1e-6}
    torch.testing.assert_close(larger.double(), 4 * smoothed(wide, 8, 12, 1, 0), **tolerance)
    bordered = torch.nn.functional.pad(x.double(), (1, 1, 1, 1))
    torch.testing.assert_close(smaller.double(), smoothed(bordered, 2, 3, 2, 0), **tolerance)
