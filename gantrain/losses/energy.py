"""Objectives for a discriminator that is an autoencoder. Its score is minus its reconstruction error, the energy."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from gantrain.errors import ConfigError
from gantrain.kinds import Points, kind_of
from gantrain.losses.numerics import move_if_finite
from gantrain.losses.objective import Objective


class Energy(Objective):
    """Base of EBGAN and BEGAN: D must reconstruct. C = -energy, so real samples score higher, as in every objective."""

    over_batch = False

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """-E f: the energy of the fakes."""
        return -fake.mean()

    def caution(self, shape: tuple[int, ...]) -> str:
        """Speak of points, which an autoencoder copies whether they are real or not."""
        if not isinstance(kind_of(shape), Points):
            return ""
        return "on points an autoencoder copies any input (at most 2 of the ring's 8 modes)"

    def check(self, d: nn.Module | type[nn.Module]) -> None:
        """Raise ConfigError unless D reconstructs its input."""
        if not getattr(d, "reconstructs", False):
            raise ConfigError(
                f"{type(self).__name__} needs a discriminator that reconstructs its input: use architecture=autoencoder"
            )


class EBGAN(Energy):
    """D: E U(x) + E max(0, m - U(G(z))).  G: E U(G(z)).  U = -C >= 0.  Zhao et al. 2017, arXiv:1609.03126, Eq. 1-2.

    D's minimum over energies >= 0 is m Σ min(p, q) = m (1 - TV(p, q)) (Section 2.2).

    Args:
        margin: m, the energy above which a fake costs D nothing.
    """

    def __init__(self, margin: float) -> None:
        super().__init__()
        if not margin > 0:
            raise ConfigError(f"EBGAN needs margin > 0, got {margin}")
        self.margin = margin

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """-E r + E max(0, m + f)."""
        return relu(self.margin + fake).mean() - real.mean()

    def estimates(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """TV(p, q) >= 1 - loss/m for any D."""
        return {"total_variation_lower_bound_unitless": 1 - self.d_loss(real, fake) / self.margin}


class BEGAN(Energy):
    """D: E U(x) - k E U(G(z)).  G: E U(G(z)).  Berthelot et al. 2017, arXiv:1703.10717, Section 3.4.

    After each D step k ← k + λ(γ E U(x) - E U(G(z))), kept in [0, 1], from k = 0. The energies are those of D's turn;
    the paper's equation takes the second one of G's turn.

    Args:
        gamma: γ in (0, 1], E U(G(z)) / E U(x) at equilibrium: lower is less diverse and cleaner.
        rate: λ, the step of k.
    """

    balance: Tensor

    def __init__(self, gamma: float, rate: float) -> None:
        super().__init__()
        if not (0 < gamma <= 1 and rate > 0):
            raise ConfigError(f"BEGAN needs 0 < gamma <= 1 and rate > 0, got gamma={gamma}, rate={rate}")
        self.gamma, self.rate = gamma, rate
        self.register_buffer("balance", torch.zeros(()))

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """-E r + k E f."""
        return self.balance * fake.mean() - real.mean()

    def after_d_step(self, real: Tensor, fake: Tensor) -> None:
        """Move k to clip(k + λ(γ E U(x) - E U(G(z))), 0, 1)."""
        following = self.balance + self.rate * (fake.mean() - self.gamma * real.mean())
        move_if_finite(self.balance, following.clamp(0, 1))

    def estimates(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """E U(x) + |γ E U(x) - E U(G(z))|, the convergence measure of Section 3.4.1, and k."""
        real_energy, fake_energy = -real.mean(), -fake.mean()
        measure = real_energy + (self.gamma * real_energy - fake_energy).abs()
        return {"convergence_data_units": measure, "k": self.balance}
