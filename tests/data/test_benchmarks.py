"""MNIST and CIFAR-10 in their true on-disk form."""

from __future__ import annotations

import gzip
import hashlib
import os
import pickle
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import datasets

from gantrain.build import build_data
from gantrain.data import CIFAR10, MNIST
from gantrain.errors import ConfigError, DataError
from tests.conftest import config, write_mnist


def little_mnist(root: Path, n: int = 3) -> torch.Tensor:
    """Images of noise, labelled 0, 1, 2, …, as both splits of MNIST."""
    images = torch.randint(256, (n, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    write_mnist(root, train=(images, torch.arange(n)), test=(images, torch.arange(n)))
    return images


def test_mnist_reads_idx_files_and_pads_to_the_size(tmp_path: Path) -> None:
    images = little_mnist(tmp_path)
    data = MNIST(str(tmp_path), "train", size=32, download=False, flip=False, check_count=False)
    assert data.shape == (1, 32, 32) and data.classes == 10 and data.labels.tolist() == [0, 1, 2]
    assert torch.equal(data.pixels[:, :, 2:-2, 2:-2], images)
    assert data.pixels.sum() == images.sum()
    assert MNIST(str(tmp_path), "test", size=28, download=False, flip=False, check_count=False).shape == (1, 28, 28)


def test_mnist_takes_the_archives_where_the_message_says_to_put_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = tmp_path / "MNIST" / "raw"
    little_mnist(tmp_path)
    resources = []
    for name, _ in datasets.MNIST.resources:
        plain = raw / name.removesuffix(".gz")
        (raw / name).write_bytes(gzip.compress(plain.read_bytes()))
        plain.unlink()
        resources.append((name, hashlib.md5((raw / name).read_bytes()).hexdigest()))
    monkeypatch.setattr(datasets.MNIST, "resources", resources)
    assert len(MNIST(str(tmp_path), "train", size=32, download=True, flip=False, check_count=False).pixels) == 3


def write_cifar10(root: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """The archive of the Toronto page with 2 images a batch, and torchvision's checksums set to it."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    images = np.random.default_rng(0).integers(0, 256, (10, 3, 32, 32), dtype=np.uint8)

    def write(name: str, content: dict) -> tuple[str, str]:
        (folder / name).write_bytes(pickle.dumps(content))
        return name, hashlib.md5((folder / name).read_bytes()).hexdigest()

    batches = [
        write(f"data_batch_{k + 1}", {"data": images[2 * k : 2 * k + 2].reshape(2, -1), "labels": [k, 9 - k]})
        for k in range(5)
    ]
    test = write("test_batch", {"data": images[:1].reshape(1, -1), "labels": [3]})
    meta, digest = write("batches.meta", {"label_names": [*"abcdefghij"]})
    monkeypatch.setattr(datasets.CIFAR10, "train_list", batches)
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [test])
    monkeypatch.setattr(datasets.CIFAR10, "meta", {"filename": meta, "key": "label_names", "md5": digest})
    return images


def test_cifar10_reads_the_python_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = write_cifar10(tmp_path, monkeypatch)
    data = CIFAR10(str(tmp_path), "train", download=False, flip=False, check_count=False)
    assert data.shape == (3, 32, 32) and data.labels.tolist() == [0, 9, 1, 8, 2, 7, 3, 6, 4, 5]
    assert np.array_equal(data.pixels.numpy(), images)
    assert CIFAR10(str(tmp_path), "test", download=False, flip=False, check_count=False).labels.tolist() == [3]


def test_cifar10_takes_the_archive_where_the_message_says_and_refuses_a_damaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cifar10(tmp_path / "made", monkeypatch)
    archive = tmp_path / "root" / "cifar-10-python.tar.gz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "made" / "cifar-10-batches-py", "cifar-10-batches-py")
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    assert len(CIFAR10(str(archive.parent), "train", download=True, flip=False, check_count=False).pixels) == 10
    (archive.parent / "cifar-10-batches-py" / "data_batch_3").write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"CIFAR10.*cifar-10-python\.tar\.gz"):
        CIFAR10(str(archive.parent), "train", download=False, flip=False, check_count=False)


@pytest.mark.parametrize(
    ("data", "files", "place"),
    [
        (lambda root: CIFAR10(root, "train", True, False), "cifar-10-python.tar.gz", ""),
        (lambda root: MNIST(root, "train", 32, True, False), "train-images-idx3-ubyte.gz", "MNIST/raw"),
    ],
)
def test_an_unreachable_download_says_which_file_to_put_where(
    data, files: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import urllib.error
    import urllib.request

    def offline(*args: object, **kwargs: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(urllib.request, "urlopen", offline)
    with pytest.raises(DataError) as caught:
        data(str(tmp_path / "data"))
    text = str(caught.value)
    assert files in text and str(tmp_path / "data" / place) in text and "\n" not in text
    assert list(tmp_path.iterdir()) == []  # torchvision's empty folders are gone again


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "mnist", "emnist", "svhn", "stl10"])
def test_a_set_that_is_missing_and_not_to_be_downloaded_gets_gantrain_s_own_advice(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        build_data(config(f"data={name}", f"data.root={tmp_path / 'data'}", "data.download=false"))
    text = str(caught.value)
    assert "data.download=false. Set data.download=true (" in text and " MB), or put http" in text, text
    assert "download=True" not in text and "\n" not in text and list(tmp_path.iterdir()) == []


def test_a_web_page_saved_under_the_name_of_an_mnist_file_is_refused(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    little_mnist(tmp_path)
    (raw / "train-images-idx3-ubyte").write_bytes(b"<html>404 not found</html>" * 10)
    with pytest.raises(DataError, match="MNIST is not in"):
        MNIST(str(tmp_path), "train", size=32, download=False, flip=False, check_count=False)


@pytest.mark.parametrize("bad", [{"split": "valid"}, {"size": 20}])
def test_senseless_settings_of_benchmarks_are_refused(bad: dict, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        MNIST(**{"root": str(tmp_path), "split": "train", "size": 32, "download": False, "flip": False} | bad)


def mnist(root: Path | str, split: str = "train", **changes: object) -> MNIST:
    return MNIST(str(root), split, **{"size": 28, "download": False, "flip": False} | changes)


def test_made_up_files_do_not_pass_as_mnist(tmp_path: Path) -> None:
    little_mnist(tmp_path, 10)
    with pytest.raises(
        DataError, match=r"60,000 images in its train split, and these files hold 10: .*check_count=false"
    ):
        mnist(tmp_path)
    assert len(mnist(tmp_path, check_count=False).pixels) == 10


def test_files_with_as_many_images_as_were_published_pass(tmp_path: Path) -> None:
    images = torch.zeros(10_000, 1, 28, 28, dtype=torch.uint8)
    write_mnist(tmp_path, train=(images[:1], torch.zeros(1)), test=(images, torch.arange(10_000) % 10))
    data = mnist(tmp_path, "test")
    assert len(data.pixels) == 10_000 and data.class_names == tuple("0123456789")


@pytest.mark.parametrize("labels", [6, 14])
def test_labels_that_are_not_as_many_as_the_images_are_refused(labels: int, tmp_path: Path) -> None:
    images = torch.zeros(10, 1, 28, 28, dtype=torch.uint8)
    both = (images, torch.zeros(10))
    write_mnist(tmp_path, train=both, test=both)
    path = tmp_path / "MNIST" / "raw" / "train-labels-idx1-ubyte"
    path.write_bytes(struct.pack(">2i", 2049, labels) + bytes(labels))
    with pytest.raises(DataError, match=f"its train split has 10 images and {labels} labels"):
        mnist(tmp_path, check_count=False)


def test_labels_beyond_nine_and_images_of_another_size_are_refused(tmp_path: Path) -> None:
    images, labels = torch.zeros(10, 1, 28, 28, dtype=torch.uint8), torch.full((10,), 12)
    write_mnist(tmp_path / "labels", train=(images, labels), test=(images, labels))
    with pytest.raises(DataError, match="from 0 to 9, and there is 12"):
        mnist(tmp_path / "labels", check_count=False)
    write_mnist(tmp_path / "size", train=(images, labels % 10), test=(images, labels % 10))
    path = tmp_path / "size" / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(struct.pack(">4i", 2051, 10, 14, 56) + bytes(7840))
    with pytest.raises(DataError, match="its images are 14×56, not 28×28"):
        mnist(tmp_path / "size", check_count=False)


@pytest.mark.parametrize("place", ["", "MNIST", "MNIST/raw", "MNIST/raw/train-images-idx3-ubyte", "elsewhere"])
def test_a_root_may_point_at_any_folder_around_the_files_of_mnist(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    little_mnist(tmp_path)
    if place == "elsewhere":
        (tmp_path / "MNIST" / "raw").rename(tmp_path / "elsewhere")
        (tmp_path / "MNIST").rmdir()
    before = sorted(tmp_path.rglob("*"))
    assert len(mnist(tmp_path / place, check_count=False, download=True).pixels) == 3
    monkeypatch.chdir(tmp_path / place if (tmp_path / place).is_dir() else tmp_path)
    assert len(mnist(".", check_count=False).pixels) == 3
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("place", ["", "cifar-10-batches-py", "cifar-10-batches-py/data_batch_2", "moved"])
def test_a_root_may_point_at_the_folder_of_the_batches_of_cifar10(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cifar10(tmp_path, monkeypatch)
    if place == "moved":
        (tmp_path / "cifar-10-batches-py").rename(tmp_path / "moved")
    data = CIFAR10(str(tmp_path / place), "train", download=False, flip=False, check_count=False)
    assert len(data.pixels) == 10 and data.class_names == tuple("abcdefghij")
    with pytest.raises(DataError, match="CIFAR10 has 50,000 images"):
        CIFAR10(str(tmp_path / place), "train", download=False, flip=False)


@pytest.mark.parametrize("data", [mnist, lambda root: CIFAR10(root, "train", False, False)])
def test_an_empty_root_is_not_the_current_folder(data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    little_mnist(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"data\.root is empty"):
        data("")


def test_only_folders_of_the_data_set_are_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    little_mnist(tmp_path)
    (tmp_path / "other" / "deep").mkdir(parents=True)
    looked = []
    scan, listed = os.scandir, os.listdir
    monkeypatch.setattr(os, "scandir", lambda path=".": looked.append(str(path)) or scan(path))
    monkeypatch.setattr(os, "listdir", lambda path=".": looked.append(str(path)) or listed(path))
    mnist(tmp_path, check_count=False)
    with pytest.raises(DataError):
        CIFAR10(str(tmp_path), "train", False, False)
    assert not [path for path in looked if "other" in path or path == str(tmp_path)]
