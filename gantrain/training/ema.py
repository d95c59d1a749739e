"""Exponential moving average of the generator's weights, timed in images."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn


class Ema:
    """A copy of a generator whose weights follow the original's, half of the way every ``halflife_images`` images.

    Timed in images so that another batch size does not change its meaning (Karras et al. 2018). Early on the
    half-life is at most ``rampup`` times the images seen, so that the average does not cling to the initial weights
    (Karras et al. 2022, arXiv:2206.00364). Buffers (batch-norm statistics) are copied.

    torch's AveragedModel is not used: it reads a counter from the device at every update, which makes a GPU wait.

    Args:
        net: the generator to follow.
        halflife_images: number of generated images; 0 copies the weights at every update.
        rampup: largest half-life as a share of images seen so far, or None for no limit.
    """

    def __init__(self, net: nn.Module, halflife_images: float, rampup: float | None) -> None:
        self.net = copy.deepcopy(net).requires_grad_(False).eval()
        self._mine: list[Tensor] = list(self.net.parameters())
        self._theirs: list[Tensor] = list(net.parameters())
        # The dictionaries that hold the buffers, not the buffers: a module may replace a buffer by a new tensor.
        modules = zip(self.net.modules(), net.modules(), strict=True)
        self._buffers = [(mine._buffers, theirs._buffers) for mine, theirs in modules if theirs._buffers]
        self.halflife_images, self.rampup = halflife_images, rampup
        self.images = 0
        self.share = 1.0  # weight of the original in the next average
        self.live_share: Tensor | None = None  # the same on the device: recordings read it there

    def end_rampup(self) -> None:
        """Count as many images as end the ramp-up: the average is of trained weights, not of initial ones."""
        if self.rampup:
            self.images = max(self.images, math.ceil(self.halflife_images / self.rampup))

    def advance(self, images: int) -> None:
        """Count a batch of ``images``, and set how far the next ``follow`` goes."""
        self.images += images
        halflife = self.halflife_images
        if self.rampup is not None:
            halflife = min(halflife, self.rampup * self.images)
        keep = 0.5 ** (images / halflife) if halflife > 0 else 0.0
        self.share = 1 - keep
        if self.live_share is not None:
            self.live_share.fill_(self.share)

    @torch.no_grad()
    def follow(self) -> None:
        """Move the average towards the original."""
        if self.live_share is None:
            torch._foreach_lerp_(self._mine, self._theirs, self.share)
        else:
            way = torch._foreach_sub(self._mine, self._theirs)
            torch._foreach_mul_(way, 1 - self.live_share)
            torch._foreach_copy_(self._mine, torch._foreach_add(self._theirs, way))
        for mine, theirs in self._buffers:
            for name, buffer in theirs.items():
                if buffer is not None and (own := mine[name]) is not None:
                    own.copy_(buffer)

    def state_dict(self) -> dict[str, Any]:
        """Return the averaged weights and the images counted."""
        return {"net": dict(self.net.state_dict()), "images": self.images}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self.net.load_state_dict(state["net"])
        self.images = state["images"]
