from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, interpolate

from gantrain.architectures import biggan_deep
from gantrain.architectures.attention import Attention
from gantrain.errors import ConfigError

TABLE_7 = [16, 16, 8, 4, 2, 1]
"""Channels of G behind the linear layer and each resolution, and of D from its end to behind its first convolution."""


def generator(side: int, classes: int = 10, way: str = "auto", **more: Any) -> nn.Module:
    usual: dict[str, Any] = {"latent_dim": 128, "width": 128, "multiples": None, "depth": 2, "attention": "auto"}
    usual |= {"shared_dim": 128, "init": "N02", "spectral": False}
    return biggan_deep.Generator((3, side, side), classes, conditioning=way, **usual | more)


def discriminator(side: int, classes: int = 10, way: str = "projection", **more: Any) -> nn.Module:
    usual: dict[str, Any] = {"width": 128, "multiples": None, "depth": 2, "attention": "auto"}
    usual |= {"norm": "none", "init": "N02"}
    return biggan_deep.Discriminator((3, side, side), classes, conditioning=way, **usual | more)


def conv(inputs: int, outputs: int, kernel: int) -> int:
    return inputs * outputs * kernel**2 + outputs


def attention(channels: int) -> int:
    return 2 * channels * (channels // 8) + 2 * channels * (channels // 2) + 1


def bottleneck(inputs: int, hidden: int, outputs: int) -> int:
    return conv(inputs, hidden, 1) + 2 * conv(hidden, hidden, 3) + conv(hidden, outputs, 1)


def of_g(table: list[int], ch: int, told: int, classes: int, shared: int, attending: int) -> int:
    total = classes * shared + told * 16 * table[0] * ch + 16 * table[0] * ch  # embedding, linear layer
    for inputs, outputs in pairwise(c * ch for c in table):
        for leaving in (inputs, outputs):  # two blocks: one keeps the channels, one drops some in its shortcut
            total += bottleneck(inputs, inputs // 4, leaving)
            total += 2 * told * (inputs + 3 * (inputs // 4))  # gain and bias of four norms, no biases of theirs
    return total + attention(attending) + 2 * table[-1] * ch + conv(table[-1] * ch, 3, 3)


def of_d(table: list[int], ch: int, classes: int, attending: int) -> int:
    total = conv(3, table[0] * ch, 3)
    for inputs, outputs in pairwise(c * ch for c in table):
        total += bottleneck(inputs, outputs // 4, outputs) + bottleneck(outputs, outputs // 4, outputs)
        total += conv(inputs, outputs - inputs, 1) if outputs > inputs else 0
    return total + attention(attending) + table[-1] * ch + 1 + classes * table[-1] * ch


def test_biggan_deep_for_imagenet_is_the_papers_table_7() -> None:
    with torch.device("meta"):
        g, d = generator(128, 1000), discriminator(128, 1000)
    found = tuple(sum(p.numel() for p in net.parameters()) for net in (g, d))
    assert found == (of_g(TABLE_7, 128, 256, 1000, 128, 256), of_d([*reversed(TABLE_7)], 128, 1000, 256))
    # As in the tests of google/compare_gan. The paper's 50.4M of G are 125 output channels more, its 34.6M of D these.
    assert found == (50_244_484, 34_590_210)
    assert round((found[0] + 125 * (9 * 128 + 1)) / 1e6, 1) == 50.4 and round(found[1] / 1e6, 1) == 34.6


def test_biggan_deep_has_two_blocks_at_each_resolution_and_attention_at_64() -> None:
    with torch.device("meta"):
        g, d = generator(128), discriminator(128)
    kinds = [type(block).__name__ for block in g.blocks]
    assert kinds == ["UpBlock"] * 8 + ["Attention"] + ["UpBlock"] * 2 and g.blocks[8].theta.in_channels == 256
    assert [block.resize.__name__ for block in g.blocks if not isinstance(block, Attention)] == (
        ["unchanged", "doubled"] * 5
    )
    kinds = [type(block).__name__ for block in d.blocks]
    assert kinds == ["Conv2d"] + ["DownBlock"] * 2 + ["Attention"] + ["DownBlock"] * 8
    assert [b.resize.__name__ for b in d.blocks if hasattr(b, "resize")] == ["halved", "unchanged"] * 5
    with torch.device("meta"):
        d = discriminator(32, depth=3)
    assert [b.resize.__name__ for b in d.blocks[1:]] == ["halved", *["unchanged"] * 2] * 2 + ["unchanged"] * 3


def test_the_shortcuts_keep_what_they_can() -> None:
    # With a bottleneck of zeros a block is its shortcut.
    up = biggan_deep.UpBlock(16, 8, nn.BatchNorm2d, lambda layer: layer, double=True)
    down = biggan_deep.DownBlock(8, 16, lambda layer: layer, halve=True)
    for block in (up, down):
        nn.init.zeros_(block.conv4.weight), nn.init.zeros_(block.conv4.bias)
    x = torch.randn(2, 16, 4, 4)
    torch.testing.assert_close(up(x), x[:, :8].repeat_interleave(2, 2).repeat_interleave(2, 3))
    x = torch.randn(2, 8, 4, 4)
    mean = x.reshape(2, 8, 2, 2, 2, 2).mean((3, 5))
    out = down(x)
    torch.testing.assert_close(out[:, :8], mean)
    torch.testing.assert_close(out[:, 8:], down.added(mean))


def test_every_norm_reads_the_whole_z_and_the_class() -> None:
    g = generator(8, width=8, latent_dim=4, shared_dim=3)
    norms = [m for m in g.modules() if hasattr(m, "gain")]
    assert len(norms) == 8 and {m.gain.in_features for m in norms} == {7} and g.dense.in_features == 7
    plain = generator(8, way="none", width=8, latent_dim=4)
    assert {m.gain.in_features for m in plain.modules() if hasattr(m, "gain")} == {4} and plain.shared is None
    named = generator(8, way="concat", width=8, latent_dim=4)
    assert named.dense.in_features == 14 and named.blocks[0].norm1.gain.in_features == 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: generator(64, width=3), r"generator\.width: 4 must divide"),
        (lambda: generator(64, width=4, multiples=[1, 2, 4, 8, 8]), r"generator\.multiples must not rise"),
        (lambda: discriminator(64, width=4, multiples=[8, 4, 2, 2, 1]), r"discriminator\.multiples must not fall"),
        (lambda: generator(64, shared_dim=0), "shared_dim"),
        (lambda: discriminator(64, depth=0), "depth"),
    ],
)
def test_what_biggan_deep_cannot_be_is_refused_in_a_sentence(make: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_the_blocks_are_figure_16_in_eval() -> None:
    up = biggan_deep.UpBlock(8, 4, nn.BatchNorm2d, lambda layer: layer, double=True).eval()
    down = biggan_deep.DownBlock(4, 32, lambda layer: layer, halve=True)
    for layer in (down.conv1, down.conv2, down.conv3):
        nn.init.normal_(layer.weight), nn.init.zeros_(layer.bias)  # so that pixels of one 2×2 differ in sign
    for norm in (up.norm1, up.norm2, up.norm3, up.norm4):
        nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)
    c = [layer.forward for layer in (up.conv1, up.conv2, up.conv3, up.conv4)]
    n = [
        lambda x, m=m: (m.weight[:, None, None] * x / (1 + 1e-5) ** 0.5 + m.bias[:, None, None]).clamp(min=0)
        for m in (up.norm1, up.norm2, up.norm3, up.norm4)
    ]
    x = torch.randn(2, 8, 4, 4)
    branch = c[3](n[3](c[2](n[2](c[1](interpolate(n[1](c[0](n[0](x))), scale_factor=2))))))
    torch.testing.assert_close(up(x), branch + interpolate(x[:, :4], scale_factor=2))
    c = [layer.forward for layer in (down.conv1, down.conv2, down.conv3, down.conv4)]
    x = torch.randn(2, 4, 4, 4)
    branch = c[3](avg_pool2d(c[2](c[1](c[0](x.clamp(min=0)).clamp(min=0)).clamp(min=0)).clamp(min=0), 2))
    kept = avg_pool2d(x, 2)
    torch.testing.assert_close(down(x), branch + torch.cat([kept, down.added(kept)], 1))


def test_a_sample_depends_on_z_through_the_norms_too() -> None:
    g = generator(8, width=8, latent_dim=4, shared_dim=3).eval()
    nn.init.zeros_(g.dense.weight)
    nn.init.normal_(g.dense.bias)  # now the linear layer makes the same of every z
    for module in g.modules():
        if hasattr(module, "gain"):
            nn.init.normal_(module.gain.weight), nn.init.normal_(module.bias.weight)
    z, labels = torch.randn(2, 4), torch.zeros(2, dtype=torch.int64)
    images = g(z, labels)
    assert (images[0] - images[1]).abs().max() > 1e-2
    seen: list[torch.Tensor] = []
    g.blocks[0].norm2.bias.register_forward_hook(lambda layer, inputs, out: seen.append(inputs[0]))
    g(z, labels)
    torch.testing.assert_close(seen[0], torch.cat([g.shared.weight[labels], z], 1))
