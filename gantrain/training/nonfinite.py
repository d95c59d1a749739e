"""Find losses that are not finite: at once where looking costs nothing, else before anything is saved."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gantrain.errors import DivergedError
from gantrain.training.player import Player


class Watch:
    """Remembers on the device whether a loss was not finite.

    Args:
        device: where the losses are.
        late: False: look at every loss at once, before the optimizer's step. True: look only in ``refuse``, because
            looking at once would make a GPU wait, and a recorded turn cannot stop midway.
    """

    def __init__(self, device: torch.device, late: bool) -> None:
        self.nonfinite = torch.zeros((), dtype=torch.bool, device=device)
        self.late = late

    def see(self, player: Player, loss: Tensor, step: int, values: dict[str, Tensor]) -> None:
        """Note whether the loss of a turn of ``player`` is not finite.

        Raises:
            DivergedError: if the loss is not finite and ``late`` is False; it names the first such term of ``values``.
        """
        if self.late:
            self.nonfinite |= player.is_nonfinite(loss)
            return
        # The plain check first: on the CPU it takes a tenth of the full one's time.
        if math.isfinite(loss.item()) and not player.scaler.is_enabled():
            return
        if player.is_nonfinite(loss):
            terms = {tag: value.item() for tag, value in values.items() if not tag.endswith("/loss")}
            raise diverged(step, terms | {tag: value.item() for tag, value in values.items()})

    def refuse(self, step: int, values: dict[str, Tensor]) -> None:
        """Raise DivergedError if any loss since the last ``forget`` was not finite."""
        if self.nonfinite:
            raise diverged(step, {tag: v.item() for tag, v in values.items() if "gradient_norm" not in tag})

    def forget(self) -> None:
        """Clear the flag: the state is sound again."""
        self.nonfinite.zero_()


def diverged(step: int, values: dict[str, float]) -> DivergedError:
    """Return the error that names the first value that is not finite."""
    name = next((name for name, value in values.items() if not math.isfinite(value)), "a loss or gradient")
    return DivergedError(f"{name} is {values.get(name, 'not finite')} at step {step:,}")
