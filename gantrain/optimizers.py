"""RMSprop that can be recorded, and optimizers for games, which take the other player's next move into account.

Each is torch's own optimizer with a few lines around its step, so it takes the same arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class RMSprop(torch.optim.RMSprop):
    """Torch's RMSprop, which in float16 skips a step without making a GPU wait, and whose turns can be recorded.

    v ← αv + (1-α)g², θ ← θ - ηg/(√v + ε): Hinton, lecture 6e, 2012, with torch's place for ε. Without momentum,
    centering and weight decay, as GANs use it, the gradient scaler's verdict and a rate that is a tensor are read on
    the device. With them it is torch's.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._step_supports_amp_scaling = self.plain  # so that the scaler does not look for itself, but hands over

    @property
    def plain(self) -> bool:
        """Whether it is used as GANs use it."""
        unused = ("momentum", "centered", "weight_decay", "maximize", "differentiable")
        return not any(group[name] for group in self.param_groups for name in unused)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Take one step; none where the scaler found a gradient that is not finite."""
        found: Tensor | None = getattr(self, "found_inf", None)
        by_tensor = found is not None or any(isinstance(group["lr"], Tensor) for group in self.param_groups)
        if not (by_tensor and self.plain):
            known = len(self.state)
            loss = super().step(closure)
            if len(self.state) > known:
                self._counts_to_device()
            return loss
        loss = closure() if closure is not None else None
        for group in self.param_groups:
            self._step_on_device(group, found, getattr(self, "grad_scale", None))
        return loss

    def _step_on_device(self, group: dict[str, Any], found: Tensor | None, scale: Tensor | None) -> None:
        for p in group["params"]:
            if p.grad is None:
                continue
            state = self.state[p]
            if not state:
                state["step"] = torch.zeros((), device=p.device)
                state["square_avg"] = torch.zeros_like(p)
            square: Tensor = state["square_avg"]
            gradient = p.grad if scale is None else p.grad / scale
            moved = square * group["alpha"] + gradient.square() * (1 - group["alpha"])
            step = gradient / (moved.sqrt() + group["eps"]) * group["lr"]
            if found is not None:
                moved, step = torch.where(found > 0, square, moved), torch.where(found > 0, 0.0, step)
            square.copy_(moved)
            p.sub_(step)
            state["step"].add_(1 if found is None else 1 - found)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        super().load_state_dict(state_dict)
        self._counts_to_device()

    def _counts_to_device(self) -> None:
        for p, state in self.state.items():  # torch keeps them on the CPU, where no recording counts
            if state["step"].device != p.device:
                state["step"] = state["step"].to(p.device)


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
                self.state[p]["previous"].copy_(step)  # in place: a recording writes to the tensors that it found
            else:
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
