"""Which generated samples are copies of training samples."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

NEIGHBOURS = 5
LARGEST = 0.25
QUANTILE = 0.01
QUERIES = 1000
"""Training samples that a threshold is estimated from."""
BLOCK = 500
ELEMENTS = 2**22  # of queries at a time in float64
SAME = 1e-6  # distance of equal vectors, relative to their length, that matrix products may leave


@dataclass(frozen=True)
class Nearest:
    """The training samples nearest to each of n queries.

    Attributes:
        distance: (n,) float64, Euclidean, to the nearest one.
        index: (n,) its index.
        ratio: (n,) float64 in [0, 1], that distance over the mean distance of the second to the fifth; 0 for a copy, 1
            where there is no second one.
    """

    distance: Tensor
    index: Tensor
    ratio: Tensor


def nearest(queries: Tensor, training: Iterable[Tensor], own: Tensor | None = None) -> Nearest:
    """Return the nearest training samples of each query; few queries at a time, so that memory stays small.

    Args:
        queries: (n, d), floats or bytes.
        training: blocks (b, d) of the same kind, in their order.
        own: (n,) index of each query among the training samples, if it is one; a query is then compared neither with
            itself nor with those that equal it.
    """
    n = len(queries)
    distances = torch.full((n, NEIGHBOURS), torch.inf, dtype=torch.float64)
    index = torch.zeros(n, NEIGHBOURS, dtype=torch.long)
    rows, start = max(1, ELEMENTS // queries.shape[1]), 0
    for block in training:
        for first in range(0, n, rows):
            part = slice(first, first + rows)
            found, places = closest(queries[part].double(), block.double(), None if own is None else own[part] - start)
            both, of = torch.cat([distances[part], found], 1), torch.cat([index[part], places + start], 1)
            distances[part], chosen = both.topk(NEIGHBOURS, 1, largest=False)
            index[part] = of.gather(1, chosen)
        start += len(block)
    return Nearest(distances[:, 0], index[:, 0], ratio(distances))


def closest(queries: Tensor, block: Tensor, own: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the distances (n, k) of the nearest in a block (b, d) to each query (n, d), and their places (n, k)."""
    here = torch.cdist(queries, block)
    equal = here <= SAME * queries.norm(dim=1, keepdim=True)
    here[equal] = 0.0 if own is None else torch.inf
    if own is not None:
        rows = ((own >= 0) & (own < len(block))).nonzero()[:, 0]
        here[rows, own[rows]] = torch.inf
    found = here.topk(min(NEIGHBOURS, len(block)), 1, largest=False)
    return found.values, found.indices


def ratio(distances: Tensor) -> Tensor:
    """Return how much nearer the nearest is than the next ones (n,), from distances (n, k) in rising order."""
    first, next_ones = distances[:, 0], distances[:, 1:]
    there = next_ones.isfinite()
    mean = torch.where(there, next_ones, 0.0).sum(1) / there.sum(1)
    found = first / mean
    return torch.where(first == 0, 0.0, torch.where(there.any(1) & first.isfinite(), found, 1.0))


def threshold(among_training: Nearest) -> float:
    """Return the ratio up to which a sample counts as a copy: a quarter, or less where training samples reach that.

    A distance alone does not tell a copy: a smooth or gray picture is near to every other. A copy is much nearer to one
    training sample than to the next ones. In few dimensions chance does that too; therefore at most 1% of the training
    samples, each compared with the others, may lie below the threshold.
    """
    return min(LARGEST, float(among_training.ratio.quantile(QUANTILE)))


def memorised(found: Nearest, limit: float) -> float:
    """Return the share of samples whose ratio is at most ``limit``, in [0, 1]: at most about 0.01 without copies."""
    return float((found.ratio <= limit).double().mean())


def memorised_share(queries: Tensor, training: Tensor) -> float:
    """Return the share of queries that are copies of training samples, in [0, 1]: at most about 0.01 without copies.

    The threshold is estimated from at most 1,000 of the training samples, chosen evenly.

    Args:
        queries: (n, d), floats or bytes.
        training: (m, d) of the same kind.

    Raises:
        ValueError: if either is empty, or they are of different dimensions.
    """
    if not len(queries) or not len(training) or queries.shape[1:] != training.shape[1:] or queries.ndim != 2:
        shapes = f"{tuple(queries.shape)} and {tuple(training.shape)}"
        raise ValueError(f"queries (n, d) and training (m, d) are needed, got {shapes}")
    own = torch.linspace(0, len(training) - 1, min(QUERIES, len(training))).round().long()
    limit = threshold(nearest(training[own], training.split(BLOCK), own))
    return memorised(nearest(queries, training.split(BLOCK)), limit)
