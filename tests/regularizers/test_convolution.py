"""The penalty's convolutions: the same numbers as torch's own, through both differentiations."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn

from gantrain.architectures import dcgan, sngan_resnet
from gantrain.losses.turn import Critic, Precision, Turn
from gantrain.regularizers import GradientPenalty
from gantrain.regularizers.convolution import TwiceDifferentiable, convolution

SHAPES = [
    # stride, padding, dilation, groups, bias
    ([1, 1], [1, 1], [1, 1], 1, True),
    ([2, 2], [1, 1], [1, 1], 1, True),
    ([2, 1], [0, 2], [1, 2], 2, False),
]


def cost_and_gradients(x: Tensor, weights: list[Tensor], *shape: object, ours: bool) -> list[Tensor]:
    """The cost of a penalty on one convolution's gradient by its input, and its gradients by weight and bias."""
    weight, *bias = weights
    arguments = (x, weight, bias[0] if bias else None, *shape)
    y = convolution(*arguments) if ours else torch.conv2d(*arguments)
    (by_input,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    cost = (by_input.square().sum().sqrt() - 1).square() + y.mean()
    return [cost, *torch.autograd.grad(cost, weights)]


@pytest.mark.parametrize(("stride", "padding", "dilation", "groups", "bias"), SHAPES)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_a_convolutions_two_differentiations_equal_torchs(
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
    bias: bool,
    memory_format: torch.memory_format,
) -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 4, 7, 6, dtype=torch.float64).to(memory_format=memory_format).requires_grad_()
    weights = [torch.randn(6, 4 // groups, 3, 3, dtype=torch.float64, requires_grad=True)]
    weights += [torch.randn(6, dtype=torch.float64, requires_grad=True)] * bias
    shape = (stride, padding, dilation, groups)
    ours, theirs = (cost_and_gradients(x, weights, *shape, ours=on) for on in (True, False))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


CALLS = {
    "two tensors": lambda x, w: torch.nn.functional.conv2d(x, w),
    "padding by name": lambda x, w: torch.nn.functional.conv2d(x, w, None, padding=1),
    "all by name": lambda x, w: torch.nn.functional.conv2d(input=x, weight=w, stride=2, dilation=(1, 2)),
    "whole numbers": lambda x, w: torch.conv2d(x, w, None, 1, 2, 1, 1),
    "same": lambda x, w: torch.nn.functional.conv2d(x, w, padding="same"),
    "no batch": lambda x, w: torch.nn.functional.conv2d(x[0], w)[None],
}


@pytest.mark.parametrize("call", CALLS)
def test_every_way_to_call_a_convolution_works_inside(call: str) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 6, 6, dtype=torch.float64, requires_grad=True)
    w = torch.randn(4, 3, 3, 3, dtype=torch.float64, requires_grad=True)

    def gradient() -> Tensor:
        with TwiceDifferentiable():
            y = CALLS[call](x, w).square().sum()
        (by_input,) = torch.autograd.grad(y, x, create_graph=True)
        return torch.autograd.grad(by_input.square().sum(), w)[0]

    ours = gradient()
    y = CALLS[call](x, w).square().sum()
    (by_input,) = torch.autograd.grad(y, x, create_graph=True)
    torch.testing.assert_close(ours, torch.autograd.grad(by_input.square().sum(), w)[0], rtol=1e-10, atol=1e-12)


def test_without_a_second_differentiation_all_gradients_are_torchs() -> None:
    torch.manual_seed(0)
    leaves = [torch.randn(*s, dtype=torch.float64, requires_grad=True) for s in ((2, 3, 5, 5), (4, 3, 3, 3), (4,))]
    assert torch.autograd.gradcheck(lambda x, w, b: convolution(x, w, b, [1, 1], [1, 1], [1, 1], 1), leaves)


@pytest.mark.parametrize("name", ["dcgan", "sngan_resnet"])
def test_a_penaltys_gradient_equals_torchs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    if name == "dcgan":
        d: nn.Module = dcgan.Discriminator((3, 16, 16), 0, width=8, max_width=16, norm="layer")
    else:
        d = sngan_resnet.Discriminator((3, 16, 16), 0, 8, 8, "layer", commute=True, pool="mean")
    real, fake = torch.randn(2, 4, 3, 16, 16)

    def gradient(dtype: torch.dtype) -> Tensor:
        torch.manual_seed(1)
        critic = Critic(d, Precision(torch.device("cpu"), dtype, dtype), dtype)
        cost = GradientPenalty(10.0).for_d(Turn(critic, nn.Identity(), real, fake, 0))
        found = torch.autograd.grad(cost, list(d.parameters()), materialize_grads=True, allow_unused=True)
        return torch.cat([g.flatten() for g in found])

    ours = {dtype: gradient(dtype) for dtype in (torch.float32, torch.bfloat16)}
    monkeypatch.setattr("gantrain.regularizers.base.TwiceDifferentiable", nullcontext)
    theirs = {dtype: gradient(dtype) for dtype in ours}
    exact = theirs[torch.float32]
    assert (ours[torch.float32] - exact).norm() <= 1e-5 * exact.norm()
    errors = [(found[torch.bfloat16] - exact).norm() / exact.norm() for found in (ours, theirs)]
    assert errors[0] <= 2 * errors[1] + 1e-2, errors
