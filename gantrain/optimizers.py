"""Optimizers for games, which take the other player's next move into account. For any objective and either player.

Both are torch's Adam with a few lines around its step, so they take its arguments, ``fused`` included.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class GameAdam(torch.optim.Adam):
    """Base of both: in float16 the gradient scaler skips their whole step, not only Adam's part of it."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._step_supports_amp_scaling = False

    def moved(self) -> list[Tensor]:
        """Return the parameters that have a gradient."""
        return [p for group in self.param_groups for p in group["params"] if p.grad is not None]


class OptimisticAdam(GameAdam):
    """θ_{t+1} = θ_t + 2Δ_t - Δ_{t-1}, Δ_t Adam's step at t. Daskalakis et al. 2018, arXiv:1711.00141, Algorithm 1."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Take one optimistic step; the first is Adam's step twice."""
        before = [(p, p.clone()) for p in self.moved()]
        loss = super().step(closure)
        for p, old in before:
            step = p - old
            p.add_(step)
            if "previous" in self.state[p]:
                p.sub_(self.state[p]["previous"])
            self.state[p]["previous"] = step
        return loss


class ExtraAdam(GameAdam):
    """Extragradient: every second call goes back and steps by the gradient taken at the point looked ahead to.

    Call 2t: ω' = ω_t + Adam's step; call 2t+1: ω_{t+1} = ω_t + Adam's step with the gradient at ω'. Both calls move the
    moments. Gidel et al. 2019, arXiv:1802.10551, Algorithm 4, as it stands there with ``ratio.simultaneous=true``.
    Without, it is played in alternation: within a step D acts first. When G looks ahead, D has already looked ahead;
    when G steps, D has already stepped. The average of G follows ω_t alone; the samples of G itself, after an odd
    number of steps, are of a look-ahead point.
    """

    turns_in_pairs = True  # the players must look ahead in the same step: ratio 1:1, and no step may be skipped

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Look ahead, or return to where the look-ahead began and step from there."""
        before = [(p, p.clone()) for p in self.moved()]
        for p, _ in before:
            if "anchor" in self.state[p]:
                p.copy_(self.state[p]["anchor"])
        loss = super().step(closure)
        for p, old in before:
            if self.state[p].pop("anchor", None) is None:
                self.state[p]["anchor"] = old
        return loss
