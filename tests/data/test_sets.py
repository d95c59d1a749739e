"""Fashion-MNIST, KMNIST, EMNIST, CIFAR-100, SVHN and STL-10 in their true on-disk form."""

from __future__ import annotations

import inspect
import shutil
import socket
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets

from gantrain.build import build_data
from gantrain.data import Images, idx
from gantrain.data.subset import Common, Partial, choose
from gantrain.errors import ConfigError, DataError
from tests.conftest import config
from tests.data.made import (
    MADE,
    md5,
    pictures,
    write_cifar100,
    write_emnist,
    write_idx,
    write_stl10,
    write_svhn,
)

Patch = pytest.MonkeyPatch
FOLDERS = {
    "fashion_mnist": ["FashionMNIST", "raw"],
    "kmnist": ["KMNIST", "raw"],
    "emnist": ["EMNIST", "raw"],
    "cifar100": ["cifar-100-python"],
    "svhn": ["SVHN"],
    "stl10": ["stl10_binary"],
}


def read(option: str, root: Path, *more: str) -> Images:
    """The data set as the command builds it, of any number of images."""
    cfg = config(f"data={option}", f"data.root='{root}'", "data.download=false", "data.check_count=false", *more)
    data = build_data(cfg)
    assert isinstance(data, Images)
    return data


def numbers(option: str) -> np.ndarray:
    """As many labels as there are classes, as the files of the set hold them, and the first one twice."""
    _, classes, first = MADE[option]
    return np.array([*range(first, first + classes), first])


def make(option: str, root: Path, patch: Patch) -> np.ndarray:
    MADE[option][0](root, labels := numbers(option), patch)
    return labels


@pytest.fixture
def closed_port() -> Iterator[str]:
    """An address of this machine at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: nobody else gets the port meanwhile
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/"


@pytest.mark.parametrize("option", MADE)
def test_every_set_gives_its_images_upright_with_the_labels_and_names_of_their_classes(
    option: str, tmp_path: Path, monkeypatch: Patch
) -> None:
    labels = make(option, tmp_path, monkeypatch)
    side = {"svhn": 32, "cifar100": 32, "stl10": 96}.get(option, 28)
    data = read(option, tmp_path, *([] if side == 32 else [f"data.size={side}"]))
    upright = pictures(labels, side).transpose(0, 3, 1, 2)
    assert np.array_equal(data.pixels.numpy(), upright if side > 28 else upright[:, :1])
    classes, first = MADE[option][1:]
    assert data.labels is not None and data.labels.tolist() == (labels - first).tolist()
    assert data.classes == classes == len(set(data.class_names or ()))
    assert data.labels.dtype == torch.int64 and data.pixels.dtype == torch.uint8


def test_the_names_of_classes_are_the_published_ones(tmp_path: Path, monkeypatch: Patch) -> None:
    for option in MADE:
        make(option, tmp_path, monkeypatch)
    assert read("fashion_mnist", tmp_path).class_names == tuple(datasets.FashionMNIST.classes)
    assert read("kmnist", tmp_path).class_names == tuple(datasets.KMNIST.classes)
    assert read("svhn", tmp_path).class_names == tuple("0123456789")
    assert (read("cifar100", tmp_path).class_names or ())[41] == "fine41"
    assert (read("stl10", tmp_path).class_names or ())[7] == "monkey"  # class_names.txt, line 8


@pytest.mark.parametrize("part", idx.PARTS)
def test_a_part_of_emnist_has_the_classes_that_torchvision_names(part: str, tmp_path: Path, monkeypatch: Patch) -> None:
    names = [name for name in datasets.EMNIST.classes_split_dict[part] if name != "N/A"]
    first = 1 if part == "letters" else 0
    write_emnist(tmp_path, np.arange(first, first + len(names)), monkeypatch, part)
    data = read("emnist", tmp_path, f"data.part={part}")
    assert data.class_names == tuple(names) and data.labels.tolist() == list(range(len(names)))
    for label in (first + len(names), first - 1):
        shutil.rmtree(tmp_path / "EMNIST")
        write_emnist(tmp_path, np.array([first, label % 256]), monkeypatch, part)
        with pytest.raises(DataError, match=f"labels go from {first} to {first + len(names) - 1}, and there is"):
            read("emnist", tmp_path, f"data.part={part}")


def test_coarse_labels_of_cifar100_are_twenty_superclasses_of_five(tmp_path: Path, monkeypatch: Patch) -> None:
    write_cifar100(tmp_path, np.arange(100), monkeypatch)
    data = read("cifar100", tmp_path, "data.labels_of=coarse")
    assert data.classes == 20 and data.class_names == tuple(f"coarse{k}" for k in range(20))
    assert torch.bincount(data.labels).tolist() == [5] * 20
    # Krizhevsky's page: "aquatic mammals: beaver, dolphin, otter, seal, whale" is the first superclass by name, and
    # "vehicles 2: lawn-mower, rocket, streetcar, tank, tractor" the last; the numbers are those of the fine names.
    of = data.labels.tolist()
    assert [k for k in range(100) if of[k] == 0] == [4, 30, 55, 72, 95]
    assert [k for k in range(100) if of[k] == 19] == [41, 69, 81, 85, 89]


@pytest.mark.parametrize("split", ["train", "test", "extra"])
def test_each_split_of_svhn_has_a_file_of_its_own(split: str, tmp_path: Path, monkeypatch: Patch) -> None:
    write_svhn(tmp_path, np.array([3, 0]), monkeypatch, split)
    assert read("svhn", tmp_path, f"data.split={split}").labels.tolist() == [3, 0]
    with pytest.raises(DataError, match=r"put http://ufldl\.stanford\.edu/housenumbers/test_32x32\.mat"):
        shutil.rmtree(tmp_path / "SVHN")
        read("svhn", tmp_path, "data.split=test")


def test_unlabeled_photographs_of_stl10_have_no_labels_and_need_no_other_file(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    write_stl10(tmp_path, np.arange(4), monkeypatch, "unlabeled")
    data = read("stl10", tmp_path, "data.split=unlabeled", "data.limit=3")
    assert data.labels is None and data.classes == 0 and data.class_names is None and data.count == 3
    with pytest.raises(ConfigError, match=r"data\.classes=\[1\]: this data set has no labels"):
        read("stl10", tmp_path, "data.split=unlabeled", "data.classes=[1]")


def test_stl10_is_resized_as_pillow_does(tmp_path: Path, monkeypatch: Patch) -> None:
    labels = make("stl10", tmp_path, monkeypatch)
    data = read("stl10", tmp_path, "data.size=32")
    wanted = [np.asarray(Image.fromarray(image).resize((32, 32), Image.LANCZOS)) for image in pictures(labels, 96)]
    assert np.array_equal(data.pixels.permute(0, 2, 3, 1).numpy(), np.stack(wanted))
    assert read("stl10", tmp_path).shape == (3, 64, 64)


@pytest.mark.parametrize("option", MADE)
def test_a_root_may_point_at_any_folder_around_the_files(option: str, tmp_path: Path, monkeypatch: Patch) -> None:
    make(option, tmp_path / "data", monkeypatch)
    inside = FOLDERS[option]
    where = tmp_path / "data"
    before = sorted(where.rglob("*"))
    for k in range(len(inside) + 1):
        assert read(option, where.joinpath(*inside[:k]), "data.download=true").count == len(numbers(option))
    assert sorted(where.rglob("*")) == before
    where.joinpath(*inside).rename(tmp_path / "moved")
    assert read(option, tmp_path / "moved").count == len(numbers(option))


@pytest.mark.parametrize("option", MADE)
def test_files_with_another_number_of_images_are_refused(option: str, tmp_path: Path, monkeypatch: Patch) -> None:
    make(option, tmp_path, monkeypatch)
    with pytest.raises(DataError, match=rf"these files hold {len(numbers(option))}: .*data\.check_count=false"):
        read(option, tmp_path, "data.check_count=true")


@pytest.mark.parametrize("option", ["fashion_mnist", "kmnist", "emnist"])
def test_archives_put_where_the_message_says_are_unpacked_and_nothing_is_said_of_a_download(
    option: str, tmp_path: Path, monkeypatch: Patch, capsys: pytest.CaptureFixture[str]
) -> None:
    if option == "emnist":
        write_emnist(tmp_path, numbers(option), monkeypatch, packed=True)
    else:
        write_idx(tmp_path, FOLDERS[option][0], numbers(option), monkeypatch, packed=True)
    assert read(option, tmp_path, "data.download=true").count == len(numbers(option))
    assert "downloading" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "name", "attribute"), [("cifar100", "CIFAR100", "tgz_md5"), ("stl10", "STL10", "tgz_md5")]
)
def test_a_tar_archive_in_the_root_is_unpacked(
    option: str, name: str, attribute: str, tmp_path: Path, monkeypatch: Patch, capsys: pytest.CaptureFixture[str]
) -> None:
    make(option, tmp_path / "made", monkeypatch)
    dataset = getattr(datasets, name)
    archive = tmp_path / "root" / dataset.filename
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "made" / dataset.base_folder, dataset.base_folder)
    monkeypatch.setattr(dataset, attribute, md5(archive.read_bytes()))
    assert read(option, archive.parent, "data.download=true").count == len(numbers(option))
    assert "downloading" not in capsys.readouterr().err


def close(option: str, address: str, patch: Patch) -> str:
    """Let the downloads of a set come from an address; return the name of a file that is downloaded."""
    if option in ("fashion_mnist", "kmnist", "mnist"):
        dataset = getattr(datasets, FOLDERS.get(option, ["MNIST"])[0])
        patch.setattr(dataset, "mirrors", [address])
        return "t10k-labels-idx1-ubyte.gz"
    if option == "svhn":
        patch.setattr(
            datasets.SVHN, "split_list", {"train": [f"{address}train_32x32.mat", "train_32x32.mat", "0" * 32]}
        )
        return "train_32x32.mat"
    dataset = {"emnist": datasets.EMNIST, "cifar100": datasets.CIFAR100, "stl10": datasets.STL10}[option]
    patch.setattr(dataset, "url", address + (file := dataset.url.rpartition("/")[2]))
    return str(file)


@pytest.mark.parametrize("option", [*MADE, "mnist"])
def test_a_download_is_announced_and_one_that_fails_names_files_and_folder_and_leaves_nothing(
    option: str, tmp_path: Path, monkeypatch: Patch, closed_port: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = close(option, closed_port, monkeypatch)
    with pytest.raises(DataError) as caught:
        read(option, tmp_path / "data", "data.download=true")
    inside = {"cifar100": [], "stl10": []}.get(option, FOLDERS.get(option, ["MNIST", "raw"]))
    text, place = str(caught.value), (tmp_path / "data").joinpath(*inside)
    assert f"{closed_port}{file}" in text and f"into {place} and run the same command again" in text
    assert "\n" not in text and list(tmp_path.iterdir()) == []
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("downloading ")]
    assert len(said) == 1 and closed_port in said[0] and str(place) in said[0] and "MB)" in said[0]


def test_without_download_nothing_is_announced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for option in MADE:
        with pytest.raises(DataError):
            read(option, tmp_path)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("option", "file"), [("cifar100", "train"), ("svhn", "train_32x32.mat"), ("stl10", "train_X.bin")]
)
def test_a_file_with_another_checksum_is_refused(option: str, file: str, tmp_path: Path, monkeypatch: Patch) -> None:
    make(option, tmp_path, monkeypatch)
    path = tmp_path.joinpath(*FOLDERS[option], file)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="or damaged"):
        read(option, tmp_path)


@pytest.mark.parametrize("name", ["FashionMNIST", "KMNIST"])
def test_files_of_mnist_do_not_pass_as_those_of_its_relatives(name: str, tmp_path: Path, monkeypatch: Patch) -> None:
    data: Callable[..., Images] = getattr(idx, name)
    monkeypatch.setattr(data, "published", {"train": 20})
    write_idx(tmp_path, name, np.arange(20) % 10, monkeypatch)
    assert data(str(tmp_path), "train", 28, False).count == 20
    write_idx(tmp_path, name, np.array([*range(10), *range(9), 0]), monkeypatch)
    with pytest.raises(DataError, match="hold 1 to 3: they are of another data set"):
        data(str(tmp_path), "train", 28, False)


@pytest.mark.parametrize(
    "wrong",
    [
        *("data=emnist data.part=words", "data=cifar100 data.labels_of=both"),
        *("data=stl10 data.size=0", "data=kmnist data.size=20"),
        *(f"data={option} data.split=valid" for option in MADE),
    ],
)
def test_a_senseless_setting_is_refused_by_name(wrong: str, tmp_path: Path) -> None:
    option, setting = wrong.split()
    key = setting.partition("=")[0]
    with pytest.raises(ConfigError, match=key.replace(".", r"\.")):
        read(option.partition("=")[2], tmp_path, setting)


@pytest.mark.parametrize("option", MADE)
def test_the_yaml_states_every_setting_of_the_class(option: str) -> None:
    cfg = config(f"data={option}").data
    kind = getattr(__import__("gantrain.data", fromlist=["x"]), cfg._target_.rpartition(".")[2])
    own = inspect.signature(kind).parameters
    common = {**inspect.signature(Partial).parameters, **inspect.signature(choose).parameters}
    taken = {name: (own | common)[name] for name in {*own, *get_type_hints(Common)} - {"common"}}
    assert set(cfg) - {"_target_"} == set(taken)
    assert all(cfg[name] == p.default for name, p in taken.items() if p.default is not p.empty)


@pytest.mark.parametrize("option", MADE)
def test_two_steps_by_the_command(
    option: str, tmp_path: Path, monkeypatch: Patch, gantrain: Callable[..., object]
) -> None:
    write, classes, first = MADE[option]
    write(tmp_path / "data", np.arange(64) % classes + first, monkeypatch)
    run = gantrain(
        f"data={option}", "data.root=data", "data.check_count=false", "total_steps=2", "batch_size=8", "device=cpu",
        "run.dir=run", "architecture.generator.width=4", "architecture.discriminator.width=4", "samples.count=16",
    )  # fmt: skip
    assert run.exit_code == 0, run.err
    assert (tmp_path / "run" / "samples" / "real.png").is_file()
