"""Folders of images: labels, formats, fitting, and what is refused."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gantrain.data import ImageFolder
from gantrain.errors import ConfigError, DataError
from tests.conftest import SHARED_IMAGES

CPU = torch.device("cpu")
FOLDER = {"size": 8, "fit": "crop", "channels": None, "flip": False, "on_bad": "error", "timeout": 60.0,
          "in_memory": None}  # fmt: skip


def save(path: Path, mode: str = "RGB", size: tuple[int, int] = (12, 10), seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)
    return path


def test_class_folders_give_labels_and_flat_ones_none(tmp_path: Path) -> None:
    names = ["b/1.png", "a/2.PNG", "a/deep/3.jpg", "b/notes.txt", ".ipynb/x.png", "__MACOSX/y.png", "a/.cache/z.png"]
    for k, name in enumerate(names):
        (save if "txt" not in name else lambda p, seed: (p.parent.mkdir(exist_ok=True), p.touch()))(
            tmp_path / "classes" / name, seed=k
        )
    data = ImageFolder(str(tmp_path / "classes"), **FOLDER)
    assert data.classes == 2 and data.labels.tolist() == [0, 0, 1]
    assert [p.name for p in data.paths] == ["2.PNG", "3.jpg", "1.png"]
    save(tmp_path / "flat" / "1.png"), save(tmp_path / "flat" / "2.png"), save(tmp_path / "flat" / ".ipynb" / "3.png")
    flat = ImageFolder(str(tmp_path / "flat"), **FOLDER)
    assert flat.classes == 0 and flat.stream(2, 0, CPU).next()[1] is None


@pytest.mark.parametrize("in_memory", [True, False])
def test_both_ways_of_reading_give_the_same_batches(tmp_path: Path, in_memory: bool) -> None:
    for k in range(12):
        save(tmp_path / str(k % 3) / f"{k}.png", seed=k)
    settings = FOLDER | {"flip": True}
    stream = ImageFolder(str(tmp_path), **settings | {"in_memory": in_memory}).stream(5, 1, CPU)
    reference = ImageFolder(str(tmp_path), **settings | {"in_memory": True}).stream(5, 1, CPU)
    for position in (0, 1, 2, 7, 8, 3):  # forwards, and with jumps as after a resume
        stream.load_state_dict({"position": position}), reference.load_state_dict({"position": position})
        for mine, theirs in zip(stream.next(), reference.next(), strict=True):
            assert torch.equal(mine, theirs)


@pytest.mark.parametrize(
    ("mode", "suffix", "channels"),
    [
        ("L", "png", 1),
        ("1", "png", 1),
        ("LA", "png", 1),
        ("RGB", "jpg", 3),
        ("RGBA", "png", 3),
        ("P", "gif", 3),
        ("CMYK", "jpg", 3),
    ],
)
def test_any_8_bit_mode_is_converted(tmp_path: Path, mode: str, suffix: str, channels: int) -> None:
    save(tmp_path / f"a.{suffix}", mode)
    assert ImageFolder(str(tmp_path), **FOLDER).shape == (channels, 8, 8)
    assert ImageFolder(str(tmp_path), **FOLDER | {"channels": 3}).stream(1, 0, CPU).next()[0].shape == (1, 3, 8, 8)


def test_gray_among_colour_images_becomes_colour(tmp_path: Path) -> None:
    save(tmp_path / "a.png", "L"), save(tmp_path / "b.png", "RGB")
    assert ImageFolder(str(tmp_path), **FOLDER).shape == (3, 8, 8)


def test_fitting_crops_the_middle_pads_or_stretches(tmp_path: Path) -> None:
    wide = np.zeros((8, 24, 3), dtype=np.uint8)
    wide[:, 8:16] = 255  # black, white, black
    Image.fromarray(wide).save(tmp_path / "wide.png")
    means = {
        fit: ImageFolder(str(tmp_path), **FOLDER | {"fit": fit}).stream(1, 0, CPU).next()[0].mean().item()
        for fit in ("crop", "pad", "stretch")
    }
    assert means["crop"] == pytest.approx(1.0, abs=0.02)
    assert means["stretch"] == pytest.approx(-1 / 3, abs=0.1)
    assert means["pad"] == pytest.approx(-7 / 9, abs=0.2)


def test_phone_pictures_are_turned_upright(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8, 3), dtype=np.uint8)
    pixels[:4] = 255  # bright above
    exif = Image.Exif()
    exif[274] = 3  # taken upside down
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    x, _ = ImageFolder(str(tmp_path), **FOLDER).stream(1, 0, CPU).next()
    assert x[0, :, :4].mean() == -1 and x[0, :, 4:].mean() == 1


@pytest.mark.parametrize("damage", ["truncated", "empty", "text"])
@pytest.mark.parametrize("in_memory", [True, False])
def test_a_corrupt_image_is_named(tmp_path: Path, damage: str, in_memory: bool) -> None:
    for k in range(4):
        save(tmp_path / f"good{k}.jpg", seed=k, size=(64, 64))
    content = (tmp_path / "good0.jpg").read_bytes()
    bad = {"truncated": content[: len(content) // 2], "empty": b"", "text": b"<html>not found</html>"}[damage]
    (tmp_path / "bad.jpg").write_bytes(bad)
    with pytest.raises(DataError, match=r"bad\.jpg cannot be read") as caught:
        ImageFolder(str(tmp_path), **FOLDER | {"in_memory": in_memory}).stream(5, 0, CPU).next()
    assert "\n" not in str(caught.value)


def test_a_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "bomb.png", size=(100, 100))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(DataError, match=r"bomb\.png"):
        ImageFolder(str(tmp_path), **FOLDER)


def test_16_bit_images_are_refused_because_they_would_turn_white(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 40_000, dtype=np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(DataError, match=r"deep\.png.*8 bits"):
        ImageFolder(str(tmp_path), **FOLDER)


def test_folders_that_cannot_be_a_data_set_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a folder"):
        ImageFolder(str(tmp_path / "missing"), **FOLDER)
    with pytest.raises(DataError, match="no images"):
        ImageFolder(str(tmp_path), **FOLDER)
    save(tmp_path / "a.png"), save(tmp_path / "class" / "b.png")
    with pytest.raises(DataError, match="both"):
        ImageFolder(str(tmp_path), **FOLDER)


@pytest.mark.parametrize("bad", [{"fit": "squeeze"}, {"channels": 2}, {"size": 0}])
def test_senseless_settings_of_folders_are_refused(tmp_path: Path, bad: dict) -> None:
    save(tmp_path / "a.png")
    with pytest.raises(ConfigError, match=f"data.{next(iter(bad))}"):
        ImageFolder(str(tmp_path), **FOLDER | bad)


@pytest.mark.skipif(not SHARED_IMAGES.exists(), reason="the real images are not here")
def test_real_jpegs_are_read_as_they_are(tmp_path: Path) -> None:
    with tarfile.open(SHARED_IMAGES) as tar:
        wanted = [m for _, m in zip(range(400), tar, strict=False)]
        tar.extractall(tmp_path, [m for m in wanted if m.isfile()], filter="data")
    root = next(p for p in tmp_path.rglob("train") if p.is_dir()) if list(tmp_path.rglob("train")) else tmp_path
    data = ImageFolder(str(root), **FOLDER | {"size": 32})
    assert data.shape == (3, 32, 32) and len(data.paths) > 100
    x, _ = data.stream(64, 0, CPU).next()
    assert -1 <= x.min() < -0.9 and 0.9 < x.max() <= 1 and x.std() > 0.3
    assert np.array_equal(data.read(data.paths[0]), np.asarray(Image.open(data.paths[0])))
