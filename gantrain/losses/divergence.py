"""f-GAN: D estimates an f-divergence of p and q from below. Nowozin et al. 2016, arXiv:1606.00709, Tables 1, 2 and 6.

Each class gives g, the output activation that maps a raw score v into the domain of the conjugate f*, and the
composition f*(g(v)), simplified by hand so that it stays finite; exponentials of scores beyond 80 are continued slowly.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from gantrain.kinds import Points, kind_of
from gantrain.losses.numerics import tame_exp
from gantrain.losses.objective import Objective


class FDivergence(Objective):
    """D: -E g(r) + E f*(g(f)).  G: -E g(f), or saturating -E f*(g(f)).

    D's minimum is -D_f(p‖q).

    Args:
        saturating: False: G maximises g(f), the trick of Section 3.2. True: G plays the saddle point of Eq. 4.
    """

    over_batch = False

    tag: ClassVar[str]
    """Name and unit of the divergence that minus D's loss bounds from below."""

    def __init__(self, saturating: bool = False) -> None:
        super().__init__()
        self.saturating = saturating

    def activation(self, v: Tensor) -> Tensor:
        """g(v)."""
        raise NotImplementedError

    def conjugate(self, v: Tensor) -> Tensor:
        """f*(g(v))."""
        raise NotImplementedError

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """-E g(r) + E f*(g(f))."""
        return self.conjugate(fake).mean() - self.activation(real).mean()

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """-E g(f), or -E f*(g(f)) if saturating."""
        return -(self.conjugate(fake) if self.saturating else self.activation(fake)).mean()

    def estimates(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """-loss, at most D_f(p‖q) for any D."""
        return {self.tag: -self.d_loss(real, fake)}


class KL(FDivergence):
    """g = v, f*(t) = e^(t-1): Σ p log(p/q)."""

    tag = "kl_lower_bound_nats"

    def activation(self, v: Tensor) -> Tensor:
        """Return v."""
        return v

    def conjugate(self, v: Tensor) -> Tensor:
        """e^(v-1)."""
        return tame_exp(v - 1)

    def log_ratio(self, scores: Tensor) -> Tensor:
        """At the optimum v = f'(p/q) = 1 + log p/q."""
        return scores - 1


class ReverseKL(FDivergence):
    """g = -e^(-v), f*(t) = -1 - log(-t): Σ q log(q/p)."""

    tag = "reverse_kl_lower_bound_nats"

    def activation(self, v: Tensor) -> Tensor:
        """-e^(-v)."""
        return -tame_exp(-v)

    def conjugate(self, v: Tensor) -> Tensor:
        """-1 - log e^(-v) = v - 1."""
        return v - 1

    def log_ratio(self, scores: Tensor) -> Tensor:
        """-e^(-v) = -q/p at the optimum."""
        return scores


class Pearson(FDivergence):
    """g = v, f*(t) = t²/4 + t: Σ (p-q)²/q."""

    tag = "pearson_lower_bound_unitless"

    def activation(self, v: Tensor) -> Tensor:
        """Return v."""
        return v

    def conjugate(self, v: Tensor) -> Tensor:
        """v²/4 + v."""
        return v.square() / 4 + v

    def log_ratio(self, scores: Tensor) -> Tensor:
        """At the optimum v = 2(p/q - 1); -inf where v is below its range."""
        return (1 + scores / 2).clamp_min(0).log()


class Neyman(FDivergence):
    """g = 1 - e^(-v), f*(t) = 2 - 2√(1-t): Σ (p-q)²/p."""

    tag = "neyman_lower_bound_unitless"

    def activation(self, v: Tensor) -> Tensor:
        """1 - e^(-v)."""
        return 1 - tame_exp(-v)

    def conjugate(self, v: Tensor) -> Tensor:
        """2 - 2√(e^(-v)) = 2 - 2e^(-v/2)."""
        return 2 - 2 * tame_exp(-v / 2)

    def caution(self, shape: tuple[int, ...]) -> str:
        """Speak of points, of which it has found no mode yet."""
        if not isinstance(kind_of(shape), Points):
            return ""
        return "on points its gradients explode where D is sure (0 of the ring's 8 modes)"

    def log_ratio(self, scores: Tensor) -> Tensor:
        """1 - e^(-v) = 1 - (q/p)² at the optimum."""
        return scores / 2


class SquaredHellinger(FDivergence):
    """g = 1 - e^(-v), f*(t) = t/(1-t): Σ (√p - √q)²."""

    tag = "squared_hellinger_lower_bound_unitless"

    def activation(self, v: Tensor) -> Tensor:
        """1 - e^(-v)."""
        return 1 - tame_exp(-v)

    def conjugate(self, v: Tensor) -> Tensor:
        """(1 - e^(-v))/e^(-v) = e^v - 1."""
        return tame_exp(v) - 1

    def log_ratio(self, scores: Tensor) -> Tensor:
        """1 - e^(-v) = 1 - √(q/p) at the optimum."""
        return 2 * scores


class JensenShannon(FDivergence):
    """g = log 2 - sp(-v), f*(t) = -log(2 - e^t): Nowozin's Jensen-Shannon, twice the usual JSD."""

    tag = "twice_js_lower_bound_nats"

    def activation(self, v: Tensor) -> Tensor:
        """Log 2 - sp(-v)."""
        return math.log(2) + logsigmoid(v)

    def conjugate(self, v: Tensor) -> Tensor:
        """-log(2 - 2σ(v)) = sp(v) - log 2."""
        return softplus(v) - math.log(2)

    def log_ratio(self, scores: Tensor) -> Tensor:
        """Log 2σ(v) = log 2p/(p+q) at the optimum."""
        return scores


class GAN(FDivergence):
    """g = -sp(-v), f*(t) = -log(1 - e^t): 2 JSD(p, q) - log 4, the original game."""

    tag = "twice_js_minus_log4_lower_bound_nats"

    def activation(self, v: Tensor) -> Tensor:
        """-sp(-v)."""
        return logsigmoid(v)

    def conjugate(self, v: Tensor) -> Tensor:
        """-log(1 - σ(v)) = sp(v)."""
        return softplus(v)

    def log_ratio(self, scores: Tensor) -> Tensor:
        """Log σ(v) = log p/(p+q) at the optimum."""
        return scores


class TotalVariation(FDivergence):
    """g = ½ tanh v, f*(t) = t: ½ Σ |p - q|. The optimum lies at infinite scores and tells the sign of p - q."""

    tag = "total_variation_lower_bound_unitless"

    def activation(self, v: Tensor) -> Tensor:
        """½ tanh v."""
        return 0.5 * torch.tanh(v)

    def conjugate(self, v: Tensor) -> Tensor:
        """½ tanh v."""
        return self.activation(v)
