"""Self-attention over the pixels of a feature map, for networks of images. Zhang et al. 2019, arXiv:1805.08318."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from gantrain.errors import ConfigError

Draw: TypeAlias = Callable[[nn.Module], nn.Module]
"""Draws a new layer's initial weights, and normalises them if the network's weights are normalised."""

AUTO = "auto"


class Attention(nn.Module):
    """x + γ o(Σ_j softmax_j(θ(x)_i · φ(x)_j) g(x)_j), (N, C, S, S) -> the same; γ is 0 at first.

    Zhang et al. 2019, arXiv:1805.08318, Section 3. Where paper and authors' code differ (google-research's TensorFlow,
    and all who follow it), the code is meant: φ and g keep the largest of each 2×2 pixels, g has C / 2 channels and o
    leads back to C.

    | layer | kernel | channels | then |
    |---|---|---|---|
    | θ | 1×1, no bias | C -> C / 8 | |
    | φ | 1×1, no bias | C -> C / 8 | largest of 2×2 |
    | g | 1×1, no bias | C -> C / 2 | largest of 2×2 |
    | o | 1×1, no bias | C / 2 -> C | times γ |

    Args:
        channels: C, a multiple of 8.
        draw: makes the four convolutions ready.

    Raises:
        ConfigError: if 8 does not divide the number of channels.
    """

    def __init__(self, channels: int, draw: Draw) -> None:
        super().__init__()
        if channels % 8:
            raise ConfigError(
                f"attention needs a feature map whose number of channels 8 divides, not {channels}: change the width, "
                "or set attention=null"
            )
        self.theta, self.phi = (draw(nn.Conv2d(channels, channels // 8, 1, bias=False)) for _ in range(2))
        self.g = draw(nn.Conv2d(channels, channels // 2, 1, bias=False))
        self.o = draw(nn.Conv2d(channels // 2, channels, 1, bias=False))
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Add to every pixel what it attends to."""
        asking = self.theta(x).flatten(2)
        there, given = (max_pool2d(layer(x), 2).flatten(2) for layer in (self.phi, self.g))
        shares = torch.bmm(asking.transpose(1, 2), there).softmax(2)  # (N, pixels, pixels / 4), each row sums to 1
        seen = torch.bmm(given, shares.to(given.dtype).transpose(1, 2)).unflatten(2, x.shape[2:])
        result: Tensor = x + self.gamma * self.o(seen)
        return result


def side_of(attention: int | str | None, sides: Sequence[int], automatic: int | None, role: str) -> int | None:
    """Return the side of the feature map that gets attention, None for none.

    Args:
        attention: as configured: a side, ``auto``, or None.
        sides: of the feature maps that there are.
        automatic: what ``auto`` stands for; None if there is no such map.
        role: generator or discriminator, for the message.

    Raises:
        ConfigError: for a side that no map has.
    """
    if attention == AUTO:
        return automatic if automatic in sides else None
    if attention is None or (attention in sides and not isinstance(attention, bool)):
        return attention  # type: ignore[return-value]  # a text is in no list of sides
    there = ", ".join(map(str, sorted(set(sides))))
    raise ConfigError(
        f"architecture.{role}.attention={attention}: this network has feature maps of side {there}; choose one of "
        "them, auto, or null for no attention"
    )
