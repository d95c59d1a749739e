"""Stacked digits: three digits in the colours of one image, with a thousand known modes that can be counted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from gantrain.data.source import WHOLE, Batch, Batches, Data, Images, as_floats
from gantrain.errors import ConfigError


class Stacked(Data):
    """Images (3, H, W) whose red, green and blue are three of ``parts`` drawn at random, a new draw for each batch.

    A sample's mode is the triple of its classes, 1,000 for digits. Metz et al. 2017, arXiv:1611.02163, Section 3.3.1.
    For evaluation there are ``count`` fixed stacks, the same in every run.

    Args:
        parts: gray labelled images.
        count: number of fixed stacks.
    """

    def __init__(self, parts: Data, count: int) -> None:
        if not isinstance(parts, Images) or parts.shape[0] != 1 or parts.labels is None:
            raise ConfigError(f"data.parts must be gray labelled images, like digits or mnist, got {parts}")
        if count < 1:
            raise ConfigError(f"data.count must be 1 or more, got {count}")
        self.parts, self.count = parts, count
        self.shape, self.modes = (3, *parts.shape[1:]), parts.classes**3
        self.classes = 0  # conditional networks would need one embedding for each of a thousand
        self._triples = np.random.default_rng(0).integers(parts.pixels.shape[0], size=(count, 3))

    def __str__(self) -> str:
        return f"stacks of 3 of {self.parts}, {self.modes:,} modes"

    def fingerprint(self) -> str:
        """Return the description with a digest of the parts' pixels."""
        return f"stacks of 3 of {self.parts.fingerprint()}"

    def identity(self) -> str:
        """Return the identity of the parts and the number of fixed stacks."""
        return f"{self.count} stacks of 3 of {self.parts.identity()}"

    def freshness(self) -> str:
        """Return the freshness of the parts."""
        return self.parts.freshness()

    def stack(self, triples: np.ndarray) -> Tensor:
        """Return the stacks of the parts with numbers ``triples`` (n, 3): (n, 3, H, W) uint8."""
        return self.parts.pixels[torch.from_numpy(triples)][:, :, 0]

    def at(self, index: Sequence[int]) -> Tensor:
        """Return the fixed stacks with these numbers."""
        return self.stack(self._triples[list(index)])

    def stream(self, batch_size: int, seed: int, device: torch.device, take: slice = WHOLE) -> Batches:
        """Return fresh stacks in [-1, 1], without labels."""

        def batch_at(position: int) -> Batch:
            triples = np.random.default_rng([seed, position]).integers(len(self.parts.pixels), size=(batch_size, 3))
            return as_floats(self.stack(triples[take]).to(device, non_blocking=True)), None

        return Batches(batch_at)
