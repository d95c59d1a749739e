"""The Wasserstein objective. What bounds the critic's slope (clipping, a penalty) is a regularizer beside it."""

from __future__ import annotations

from torch import Tensor

from gantrain.losses.objective import Objective


class Wasserstein(Objective):
    """D: E f - E r.  G: -E f.  Arjovsky et al. 2017, arXiv:1701.07875, Algorithm 1.

    Over 1-Lipschitz critics D's minimum is minus the Wasserstein-1 distance of p and q.
    """

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """E f - E r."""
        return fake.mean() - real.mean()

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """-E f."""
        return -fake.mean()
