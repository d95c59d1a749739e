"""Convolutions whose gradient by the input can be differentiated again at the cost of ordinary convolutions.

For the weight's part of a convolution's second derivative, torch computes a convolution whose kernels are as large as
the image. The same numbers are the weight gradient of an ordinary convolution, which every backend computes fast.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode

aten = torch.ops.aten
Shape = tuple[list[int], list[int], list[int], int]
"""Stride, padding, dilation and groups."""


def pair(numbers: int | Sequence[int]) -> list[int]:
    """Return one number for each of the two directions."""
    return [numbers, numbers] if isinstance(numbers, int) else list(numbers)


def forward(x: Tensor, weight: Tensor, bias: Tensor | None, shape: Shape) -> Tensor:
    """Return the convolution."""
    stride, padding, dilation, groups = shape
    result: Tensor = aten.convolution(x, weight, bias, stride, padding, dilation, False, [0] * len(stride), groups)
    return result


def gradients(gradient: Tensor, x: Tensor, weight: Tensor, shape: Shape, wanted: list[bool]) -> Any:
    """Return the gradients of a convolution by input, weight and bias, None where not ``wanted``."""
    stride, padding, dilation, groups = shape
    zeros, bias = [0] * len(stride), [weight.shape[0]]
    return aten.convolution_backward(gradient, x, weight, bias, stride, padding, dilation, False, zeros, groups, wanted)


class Convolution(torch.autograd.Function):
    """A convolution. If its backward pass is to be differentiated again, that pass gives the input's gradient only."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, shape: Shape) -> Tensor:
        """Return the convolution."""
        ctx.save_for_backward(x, weight)
        ctx.shape = shape
        return forward(x, weight, bias, shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """Return the gradients."""
        x, weight = ctx.saved_tensors
        if torch.is_grad_enabled():
            return ConvolutionByInput.apply(gradient, x.detach(), weight, ctx.shape), None, None, None
        return *gradients(gradient, x, weight, ctx.shape, list(ctx.needs_input_grad[:3])), None


class ConvolutionByInput(torch.autograd.Function):
    """A convolution's gradient by its input: linear in the gradient by its output, and in the weight."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, x: Tensor, weight: Tensor, shape: Shape) -> Tensor:
        """Return the gradient; of ``x`` only the shape matters."""
        ctx.save_for_backward(gradient, weight)
        ctx.shape = shape
        result: Tensor = gradients(gradient, x, weight, shape, [True, False, False])[0]
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, second: Tensor) -> Any:
        """Return the gradients by the output's gradient and by the weight."""
        gradient, weight = ctx.saved_tensors
        by_gradient = by_weight = None
        if ctx.needs_input_grad[0]:
            by_gradient = forward(second, weight, None, ctx.shape)
        if ctx.needs_input_grad[2]:
            by_weight = gradients(gradient, second, weight, ctx.shape, [False, True, False])[1]
        return by_gradient, None, by_weight, None


class TwiceDifferentiable(TorchFunctionMode):
    """Inside, 2-D convolutions are ``Convolution``; take a gradient with a graph by inputs only, not by weights."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Carry out a call."""
        return (convolution if func is torch.conv2d else func)(*args, **(kwargs or {}))


def convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """Do what torch.conv2d does, autocast included; call torch's own if the padding is a word or there is no batch."""
    if isinstance(padding, str) or input.ndim != 4:
        return torch.conv2d(input, weight, bias, stride, padding, dilation, groups)
    x, kind = input, input.device.type
    if torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
        x, weight = x.to(dtype), weight.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    with torch.autocast(kind, enabled=False):
        result: Tensor = Convolution.apply(x, weight, bias, (pair(stride), pair(padding), pair(dilation), groups))
    return result
