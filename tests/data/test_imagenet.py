"""ImageNet as torchvision and Kaggle lay it out."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torchvision.datasets import imagenet as published

from gantrain.build import build_data
from gantrain.data import ImageNet, imagenet
from gantrain.errors import ConfigError, DataError
from tests.conftest import config
from tests.data.made import md5
from tests.data.messy import save

WORDS = {"n01440764": ("tench", "Tinca tinca"), "n01484850": ("great white shark", "white shark"), "n02099601": ("x",)}
Patch = pytest.MonkeyPatch


def write(folder: Path, wnids: tuple[str, ...] = tuple(WORDS), each: int = 4) -> Path:
    """Write a split; return its folder."""
    for seed, wnid in enumerate(wnids):
        for k in range(each):
            path = save(folder / wnid / f"{wnid}_{k}.jpg", seed=10 * seed + k)
            path.rename(path.with_suffix(".JPEG"))
    return folder


def read(root: Path, *more: str) -> ImageNet:
    """The data set as the command builds it, of any number of images."""
    data = build_data(config("data=imagenet", f"data.root='{root}'", "data.size=8", "data.check_count=false", *more))
    assert isinstance(data, ImageNet)
    return data


@pytest.mark.parametrize(
    "inside", ["imagenet/train", "train", "ILSVRC2012/train", "imagenet/ILSVRC/Data/CLS-LOC/train"]
)
def test_every_usual_layout_gives_the_classes_in_the_order_of_their_numbers(inside: str, tmp_path: Path) -> None:
    write(tmp_path / inside)
    data = read(tmp_path)
    assert data.class_names == tuple(sorted(WORDS)) and data.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert [path.parent.name for path in data.paths] == [wnid for wnid in sorted(WORDS) for _ in range(4)]
    assert read(tmp_path, "data.classes=[n02099601,0]", "data.limit=6").class_names == ("n02099601", "n01440764")


def test_classes_have_their_first_word_if_torchvision_s_file_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "train")
    torch.save((WORDS, ["n01440764"]), tmp_path / imagenet.META)
    assert read(tmp_path).class_names == ("n01440764_tench", "n01484850_great_white_shark", "n02099601_x")
    for name in ("n01484850", "n01484850_great_white_shark", "1"):
        some = read(tmp_path, f"data.classes=[{name}]")
        assert some.class_names == ("n01484850_great_white_shark",) and some.count == 4
    assert read(tmp_path, "data.classes=n01440764").count == 4
    (tmp_path / imagenet.META).write_bytes(b"no words")
    assert read(tmp_path).class_names == tuple(sorted(WORDS))
    assert "meta.bin cannot be read" in capsys.readouterr().err


def test_each_split_has_a_folder_of_its_own(tmp_path: Path) -> None:
    write(tmp_path / "train"), write(tmp_path / "val", each=2)
    assert read(tmp_path).count == 12 and read(tmp_path, "data.split=val").count == 6


def test_other_numbers_of_classes_and_images_are_refused(tmp_path: Path, monkeypatch: Patch) -> None:
    write(tmp_path / "train")
    with pytest.raises(DataError, match=r"ImageNet has 1,000 classes, and .*train has 3; .*data\.check_count=false"):
        read(tmp_path, "data.check_count=true")
    monkeypatch.setattr(imagenet, "CLASSES", 3)
    with pytest.raises(DataError, match=r"ImageNet has 1,281,167 images in its train split, and these files hold 12"):
        read(tmp_path, "data.check_count=true")


def test_what_is_not_there_names_archives_size_and_command(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    text, where = str(caught.value), tmp_path / "imagenet"
    assert f"put ILSVRC2012_img_train.tar (138 GB) and {imagenet.DEVKIT} there" in text and "account" in text
    assert f"ImageNet('{where}', 'train')" in text and "\n" not in text
    (tmp_path / "ILSVRC2012_img_train.tar").touch()
    with pytest.raises(DataError, match=r"img_train\.tar must be unpacked first, with ILSVRC2012_devkit") as caught:
        read(tmp_path)
    assert f"ImageNet('{tmp_path}', 'train')" in str(caught.value)


def test_what_torchvision_unpacks_of_a_tar_of_tars_is_read(tmp_path: Path, monkeypatch: Patch) -> None:
    made = write(tmp_path / "made")
    with tarfile.open(tmp_path / "ILSVRC2012_img_train.tar", "w") as outer:
        for wnid in WORDS:
            with tarfile.open(tmp_path / f"{wnid}.tar", "w") as inner:
                for path in sorted((made / wnid).iterdir()):
                    inner.add(path, path.name)
            outer.add(tmp_path / f"{wnid}.tar", f"{wnid}.tar")
    whole = read_pixels(made, tmp_path)
    digest = md5((tmp_path / "ILSVRC2012_img_train.tar").read_bytes())
    monkeypatch.setitem(published.ARCHIVE_META, "train", ("ILSVRC2012_img_train.tar", digest))
    published.parse_train_archive(tmp_path)
    assert torch.equal(read(tmp_path).at(range(12)), whole)


def read_pixels(made: Path, tmp_path: Path) -> torch.Tensor:
    shutil.copytree(made, tmp_path / "copied" / "train")
    return read(tmp_path / "copied").at(range(12))


def test_folders_of_something_else_and_loose_images_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "val" / "ILSVRC2012_val_00000001.png")
    with pytest.raises(DataError, match=r"val holds no folders of classes, n01440764 and so on; move each image"):
        read(tmp_path, "data.split=val")
    write(tmp_path / "train", ("n01440764", "cat"))
    with pytest.raises(DataError, match=r"is not of ImageNet: .* there is cat; data=image_folder reads any folders"):
        read(tmp_path)


def test_a_senseless_split_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.split must be train or val"):
        read(tmp_path, "data.split=test")


def test_two_steps_by_the_command(tmp_path: Path, gantrain: Callable[..., object]) -> None:
    write(tmp_path / "data" / "imagenet" / "train", each=8)
    run = gantrain(
        "data=imagenet", "data.root=data", "data.check_count=false", "data.size=16", "total_steps=2", "batch_size=4",
        "evaluation=none", "device=cpu", "run.dir=run", "architecture.generator.width=4",
        "architecture.discriminator.width=4", "samples.count=6", "conditioning=projection",
    )  # fmt: skip
    assert run.exit_code == 0, run.err
    assert (tmp_path / "run" / "samples" / "real.png").is_file() and "24 images 3×16×16, 3 classes" in run.out + run.err
