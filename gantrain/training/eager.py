"""Carrying out turns as they are written: the default, unless something faster was picked."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from gantrain.training.player import Player

Scalars = dict[str, Tensor]
"""The values that a turn logs, by name, still on the device."""
Move = Callable[[Tensor, Tensor | None, bool], Scalars]
"""A player's turn on the device: (real, labels, measure) -> scalars to log."""


class Eager:
    """Carries out turns as they are written."""

    replays = False
    failed = False
    failures = 0  # recordings that could not be made

    def __call__(self, move: Move, player: Player, real: Tensor, labels: Tensor | None, measure: bool) -> Scalars:
        """Carry out ``move``, a turn of ``player``, on a batch."""
        return move(real, labels, measure)

    def forget(self) -> None:
        """Drop recordings, because their tensors have been replaced; here there are none."""
