"""scikit-learn's handwritten digits: 1,797 real gray 8×8 images in ten classes, part of the installed package."""

from __future__ import annotations

from typing import Unpack

import torch

from gantrain.data.source import numbered
from gantrain.data.subset import Common, Partial


class Digits(Partial):
    """1,797 images (1, 8, 8). Alpaydin & Kaynak 1998, UCI Optical Recognition of Handwritten Digits (test part).

    Args:
        common: settings that all sets of images have; see ``gantrain.data.subset.Partial``.
    """

    def __init__(self, **common: Unpack[Common]) -> None:
        from sklearn.datasets import load_digits  # here: it takes a second, and only this data set needs it

        bunch = load_digits()
        pixels = torch.from_numpy(bunch.images).mul(255 / 16).round().to(torch.uint8)  # given as 0..16
        super().__init__(pixels[:, None], torch.from_numpy(bunch.target).long(), numbered(10), **common)
