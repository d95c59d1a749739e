"""A part of the images of a data set: some classes, or a number of samples, chosen once and for all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gantrain.errors import ConfigError, DataError
from gantrain.inputs import class_numbers


class Subset(NamedTuple):
    """Images (n, C, H, W), their labels (n,) or None, and the names of the classes."""

    pixels: Tensor
    labels: Tensor | None
    names: tuple[str, ...]


def subset(
    pixels: Tensor,
    labels: Tensor | None,
    names: Sequence[str],
    only: Sequence[int | str] | None,
    limit: int | None,
    seed: int,
) -> Subset:
    """Return the samples of some classes, and of those ``limit``, in the order in which they are stored.

    Args:
        pixels: (N, C, H, W) uint8.
        labels: (N,) int64, or None.
        names: of the classes, none without labels.
        only: classes to keep, by number or name; the k-th becomes class k. None: all, as they are.
        limit: number of samples to keep, see ``few``. None: all.
        seed: which ones.

    Raises:
        ConfigError: for a class that does not exist or is named twice, or a limit that cannot be kept.
        DataError: if a class to be kept has no sample.
    """
    index = np.arange(len(pixels))
    if only is not None:
        kept = class_numbers(only, len(names), names, "data.only")
        if len(set(kept)) < len(kept):
            raise ConfigError(f"data.only={list(only)} names a class twice")
        assert labels is not None
        number = torch.full((len(names),), -1)
        number[kept] = torch.arange(len(kept))
        index = np.flatnonzero(number[labels].numpy() >= 0)
        labels, names = number[labels], [names[k] for k in kept]
        if missing := set(range(len(kept))) - set(labels[index].tolist()):
            raise DataError(f"data.only: there is no sample of the class {names[min(missing)]}")
    if limit is not None:
        index = index[few(None if labels is None else labels[index].numpy(), len(index), limit, seed)]
    if len(index) < len(pixels):
        pixels, labels = pixels[index], None if labels is None else labels[index]
    return Subset(pixels, labels, tuple(names))


def few(labels: np.ndarray | None, n: int, limit: Any, seed: Any) -> np.ndarray:
    """Return the numbers (limit,) of some of ``n`` samples, ascending, with the classes in the shares that all have.

    Each class is shuffled, and its r-th of m samples stands at (r + ½) / m, but the first at 0, so no class is left
    without one. The samples that stand first are taken: a smaller limit takes some of those that a larger one takes.

    Raises:
        ConfigError: for a limit below 1 or the number of classes, or above ``n``; for a seed that is none.
    """
    labels = np.zeros(n, dtype=np.int64) if labels is None else labels
    present = np.unique(labels)
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise ConfigError(f"data.limit_seed must be a whole number, 0 or more, got {seed!r}")
    if not isinstance(limit, int) or isinstance(limit, bool) or not max(len(present), 1) <= limit <= n:
        least = f"{len(present)} (one of each class)" if len(present) > 1 else "1"
        raise ConfigError(f"data.limit must be a whole number from {least} to {n:,} (all samples), got {limit!r}")
    place = np.empty(n)
    for label in present:
        own = np.flatnonzero(labels == label)
        rank = np.random.default_rng([seed, int(label)]).permutation(len(own))
        place[own] = np.where(rank == 0, 0, (rank + 0.5) / len(own))
    return np.sort(np.lexsort((labels, place))[:limit])
