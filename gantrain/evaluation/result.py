"""The result of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Result:
    """Values by name, and, of images, the generated ones nearest to training images, each above its neighbour."""

    values: dict[str, float]
    pairs: Tensor | None = None  # (2, n, C, H, W) uint8, the nearest first


class Interrupted(Exception):  # noqa: N818  (no error: a stop was asked for)
    """Ends an evaluation that was asked to stop; nothing was measured."""
