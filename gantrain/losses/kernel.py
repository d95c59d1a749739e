"""Objectives that compare vectors of features: D has k outputs, and the distance of two batches is over all pairs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gantrain.errors import ConfigError
from gantrain.losses.numerics import norm_from_square
from gantrain.losses.objective import Objective


def features(outputs: Tensor) -> Tensor:
    """Return D's outputs as (N, k), k = 1 if there is one per sample."""
    return outputs.reshape(len(outputs), -1)


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Return ‖x_i - y_j‖² as (N, M) of x (N, k), y (M, k), by products: (N, M, k) differences would fill the memory.

    Both are centred first, because the products lose more digits the farther the features lie from the origin.
    """
    center = y.detach().mean(0)
    x, y = x - center, y - center
    return (x.square().sum(1)[:, None] + y.square().sum(1) - 2 * x @ y.T).clamp_min(0)


def mean_of_pairs(values: Tensor) -> Tensor:
    """Return the mean of (N, N) over i ≠ j: unbiased for independent pairs from one sample. 0 if N = 1."""
    n = len(values)
    return (values.sum() - values.diagonal().sum()) / max(n * (n - 1), 1)


class Cramer(Objective):
    """D: E w(f) - E w(r), w(x) = E‖h(x) - h(x')‖ - ‖h(x)‖, x' fake.  G: 2 E‖h(x) - h(y)‖ - E‖h(y) - h(y')‖.

    x are reals, y fakes, h(x) is D's feature vector. Bellemare et al. 2017, arXiv:1705.10743, Algorithm 1. G's loss
    minus the reals' own E‖h(x) - h(x')‖ is the energy distance; on a line, that is twice the squared L2 distance of the
    distribution functions.

    The paper draws x' as a second batch; here all pairs of the batch are used, i ≠ j, which estimates the same
    expectation with less variance.
    """

    g_uses_real = True

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """E w(f) - E w(r)."""
        r, f = features(real), features(fake)
        among_fakes = mean_of_pairs(norm_from_square(squared_distances(f, f)))
        across = norm_from_square(squared_distances(r, f)).mean()
        return (
            among_fakes
            - across
            + norm_from_square(r.square().sum(1)).mean()
            - norm_from_square(f.square().sum(1)).mean()
        )

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """2 E‖h(x) - h(y)‖ - E‖h(y) - h(y')‖."""
        assert real is not None
        r, f = features(real), features(fake)
        return 2 * norm_from_square(squared_distances(r, f)).mean() - mean_of_pairs(
            norm_from_square(squared_distances(f, f))
        )

    def estimates(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Energy distance in D's features, unbiased: it may fall below 0 when p = q."""
        r = features(real)
        among_reals = mean_of_pairs(norm_from_square(squared_distances(r, r)))
        return {"energy_distance_feature_units": self.g_loss(fake, real) - among_reals}

    def witness(self, outputs: Tensor, real: Tensor, fake: Tensor) -> Tensor:
        """w(x) = E‖h(x) - h(x')‖ - ‖h(x)‖ over fakes x'."""
        h = features(outputs)
        return norm_from_square(squared_distances(h, features(fake))).mean(1) - norm_from_square(h.square().sum(1))


class MMD(Objective):
    """MMD GAN. D: -MMD²(h(x), h(G(z))).  G: MMD².  Li et al. 2017, arXiv:1705.08584; Bińkowski et al. 2018.

    MMD² = E k(x, x') + E k(y, y') - 2 E k(x, y), unbiased, of D's features; k is a sum of rational quadratic kernels
    k_α(x, y) = (1 + ‖x - y‖²/2α)^(-α) (Bińkowski et al. 2018, arXiv:1801.01401).

    Args:
        alphas: one kernel for each.
    """

    g_uses_real = True

    def __init__(self, alphas: Sequence[float]) -> None:
        super().__init__()
        if not alphas or min(alphas) <= 0:
            raise ConfigError(f"MMD needs alphas above 0, got {list(alphas)}")
        self.alphas = tuple(alphas)

    def kernel(self, x: Tensor, y: Tensor) -> Tensor:
        """Return k(x_i, y_j) as (N, M) of features (N, k) and (M, k)."""
        squared = squared_distances(x, y)
        return torch.stack([torch.exp(-a * torch.log1p(squared / (2 * a))) for a in self.alphas]).sum(0)

    def squared_mmd(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the unbiased estimate of MMD²."""
        r, f = features(real), features(fake)
        within = mean_of_pairs(self.kernel(r, r)) + mean_of_pairs(self.kernel(f, f))
        return within - 2 * self.kernel(r, f).mean()

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """-MMD²."""
        return -self.squared_mmd(real, fake)

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """MMD²."""
        assert real is not None
        return self.squared_mmd(real, fake)

    def estimates(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """MMD² in D's features, unbiased: it may fall below 0 when p = q."""
        return {"mmd_squared_unitless": self.squared_mmd(real, fake)}

    def witness(self, outputs: Tensor, real: Tensor, fake: Tensor) -> Tensor:
        """E k(h(x), h(real)) - E k(h(x), h(fake))."""
        h = features(outputs)
        return self.kernel(h, features(real)).mean(1) - self.kernel(h, features(fake)).mean(1)
