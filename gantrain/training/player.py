"""Player: one side of the game, and the only place where weights are moved by an optimizer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from gantrain.checkpoint import tree

UNMEASURED = torch.tensor(float("nan"))


@contextmanager
def frozen(weights: Iterable[nn.Parameter]) -> Iterator[None]:
    """Let gradients pass through a network without computing those of its ``weights``."""
    parameters = [p for p in weights if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


class Player:
    """A network, its optimizer and gradient scaler, and how many turns it took.

    Args:
        net: the generator or the discriminator.
        optimizer: over ``net``'s parameters.
        scaler: each player has its own, so that an overflow in D does not shrink G's gradients.
        clip_norm: scale gradients down to this total norm, or None.
        schedule: torch's scheduler of the optimizer, moved once per step of the game; None for none.
        named: settings of the optimizer that the configuration gives; they hold also where a state is restored that
            was saved under others, unless a scheduler moves them.
    """

    def __init__(
        self,
        net: nn.Module,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
        clip_norm: float | None = None,
        schedule: torch.optim.lr_scheduler.LRScheduler | None = None,
        named: Iterable[str] = (),
    ) -> None:
        self.net, self.optimizer, self.scaler, self.clip_norm = net, optimizer, scaler, clip_norm
        self.schedule = schedule
        group = optimizer.param_groups[0]
        self.configured = {name: group[name] for name in named if name in group}
        self.weights = list(net.parameters())  # kept: collecting them every turn would take as long as Adam
        self.turns = 0
        self.skipped = torch.zeros((), device=next(net.parameters()).device)  # turns that overflowed in float16

    @property
    def moves(self) -> int:
        """How many moves the turns so far were: of a solver that looks ahead first, two turns are one move.

        Lazy terms count moves. Counting turns, a term with an even period would fall on look-aheads alone.
        """
        return self.turns // self.turns_per_move

    @property
    def turns_per_move(self) -> int:
        """2 for a solver that looks ahead and then moves, else 1."""
        return 2 if getattr(self.optimizer, "turns_in_pairs", False) else 1

    @property
    def looks_ahead(self) -> bool:
        """Whether the turn to come only looks ahead: the next one starts from where this one does."""
        return self.turns % self.turns_per_move < self.turns_per_move - 1

    def is_nonfinite(self, loss: Tensor) -> Tensor:
        """Return, as a boolean scalar on the device, whether ``loss`` is not finite for good.

        In float16 an overflow of the loss or of a gradient only skips the step and shrinks the scaler's scale, and a
        smaller scale may mend it. At scale 1 nothing can: there a loss that is not finite counts, and so does any scale
        below 1.
        """
        nonfinite = ~loss.detach().isfinite()
        return (nonfinite & (self._scale <= 1)) | (self._scale < 1) if self.scaler.is_enabled() else nonfinite

    @property
    def _scale(self) -> Tensor:
        if self.scaler._scale is None:  # made at the first use
            self.scaler.scale(self.skipped)
        scale = self.scaler._scale  # the public get_scale() would make a GPU wait
        assert scale is not None
        return scale

    def descend(self, loss: Tensor, measure: bool = False) -> Tensor:
        """Take one optimizer step down the scalar ``loss``.

        Returns the total gradient norm before clipping, a scalar; NaN unless it is clipped or ``measure`` asks, because
        the norm costs a pass over all gradients.
        """
        self.differentiate(loss)
        return self.move(measure)

    def differentiate(self, loss: Tensor) -> None:
        """Compute the gradients of the scalar ``loss``, in place of all that were there."""
        self.forget()
        self.accumulate(loss)

    def forget(self) -> None:
        """Drop all gradients."""
        self.optimizer.zero_grad(set_to_none=True)

    def accumulate(self, loss: Tensor) -> None:
        """Add the gradients of the scalar ``loss`` to those that are there."""
        self.scaler.scale(loss).backward()

    def move(self, measure: bool = False) -> Tensor:
        """Take one optimizer step by the gradients that are there; returns what ``descend`` does."""
        norm = UNMEASURED
        if measure or self.clip_norm is not None:
            self.scaler.unscale_(self.optimizer)
            norm = get_total_norm([p.grad for p in self.weights if p.grad is not None])
            if self.clip_norm is not None:
                clip_grads_with_norm_(self.weights, self.clip_norm, norm)
        self.scaler.step(self.optimizer)
        if self.scaler.is_enabled():
            before = self._scale.clone()
            self.scaler.update()
            self.skipped += self._scale < before
        return norm

    def end_step(self) -> None:
        """Advance the learning rate's schedule, after every step of the game."""
        if self.schedule is not None:
            self.schedule.step()

    @property
    def learning_rate(self) -> float:
        """The optimizer's current learning rate (of its first parameter group)."""
        return float(self.optimizer.param_groups[0]["lr"])

    def facts(self) -> dict[str, Any]:
        """Return what is worth knowing of a player beside its run: its size, and how it moves."""
        group = self.optimizer.param_groups[0]
        facts = {"parameters": sum(p.numel() for p in self.weights), "optimizer": type(self.optimizer).__name__}
        rate = float(group.get("initial_lr", group["lr"]))  # before a schedule moved it
        return facts | {"learning_rate": rate} | ({"betas": list(group["betas"])} if "betas" in group else {})

    def state_dict(self) -> dict[str, Any]:
        """Return everything that a later turn depends on."""
        return {
            "net": dict(self.net.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "schedule": self.schedule.state_dict() if self.schedule is not None else None,
            "turns": self.turns,
            "skipped": self.skipped,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        for group in self.optimizer.param_groups if self.schedule is None else ():
            group.update(self.configured)
        self._restore_layout()
        self.scaler.load_state_dict(state["scaler"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        self.turns = state["turns"]
        self.skipped.copy_(state["skipped"])

    def _restore_layout(self) -> None:
        # Fused optimizers need a weight and its moments in the same memory layout. Loaded moments are contiguous, so
        # they must take the weight's (channels-last) layout again.
        for parameter, moments in self.optimizer.state.items():
            for name, value in moments.items():
                if not isinstance(value, Tensor | int | float):
                    raise ValueError(f"the optimizer's {name} is a {type(value).__name__}")
                if isinstance(value, Tensor) and value.ndim == parameter.ndim:
                    if any(a not in (1, b) for a, b in zip(value.shape, parameter.shape, strict=True)):
                        raise ValueError(f"the optimizer's {name} is {tree.describe(value)}, of another weight")
                    if value.shape == parameter.shape:
                        moments[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
