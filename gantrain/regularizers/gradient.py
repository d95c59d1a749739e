"""Penalties on the gradient of D by its input. Each class says where it is taken and what it costs."""

from __future__ import annotations

import torch
from torch import Tensor

from gantrain.regularizers.base import InputGradient
from gantrain.turn import Turn


def norm_from_square(squared: Tensor) -> Tensor:
    """Square root with derivative 0 at 0, where autograd's would be infinite and turn the weights to NaN."""
    zero = squared == 0
    return squared.masked_fill(zero, 1).sqrt().masked_fill(zero, 0)


class GradientPenalty(InputGradient):
    """weight · E(‖∇C(x̂)‖₂ - 1)², x̂ = εx + (1-ε)G(z), ε ~ U[0, 1] per sample.

    Gulrajani et al. 2017, arXiv:1704.00028, Algorithm 1 and Eq. 3.
    """

    def points(self, turn: Turn) -> Tensor:
        """Return one random point on each line from a real to a fake sample, (N, *shape)."""
        epsilon = torch.rand(len(turn.real), *[1] * (turn.real.ndim - 1), device=turn.real.device)
        return torch.lerp(turn.fake, turn.real, epsilon.to(turn.real.dtype))

    def cost(self, squared_norm: Tensor) -> Tensor:
        """(‖∇C‖ - 1)²."""
        return (norm_from_square(squared_norm) - 1).square()
