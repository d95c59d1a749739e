"""scikit-learn's handwritten digits: 1,797 real gray 8×8 images in ten classes, part of the installed package."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gantrain.data.source import Images, numbered
from gantrain.data.subset import subset


class Digits(Images):
    """1,797 images (1, 8, 8). Alpaydin & Kaynak 1998, UCI Optical Recognition of Handwritten Digits (test part).

    Args:
        only: classes to keep, by number, None for all.
        limit: number of samples to keep, None for all; see ``gantrain.data.subset``.
        limit_seed: which ones.
    """

    def __init__(self, only: Sequence[int | str] | None = None, limit: int | None = None, limit_seed: int = 0) -> None:
        from sklearn.datasets import load_digits  # here: it takes a second, and only this data set needs it

        bunch = load_digits()
        pixels = torch.from_numpy(bunch.images).mul(255 / 16).round().to(torch.uint8)  # given as 0..16
        labels = torch.from_numpy(bunch.target).long()
        kept = subset(pixels[:, None], labels, numbered(10), only, limit, limit_seed)
        super().__init__(kept.pixels, kept.labels, classes=len(kept.names), class_names=kept.names)
