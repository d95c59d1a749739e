"""STL-10: colour photographs 96×96, most of them without labels."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gantrain.data.benchmarks import check, check_choice, fetch, holding
from gantrain.data.source import channels_first
from gantrain.data.subset import Common, Partial
from gantrain.errors import ConfigError
from gantrain.terminal import each

SIDE = 96
PUBLISHED = {"train": 5_000, "test": 8_000, "unlabeled": 100_000}
NAMES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")


class STL10(Partial):
    """5,000 (train), 8,000 (test) or 100,000 (unlabeled) photographs, of ImageNet. Coates et al. 2011.

    Args:
        root: folder that holds, or will hold, ``stl10_binary/``; or that folder.
        split: train, test or unlabeled; of the last no label is known.
        size: side to which the images are resized, with Lanczos' filter, by Pillow.
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
        size: int,
        download: bool,
        check_count: bool = True,
        **common: Unpack[Common],
    ) -> None:
        if not isinstance(size, int) or size < 1:
            raise ConfigError(f"data.size must be a whole number above 0, got {size!r}")
        check_choice("data.split", split, tuple(PUBLISHED))
        raw = read(root, split, download)
        has_labels = split != "unlabeled"  # torchvision gives -1 to those of no label
        labels, names = (torch.from_numpy(raw.labels.astype(np.int64)), NAMES) if has_labels else (None, ())
        count, among = PUBLISHED[split] if check_count else None, range(len(NAMES))
        check("STL10", split, count, len(raw.data), torch.zeros(len(raw.data)) if labels is None else labels, among)
        self.size = size
        super().__init__(torch.from_numpy(raw.data), labels, names, **common)

    def fitted(self, pixels: Tensor) -> Tensor:
        """Return the images resized."""
        return channels_first(resized(pixels.permute(0, 2, 3, 1).numpy(), self.size))


def read(root: str, split: str, download: bool) -> Any:
    """Return torchvision's data set; of the files only those of the split are checked, or have to be there."""
    from torchvision import datasets
    from torchvision.datasets.utils import check_integrity

    dataset = datasets.STL10
    needed = {name: md5 for name, md5 in [*dataset.train_list, *dataset.test_list] if name.startswith(f"{split}_")}
    folder = holding(root, (dataset.base_folder,), lambda place: all((place / name).is_file() for name in needed))

    def is_whole(self: Any) -> bool:
        return all(check_integrity(folder / name, md5) for name, md5 in needed.items())

    changes = {"base_folder": folder.name, "_check_integrity": is_whole}
    files = {dataset.url: dataset.tgz_md5}
    return fetch(dataset, folder.parent, folder.parent, files, 2_640, changes, split=split, download=download)


def resized(images: np.ndarray, size: int) -> np.ndarray:
    """Return images (N, S, S, 3) uint8 as (N, size, size, 3), each resized by Pillow with Lanczos' filter."""
    if size == SIDE:
        return np.ascontiguousarray(images)
    made = np.empty((len(images), size, size, 3), dtype=np.uint8)
    for k, image in enumerate(each(images, "resizing images", "image", len(images))):
        picture = Image.fromarray(np.ascontiguousarray(image))
        made[k] = np.asarray(picture.resize((size, size), Image.Resampling.LANCZOS))
    return made
