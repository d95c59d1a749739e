"""Fisher GAN: an integral probability metric whose critic is held at second moment 1 by an augmented Lagrangian."""

from __future__ import annotations

import torch
from torch import Tensor

from gantrain.errors import ConfigError
from gantrain.losses.numerics import move_if_finite
from gantrain.losses.objective import Objective


class Fisher(Objective):
    """D: -(E r - E f + λ(1 - Ω) - ρ/2 (Ω - 1)²), Ω = ½ E r² + ½ E f².  G: -E f.

    After each D step λ ← λ - ρ(1 - Ω). Mroueh & Sercu 2017, arXiv:1705.09675, Algorithm 1. At the saddle Ω = 1 and D's
    loss is minus the Fisher distance, -(Σ (p-q)²/((p+q)/2))^½.

    Args:
        rho: ρ, weight of the quadratic term and step of the multiplier λ, which starts at 0.
    """

    multiplier: Tensor

    def __init__(self, rho: float) -> None:
        super().__init__()
        if not rho > 0:
            raise ConfigError(f"Fisher needs rho > 0, got {rho}")
        self.rho = rho
        self.register_buffer("multiplier", torch.zeros(()))

    @staticmethod
    def omega(real: Tensor, fake: Tensor) -> Tensor:
        """Ω = ½ E r² + ½ E f²."""
        return 0.5 * (real.square().mean() + fake.square().mean())

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """-(E r - E f + λ(1 - Ω) - ρ/2 (Ω - 1)²)."""
        slack = 1 - self.omega(real, fake)
        return fake.mean() - real.mean() - self.multiplier * slack + 0.5 * self.rho * slack.square()

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """-E f."""
        return -fake.mean()

    def after_d_step(self, real: Tensor, fake: Tensor) -> None:
        """λ ← λ - ρ(1 - Ω)."""
        move_if_finite(self.multiplier, self.multiplier - self.rho * (1 - self.omega(real, fake)))

    def estimates(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """(E r - E f)/√Ω is at most the Fisher distance for any D."""
        omega = self.omega(real, fake)
        distance = (real.mean() - fake.mean()) / omega.sqrt().clamp_min(torch.finfo(omega.dtype).tiny)
        return {"fisher_distance_lower_bound_unitless": distance, "omega": omega, "lambda": self.multiplier}
