"""The contract of every objective: scores in, scalar out."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn


class Objective(nn.Module):
    """The losses of both players, as functions of D's raw scores.

    Scores are unbounded and of shape (N,) or (N, patches), float32 or float64; a mean runs over all of them. Nothing
    is assumed of D's last layer: the objective owns the link function. Real samples score higher than generated ones
    at D's optimum. An objective is a Module so that state of its own (a multiplier, a balance) lives in buffers, which
    are moved and checkpointed with the run.

    Notation of the docstrings: r = C(x) are scores of real samples, f = C(G(z)) of generated ones, E is the mean,
    sp(t) = log(1 + e^t), p and q are the densities of real and generated samples.
    """

    g_uses_real: ClassVar[bool] = False
    """True: G's turn also scores the real batch, which costs one more forward of D."""
    over_batch: ClassVar[bool] = True
    """False: both losses are means over the samples (or over pairs of a real and a fake sample of the same place), so
    that those of a batch are the means of those of its parts. True: anything else. With ``accumulate`` D then scores
    each part twice: at first for the loss of the whole batch."""
    slope_is_one: bool = False
    """Whether a term beside the objective holds the gradient norm of its witness at 1; ``Loss`` finds out."""

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the discriminator's loss, a scalar to minimise, from its scores of real and fake samples."""
        raise NotImplementedError

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """Return the generator's loss, a scalar to minimise. ``real`` is given if ``g_uses_real``."""
        raise NotImplementedError

    def after_d_step(self, real: Tensor, fake: Tensor) -> None:
        """Update the objective's own state from the scores of D's last step; ``d_loss`` itself changes no state."""

    def estimates(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Return the quantities that by theory these scores estimate: name with unit -> scalar, logged on D's turn."""
        return {}

    def log_ratio(self, scores: Tensor) -> Tensor | None:
        """Return log p(x)/q(x) as D estimates it, drawn beside D*(x) = p/(p+q); None if D's optimum does not tell."""
        return None

    def witness(self, outputs: Tensor, real: Tensor, fake: Tensor) -> Tensor:
        """Return the scalar function (N,) that tells p from q, of D's raw ``outputs`` (N, …) at other points.

        A gradient penalty bounds the gradient of this function. If D gives one score per sample, it is the score
        itself; an objective that compares feature vectors needs D's outputs for both batches too.
        """
        return outputs

    def caution(self, shape: tuple[int, ...]) -> str:
        """Return in a few words what was measured to fail with samples of this shape, "" if nothing was."""
        return ""

    def check(self, d: nn.Module | type[nn.Module]) -> None:
        """Raise ConfigError if this objective cannot be used with this D, or with this class of D."""
