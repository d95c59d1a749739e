"""Objectives of the first years: minimax, non-saturating, least squares, hinge."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import relu, softplus

from gantrain.losses.objective import Objective


class Minimax(Objective):
    """D: E sp(-r) + E sp(f).  G: -E sp(f), saturating.  Goodfellow et al. 2014, arXiv:1406.2661, Eq. 1.

    With p and q the densities of real and fake samples, D's minimum is log 4 - 2 JSD(p, q), at C = log p - log q.
    """

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """E sp(-r) + E sp(f)."""
        return softplus(-real).mean() + softplus(fake).mean()

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """-E sp(f): equals E log(1 - D), whose gradient vanishes where D is sure."""
        return -softplus(fake).mean()


class NonSaturating(Minimax):
    """D: as minimax.  G: E sp(-f).  Goodfellow et al. 2014, arXiv:1406.2661, Section 3 (last paragraph)."""

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """E sp(-f): equals -E log D, whose gradient is strongest where D is sure."""
        return softplus(-fake).mean()


class LeastSquares(Objective):
    """D: ½ E(r - b)² + ½ E(f - a)².  G: ½ E(f - c)².  Mao et al. 2017, arXiv:1611.04076, Eq. 2.

    Labels: ``a`` for fake, ``b`` for real, ``c`` what G wants D to say. (0, 1, 1) is the usual choice, Eq. 9;
    (-1, 1, 0) makes G minimise the Pearson chi-squared divergence, Eq. 8. With (0, 1), D's minimum is ½ Σ pq/(p+q).
    """

    def __init__(self, a: float = 0.0, b: float = 1.0, c: float = 1.0) -> None:
        super().__init__()
        self.a, self.b, self.c = a, b, c

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """½ E(r - b)² + ½ E(f - a)²."""
        return 0.5 * (real - self.b).square().mean() + 0.5 * (fake - self.a).square().mean()

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """½ E(f - c)²."""
        return 0.5 * (fake - self.c).square().mean()


class Hinge(Objective):
    """D: E max(0, 1 - r) + E max(0, 1 + f).  G: -E f.  Lim & Ye 2017, arXiv:1705.02894; Miyato et al. 2018, Eq. 16-17.

    D's minimum is 2 Σ min(p, q) = 2 (1 - TV(p, q)).
    """

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """E max(0, 1 - r) + E max(0, 1 + f)."""
        return relu(1 - real).mean() + relu(1 + fake).mean()

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """-E f."""
        return -fake.mean()
