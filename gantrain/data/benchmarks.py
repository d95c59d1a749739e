"""The published benchmarks, read by torchvision, which downloads them and checks their checksums."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gantrain.data.source import Images
from gantrain.errors import ConfigError, DataError, first_line

# URLError is an OSError; torchvision raises RuntimeError for checksums and asserts the magic numbers of files.
UNREADABLE = (OSError, RuntimeError, EOFError, ValueError, TypeError, AssertionError)


def fetch(dataset: Any, root: str, split: str, download: bool, where: str, files: Sequence[str]) -> Any:
    """Return torchvision's ``dataset``, downloaded into ``root`` if needed.

    Raises:
        DataError: if it is not there and could not be downloaded; the text says which file to put where.
    """
    if split not in ("train", "test"):
        raise ConfigError(f"data.split must be train or test, got {split!r}")
    before = folders(root)
    try:
        return dataset(root, train=split == "train", download=download)
    except UNREADABLE as error:
        for folder in sorted(folders(root) - before, reverse=True):  # torchvision makes them before it downloads
            if not any(folder.iterdir()):
                folder.rmdir()
        raise DataError(
            f"{dataset.__name__} is not in {root}, or damaged, and could not be downloaded ({first_line(error)}). "
            f"Put {', '.join(files)} into {where} and run the same command again, or set data.root"
        ) from error


def folders(root: str) -> set[Path]:
    """Return the folders that exist at and under ``root``."""
    return {path for path in (Path(root), *Path(root).rglob("*")) if path.is_dir()}


class MNIST(Images):
    """60,000 (train) or 10,000 (test) gray digits, padded with black from 28×28 to ``size``. LeCun et al. 1998.

    Args:
        root: folder that holds, or will hold, ``MNIST/raw/``.
        split: train or test.
        size: side of the images, 28 or more.
        download: fetch what is missing.
        flip: mirror each image with probability ½.
    """

    def __init__(self, root: str, split: str, size: int, download: bool, flip: bool) -> None:
        from torchvision import datasets

        root = str(root)
        if size < 28:
            raise ConfigError(f"data.size must be 28 or more for data=mnist, got {size}")
        mirror, names = datasets.MNIST.mirrors[0], [name for name, _ in datasets.MNIST.resources]
        sources = [f"{mirror}{name}" for name in names]
        raw = fetch(datasets.MNIST, root, split, download, f"{root}/MNIST/raw", sources)
        before = (size - 28) // 2
        pixels = torch.nn.functional.pad(raw.data, (before, size - 28 - before) * 2)
        super().__init__(pixels[:, None], raw.targets, classes=10, flip=flip)


class CIFAR10(Images):
    """50,000 (train) or 10,000 (test) colour images, 32×32, ten classes. Krizhevsky 2009.

    Args:
        root: folder that holds, or will hold, ``cifar-10-batches-py/``.
        split: train or test.
        download: fetch what is missing.
        flip: mirror each image with probability ½.
    """

    def __init__(self, root: str, split: str, download: bool, flip: bool) -> None:
        from torchvision import datasets

        root = str(root)
        raw = fetch(datasets.CIFAR10, root, split, download, root, [datasets.CIFAR10.url])
        super().__init__(channels_first(raw.data), torch.tensor(raw.targets), classes=10, flip=flip)


def channels_first(pixels: np.ndarray) -> Tensor:
    """Turn (N, H, W, C) bytes into (N, C, H, W); the memory stays as it is, which is torch's channels-last layout."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)
