"""Functions whose value or slope torch would let run to infinity."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import relu


def norm_from_square(squared: Tensor) -> Tensor:
    """Square root with derivative 0 at 0, where autograd's would be infinite and turn the weights to NaN."""
    zero = squared == 0
    return squared.masked_fill(zero, 1).sqrt().masked_fill(zero, 0)


def tame_exp(v: Tensor) -> Tensor:
    """e^v up to v = 80; beyond, where float32 would soon overflow, e^80 (1 + log(1 + v - 80)), of the same slope there.

    Finite for every finite v, and so is its slope, which stays positive: a run with such scores is lost, but its loss
    can still be named in the log.
    """
    excess = relu(v - 80)
    return (v - excess).exp() * (1 + torch.log1p(excess))


def move_if_finite(buffer: Tensor, value: Tensor) -> None:
    """Set a state to its next value unless that is not finite.

    In float16 a batch may overflow, and the scaler skips its step; a state that followed it could never come back.
    """
    buffer.copy_(torch.where(value.isfinite(), value, buffer))
