"""Relativistic objectives: is a real sample more real than a fake one? Jolicoeur-Martineau 2018, arXiv:1807.00734.

``link`` names the cost of a score difference t: logistic sp(-t), squares (t - 1)², hinge max(0, 1 - t). G plays the
same game with the roles of real and fake swapped, so its turn needs the real scores.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

from gantrain.errors import ConfigError
from gantrain.losses.objective import Objective

LINKS: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "logistic": (lambda t: softplus(-t), "nats"),
    "squares": (lambda t: (t - 1).square(), "unitless"),
    "hinge": (lambda t: relu(1 - t), "unitless"),
}
"""The cost of a score difference, and the unit of that cost."""


class Relativistic(Objective):
    """A game over differences of scores; ``d_loss(a, b)`` asks that a score higher than b."""

    g_uses_real = True

    def __init__(self, link: str) -> None:
        super().__init__()
        if link not in LINKS:
            raise ConfigError(f"link must be one of {', '.join(LINKS)}, got {link!r}")
        self.link, self.unit = LINKS[link]

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """D's loss with the roles of real and fake swapped."""
        assert real is not None
        return self.d_loss(fake, real)

    def estimates(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """link(0) - loss is at most a divergence of p and q. Jolicoeur-Martineau 2019, arXiv:1901.02474."""
        worth = self.link(real.new_zeros(())) - self.d_loss(real, fake)
        return {f"relativistic_divergence_lower_bound_{self.unit}": worth}


class RelativisticPaired(Relativistic):
    """D: E link(r - f), real and fake paired at random.  G: E link(f - r).  Section 4 (RSGAN, RpGAN).

    With the logistic link D's minimum is log 2 exactly when p = q, and less otherwise.
    """

    over_batch = False

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """E link(r - f)."""
        return self.link(real - fake).mean()


class RelativisticAverage(Relativistic):
    """D: ½ [E link(r - E f) + E link(E r - f)].  G: the same with r and f swapped.  Section 4 (RaSGAN, RaLSGAN, …).

    The ½ is of the authors' code; the paper's equations have the sum, twice the value, which Adam's steps do not tell
    apart. The means run over the whole batch and carry gradients. With squares D's minimum is (2 - S)/(2 + 3S) where
    S = Σ (p-q)²/(p+q).

    Args:
        link: logistic, squares or hinge.
        generator: ``swapped``, or ``linear`` for G: E r - E f.
    """

    def __init__(self, link: str, generator: str = "swapped") -> None:
        super().__init__(link)
        if generator not in ("swapped", "linear"):
            raise ConfigError(f"generator must be swapped or linear, got {generator!r}")
        self.generator = generator

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """½ [E link(r - E f) + E link(E r - f)]."""
        return 0.5 * (self.link(real - fake.mean()).mean() + self.link(real.mean() - fake).mean())

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """½ [E link(f - E r) + E link(E f - r)], or E r - E f."""
        assert real is not None
        if self.generator == "linear":
            return torch.sub(real.mean(), fake.mean())
        return super().g_loss(fake, real)
