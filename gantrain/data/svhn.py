"""Street View House Numbers: colour images 32×32 of digits on house walls."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from gantrain.data.benchmarks import check, check_choice, fetch, holding
from gantrain.data.source import Images, channels_first, numbered
from gantrain.data.subset import subset

PUBLISHED = {"train": (73_257, 182), "test": (26_032, 64), "extra": (531_131, 1_329)}
"""Number of images of each split, and megabytes of its download."""


class SVHN(Images):
    """73,257 (train), 26,032 (test) or 531,131 (extra, easier ones) digits, cropped. Netzer et al. 2011.

    Args:
        root: folder that holds the .mat files, or in which ``SVHN/`` holds, or will hold, them.
        split: train, test or extra.
        download: fetch what is missing.
        flip: mirror each image with probability ½.
        check_count: refuse files that hold another number of images.
        only: classes to keep, by number or name, None for all.
        limit: number of samples to keep, None for all; see ``gantrain.data.subset``.
        limit_seed: which ones.

    Raises:
        ConfigError: for a setting that makes no sense.
        DataError: for files that are missing, damaged or of another data set.
    """

    def __init__(
        self,
        root: str,
        split: str,
        download: bool,
        flip: bool,
        check_count: bool = True,
        only: Sequence[int | str] | None = None,
        limit: int | None = None,
        limit_seed: int = 0,
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
        kept = subset(pixels, labels, numbered(10), only, limit, limit_seed)
        super().__init__(kept.pixels, kept.labels, classes=len(kept.names), flip=flip, class_names=kept.names)
