"""Small files in the true on-disk forms of the benchmarks; torchvision's checksums are set to theirs."""

from __future__ import annotations

import gzip
import hashlib
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from PIL import Image, ImageDraw
from torchvision import datasets

Patch = pytest.MonkeyPatch


def pictures(labels: np.ndarray, side: int) -> np.ndarray:
    """Upright images (n, side, side, 3) uint8: an F in the colour of the class, its stem to the left."""
    drawn = []
    for label in labels:
        image = Image.new("RGB", (side, side), (0, 0, 0 if side == 28 else 90))
        colour = (255 - 5 * int(label) % 200, 120, 255) if side != 28 else (200, 200, 200)
        draw, unit = ImageDraw.Draw(image), side // 7
        draw.rectangle((2 * unit, unit, 3 * unit, 6 * unit), fill=colour)
        draw.rectangle((2 * unit, unit, 6 * unit, 2 * unit - 1), fill=colour)
        draw.rectangle((2 * unit, 3 * unit, 5 * unit, 4 * unit - 1), fill=colour)
        drawn.append(np.asarray(image))
    return np.stack(drawn)


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def idx(array: np.ndarray) -> bytes:
    """An idx file of bytes: magic number, sizes, content."""
    return struct.pack(f">{1 + array.ndim}i", 2048 + array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def written(path: Path, content: bytes) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return content


def write_idx(root: Path, name: str, labels: np.ndarray, patch: Patch, packed: bool = False) -> None:
    """The four files of a relative of MNIST, in ``<root>/<name>/raw``; as they are downloaded if ``packed``."""
    digests = {}
    for split in ("train", "t10k"):
        for what, array in {"images-idx3": pictures(labels, 28)[..., 0], "labels-idx1": labels}.items():
            file, content = f"{split}-{what}-ubyte", idx(array)
            gz = gzip.compress(content)
            digests[f"{file}.gz"] = md5(gz)
            written(root / name / "raw" / (f"{file}.gz" if packed else file), gz if packed else content)
    patch.setattr(getattr(datasets, name), "resources", [(f, digests[f]) for f, _ in datasets.MNIST.resources])


def write_emnist(root: Path, labels: np.ndarray, patch: Patch, part: str = "letters", packed: bool = False) -> None:
    """The files of a part of EMNIST, whose images lie on their sides; the archive that holds them if ``packed``."""
    raw, files = root / "EMNIST" / "raw", {}
    for split in ("train", "test"):
        files[f"emnist-{part}-{split}-images-idx3-ubyte"] = idx(pictures(labels, 28)[..., 0].transpose(0, 2, 1))
        files[f"emnist-{part}-{split}-labels-idx1-ubyte"] = idx(labels)
    raw.mkdir(parents=True)
    if not packed:
        for file, content in files.items():
            written(raw / file, content)
        return
    with zipfile.ZipFile(raw / "gzip.zip", "w") as archive:
        for file, content in files.items():
            archive.writestr(f"gzip/{file}.gz", gzip.compress(content))
    patch.setattr(datasets.EMNIST, "md5", md5((raw / "gzip.zip").read_bytes()))


def write_cifar100(root: Path, labels: np.ndarray, patch: Patch) -> None:
    """The pickles of CIFAR-100's archive; the names of class k are ``fine<k>`` and ``coarse<k>``."""
    folder, pixels = root / "cifar-100-python", pictures(labels, 32).transpose(0, 3, 1, 2).reshape(len(labels), -1)
    batch = {"data": pixels, "fine_labels": labels.tolist(), "coarse_labels": [0] * len(labels)}
    names = {f"{kind}_label_names": [f"{kind}{k}" for k in range(n)] for kind, n in {"fine": 100, "coarse": 20}.items()}
    digests = {
        file: md5(written(folder / file, pickle.dumps(content)))
        for file, content in {"train": batch, "test": batch, "meta": names}.items()
    }
    patch.setattr(datasets.CIFAR100, "train_list", [["train", digests["train"]]])
    patch.setattr(datasets.CIFAR100, "test_list", [["test", digests["test"]]])
    patch.setattr(datasets.CIFAR100, "meta", {**datasets.CIFAR100.meta, "md5": digests["meta"]})


def write_svhn(root: Path, labels: np.ndarray, patch: Patch, split: str = "train") -> None:
    """The .mat file of a split: images (32, 32, 3, n), and labels (n, 1) in which 10 stands for the digit 0."""
    file = root / "SVHN" / f"{split}_32x32.mat"
    file.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(
        file, {"X": pictures(labels, 32).transpose(1, 2, 3, 0), "y": np.where(labels == 0, 10, labels)[:, None]}
    )
    entry = [datasets.SVHN.split_list[split][0], file.name, md5(file.read_bytes())]
    patch.setattr(datasets.SVHN, "split_list", {**datasets.SVHN.split_list, split: entry})


def write_stl10(root: Path, labels: np.ndarray, patch: Patch, *splits: str) -> None:
    """The .bin files of splits, by default of all: images (n, 3, width, height), and labels from 1 on."""
    folder, digests = root / "stl10_binary", dict(datasets.STL10.train_list + datasets.STL10.test_list)
    for split in splits or ("train", "test", "unlabeled"):
        images = pictures(labels, 96).transpose(0, 3, 2, 1)
        digests[f"{split}_X.bin"] = md5(written(folder / f"{split}_X.bin", images.tobytes()))
        if split != "unlabeled":
            digests[f"{split}_y.bin"] = md5(written(folder / f"{split}_y.bin", (labels + 1).astype(np.uint8).tobytes()))
    for name in ("train_list", "test_list"):
        patch.setattr(datasets.STL10, name, [[file, digests[file]] for file, _ in getattr(datasets.STL10, name)])


MADE: dict[str, tuple[Callable[[Path, np.ndarray, Patch], Any], int, int]] = {
    "fashion_mnist": (lambda root, labels, patch: write_idx(root, "FashionMNIST", labels, patch), 10, 0),
    "kmnist": (lambda root, labels, patch: write_idx(root, "KMNIST", labels, patch), 10, 0),
    "emnist": (write_emnist, 26, 1),
    "cifar100": (write_cifar100, 100, 0),
    "svhn": (write_svhn, 10, 0),
    "stl10": (write_stl10, 10, 0),
}
"""By option: what writes its files, the number of classes, and the first label that the function takes."""
