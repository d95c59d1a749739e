"""Functions that stay finite where torch's value or derivative would be infinite."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import relu


def norm_from_square(squared: Tensor) -> Tensor:
    """Square root with derivative 0 at 0, where autograd's would be infinite and turn the weights to NaN."""
    zero = squared == 0
    return squared.masked_fill(zero, 1).sqrt().masked_fill(zero, 0)


def tame_exp(v: Tensor) -> Tensor:
    """Return e^v up to v = 80 and e^80 (1 + log(1 + v - 80)) beyond it; value and slope are continuous at 80.

    In float32 e^v overflows at v = 89. Here value and slope are finite for every finite v, and beyond 80 the slope
    stays positive: a run with such scores has failed, but its loss can still be logged as a number.
    """
    excess = relu(v - 80)
    return (v - excess).exp() * (1 + torch.log1p(excess))


def move_if_finite(buffer: Tensor, value: Tensor) -> None:
    """Copy ``value`` into a state's ``buffer`` where it is finite.

    In float16 the scaler skips the step of a batch that overflows. A state that took over the overflow would never
    recover.
    """
    buffer.copy_(torch.where(value.isfinite(), value, buffer))
