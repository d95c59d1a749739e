"""A part of a data set: some classes, a number of samples, a long tail; chosen once and for all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypedDict, Unpack

import numpy as np
import torch
from torch import Tensor

from gantrain.data.source import Images
from gantrain.errors import ConfigError, DataError
from gantrain.inputs import class_numbers


class Chosen(NamedTuple):
    """Numbers (n,) of the samples that are kept, ascending, their labels (n,) or None, and the names of the classes."""

    kept: np.ndarray
    labels: Tensor | None
    names: tuple[str, ...]


class Which(TypedDict, total=False):
    """Settings that choose a part of a data set; see ``choose``."""

    classes: Sequence[int | str] | None
    imbalance: float | None
    limit: int | None
    limit_seed: int


class Common(Which, total=False):
    """Settings that all sets of images in memory have: a part, and what becomes of its pixels; see ``Partial``."""

    channels: int | None
    flip: bool


class Partial(Images):
    """Images held in memory of which a part can be chosen, in gray or in colour.

    Args:
        pixels: (N, C, H, W) uint8.
        labels: (N,) int64, or None.
        names: of the classes, none without labels.
        flip: mirror each image with probability ½.
        channels: 1 for gray, 3 for colour, None for what they have.
        which: the part, see ``choose``.

    Raises:
        ConfigError, DataError: as ``choose`` does; for another number of channels.
    """

    def __init__(
        self,
        pixels: Tensor,
        labels: Tensor | None,
        names: Sequence[str],
        flip: bool = False,
        channels: int | None = None,
        **which: Unpack[Which],
    ) -> None:
        chosen = choose(labels, len(pixels), names, **which)
        kept = pixels if len(chosen.kept) == len(pixels) else pixels[chosen.kept]
        kept = in_channels(self.fitted(kept), channels)
        super().__init__(kept, chosen.labels, len(chosen.names), flip, chosen.names or None)

    def fitted(self, pixels: Tensor) -> Tensor:
        """Return images of the size that is wanted, of those (n, C, H, W) uint8 that were chosen."""
        return pixels


def choose(
    labels: Tensor | None,
    count: int,
    names: Sequence[str],
    classes: Sequence[int | str] | None = None,
    imbalance: float | None = None,
    limit: int | None = None,
    limit_seed: int = 0,
) -> Chosen:
    """Return which samples are kept: those of some classes, a long tail of those, and of those a number.

    Args:
        labels: of all samples (count,) int64, or None.
        count: number of all samples.
        names: of the classes, none without labels.
        classes: classes to keep, by number or name; the k-th becomes class k. None: all, as they are.
        imbalance: how many times more samples the first class has than the last; see ``long_tail``. None: as they are.
        limit: number of samples to keep, see ``few``. None: all.
        limit_seed: which ones.

    Raises:
        ConfigError: for a class that does not exist or is named twice, or a limit or imbalance that cannot be had.
        DataError: if a class to be kept has no sample.
    """
    index = np.arange(count)
    if classes is not None:
        kept = class_numbers(classes, len(names), names, "data.classes")
        if len(set(kept)) < len(kept):
            raise ConfigError(f"data.classes={list(classes)} names a class twice")
        assert labels is not None
        number = torch.full((len(names),), -1)
        number[kept] = torch.arange(len(kept))
        index = np.flatnonzero(number[labels].numpy() >= 0)
        labels, names = number[labels], [names[k] for k in kept]
        if missing := set(range(len(kept))) - set(labels[index].tolist()):
            raise DataError(f"data.classes: there is no sample of the class {names[min(missing)]}")
    check_seed(limit_seed)
    if imbalance is not None:
        index = index[long_tail(None if labels is None else labels[index].numpy(), len(names), imbalance, limit_seed)]
    if limit is not None:
        index = index[few(None if labels is None else labels[index].numpy(), len(index), limit, limit_seed)]
    return Chosen(index, None if labels is None else labels[index], tuple(names))


def check_seed(seed: object) -> None:
    """Raise ConfigError unless ``data.limit_seed`` is a whole number, 0 or more."""
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise ConfigError(f"data.limit_seed must be a whole number, 0 or more, got {seed!r}")


def ranks(labels: np.ndarray, label: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers (m,) of the samples of a class, and the place of each in a shuffled order."""
    own = np.flatnonzero(labels == label)
    return own, np.random.default_rng([seed, label]).permutation(len(own))


def few(labels: np.ndarray | None, n: int, limit: Any, seed: int) -> np.ndarray:
    """Return the numbers (limit,) of some of ``n`` samples, ascending, with the classes in the shares that all have.

    Each class is shuffled, and its r-th of m samples stands at (r + ½) / m, but the first at 0, so no class is left
    without one. The samples that stand first are taken: a smaller limit takes some of those that a larger one takes.

    Raises:
        ConfigError: for a limit below 1 or the number of classes, or above ``n``.
    """
    labels = np.zeros(n, dtype=np.int64) if labels is None else labels
    present = np.unique(labels)
    if not isinstance(limit, int) or isinstance(limit, bool) or not max(len(present), 1) <= limit <= n:
        least = f"{len(present)} (one of each class)" if len(present) > 1 else "1"
        raise ConfigError(f"data.limit must be a whole number from {least} to {n:,} (all samples), got {limit!r}")
    place = np.empty(n)
    for label in present:
        own, rank = ranks(labels, int(label), seed)
        place[own] = np.where(rank == 0, 0, (rank + 0.5) / len(own))
    return np.sort(np.lexsort((labels, place))[:limit])


def long_tail(labels: np.ndarray | None, classes: int, imbalance: Any, seed: int) -> np.ndarray:
    """Return the numbers of the samples that are left if class k keeps n · imbalance^(-k / (classes - 1)) of them.

    Here n is the number of samples of the smallest class. Cao et al. 2019, arXiv:1906.07413, Section 4.2, where all
    classes are equally large.

    Raises:
        ConfigError: for an imbalance below 1, or one that leaves a class without samples; for fewer than two classes.
    """
    if labels is None or classes < 2:
        raise ConfigError("data.imbalance is for data with two classes or more; use data.imbalance=null")
    counts = np.bincount(labels, minlength=classes)
    if not isinstance(imbalance, int | float) or isinstance(imbalance, bool) or not 1 <= imbalance <= counts.min():
        raise ConfigError(
            f"data.imbalance must be a number from 1 to {counts.min():,}, the samples of the smallest class, "
            f"got {imbalance!r}"
        )
    kept = np.maximum(1, (counts.min() * imbalance ** (-np.arange(classes) / (classes - 1))).astype(np.int64))
    left = []
    for label in range(classes):
        own, rank = ranks(labels, label, seed)
        left.append(own[rank < kept[label]])
    return np.sort(np.concatenate(left))


def in_channels(pixels: Tensor, channels: int | None) -> Tensor:
    """Return images (n, C, H, W) uint8 in gray or in colour; gray is ITU-R 601-2's luma, as Pillow rounds it.

    Raises:
        ConfigError: for a number of channels other than 1, 3 or, unchanged, that of the images.
    """
    own = pixels.shape[1]
    if channels is None or channels == own:
        return pixels
    if channels == 3 and own == 1:
        return pixels.repeat(1, 3, 1, 1).contiguous(memory_format=torch.channels_last)
    if channels == 1 and own == 3:
        gray = torch.empty(len(pixels), 1, *pixels.shape[2:], dtype=torch.uint8)
        for start in range(0, len(pixels), 4096):  # 32 bits a pixel for a part at a time
            red, green, blue = pixels[start : start + 4096].to(torch.int32).unbind(1)
            gray[start : start + 4096, 0] = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16
        return gray
    raise ConfigError(f"data.channels must be 1, 3 or null for images of {own} channels, got {channels!r}")
