"""The contract of every objective: scores in, scalar out."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn


class Objective(nn.Module):
    """What each player minimises, as a function of D's raw scores.

    Scores are unbounded and of shape (N,) or (N, patches), float32 or float64; a mean runs over all of them. Nothing
    is assumed of D's last layer: the objective owns the link function. An objective is a Module so that state of its
    own (a multiplier, a balance) lives in buffers, which are moved and checkpointed with the run.

    Notation of the docstrings: r = C(x) are scores of real samples, f = C(G(z)) of generated ones, E is the mean,
    sp(t) = log(1 + e^t).
    """

    g_uses_real: ClassVar[bool] = False
    """True: G's turn also scores the real batch, which costs one more forward of D."""

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the discriminator's loss, a scalar to minimise, from its scores of real and fake samples."""
        raise NotImplementedError

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """Return the generator's loss, a scalar to minimise. ``real`` is given if ``g_uses_real``."""
        raise NotImplementedError

    def after_d_step(self) -> None:
        """Move own state, once per update of D. State never moves inside ``d_loss``."""
