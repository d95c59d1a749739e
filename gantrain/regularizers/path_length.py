"""StyleGAN2's regularizer of G: steps of one length in w make changes of one size in the image."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from gantrain.errors import ConfigError
from gantrain.losses.numerics import move_if_finite, norm_from_square
from gantrain.losses.turn import Turn
from gantrain.regularizers.base import Regularizer, require


class PathLength(Regularizer):
    """weight · E(‖Jᵀy‖₂ - a)² in G's turn, J = ∂G(w)/∂w, y ~ N(0, I), a the moving mean of ‖Jᵀy‖₂.

    Karras et al. 2020, arXiv:1912.04958, Section 3.2. As in the authors' code (NVlabs/stylegan2-ada-pytorch), y is
    divided by √(number of pixels), a has moved by this batch already, and its share of the batch has a gradient; w
    stands for each layer by itself, and ‖·‖² is the mean over layers. The samples are made anew, of the first of the
    turn's latents, in ``precision.penalty``.

    With ``every`` > 1 the term is applied on each ``every``-th turn, ``every`` times as strong (Section 3.1 there).

    Args:
        weight: of the term; 2 in the authors' code.
        every: turns of G between applications; the authors' 4.
        decay: share of a that a batch replaces; the authors' 0.01.
        shrink: only a ``shrink``-th of the batch is used, to save memory; the authors' 2. Each of several ranks uses
            the first of its own.
    """

    kind = "a penalty on path lengths"
    over_ranks = True

    mean: Tensor

    def __init__(self, weight: float, every: int, decay: float, shrink: int) -> None:
        super().__init__()
        require(self, weight=weight)
        if every < 1 or shrink < 1 or not 0 < decay <= 1:
            raise ConfigError(
                "PathLength needs every >= 1, shrink >= 1 and 0 < decay <= 1, got "
                f"every={every}, shrink={shrink}, decay={decay}"
            )
        self.weight, self.every, self.decay, self.shrink = weight, every, decay, shrink
        self.register_buffer("mean", torch.zeros(()))

    def phase(self, index: int) -> int:
        """Return 0 for turns with the term, 1 for turns without."""
        return min(index % self.every, 1)

    def for_g(self, turn: Turn) -> Tensor | None:
        """Return the term, and move the mean; None in turns without."""
        if self.phase(turn.index):
            return None
        lengths = turn.ranks.share(self.lengths(turn))
        mean = self.mean + self.decay * (lengths.mean() - self.mean)
        with torch.no_grad():
            move_if_finite(self.mean, mean.to(self.mean.dtype))
        return self.weight * self.every * (lengths - mean).square().mean()

    def lengths(self, turn: Turn) -> Tensor:
        """Return ‖Jᵀy‖ of a part of the turn's latents, (max(1, N // shrink),)."""
        assert turn.z is not None
        n, precision = max(1, len(turn.z) // self.shrink), turn.critic.precision
        labels = None if turn.labels is None else turn.labels[:n]
        with precision.autocast(precision.penalty):
            styles = turn.generator.styles(turn.z[:n], labels)  # type: ignore[operator]
            samples = turn.generator.synthesis(styles)  # type: ignore[operator]
        with precision.autocast(torch.float32):  # else an outer autocast would cover the gradient too
            noise = turn.ranks.normal_like(samples) / math.sqrt(samples[0, 0].numel())
            (gradient,) = torch.autograd.grad((samples * noise).sum(), styles, create_graph=True)
        return norm_from_square(gradient.square().sum(2).mean(1))

    def check_generator(self, g: nn.Module) -> None:
        """Raise ConfigError unless G has the two halves that are needed."""
        if not all(callable(getattr(g, half, None)) for half in ("styles", "synthesis")):
            raise ConfigError(
                f"{type(self).__name__} needs a generator with styles(z, labels) and synthesis(styles), and "
                f"{type(g).__module__}.{type(g).__name__} has none: use architecture=stylegan2, or leave the term out"
            )
