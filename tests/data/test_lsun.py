"""LSUN's databases, made by the package lmdb as the published ones are."""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gantrain.build import build_data, build_quality
from gantrain.data import LSUN, lsun
from gantrain.errors import ConfigError, DataError
from tests.conftest import config

Patch = pytest.MonkeyPatch
WAYS = (
    ("data.in_memory=true",),
    ("data.in_memory=false", "data.copy=true"),
    ("data.in_memory=false", "data.copy=false"),
)


def scene(seed: int) -> bytes:
    """A photograph of WebP, as in the published databases."""
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((56, 40)).save(file, "webp")
    return file.getvalue()


def write(where: Path, name: str = "bedroom", count: int = 6, split: str = "train", seed: int = 0) -> Path:
    """Write a database, whose keys are digests in no order of the images; return its folder."""
    lmdb = pytest.importorskip("lmdb")
    folder = where / f"{name}_{split}_lmdb"
    folder.mkdir(parents=True)
    with lmdb.open(str(folder), map_size=2**24) as database, database.begin(write=True) as transaction:
        for k in range(count):
            content = scene(seed + k)
            transaction.put(hashlib.sha1(content).hexdigest().encode(), content)
    return folder


def read(root: Path, *more: str) -> LSUN:
    """The data set as the command builds it, of any number of images."""
    data = build_data(config("data=lsun", f"data.root='{root}'", "data.size=16", "data.check_count=false", *more))
    assert isinstance(data, LSUN)
    return data


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setenv("GANTRAIN_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("way", WAYS, ids=["memory", "copy", "files"])
def test_images_come_in_the_order_of_their_keys_class_by_class(way: tuple[str, ...], tmp_path: Path) -> None:
    write(tmp_path / "lsun"), write(tmp_path / "lsun", "tower", 4, seed=50)
    data = read(tmp_path, "data.classes=[tower,bedroom]", *way)
    assert data.labels.tolist() == [0] * 4 + [1] * 6 and data.class_names == ("tower", "bedroom")
    wanted = []
    for first, count in ((50, 4), (0, 6)):
        scenes = sorted((scene(first + k) for k in range(count)), key=lambda found: hashlib.sha1(found).hexdigest())
        for found in scenes:
            image = Image.open(io.BytesIO(found)).resize((16, 16), Image.LANCZOS, (8, 0, 48, 40))
            wanted.append(np.asarray(image))
    assert np.array_equal(data.at(range(10)).permute(0, 2, 3, 1).numpy(), np.stack(wanted))
    assert torch.equal(torch.cat([*data.once(3)]), data.at(range(10)))
    assert [entry.size for entry in data.entries[:4]] == [len(found) for found in sorted(map(scene, range(50, 54)),
        key=lambda found: hashlib.sha1(found).hexdigest())]  # fmt: skip


def test_a_root_may_be_the_folder_itself_and_each_split_has_databases_of_its_own(tmp_path: Path) -> None:
    write(tmp_path / "lsun"), write(tmp_path / "lsun", count=3, split="val")
    assert read(tmp_path / "lsun").count == 6 and read(tmp_path / "lsun", "data.split=val").count == 3


def test_the_parts_of_any_set_of_images_are_there(tmp_path: Path) -> None:
    write(tmp_path / "lsun"), write(tmp_path / "lsun", "tower", seed=50)
    some = read(tmp_path, "data.classes=[bedroom,tower]", "data.limit=4", "data.imbalance=3")
    assert torch.bincount(some.labels).tolist() == [3, 1]
    by_number = read(tmp_path, "data.classes=[9,0]")
    assert by_number.class_names == ("tower", "bedroom")
    only = read(tmp_path, "data.classes=tower", "data.channels=1")
    assert only.classes == 1 and only.shape == (1, 16, 16)


def test_no_image_that_is_not_kept_is_looked_at(tmp_path: Path, monkeypatch: Patch) -> None:
    write(tmp_path / "lsun")
    looked: list[bytes] = []
    size = lsun.size
    monkeypatch.setattr(lsun, "size", lambda folder, key: looked.append(key) or size(folder, key))
    assert read(tmp_path, "data.limit=2").count == len(looked) == 2


def test_another_number_of_images_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "lsun", count=5, split="val")
    with pytest.raises(DataError, match=r"LSUN's bedroom has 300 images in its val split, and these files hold 5"):
        read(tmp_path, "data.split=val", "data.check_count=true")


def test_what_is_missing_is_named_with_its_address(tmp_path: Path) -> None:
    write(tmp_path / "lsun")
    with pytest.raises(DataError, match=r"tower_train_lmdb is not in .*lsun: put http://dl.*/tower_train_lmdb\.zip"):
        read(tmp_path, "data.classes=[bedroom,tower]")
    (tmp_path / "lsun" / "tower_train_lmdb.zip").touch()
    with pytest.raises(DataError, match=r"tower_train_lmdb is not in .*lsun: unzip .*tower_train_lmdb\.zip first"):
        read(tmp_path, "data.classes=[tower]")


def cut_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-4096])


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def overwritten(file: Path) -> None:
    file.write_bytes(b"no database" * 1000)


@pytest.mark.parametrize("damage", [cut_off, emptied, overwritten])
def test_a_damaged_database_is_refused_and_ends_no_process(damage: Callable[[Path], None], tmp_path: Path) -> None:
    damage(write(tmp_path / "lsun") / "data.mdb")
    with pytest.raises(
        DataError, match=r"bedroom_train_lmdb is no whole database of images \(.*unzip bedroom_train_lm"
    ):
        read(tmp_path)


def test_an_image_that_cannot_be_read_is_named_and_may_be_skipped(tmp_path: Path) -> None:
    lmdb = pytest.importorskip("lmdb")
    folder = write(tmp_path / "lsun")
    with lmdb.open(str(folder), map_size=2**24) as database, database.begin(write=True) as transaction:
        transaction.put(b"000bad", b"no image")
    with pytest.raises(DataError, match=r"bedroom_train_lmdb/000bad cannot be read as an image"):
        read(tmp_path)
    assert read(tmp_path, "data.on_bad=skip", "data.skip_limit=0.2").count == 6


def test_keys_that_are_no_names_are_refused(tmp_path: Path) -> None:
    lmdb = pytest.importorskip("lmdb")
    folder = write(tmp_path / "lsun")
    with lmdb.open(str(folder), map_size=2**24) as database, database.begin(write=True) as transaction:
        transaction.put(b"../../etc/passwd", scene(0))
    with pytest.raises(DataError, match=r"it has the key b'\.\./"):
        read(tmp_path)


def test_without_lmdb_the_extra_is_named(tmp_path: Path, monkeypatch: Patch) -> None:
    (folder := tmp_path / "lsun" / "bedroom_train_lmdb").mkdir(parents=True)
    (folder / "data.mdb").touch()
    monkeypatch.setitem(sys.modules, "lmdb", None)
    with pytest.raises(ConfigError, match=r"needs the package lmdb: pip install 'gantrain\[lsun\]'"):
        read(tmp_path)


@pytest.mark.parametrize(
    "wrong", ["data.split=test", "data.classes=[cat]", "data.classes=[0,bedroom]", "data.classes=[]"]
)
def test_a_senseless_setting_is_refused_by_name(wrong: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=wrong.partition("=")[0].replace(".", r"\.")):
        read(tmp_path, wrong)


def test_a_split_to_compare_with_that_there_is_not_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "lsun")
    cfg = config("data=lsun", f"data.root='{tmp_path}'", "data.check_count=false", "evaluation.split=test")
    data = build_data(cfg)
    with pytest.raises(ConfigError, match=r"evaluation\.split=test: data\.split must be train or val, got 'test'"):
        build_quality(cfg, data, torch.device("cpu"))


def test_a_run_that_is_compared_with_the_other_split_by_the_command(
    tmp_path: Path, gantrain: Callable[..., object]
) -> None:
    write(tmp_path / "data" / "lsun", count=120), write(tmp_path / "data" / "lsun", count=110, split="val", seed=500)
    run = gantrain(
        "data=lsun", "data.root=data", "data.check_count=false", "data.size=16", "total_steps=2", "batch_size=4",
        "evaluation.split=val", "evaluation.n_fake=100", f"evaluation.cache='{tmp_path / 'features'}'", "device=cpu",
        "run.dir=run", "architecture.generator.width=4", "architecture.discriminator.width=4", "samples.count=4",
    )  # fmt: skip
    assert run.exit_code == 0, run.err
    assert (tmp_path / "run" / "evaluation.json").is_file() and "120 images 3×16×16, 1 classes" in run.out + run.err
