"""Regularizers that act on D's codes, for a D that is an autoencoder."""

from __future__ import annotations

from torch import Tensor, nn

from gantrain.errors import ConfigError
from gantrain.losses.kernel import mean_of_pairs
from gantrain.losses.turn import Turn
from gantrain.regularizers.base import Regularizer, require


class PullingAway(Regularizer):
    """weight · 1/N(N-1) Σ_{i≠j} (Sᵢᵀ Sⱼ / ‖Sᵢ‖ ‖Sⱼ‖)² in G's turn, S the codes that D gives the generated batch.

    Zhao et al. 2017, arXiv:1609.03126, Eq. 4, who call EBGAN with it EBGAN-PT. The codes of different samples shall be
    at right angles, so that G cannot put all samples in one place. It costs one more pass through D's encoder.

    Args:
        weight: of the term in G's loss; 0.1 in the paper.
    """

    over_ranks = True

    def __init__(self, weight: float) -> None:
        super().__init__()
        require(self, weight=weight)
        self.weight = weight

    def for_g(self, turn: Turn) -> Tensor:
        """Return the term, 0 for a batch of one. A code of zeros is at right angles to every other."""
        codes = turn.critic.encode(turn.fake)
        squared = codes.square().sum(1, keepdim=True)
        unit = turn.ranks.share(codes * squared.masked_fill(squared == 0, 1).rsqrt())
        return self.weight * mean_of_pairs((unit @ unit.T).square())

    def check(self, d: nn.Module) -> None:
        """Raise ConfigError unless D encodes its input, as more than one number: single numbers are all parallel."""
        if not callable(getattr(d, "encode", None)):
            raise ConfigError(
                f"{type(self).__name__} needs a discriminator that encodes its input: use architecture=autoencoder, "
                "as loss=ebgan does"
            )
        if getattr(d, "code_dim", None) == 1:
            raise ConfigError(
                f"{type(self).__name__} turns codes to right angles, for which one number is too short: "
                "set architecture.discriminator.code_dim=2 or more"
            )
