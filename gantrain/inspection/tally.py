"""What can be said of samples after each was seen once: their range and mean, and marks by which copies are found."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gantrain.data.depth import WHITE
from gantrain.errors import DataError
from gantrain.kinds import Images, Kind

THUMBNAIL = 16
"""Side of the gray thumbnails by which near copies are found."""
LUMA = torch.tensor([0.299, 0.587, 0.114])
"""Shares of red, green and blue in gray, ITU-R BT.601."""


class Tally:
    """Sums over samples; of each only a digest of 16 bytes and, of images, a thumbnail and a colour are held.

    Args:
        shape: of a sample.
        kind: what it is.
        finds_copies: whether samples are kept apart by their digests; there is no need where they are drawn fresh.
    """

    def __init__(self, shape: Sequence[int], kind: Kind, finds_copies: bool = True) -> None:
        self.shape, self.kind, self.finds_copies = tuple(shape), kind, finds_copies
        self.count = self.not_finite = 0
        self.white = WHITE[8]
        """What stands for white in images: that of the bits they have."""
        self.sum = torch.zeros(self.shape, dtype=torch.float64)
        self.squares = torch.zeros(self.shape[:1], dtype=torch.float64)
        self.low = torch.full(self.shape[:1], torch.inf, dtype=torch.float64)
        self.high = -self.low
        self.coloured = False
        """Whether the channels of an image differ anywhere."""
        self._digests: list[np.ndarray] = []
        self._thumbnails: list[np.ndarray] = []
        self._colours: list[np.ndarray] = []

    def add(self, samples: Tensor) -> None:
        """Count a batch (n, *shape); numbers that are not finite are counted, and left out of all else.

        Raises:
            DataError: for samples of another shape.
        """
        if tuple(samples.shape[1:]) != self.shape:
            raise DataError(
                f"the data set says that its samples have the shape {self.shape}, and gives {tuple(samples.shape[1:])}"
            )
        self.count += len(samples)
        if isinstance(self.kind, Images) and samples.dtype == torch.int16:  # see ``gantrain.data.depth.tensor_of``
            samples, self.white = samples.int() + 2**15, WHITE[16]
        low = high = samples
        if samples.is_floating_point():
            finite = samples.isfinite()
            self.not_finite += int((~finite).sum())
            low, high = (torch.where(finite, samples, bound) for bound in (torch.inf, -torch.inf))
            samples = torch.where(finite, samples, 0)
        self.sum += samples.sum(0, dtype=torch.float64)
        self.squares += by_channel(samples.double().square()).sum((0, 2))
        self.low = torch.minimum(self.low, by_channel(low).amin((0, 2)))
        self.high = torch.maximum(self.high, by_channel(high).amax((0, 2)))
        if self.finds_copies:
            self._digests.append(digests(samples))
            if isinstance(self.kind, Images):
                self._mark(samples)

    def _mark(self, images: Tensor) -> None:
        colours = images[:, :3].float() if images.shape[1] in (3, 4) else images.float().mean(1, keepdim=True)
        colours *= WHITE[8] / self.white
        self._colours.append(colours.mean((2, 3)).numpy())
        if colours.shape[1] == 3:
            self.coloured |= bool((images[:, 0] != images[:, 1]).any() or (images[:, 1] != images[:, 2]).any())
            colours = torch.einsum("nchw,c->nhw", colours, LUMA)[:, None]
        side = tuple(min(THUMBNAIL, s) for s in self.shape[1:])
        thumbnails = torch.nn.functional.adaptive_avg_pool2d(colours, side)  # type: ignore[arg-type]
        self._thumbnails.append(thumbnails.round().to(torch.uint8).flatten(1).numpy())

    @property
    def digests(self) -> np.ndarray:
        """Marks (n,) that are equal for equal samples alone."""
        return np.concatenate(self._digests) if self._digests else np.empty(0, "V16")

    @property
    def thumbnails(self) -> np.ndarray:
        """Gray thumbnails (n, pixels) uint8."""
        return np.concatenate(self._thumbnails)

    @property
    def colours(self) -> np.ndarray:
        """Mean of each channel (n, 1 or 3) in [0, 255]."""
        return np.concatenate(self._colours)

    @property
    def mean(self) -> Tensor:
        """The mean sample (*shape) float64."""
        return self.sum / max(self.count, 1)

    def values(self) -> dict[str, Any]:
        """Return smallest, largest, mean and standard deviation of each channel or coordinate, None where none is."""
        numbers = max(self.count, 1) * self.sum[0].numel()
        mean = self.sum.reshape(self.shape[0], -1).sum(1) / numbers
        deviation = (self.squares / numbers - mean.square()).clamp_min(0).sqrt()
        found = {"low": self.low, "high": self.high, "mean": mean, "sd": deviation}
        listed = {name: [x if math.isfinite(x) else None for x in value.tolist()] for name, value in found.items()}
        return listed | {"not_finite": self.not_finite}


def by_channel(samples: Tensor) -> Tensor:
    """Return samples (n, channels, …) as (n, channels, numbers)."""
    return samples.reshape(*samples.shape[:2], -1)


def digests(samples: Tensor) -> np.ndarray:
    """Return a digest of each sample (n,) of 16 bytes."""
    rows = samples.contiguous().flatten(1).numpy()
    marks = [hashlib.blake2b(row.data, digest_size=16).digest() for row in rows]
    return np.frombuffer(b"".join(marks), dtype="V16")
