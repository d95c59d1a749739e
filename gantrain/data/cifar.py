"""CIFAR-10 and CIFAR-100: colour images 32×32."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Unpack

import torch
from torch import Tensor

from gantrain.data.benchmarks import SPLITS, check, check_choice, fetch, holding
from gantrain.data.source import channels_first
from gantrain.data.subset import Common, Partial

PUBLISHED = {"train": 50_000, "test": 10_000}
# fmt: off
COARSE = (
    4, 1, 14, 8, 0, 6, 7, 7, 18, 3, 3, 14, 9, 18, 7, 11, 3, 9, 7, 11, 6, 11, 5, 10, 7,
    6, 13, 15, 3, 15, 0, 11, 1, 10, 12, 14, 16, 9, 11, 5, 5, 19, 8, 8, 15, 13, 14, 17, 18, 10,
    16, 4, 17, 4, 2, 0, 17, 4, 18, 17, 10, 3, 2, 12, 12, 16, 12, 1, 9, 19, 2, 10, 0, 1, 16,
    12, 9, 13, 15, 13, 16, 19, 2, 4, 6, 19, 5, 5, 8, 19, 18, 1, 2, 15, 6, 0, 17, 8, 14, 13,
)
# fmt: on
"""Of each of CIFAR-100's classes, its superclass: both in the order of their names, five classes in each."""


class Cifar(Partial):
    """50,000 (train) or 10,000 (test) colour images, 32×32. Krizhevsky 2009; a data set is a subclass that says which.

    Args:
        root: folder that holds, or will hold, the folder that the archive makes; or that folder.
        split: train or test.
        download: fetch what is missing.
        check_count: refuse files that hold another number of images.
        common: settings that all sets of images have; see ``gantrain.data.subset.Partial``.

    Raises:
        ConfigError: for a setting that makes no sense.
        DataError: for files that are missing, damaged or of another data set.
    """

    name: ClassVar[str]
    """The class in torchvision."""
    megabytes: ClassVar[int]
    """Size of the download."""
    in_files: ClassVar[int]
    """Number of classes in the files."""

    def __init__(
        self,
        root: str,
        split: str,
        download: bool,
        check_count: bool = True,
        **common: Unpack[Common],
    ) -> None:
        check_choice("data.split", split, SPLITS)
        raw = self._read(root, train=split == "train", download=download)
        labels = torch.tensor(raw.targets)
        count = PUBLISHED[split] if check_count else None
        check(self.name, split, count, len(raw.data), labels, range(self.in_files))
        names = [str(name) for name in raw.classes]
        super().__init__(channels_first(raw.data), self._relabelled(labels), names, **common)

    def _read(self, root: str, **arguments: Any) -> Any:
        from torchvision import datasets

        dataset = getattr(datasets, self.name)
        files, first = {dataset.url: dataset.tgz_md5}, dataset.train_list[0][0]
        folder = holding(root, (dataset.base_folder,), lambda place: (place / first).is_file())
        changes = {"base_folder": folder.name, **self._changes(dataset)}
        return fetch(dataset, folder.parent, folder.parent, files, self.megabytes, changes, **arguments)

    def _changes(self, dataset: Any) -> Mapping[str, Any]:
        return {}

    def _relabelled(self, labels: Tensor) -> Tensor:
        return labels


class CIFAR10(Cifar):
    """Ten classes."""

    name, megabytes, in_files = "CIFAR10", 170, 10


class CIFAR100(Cifar):
    """A hundred classes in twenty superclasses.

    Args:
        labels_of: ``fine`` for the hundred classes, ``coarse`` for the twenty superclasses.
        others: as ``Cifar`` has them.
    """

    name, megabytes, in_files = "CIFAR100", 169, 100

    def __init__(
        self,
        root: str,
        split: str,
        download: bool,
        check_count: bool = True,
        labels_of: str = "fine",
        **common: Unpack[Common],
    ) -> None:
        check_choice("data.labels_of", labels_of, ("fine", "coarse"))
        self.labels_of = labels_of
        super().__init__(root, split, download, check_count, **common)

    def _changes(self, dataset: Any) -> Mapping[str, Any]:
        return {"meta": {**dataset.meta, "key": f"{self.labels_of}_label_names"}}

    def _relabelled(self, labels: Tensor) -> Tensor:
        return labels if self.labels_of == "fine" else torch.tensor(COARSE)[labels]
