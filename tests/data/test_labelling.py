"""Which class each image has: by folders of any depth, or by StyleGAN's list."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch

from gantrain.errors import ConfigError, DataError
from tests.data.messy import read, save

NAMES = ("00000/img0.png", "00000/img1.png", "00001/img2.png")


@pytest.fixture
def stylegan(tmp_path: Path) -> Path:
    """A folder as StyleGAN's tool lays it out."""
    for k, name in enumerate(NAMES):
        save(tmp_path / "set" / name, seed=k)
    return tmp_path / "set"


def write(folder: Path, labels: object) -> None:
    (folder / "dataset.json").write_text(json.dumps({"labels": labels}))


def test_labels_of_stylegans_list_are_read(stylegan: Path) -> None:
    write(stylegan, [[NAMES[0], 7], [NAMES[1], 3], [NAMES[2].replace("/", "\\"), 7]])
    data = read(stylegan)
    assert data.class_names == ("3", "7") and data.labels.tolist() == [1, 0, 1] and not data.passed_over
    write(stylegan, None)
    assert read(stylegan).labels is None
    assert read(stylegan, labels="folders").class_names == ("00000", "00001")
    assert read(stylegan, labels="none").classes == 0 and read(stylegan, labels="none").count == 3
    for other in ('{"images": []}', "[1, 2]"):  # of another tool
        (stylegan / "dataset.json").write_text(other)
        assert read(stylegan).classes == 2 and len(read(stylegan).passed_over) == 1


def test_they_are_read_in_a_zip_as_well(stylegan: Path) -> None:
    write(stylegan, [[name, k] for k, name in enumerate(NAMES)])
    with zipfile.ZipFile(stylegan.with_suffix(".zip"), "w") as packed:
        for path in stylegan.rglob("*.*"):
            packed.write(path, path.relative_to(stylegan))
    assert read(stylegan.with_suffix(".zip")).labels.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"labels": [["00000/img0.png", 1]]}', r"no label for 00000/img1\.png; data\.labels=folders"),
        ('{"labels": [["00000/img0.png", [0.5, 0.5]]]}', "must give each path a whole number"),
        ('{"labels": [["00000/img0.png", true]]}', "must give each path a whole number"),
        ('{"labels": 5}', "is no list of StyleGAN's tool"),
        ("[" * 100_000, "is no list of StyleGAN's tool"),
        ("", "is no list of StyleGAN's tool"),
    ],
)
def test_a_damaged_list_is_refused(text: str, words: str, stylegan: Path) -> None:
    (stylegan / "dataset.json").write_text(text)
    with pytest.raises(DataError, match=words):
        read(stylegan)
    assert read(stylegan, labels="folders").classes == 2


def test_classes_may_lie_deeper(tmp_path: Path) -> None:
    for k, name in enumerate(("bird/owl", "bird/owl/young", "bird/10", "bird/9", "mammal/cat")):
        save(tmp_path / name / f"{k}.png", seed=k)
    assert read(tmp_path).class_names == ("bird", "mammal")
    data = read(tmp_path, class_level=2)
    assert data.class_names == ("bird/9", "bird/10", "bird/owl", "mammal/cat")
    assert data.labels.tolist() == [0, 1, 2, 2, 3] and [p.stem for p in data.paths] == ["3", "2", "0", "1", "4"]
    with pytest.raises(DataError, match=r"10/2\.png lies less than data\.class_level=3 folders deep"):
        read(tmp_path, class_level=3)


def test_a_part_of_a_folder_reads_only_its_files(tmp_path: Path) -> None:
    for k in range(30):
        save(tmp_path / "abc"[k % 3] / f"{k:02}.png", seed=k)
    (tmp_path / "b" / "bad.png").write_bytes(b"no image")
    data = read(tmp_path, classes=["c", "a"])
    assert data.class_names == ("c", "a") and data.count == 20 and sorted({*data.labels.tolist()}) == [0, 1]
    assert data.labels.tolist() == [1] * 10 + [0] * 10
    small = read(tmp_path, classes=["a", "c"], imbalance=10, limit=5)
    assert small.count == 5 and small.fingerprint() != data.fingerprint()


@pytest.mark.parametrize("bad", [{"labels": "json"}, {"class_level": 0}, {"class_level": True}, {"class_level": 1.5}])
def test_senseless_settings_are_refused(bad: dict, tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    with pytest.raises(ConfigError, match=rf"data\.{next(iter(bad))} must be"):
        read(tmp_path, **bad)


def shards(folder: Path, labels: list[bytes]) -> Path:
    """Write two shards as WebDataset packs them: files of a name up to the first dot belong together."""
    (folder / "shards").mkdir()
    for k, part in enumerate((range(4), range(4, len(labels)))):
        with tarfile.open(folder / "shards" / f"train-{k:04}.tar", "w") as tar:
            for n in part:
                save(folder / f"{n}.png", seed=n)
                for name, content in (("jpg.png", (folder / f"{n}.png").read_bytes()), ("cls", labels[n])):
                    info = tarfile.TarInfo(f"part/{n:04}.{name}")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
    return folder / "shards"


def test_shards_of_webdataset_are_read_with_their_labels(tmp_path: Path) -> None:
    root = shards(tmp_path, [b"5", b"7\n", b"5", b"7", b"5", b"9"])
    (root / "index.json").write_text("{}")
    data = read(root)
    assert data.class_names == ("5", "7", "9") and data.labels.tolist() == [0, 1, 0, 1, 0, 2]
    whole = [read(tmp_path, labels="none").at([k]) for k in range(6)]
    assert torch.equal(data.at(range(6)), torch.cat(whole)) and not data.passed_over
    assert torch.equal(read(root, in_memory=False, copy=False).at([5, 0]), data.at([5, 0]))
    assert read(root, labels="none").classes == 0
    assert read(root / "train-0001.tar").labels.tolist() == [0, 1]
    (root / "train-0002.tar").write_bytes(b"text" * 300)
    with pytest.raises(DataError, match=r"train-0002\.tar"):
        read(root)


@pytest.mark.parametrize("label", [b"cat", b"", b"1.5"])
def test_a_label_of_webdataset_that_is_no_number_is_refused(label: bytes, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"part/0001\.cls must hold the class of 0001\.jpg\.png, a whole number"):
        read(shards(tmp_path, [b"5", label, b"5", b"7", b"5"]))
