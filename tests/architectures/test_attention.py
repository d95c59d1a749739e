from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gantrain.architectures.attention import Attention, side_of
from gantrain.errors import ConfigError


def plain(layer: nn.Module) -> nn.Module:
    return layer


def by_hand(layer: Attention, x: Tensor) -> Tensor:
    """The formula, pixel by pixel: what pixel i adds is a mean of g over the blocks j, by softmax of θ_i · φ_j."""
    kernel = {name: getattr(layer, name).weight[:, :, 0, 0] for name in ("theta", "phi", "g", "o")}
    expected = x.clone()
    for n in range(len(x)):
        side = x.shape[2]
        blocks = [(2 * r, 2 * c) for r in range(side // 2) for c in range(side // 2)]

        def largest(name: str, r: int, c: int, n: int = n) -> Tensor:
            pixels = [kernel[name] @ x[n, :, r + a, c + b] for a in (0, 1) for b in (0, 1)]
            return torch.stack(pixels).amax(0)

        phi = torch.stack([largest("phi", r, c) for r, c in blocks])
        g = torch.stack([largest("g", r, c) for r, c in blocks])
        for r in range(side):
            for c in range(side):
                logits = phi @ (kernel["theta"] @ x[n, :, r, c])
                shares = logits.exp() / logits.exp().sum()
                expected[n, :, r, c] += layer.gamma * (kernel["o"] @ (shares @ g))
    return expected


def test_attention_is_the_formula() -> None:
    layer = Attention(16, plain).double()
    nn.init.constant_(layer.gamma, 0.7)
    for part in (layer.theta, layer.phi):
        nn.init.normal_(part.weight)  # so that softmax is far from uniform
    x = torch.randn(2, 16, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(layer(x), by_hand(layer, x), rtol=1e-10, atol=1e-12)
    assert (layer(x) - x).abs().max() > 0.01


@pytest.mark.parametrize(("channels", "numbers"), [(256, 81_921), (128, 20_481)])
def test_attention_has_the_published_number_of_parameters(channels: int, numbers: int) -> None:
    assert sum(p.numel() for p in Attention(channels, plain).parameters()) == numbers


def test_attention_does_nothing_at_first_but_can_learn_to() -> None:
    layer, x = Attention(8, plain), torch.randn(2, 8, 4, 4)
    assert torch.equal(layer(x), x)
    layer(x).square().sum().backward()
    assert layer.gamma.grad is not None and layer.gamma.grad.abs() > 0


def test_attention_can_be_differentiated_twice() -> None:
    layer = Attention(8, plain).double()
    nn.init.constant_(layer.gamma, 0.5)
    x = torch.randn(1, 8, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(layer, x)


def test_a_side_without_a_map_and_channels_that_cannot_be_split_are_refused() -> None:
    assert side_of(16, [8, 16], None, "generator") == 16
    assert side_of("auto", [8, 16], 8, "generator") == 8
    assert side_of("auto", [8, 16], 32, "generator") is None and side_of(None, [8], 8, "generator") is None
    for wrong in (32, "large", True, 8.5):
        with pytest.raises(ConfigError, match=r"architecture\.generator\.attention=.*side 1, 8, 16; choose one"):
            side_of(wrong, [16, 8, 1], 8, "generator")
    with pytest.raises(ConfigError, match=r"8 divides, not 12.*attention=null"):
        Attention(12, plain)
