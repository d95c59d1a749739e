"""Penalties on the gradient of D by its input. Each class says where it is taken and what it costs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import relu

from gantrain.kinds import Points, kind_of
from gantrain.losses.numerics import norm_from_square
from gantrain.losses.objective import Objective
from gantrain.losses.turn import Turn
from gantrain.losses.wasserstein import Wasserstein
from gantrain.regularizers.base import InputGradient, require


class GradientPenalty(InputGradient):
    """weight · E(‖∇C(x̂)‖₂ - 1)², x̂ = εx + (1-ε)G(z), ε ~ U[0, 1] per sample.

    Gulrajani et al. 2017, arXiv:1704.00028, Algorithm 1 and Eq. 3.
    """

    kind = "a penalty between real and fake samples"

    @property
    def slope_is_one(self) -> bool:  # type: ignore[override]
        """Whether the penalty has a weight."""
        return self.weight > 0

    def caution(self, shape: tuple[int, ...], objective: Objective) -> str:
        """Speak of the Wasserstein distance of points: two-sided, the penalty can hold D at one slope everywhere."""
        if not isinstance(kind_of(shape), Points) or self.weight <= 1 or not isinstance(objective, Wasserstein):
            return ""
        return (
            f"on points a two-sided penalty of weight {self.weight:g} can hold D at one slope everywhere (wgan_gp "
            "found 0 of the ring's 8 modes with 10, all with 0.1); wgan_lp has no such trouble"
        )

    def points(self, turn: Turn) -> Tensor:
        """Return one random point on each line from a real to a fake sample, (N, *shape)."""
        epsilon = turn.ranks.draw(torch.rand, len(turn.real), *[1] * (turn.real.ndim - 1), device=turn.real.device)
        return torch.lerp(turn.fake, turn.real, epsilon.to(turn.real.dtype))

    def cost(self, squared_norm: Tensor) -> Tensor:
        """(‖∇C‖ - 1)²."""
        return (norm_from_square(squared_norm) - 1).square()


class LipschitzPenalty(GradientPenalty):
    """weight · E max(0, ‖∇C(x̂)‖₂ - 1)², x̂ as in GradientPenalty: smaller gradients cost nothing.

    Petzka et al. 2018, arXiv:1709.08894.
    """

    def caution(self, shape: tuple[int, ...], objective: Objective) -> str:
        """Nothing failed."""
        return ""

    def cost(self, squared_norm: Tensor) -> Tensor:
        """max(0, ‖∇C‖ - 1)²."""
        return relu(norm_from_square(squared_norm) - 1).square()


class Dragan(InputGradient):
    """weight · E(‖∇C(x + δ)‖₂ - slope)², δ = scale · std(batch) · U[0, 1], one number for each entry of x.

    Kodali et al. 2017, arXiv:1705.07215. The paper's equation and the authors' code differ. In the equation δ is
    normal, N(0, c I). The code's δ is the one above: std(batch) is over all entries of the batch, and x is moved
    towards larger values only. The code then takes the gradient at x + αδ, α ~ U[0, 1] per sample, somewhere between x
    and x + δ. Meant here is the equation with the code's δ; ``normal`` and ``interpolate`` are the two others.

    Args:
        weight: λ.
        slope: k, the gradient norm that costs nothing.
        scale: size of the neighbourhood in standard deviations of the batch, for a normal δ √c.
        every: turns between applications.
        interpolate: True: at x + αδ, as in the authors' code. None or False: at x + δ, as in the equation.
        normal: True: N(0, 1) in place of U[0, 1], as in the equation. None or False: as in the code.
    """

    kind = "a penalty around real samples"
    over_ranks = True

    def __init__(
        self,
        weight: float,
        slope: float,
        scale: float,
        every: int = 1,
        interpolate: bool | None = None,
        normal: bool | None = None,
    ) -> None:
        super().__init__(weight, every)
        require(self, slope=slope, scale=scale)
        self.slope, self.scale, self.interpolate, self.normal = slope, scale, bool(interpolate), bool(normal)

    def over_batch(self, shape: tuple[int, ...]) -> bool:
        """Yes: the noise is as large as the batch's standard deviation says."""
        return True

    def caution(self, shape: tuple[int, ...], objective: Objective) -> str:
        """Speak of points, whose narrow modes need a steeper D than the penalty allows."""
        if not isinstance(kind_of(shape), Points):
            return ""
        return "on points it holds D too flat for narrow modes (dragan found 4, 0 and 0 of the ring's 8)"

    def points(self, turn: Turn) -> Tensor:
        """Return reals moved by random noise, (N, *shape)."""
        real, ranks = turn.real, turn.ranks
        noise = ranks.normal_like(real) if self.normal else ranks.uniform_like(real)
        if self.interpolate:
            noise = noise * ranks.draw(torch.rand, len(real), *[1] * (real.ndim - 1), device=real.device).to(real.dtype)
        return real + self.scale * ranks.std(real) * noise

    def cost(self, squared_norm: Tensor) -> Tensor:
        """(‖∇C‖ - slope)²."""
        return (norm_from_square(squared_norm) - self.slope).square()


class R1(InputGradient):
    """weight/2 · E‖∇C(x)‖² on real samples. Mescheder et al. 2018, arXiv:1801.04406, Eq. 9; weight is their γ.

    The authors' code has no ½: its ``reg_param`` of 10 is weight = 20 here.

    D may compare the samples of a batch, as StyleGAN2's does (Karras et al. 2020, arXiv:1912.04958). Then ∇C(x) is the
    gradient of the sum of the batch's scores by x, as in its authors' code.
    """

    kind = "a zero-centred penalty on real samples"
    may_mix_samples = True

    def points(self, turn: Turn) -> Tensor:
        """Return the reals."""
        return turn.real

    def cost(self, squared_norm: Tensor) -> Tensor:
        """½ ‖∇C‖²."""
        return 0.5 * squared_norm


class R2(R1):
    """weight/2 · E‖∇C(G(z))‖² on generated samples. Mescheder et al. 2018, arXiv:1801.04406, Eq. 10."""

    kind = "a zero-centred penalty on generated samples"

    def points(self, turn: Turn) -> Tensor:
        """Return the fakes."""
        return turn.fake
