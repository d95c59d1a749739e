"""Which critic G plays against: D as it is now, or D some steps ahead (unrolled GAN)."""

from __future__ import annotations

from collections.abc import Callable

import torch

from gantrain.errors import ConfigError
from gantrain.kinds import Points, kind_of
from gantrain.losses.objective import Objective
from gantrain.losses.turn import Critic, Turn

Lookahead = Callable[[Turn, Objective], Critic]


def present(turn: Turn, objective: Objective) -> Critic:
    """Return D as it is, as in every GAN that is not unrolled."""
    return turn.critic


class Unrolled:
    """G plays against D as it will be after ``steps`` more gradient steps, and G's gradient goes through them.

    θ^{k+1} = θ^k - η ∇_θ d_loss(θ^k) on the turn's batch, differentiated through. Metz et al. 2017, arXiv:1611.02163,
    Section 2. The steps are plain gradient descent as in its equations, on copies: D itself, its batch-norm statistics
    and spectral-norm vectors included, is left as it was. Penalties are not part of the steps. Where several ranks play
    the game, each step follows the gradient of the whole batch.

    Args:
        steps: K; 0 is D as it is.
        lr: η.
    """

    def __init__(self, steps: int, lr: float) -> None:
        if steps < 0 or not lr > 0:
            raise ConfigError(f"Unrolled needs steps >= 0 and lr > 0, got steps={steps}, lr={lr}")
        self.steps, self.lr = steps, lr

    over_ranks = True
    """Its steps are those of the whole batch, however many ranks there are."""

    def caution(self, shape: tuple[int, ...]) -> str:
        """Speak of points, on which it needs networks like the paper's."""
        if not isinstance(kind_of(shape), Points):
            return ""
        return "on points the networks matter (0 of the ring's 8 modes with its own, 7 with experiment=unrolled_ring's)"

    def __call__(self, turn: Turn, objective: Objective) -> Critic:
        """Return the critic ``steps`` ahead; its weights carry the graph to G through ``turn.fake``."""
        if self.steps == 0:
            return turn.critic
        net = turn.critic.net
        buffers = {name: buffer.clone() for name, buffer in net.named_buffers()}
        learning = [(name, p) for name, p in net.named_parameters() if not getattr(p, "held", False)]  # by freeze_d
        weights = {name: p.detach().clone().requires_grad_() for name, p in learning}
        for _ in range(self.steps):
            critic = turn.critic.at(weights | buffers)
            scores = [critic(turn.real), critic(turn.fake)]
            loss = objective.d_loss(*(turn.ranks.share_each(scores) if objective.over_batch else scores))
            # What a D tells beside its scores, as a classifier's logits, takes no part in the objective.
            gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=True, allow_unused=True)
            names = [name for name, g in zip(weights, gradients, strict=True) if g is not None]
            means = turn.ranks.mean([g for g in gradients if g is not None])
            weights = weights | {name: weights[name] - self.lr * g for name, g in zip(names, means, strict=True)}
        return turn.critic.at(weights | buffers)
