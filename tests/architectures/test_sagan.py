from __future__ import annotations

import pytest
import torch
from torch import nn

from gantrain.architectures import sagan
from gantrain.architectures.attention import Attention
from gantrain.architectures.conditioning import ConditionalBatchNorm2d
from gantrain.errors import ConfigError


def at(side: int) -> tuple[nn.Module, nn.Module]:
    g = sagan.Generator((3, side, side), 10, 128, None, None, "auto", True, "auto")
    return g, sagan.Discriminator((3, side, side), 10, None, None, "spectral", "auto", conditioning="projection")


def test_sagan_at_32_has_the_published_numbers_of_parameters() -> None:
    # SNGAN's with projection (4,304,387 and 1,055,105), and attention over 256 and 128 channels (81,921 and 20,481).
    g, d = at(32)
    assert sum(p.numel() for p in g.parameters()) == 4_386_308
    assert sum(p.numel() for p in d.parameters()) == 1_075_586


def test_sagan_at_128_is_the_authors_table() -> None:
    with torch.device("meta"):
        g, d = (
            sagan.Generator((3, 128, 128), 0, 128, None, None, "auto", False),
            sagan.Discriminator((3, 128, 128), 0, None, None, "none", "auto"),
        )
    assert g.dense.out_features == 4 * 4 * 1024
    assert [row[0].conv2.out_channels for row in g.blocks] == [1024, 512, 256, 128, 64]
    assert [row[0].conv1.out_channels for row in d.blocks] == [64, 128, 256, 512, 1024, 1024]  # wide: in the first one
    assert [len(row) for row in g.blocks] == [1, 1, 2, 1, 1] and g.blocks[2][1].theta.in_channels == 256
    assert [len(row) for row in d.blocks] == [1, 2, 1, 1, 1, 1] and d.blocks[1][1].theta.in_channels == 128
    assert isinstance(d.blocks[-1][0].shortcut, nn.Identity)


def test_attention_is_where_public_sagans_for_cifar_have_it_and_can_be_elsewhere_or_absent() -> None:
    g, d = at(32)
    assert [isinstance(row[-1], Attention) for row in g.blocks] == [False, True, False]  # 16×16
    assert [isinstance(row[-1], Attention) for row in d.blocks] == [True, False, False, False]  # 16×16
    d = sagan.Discriminator((3, 32, 32), 0, None, None, "none", 8)
    assert [isinstance(row[-1], Attention) for row in d.blocks] == [
        False,
        True,
        False,
        False,
    ]  # once, of three of side 8
    g = sagan.Generator((3, 32, 32), 0, 8, 8, None, None, True)
    assert not any(isinstance(m, Attention) for m in g.modules())


def test_sagan_has_conditional_batch_norm_beside_spectral_norm() -> None:
    g, _ = at(32)
    assert sum(isinstance(m, ConditionalBatchNorm2d) for m in g.modules()) == 6  # two a block; the last is common
    assert isinstance(g.norm, nn.BatchNorm2d) and g.norm.affine


def test_a_first_block_of_d_sees_the_image_as_it_is() -> None:
    # ReLU before it would make all that is dark alike.
    d = sagan.Discriminator((1, 8, 8), 0, 8, None, "none", None)
    dark = -torch.rand(2, 1, 8, 8)
    assert (d(dark)[0] - d(dark)[1]).abs() > 1e-6
    assert not torch.allclose(d(dark), d(torch.zeros_like(dark)))


def test_weights_begin_as_the_authors_draw_them() -> None:
    # Glorot's uniform distribution with gain 1 and biases of 0, in residual branches too, where SNGAN has a gain of √2.
    g = sagan.Generator((3, 16, 16), 0, 32, 32, None, 8, False)
    d = sagan.Discriminator((3, 16, 16), 0, 32, None, "none", 8)
    layers = [m for net in (g, d) for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    for layer in layers:
        bound = (6 / sum(nn.init._calculate_fan_in_and_fan_out(layer.weight))) ** 0.5
        assert 0.8 * bound < layer.weight.abs().max() <= bound
        assert layer.bias is None or not layer.bias.any()
    assert len(layers) == 24  # in G 2 + 2·3 + 4 of attention, in D 3 + 2 + 2 + 4 + 1


@pytest.mark.parametrize(("width", "max_width", "named"), [(0, None, "width"), (8, 0, "max_width")])
def test_a_width_of_0_is_refused_and_does_not_stand_for_the_authors(
    width: int, max_width: int | None, named: str
) -> None:
    with pytest.raises(ConfigError, match=rf"^{named} must be a whole number above 0, got 0"):
        sagan.Generator((1, 8, 8), 0, 4, width, max_width, None, True)
    with pytest.raises(ConfigError, match=rf"^{named} must be a whole number above 0, got 0"):
        sagan.Discriminator((1, 8, 8), 0, width, max_width, "none", None)
