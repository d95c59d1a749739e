"""Functions whose value or slope torch would let run to infinity."""

from __future__ import annotations

import torch
from torch import Tensor


def norm_from_square(squared: Tensor) -> Tensor:
    """Square root with derivative 0 at 0, where autograd's would be infinite and turn the weights to NaN."""
    zero = squared == 0
    return squared.masked_fill(zero, 1).sqrt().masked_fill(zero, 0)


def tame_exp(v: Tensor) -> Tensor:
    """e^v up to v = 80; beyond, where float32 would soon overflow, e^80 (1 + log(1 + v - 80)), of the same slope there.

    Finite for every finite v, and so is its slope, which stays positive: a run with such scores is lost, but its loss
    can still be named in the log.
    """
    return v.clamp(max=80).exp() * (1 + torch.log1p((v - 80).clamp(min=0)))
