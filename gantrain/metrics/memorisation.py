"""Which generated samples are copies of training samples."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

QUANTILE = 0.01
ELEMENTS = 2**22  # of queries at a time in float64


@dataclass(frozen=True)
class Nearest:
    """For each of n queries the nearest training sample: Euclidean distance (n,) float64, and its index (n,)."""

    distance: Tensor
    index: Tensor


def nearest(queries: Tensor, training: Iterable[Tensor], own: Tensor | None = None) -> Nearest:
    """Return the nearest training sample of each query; few queries at a time, so that memory stays small.

    Args:
        queries: (n, d), floats or bytes.
        training: blocks (b, d) of the same kind, in their order.
        own: (n,) index of each query among the training samples, if it is one; a query is not compared with itself.
    """
    distance = torch.full((len(queries),), torch.inf, dtype=torch.float64)
    index = torch.zeros(len(queries), dtype=torch.long)
    rows, start = max(1, ELEMENTS // queries.shape[1]), 0
    for block in training:
        for first in range(0, len(queries), rows):
            part = slice(first, first + rows)
            best, place = closest(queries[part].double(), block.double(), None if own is None else own[part] - start)
            closer = best < distance[part]
            distance[part] = torch.where(closer, best, distance[part])
            index[part] = torch.where(closer, place + start, index[part])
        start += len(block)
    return Nearest(distance, index)


def closest(queries: Tensor, block: Tensor, own: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the distance (n,) of the nearest in a block (b, d) to each query (n, d), and its place (n,)."""
    here = torch.cdist(queries, block)
    if own is not None:
        rows = ((own >= 0) & (own < len(block))).nonzero()[:, 0]
        here[rows, own[rows]] = torch.inf
    best, place = here.min(1)
    # cdist may use matrix products, which put equal vectors 1e-6 apart: among duplicates the largest distance.
    exact = (queries - block[place]).norm(dim=1)
    return torch.where(best.isinf(), best, exact), place


def threshold(among_training: Nearest) -> float:
    """Return the distance below which a sample counts as a copy: 1% of training samples have another one so near.

    About one in a hundred independent samples of the same distribution lies that near a training sample; a copy, even a
    slightly noisy one, always does. Duplicates in the training set can make that distance 0, so it is at least a
    thousandth of the median distance of the others.
    """
    distance = among_training.distance
    others = distance[distance > 0]
    return max(float(distance.quantile(QUANTILE)), float(others.median()) / 1000 if len(others) else 0.0)


def memorised(found: Nearest, limit: float) -> float:
    """Return the share of samples at most ``limit`` from a training sample, in [0, 1]: about 0.01 without copies."""
    return float((found.distance <= limit).double().mean())
