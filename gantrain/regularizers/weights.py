"""Regularizers that act on weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from gantrain.errors import ConfigError
from gantrain.kinds import Points, kind_of
from gantrain.losses.objective import Objective
from gantrain.losses.turn import Turn
from gantrain.regularizers.base import Regularizer, require

SCALED = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)
WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d)


class Clip(Regularizer):
    """After every D step clamp each parameter to [-bound, bound]. Arjovsky et al. 2017, arXiv:1701.07875, Alg. 1."""

    kind = "clipped weights"

    def __init__(self, bound: float) -> None:
        super().__init__()
        if not bound > 0:
            raise ConfigError(f"Clip needs bound > 0, got {bound}")
        self.bound = bound

    def over_batch(self, shape: tuple[int, ...]) -> bool:
        """No: it looks at weights."""
        return False

    def after_d_step(self, turn: Turn) -> None:
        """Project D's parameters onto the box, but for those that freeze_d holds."""
        for parameter in turn.critic.net.parameters():
            if not getattr(parameter, "held", False):
                parameter.clamp_(-self.bound, self.bound)

    def caution(self, shape: tuple[int, ...], objective: Objective) -> str:
        """Speak of points: clipping keeps D so flat that training is slow."""
        if not isinstance(kind_of(shape), Points):
            return ""
        return "on points it is slow (wgan found 4, 4 and 2 of the ring's 8 modes)"

    def check(self, d: nn.Module) -> None:
        """Raise ConfigError for normalization in D: clamping would reach its scales, or spectral norm would undo it."""
        for module in d.modules():
            if isinstance(module, SCALED) and getattr(module, "weight", None) is not None:
                raise ConfigError(
                    f"Clip cannot be used with {type(module).__name__} in the discriminator: it would clamp the "
                    f"scales of the normalization to {self.bound:g} too. Use architecture.discriminator.norm=none"
                )
            if is_parametrized(module):
                raise ConfigError(
                    "Clip cannot be used with norm=spectral in the discriminator, which divides the clamped weights by "
                    "their norm again. Use architecture.discriminator.norm=none"
                )


class Orthogonal(Regularizer):
    """weight · Σ_W ‖(W Wᵀ) ⊙ (1 - I)‖²_F: rows of each weight at right angles, their lengths free.

    Brock et al. 2019, arXiv:1809.11096, Eq. 3, who apply it to G. W is (outputs, inputs), kernels flattened. (In Brock
    et al. 2017, arXiv:1609.07093, the rows shall also have length 1.)

    The equation's gradient is 4β ((W Wᵀ) ⊙ (1 - I)) W. The authors' code adds half of it, 2β (…) W, to G's gradient:
    for the code at β = 1e-4, take weight = 5e-5.

    Args:
        weight: β.
        generator: apply it in G's turn, to G.
        discriminator: apply it in D's turn, to D.
    """

    def __init__(self, weight: float, generator: bool, discriminator: bool) -> None:
        super().__init__()
        require(self, weight=weight)
        self.weight, self.generator, self.discriminator = weight, generator, discriminator
        self.adds_to_d, self.adds_to_g = discriminator, generator

    def over_batch(self, shape: tuple[int, ...]) -> bool:
        """No: it looks at weights."""
        return False

    def for_d(self, turn: Turn) -> Tensor | None:
        """Return the term of D's weights."""
        return self.term(turn.critic.net) if self.discriminator else None

    def for_g(self, turn: Turn) -> Tensor | None:
        """Return the term of G's weights."""
        return self.term(turn.generator) if self.generator else None

    def term(self, net: nn.Module) -> Tensor:
        """Return the weighted sum over all weight matrices and kernels of ``net``."""
        costs = []
        for module in net.modules():
            if isinstance(module, WEIGHTED):
                weight = module.weight
                if isinstance(module, nn.ConvTranspose1d | nn.ConvTranspose2d):  # stored as (inputs, outputs, …)
                    weight = weight.transpose(0, 1)
                gram = weight.flatten(1) @ weight.flatten(1).T
                costs.append((gram - gram.diag().diag()).square().sum())
        if not costs:
            raise ConfigError(f"Orthogonal finds no linear or convolutional layer in {type(net).__name__}")
        return self.weight * torch.stack(costs).sum()
