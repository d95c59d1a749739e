"""Objectives of the first years: minimax, non-saturating, least squares, hinge."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

from gantrain.errors import ConfigError
from gantrain.losses.objective import Objective


class Minimax(Objective):
    """D: E sp(-r) + E sp(f).  G: -E sp(f), saturating.  Goodfellow et al. 2014, arXiv:1406.2661, Eq. 1.

    With p and q the densities of real and fake samples, D's minimum is log 4 - 2 JSD(p, q), at C = log p - log q.
    """

    over_batch = False

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """E sp(-r) + E sp(f)."""
        return softplus(-real).mean() + softplus(fake).mean()

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """-E sp(f): equals E log(1 - D), whose gradient vanishes where D is sure."""
        return -softplus(fake).mean()

    def estimates(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """JSD(p, q) >= (log 4 - loss) / 2 for any D."""
        return {"js_lower_bound_nats": (math.log(4) - self.d_loss(real, fake)) / 2}

    def log_ratio(self, scores: Tensor) -> Tensor:
        """C itself."""
        return scores


class NonSaturating(Minimax):
    """D: E sp(-r) + E sp(f).  G: E sp(-f).  Goodfellow et al. 2014, arXiv:1406.2661, Section 3 (last paragraph)."""

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """E sp(-f): equals -E log D, whose gradient is strongest where D is sure."""
        return softplus(-fake).mean()


class LeastSquares(Objective):
    """D: ½ E(r - b)² + ½ E(f - a)².  G: ½ E(f - c)².  Mao et al. 2017, arXiv:1611.04076, Eq. 2.

    Labels: ``a`` for fake, ``b`` for real, ``c`` for fake in G's loss. (0, 1, 1) is the usual choice, Eq. 9;
    (-1, 1, 0) makes G minimise the Pearson chi-squared divergence, Eq. 8. With (0, 1), D's minimum is ½ Σ pq/(p+q), at
    C = p/(p+q).
    """

    over_batch = False

    def __init__(self, a: float = 0.0, b: float = 1.0, c: float = 1.0) -> None:
        super().__init__()
        if not a < b:
            raise ConfigError(f"LeastSquares needs a < b, got a={a}, b={b}")
        self.a, self.b, self.c = a, b, c

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """½ E(r - b)² + ½ E(f - a)²."""
        return 0.5 * (real - self.b).square().mean() + 0.5 * (fake - self.a).square().mean()

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """½ E(f - c)²."""
        return 0.5 * (fake - self.c).square().mean()

    def estimates(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """½ Σ (p-q)²/(p+q), in [0, 1] (Vincze 1981, Le Cam 1986), is at least 1 - 4 loss/(b-a)² for any D."""
        return {"le_cam_lower_bound_unitless": 1 - 4 * self.d_loss(real, fake) / (self.b - self.a) ** 2}

    def log_ratio(self, scores: Tensor) -> Tensor:
        """logit((C - a)/(b - a)), infinite outside of the labels."""
        return torch.logit(((scores - self.a) / (self.b - self.a)).clamp(0, 1))


class Hinge(Objective):
    """D: E max(0, 1 - r) + E max(0, 1 + f).  G: -E f.  Lim & Ye 2017, arXiv:1705.02894; Miyato et al. 2018, Eq. 16-17.

    D's minimum is 2 Σ min(p, q) = 2 (1 - TV(p, q)), at C = sign(p - q): the sign of p - q is all that it tells.
    """

    over_batch = False

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """E max(0, 1 - r) + E max(0, 1 + f)."""
        return relu(1 - real).mean() + relu(1 + fake).mean()

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """-E f."""
        return -fake.mean()

    def estimates(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """TV(p, q) >= 1 - loss/2 for any D."""
        return {"total_variation_lower_bound_unitless": 1 - self.d_loss(real, fake) / 2}
