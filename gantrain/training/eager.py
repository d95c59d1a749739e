"""How turns are carried out unless something faster was picked: as they are written."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from gantrain.training.player import Player

Scalars = dict[str, Tensor]
"""What a turn logs, by name, still on the device."""
Move = Callable[[Tensor, Tensor | None, bool], Scalars]
"""What a player's turn does on the device: (real, labels, measure) -> scalars to log."""


class Eager:
    """Carries out turns as they are written."""

    replays = False
    failed = False

    def __call__(self, move: Move, player: Player, real: Tensor, labels: Tensor | None, measure: bool) -> Scalars:
        """Carry out ``move``, a turn of ``player``, on a batch."""
        return move(real, labels, measure)

    def forget(self) -> None:
        """Drop what refers to tensors that have been replaced."""
