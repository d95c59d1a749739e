"""The term of InfoGAN: codes in z shall be readable in the samples."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor
from torch.nn.functional import cross_entropy

from gantrain.errors import ConfigError
from gantrain.losses.turn import Turn
from gantrain.regularizers.base import Regularizer, require


class Information(Regularizer):
    """-λ E log Q(c|x) over generated x, in both players' turns. Chen et al. 2016, arXiv:1606.03657, Eqs. 5 and 6.

    H(c) minus the categorical part is a lower bound of the codes' mutual information with the samples, in nats. Q is
    D's guess: logits of each categorical code, and the mean of each continuous one, whose variance is 1.

    Args:
        weight: λ.
        continuous_weight: of the continuous codes, beside 1 for the categorical ones.
        categories: K of each categorical code; as in ``gantrain.inputs.Codes``.
        continuous: number of continuous codes.
    """

    kind = "information about codes"

    def __init__(self, weight: float, continuous_weight: float, categories: Sequence[int], continuous: int) -> None:
        super().__init__()
        require(self, weight=weight, continuous_weight=continuous_weight, continuous=continuous)
        self.weight, self.continuous_weight = weight, continuous_weight
        self.categories, self.continuous = tuple(categories), continuous
        if not self.numbers:
            raise ConfigError("Information needs codes: categories, continuous ones, or both")

    @property
    def numbers(self) -> int:
        """How many numbers the codes are, and D's guesses of them."""
        return sum(self.categories) + self.continuous

    def over_batch(self, shape: tuple[int, ...]) -> bool:
        """No: the term is a mean over samples."""
        return False

    def for_d(self, turn: Turn) -> Tensor:
        """Return the term; D learns to read the codes of generated samples."""
        return self.cost(turn)

    def for_g(self, turn: Turn) -> Tensor:
        """Return the term; G learns to write them."""
        return self.cost(turn)

    def cost(self, turn: Turn) -> Tensor:
        """Return -λ E log Q(c|x) of the generated batch.

        Raises:
            ConfigError: if D guesses no codes, or the turn has no latents.
        """
        guesses = None if turn.verdicts is None else turn.verdicts.fake.guesses
        if guesses is None or turn.z is None:
            raise ConfigError("Information needs a discriminator that guesses codes; choose latent=codes")
        sizes = [*self.categories, self.continuous]
        *codes, values = turn.z[:, -self.numbers :].split(sizes, 1)
        *logits, means = guesses.split(sizes, 1)
        told: Tensor = guesses.new_zeros(())
        for guess, code in zip(logits, codes, strict=True):
            told = told + cross_entropy(guess, code.to(guess.dtype))
        off = 0.5 * (means - values).square().sum(1).mean() + 0.5 * math.log(2 * math.pi) * self.continuous
        cost: Tensor = self.weight * (told + self.continuous_weight * off)
        return cost
