"""MNIST and its relatives: gray images 28×28 in idx files."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Unpack

import torch
from torch import Tensor

from gantrain.data.benchmarks import SPLITS, check, check_balance, check_choice, fetch, holding
from gantrain.data.source import numbered
from gantrain.data.subset import Common, Partial
from gantrain.errors import ConfigError, DataError

SIDE = 28


class Idx(Partial):
    """Gray images, padded with black from 28×28 to ``size``; a data set is a subclass that says which.

    Args:
        root: folder that holds, or will hold, ``<name>/raw/``; or that folder, or one between them.
        split: train or test.
        size: side of the images, 28 or more.
        download: fetch what is missing.
        check_count: refuse files that hold another number of images.
        common: settings that all sets of images have; see ``gantrain.data.subset.Partial``.

    Raises:
        ConfigError: for a setting that makes no sense.
        DataError: for files that are missing, damaged or of another data set.
    """

    name: ClassVar[str]
    """The class in torchvision, and the folder."""
    option: ClassVar[str]
    """The option of the config group."""
    megabytes: ClassVar[int]
    """Size of the download."""
    published: Mapping[str, int] = {"train": 60_000, "test": 10_000}
    """Number of images of each split."""
    balanced: ClassVar[bool] = False
    """Whether each class has equally many."""
    names: Sequence[str] = numbered(10)
    """Of the classes."""
    first: int = 0
    """Label of the first class in the files."""

    def __init__(
        self,
        root: str,
        split: str,
        size: int,
        download: bool,
        check_count: bool = True,
        **common: Unpack[Common],
    ) -> None:
        if size < SIDE:
            raise ConfigError(f"data.size must be {SIDE} or more for data={self.option}, got {size}")
        check_choice("data.split", split, SPLITS)
        raw = self._read(root, train=split == "train", download=download)
        images, labels, classes = raw.data, raw.targets, range(self.first, self.first + len(self.names))
        check(self.name, split, self.published[split] if check_count else None, len(images), labels, classes)
        if check_count and self.balanced:
            check_balance(self.name, split, labels)
        if images.shape[1:] != (SIDE, SIDE):
            raise DataError(f"{self.name} is damaged: its images are {images.shape[1]}×{images.shape[2]}, not 28×28")
        before = (size - SIDE) // 2
        pixels = torch.nn.functional.pad(self._upright(images), (before, size - SIDE - before) * 2)[:, None]
        super().__init__(pixels, labels - self.first, self.names, **common)

    def _read(self, root: str, **arguments: Any) -> Any:
        from torchvision import datasets

        dataset = getattr(datasets, self.name)
        files, known = self._files(dataset)
        folder = holding(root, (self.name, "raw"), lambda place: any((place / name).is_file() for name in known))
        changes = {"raw_folder": str(folder), "_check_legacy_exist": lambda self: False}
        return fetch(dataset, folder, folder, files, self.megabytes, changes, **arguments)

    def _files(self, dataset: Any) -> tuple[dict[str, str], list[str]]:
        """Return what is downloaded, the MD5 of each URL, and names of files by which their folder is known."""
        files = {f"{dataset.mirrors[0]}{name}": md5 for name, md5 in dataset.resources}
        names = [name for name, _ in dataset.resources]
        return files, [*names, *(name.removesuffix(".gz") for name in names)]

    def _upright(self, images: Tensor) -> Tensor:
        return images


class MNIST(Idx):
    """60,000 (train) or 10,000 (test) handwritten digits. LeCun et al. 1998."""

    name, option, megabytes = "MNIST", "mnist", 12


class FashionMNIST(Idx):
    """60,000 (train) or 10,000 (test) articles of a fashion shop. Xiao et al. 2017, arXiv:1708.07747."""

    name, option, megabytes, balanced = "FashionMNIST", "fashion_mnist", 31, True
    names = (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    )


class KMNIST(Idx):
    """60,000 (train) or 10,000 (test) cursive Japanese syllables. Clanuwat et al. 2018, arXiv:1812.01718."""

    name, option, megabytes, balanced = "KMNIST", "kmnist", 21, True
    names = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")


CHARACTERS = (*string.digits, *string.ascii_uppercase, *string.ascii_lowercase)
MERGED = tuple(
    c for c in CHARACTERS if c not in "cijklmopsuvwxyz"
)  # lower case that looks like upper case is one class
PARTS: dict[str, tuple[tuple[str, ...], int, int]] = {
    "byclass": (CHARACTERS, 697_932, 116_323),
    "bymerge": (MERGED, 697_932, 116_323),
    "balanced": (MERGED, 112_800, 18_800),
    "letters": (tuple(string.ascii_lowercase), 124_800, 20_800),
    "digits": (numbered(10), 240_000, 40_000),
    "mnist": (numbered(10), 60_000, 10_000),
}
"""Classes and numbers of images (train, test) of each part of EMNIST. The paper's Table II has fewer letters than the
archive that NIST serves; these are the archive's."""


class EMNIST(Idx):
    """Handwritten letters and digits, upright; the files hold them transposed. Cohen et al. 2017, arXiv:1702.05373.

    Args:
        part: byclass (62 classes), bymerge (47), balanced (47), letters (26, upper and lower case in one), digits or
            mnist (10).
        others: as ``Idx`` has them.
    """

    name, option, megabytes = "EMNIST", "emnist", 562

    def __init__(
        self,
        root: str,
        part: str,
        split: str,
        size: int,
        download: bool,
        check_count: bool = True,
        **common: Unpack[Common],
    ) -> None:
        check_choice("data.part", part, tuple(PARTS))
        self.names, train, test = PARTS[part]
        self.part, self.published = part, {"train": train, "test": test}
        self.first = 1 if part == "letters" else 0
        super().__init__(root, split, size, download, check_count, **common)

    def _read(self, root: str, **arguments: Any) -> Any:
        return super()._read(root, split=self.part, **arguments)

    def _files(self, dataset: Any) -> tuple[dict[str, str], list[str]]:
        names = [f"emnist-{self.part}-{split}-images-idx3-ubyte" for split in SPLITS]
        return {dataset.url: dataset.md5}, [*names, dataset.url.rpartition("/")[2]]

    def _upright(self, images: Tensor) -> Tensor:
        return images.transpose(1, 2)
