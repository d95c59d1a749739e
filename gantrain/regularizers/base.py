"""The contract of regularizers, and the one place that differentiates D by its input."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gantrain.errors import ConfigError
from gantrain.losses.objective import Objective
from gantrain.losses.turn import Turn
from gantrain.regularizers.convolution import TwiceDifferentiable


class Regularizer(nn.Module):
    """A term or projection for any objective. Its methods do nothing unless overridden; ``check`` runs at build."""

    kind: ClassVar[str | None] = None
    """What it is, in words, if a loss may have only one such; None if it may have several."""
    slope_is_one = False
    """Whether it holds the gradient norm of the witness at 1 all over the space between real and fake samples."""
    over_ranks = False
    """Whether terms that ``over_batch`` tells of are those of the whole batch where several ranks see a part each: it
    takes what it compares from ``turn.ranks.share``."""
    adds_to_d = adds_to_g = False
    """Whether it can add a term to a player's loss."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.adds_to_d, cls.adds_to_g = cls.for_d is not Regularizer.for_d, cls.for_g is not Regularizer.for_g

    def phase(self, index: int) -> int:
        """Return the phase of the turn that ``index`` turns went before: equal phases mean the same computation.

        A recording of one turn is played for all turns of its phase (``compile=step``, CUDA graphs). With a class of
        your own, turns are recorded only if it sets ``replayable = True``.
        """
        return 0

    def for_d(self, turn: Turn) -> Tensor | None:
        """Return the weighted scalar to add to D's loss, or None when idle."""
        return None

    def for_g(self, turn: Turn) -> Tensor | None:
        """Return the weighted scalar to add to G's loss, or None when idle."""
        return None

    def after_d_step(self, turn: Turn) -> None:
        """Act after D's step, for example project its weights; called without gradients."""

    def after_g_step(self, turn: Turn) -> None:
        """Act after G's step; called without gradients."""

    def over_batch(self, shape: tuple[int, ...]) -> bool:
        """Tell whether its terms are anything but means over the samples, which have this shape.

        If so, a batch cannot go through the networks in parts (``accumulate``).
        """
        return True

    def caution(self, shape: tuple[int, ...], objective: Objective) -> str:
        """Return in a few words what was measured to fail beside this objective with samples of this shape, or ""."""
        return ""

    def remark(self, d: nn.Module) -> str:
        """Return in a few words what a user should know of it beside this D, or ""."""
        return ""

    def check(self, d: nn.Module) -> None:
        """Raise ConfigError if this regularizer cannot be used with this D."""

    def check_generator(self, g: nn.Module) -> None:
        """Raise ConfigError if this regularizer cannot be used with this G."""


def require(owner: object, **numbers: float) -> None:
    """Raise ConfigError unless every named number is 0 or more."""
    for name, number in numbers.items():
        if not number >= 0:
            raise ConfigError(f"{type(owner).__name__} needs {name} >= 0, got {number}")


class InputGradient(Regularizer):
    """weight · E cost(‖∇ₓ C(x)‖²), the norm taken per sample over all its dimensions.

    A subclass chooses the points and the cost of a squared norm. C is the objective's witness function, for most
    objectives the score. D runs in ``precision.penalty`` (float32 unless set otherwise), because its gradient is
    differentiated again. With ``every`` > 1 the term is applied on each ``every``-th turn, ``every`` times as strong:
    lazy regularization, Karras et al. 2020, arXiv:1912.04958, Section 3.1.
    """

    differentiates_twice = True
    may_mix_samples = False
    """Whether D may compare the samples of a batch: the gradient is then that of all scores by one sample."""

    def __init__(self, weight: float, every: int = 1) -> None:
        super().__init__()
        if not weight >= 0 or every < 1:
            raise ConfigError(
                f"{type(self).__name__} needs weight >= 0 and every >= 1, got weight={weight}, every={every}"
            )
        self.weight, self.every = weight, every

    def phase(self, index: int) -> int:
        """Return 0 for turns with the term, 1 for turns without."""
        return min(index % self.every, 1)

    def over_batch(self, shape: tuple[int, ...]) -> bool:
        """No: the term is a mean over samples."""
        return False

    def points(self, turn: Turn) -> Tensor:
        """Return where to take the gradient, (N, *shape)."""
        raise NotImplementedError

    def cost(self, squared_norm: Tensor) -> Tensor:
        """Map squared gradient norms (N,) to costs (N,)."""
        raise NotImplementedError

    def for_d(self, turn: Turn) -> Tensor | None:
        """Return the penalty; its graph reaches D's parameters, not the points."""
        if self.phase(turn.index):
            return None
        x, critic = self.points(turn).detach().requires_grad_(), turn.critic.exact
        with TwiceDifferentiable():
            score = turn.witness(critic(x)).sum()
        with critic.precision.autocast(torch.float32):  # else an outer autocast would cover the gradient too
            (gradient,) = torch.autograd.grad(score, x, create_graph=True)
        return self.weight * self.every * self.cost(gradient.flatten(1).square().sum(1)).mean()

    def check(self, d: nn.Module) -> None:
        """Raise ConfigError if D mixes the samples of a batch and may not, or is compiled.

        If C(xᵢ) depends on other samples, ∇C(xᵢ) is not the gradient of one sample's score. torch.compile does not
        differentiate twice.
        """
        for module in d.modules():
            if isinstance(module, _BatchNorm):
                raise ConfigError(
                    f"architecture.discriminator.norm=batch cannot be used with {type(self).__name__}: "
                    "the score of a sample would depend on the other samples. "
                    "Use architecture.discriminator.norm=layer or =none"
                )
            if getattr(module, "mixes_samples", False) and not self.may_mix_samples:
                raise ConfigError(
                    f"{type(module).__name__} in the discriminator cannot be used with {type(self).__name__}: "
                    "the score of a sample would depend on the other samples. "
                    f"Use {getattr(module, 'off', 'a discriminator without it')}"
                )
            if getattr(module, "_compiled_call_impl", None) is not None or hasattr(module, "_orig_mod"):
                raise ConfigError(
                    f"a compiled discriminator cannot be used with {type(self).__name__}: "
                    "torch.compile does not differentiate twice. Leave the discriminator uncompiled"
                )

    def remark(self, d: nn.Module) -> str:
        """Name the layers that compare samples, if there are any."""
        mixing = sorted({type(module).__name__ for module in d.modules() if getattr(module, "mixes_samples", False)})
        if not mixing:
            return ""
        return f"{type(self).__name__} takes the gradient through {', '.join(mixing)}, so of all the batch's scores"
