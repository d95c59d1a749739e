"""Street View House Numbers: colour images 32×32 of digits on house walls."""

from __future__ import annotations

from typing import Unpack

import numpy as np
import torch

from gantrain.data.benchmarks import check, check_choice, fetch, holding
from gantrain.data.source import channels_first, numbered
from gantrain.data.subset import Common, Partial

PUBLISHED = {"train": (73_257, 182), "test": (26_032, 64), "extra": (531_131, 1_329)}
"""Number of images of each split, and megabytes of its download."""


class SVHN(Partial):
    """73,257 (train), 26,032 (test) or 531,131 (extra, easier ones) digits, cropped. Netzer et al. 2011.

    Args:
        root: folder that holds the .mat files, or in which ``SVHN/`` holds, or will hold, them.
        split: train, test or extra.
        download: fetch what is missing.
        check_count: refuse files that hold another number of images.
        common: settings that all sets of images have; see ``gantrain.data.subset.Partial``.

    Raises:
        ConfigError: for a setting that makes no sense.
        DataError: for files that are missing, damaged or of another data set.
    """

    def __init__(
        self,
        root: str,
        split: str,
        download: bool,
        check_count: bool = True,
        **common: Unpack[Common],
    ) -> None:
        from torchvision import datasets

        check_choice("data.split", split, tuple(PUBLISHED))
        count, megabytes = PUBLISHED[split]
        url, file, md5 = datasets.SVHN.split_list[split]
        folder = holding(root, ("SVHN",), lambda place: (place / file).is_file())
        raw = fetch(datasets.SVHN, folder, folder, {url: md5}, megabytes, {}, split=split, download=download)
        labels = torch.from_numpy(raw.labels.reshape(-1))
        check("SVHN", split, count if check_count else None, len(raw.data), labels, range(10))
        pixels = channels_first(np.ascontiguousarray(raw.data.transpose(0, 2, 3, 1)))
        super().__init__(pixels, labels, numbered(10), **common)
