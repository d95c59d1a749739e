"""The Wasserstein objective. A regularizer beside it (clipping, a penalty) bounds the critic's gradient."""

from __future__ import annotations

from torch import Tensor

from gantrain.losses.objective import Objective


class Wasserstein(Objective):
    """D: E f - E r.  G: -E f.  Arjovsky et al. 2017, arXiv:1701.07875, Algorithm 1.

    Over critics whose gradient norm is at most K, D's minimum is -K times the Wasserstein-1 distance of p and q. If a
    gradient penalty holds K at 1, the estimate is in units of the data. Otherwise K is unknown, as under weight
    clipping, and only the estimate's rise and fall mean something.
    """

    over_batch = False

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """E f - E r."""
        return fake.mean() - real.mean()

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """-E f."""
        return -fake.mean()

    def estimates(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """E r - E f."""
        name = "wasserstein_1_data_units" if self.slope_is_one else "wasserstein_1_times_unknown_slope"
        return {name: real.mean() - fake.mean()}
