"""Which critic G plays against: D as it is now, or (a seam for unrolled GANs) D some steps ahead."""

from __future__ import annotations

from collections.abc import Callable

from gantrain.losses.objective import Objective
from gantrain.turn import Critic, Turn

Lookahead = Callable[[Turn, Objective], Critic]


def present(turn: Turn, objective: Objective) -> Critic:
    """Return D as it stands: the rule of every GAN that is not unrolled."""
    return turn.critic
