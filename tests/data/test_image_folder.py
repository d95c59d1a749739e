"""Folders of images: labels, formats, fitting, and what is refused."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import PIL
import pytest
import torch
from PIL import Image

from gantrain.data import ImageFolder
from gantrain.errors import ConfigError, DataError
from tests.conftest import SHARED_IMAGES
from tests.data.messy import FOLDER, exif, read, save

CPU = torch.device("cpu")
WAYS = {
    "memory": {"in_memory": True},
    "copy": {"in_memory": False, "copy": True},
    "files": {"in_memory": False, "copy": False},
}
"""The ways in which images are held: in memory, decoded in a file of the cache, or nowhere."""


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


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("GANTRAIN_CACHE", str(cache))
    return cache


@pytest.mark.parametrize("modes", [("RGB",), ("L",), ("L", "RGB", "RGBA")])
@pytest.mark.parametrize("way", WAYS)
def test_all_ways_of_reading_give_the_same_batches(tmp_path: Path, way: str, modes: tuple[str, ...]) -> None:
    for k in range(12):
        save(tmp_path / str(k % 3) / f"{k}.png", modes[k % len(modes)], seed=k)
    data, reference = (read(tmp_path, flip=True, **WAYS[name]) for name in (way, "memory"))
    assert data.shape == reference.shape == (1 if modes == ("L",) else 3, 8, 8)
    assert torch.equal(data.at([3, 0, 7]), reference.at([3, 0, 7]))
    assert torch.equal(torch.cat([*data.once(5)]), reference.at(range(12)))
    assert data.fingerprint() == reference.fingerprint() and data.identity() == reference.identity()
    stream, reference = data.stream(5, 1, CPU), reference.stream(5, 1, CPU)
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
@pytest.mark.parametrize("way", WAYS)
def test_a_corrupt_image_is_named_before_the_first_batch(tmp_path: Path, damage: str, way: str) -> None:
    for k in range(4):
        save(tmp_path / f"good{k}.jpg", seed=k, size=(64, 64))
    content = (tmp_path / "good0.jpg").read_bytes()
    bad = {"truncated": content[: len(content) // 2], "empty": b"", "text": b"<html>not found</html>"}[damage]
    (tmp_path / "bad.jpg").write_bytes(bad)
    with pytest.raises(DataError, match=r"bad\.jpg cannot be read") as caught:
        read(tmp_path, **WAYS[way])
    assert "\n" not in str(caught.value)


def test_a_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "bomb.png", size=(100, 100))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(DataError, match=r"bomb\.png"):
        ImageFolder(str(tmp_path), **FOLDER)


def test_folders_that_cannot_be_a_data_set_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="neither a folder nor a zip or tar"):
        ImageFolder(str(tmp_path / "missing"), **FOLDER)
    with pytest.raises(DataError, match="no images"):
        ImageFolder(str(tmp_path), **FOLDER)
    save(tmp_path / "a.png"), save(tmp_path / "class" / "b.png")
    with pytest.raises(DataError, match="both"):
        ImageFolder(str(tmp_path), **FOLDER)


@pytest.mark.parametrize(
    "bad",
    [
        *({"fit": "squeeze"}, {"channels": 2}, {"size": 0}, {"skip_limit": 1}, {"skip_limit": "2%"}),
        *({"copy": "maybe"}, {"background": "whitish"}),
    ],
)
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
    assert np.array_equal(data.at([0])[0].permute(1, 2, 0), np.asarray(Image.open(data.paths[0])))


def broken(folder: Path, good: int, bad: int) -> None:
    folder.mkdir(exist_ok=True)
    for k in range(good):
        save(folder / f"good{k}.png", seed=k)
    for k in range(bad):
        (folder / f"bad{k}.png").write_bytes(b"no image")


@pytest.mark.parametrize("way", WAYS)
def test_images_that_cannot_be_read_are_skipped_up_to_a_share(
    tmp_path: Path, way: str, capsys: pytest.CaptureFixture[str]
) -> None:
    broken(tmp_path / "a", good=9, bad=1), broken(tmp_path / "b", good=10, bad=0)
    ways = WAYS[way] | {"on_bad": "skip"}
    with pytest.raises(DataError, match=r"1 of 20 images cannot be read, more than data\.skip_limit=0\.01 of them"):
        read(tmp_path, **ways)
    data = read(tmp_path, skip_limit=0.05, **ways)
    again = read(tmp_path, skip_limit=0.05, **ways)  # from the copy, if there is one
    for each in (data, again):
        assert len(each.paths) == each.count == 19 and each.labels.tolist() == [0] * 9 + [1] * 10
        assert len(each.skipped) == 1 and "bad0.png cannot be read as an image" in each.skipped[0]
    assert torch.equal(again.at(range(19)), torch.cat([*data.once(4)]))
    good = [torch.equal(data.at([k])[0], read(tmp_path / "b").at([k])[0]) for k in range(9)]
    assert all(good)  # the images of both classes are the same: none has moved
    assert capsys.readouterr().err.count("1 of 20 images are left out; the first: ") == 2


def test_a_class_of_which_nothing_can_be_read_is_refused(tmp_path: Path) -> None:
    broken(tmp_path / "a", good=9, bad=0), broken(tmp_path / "b", good=0, bad=1)
    with pytest.raises(DataError, match=r"no image of the class b can be read; the first: .*bad0\.png"):
        read(tmp_path, on_bad="skip", skip_limit=0.5)


@pytest.mark.parametrize("on_bad", ["error", "skip"])
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path, on_bad: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(tmp_path, good=3, bad=0)
    opening = Image.open

    def forbidden(path: Path, **options: object) -> Image.Image:
        if path.name == "good1.png":
            raise PermissionError(13, "Permission denied", str(path))
        return opening(path, **options)

    monkeypatch.setattr(Image, "open", forbidden)  # root may read everything
    with pytest.raises(DataError, match=r"good1\.png cannot be read as an image \(Permission denied\)$"):
        read(tmp_path, on_bad=on_bad)


def test_warnings_bear_the_names_of_the_files_they_are_about(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "fine.jpg")
    for k in range(3):
        Image.new("RGB", (8, 8)).save(tmp_path / f"odd{k}.jpg", exif=exif((0x10F, 2, 100, b"\xff\xff\xff\x7f")))
    read(tmp_path)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        f"gantrain: warning: {tmp_path / 'odd0.jpg'} and 2 more: Tag data larger than file. Skipping tag 271"
    ]


def test_what_an_earlier_version_read_alike_keeps_its_fingerprint(tmp_path: Path) -> None:
    # Written down at the commit before transparency, JPEGs at a part of their size and natural order came.
    for k, name in enumerate(("cat/0.png", "cat/1.png", "dog/é 2.png")):
        save(tmp_path / name, seed=k)
    sizes = [path.stat().st_size for path in sorted(tmp_path.rglob("*.png"))]
    names = "\n".join([f"cat/0.png {sizes[0]}", f"cat/1.png {sizes[1]}", f"dog/é 2.png {sizes[2]}", "crop"])
    before = f"3 images 3×8×8, 2 classes ({hashlib.sha256(names.encode()).hexdigest()[:12]}, Pillow {PIL.__version__})"
    assert read(tmp_path).fingerprint() == before
    Image.new("RGBA", (8, 8), (0, 0, 0, 9)).save(tmp_path / "cat" / "1.png")
    white, red = (read(tmp_path, background=colour).fingerprint() for colour in ("white", "red"))
    assert len({before, white, red}) == 3


def test_names_that_are_no_utf_8_are_read_and_listed(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    try:
        save(folder / "a.png")
    except OSError as error:
        pytest.skip(f"this file system takes no such names ({error})")
    save(tmp_path / "b" / "b.png"), (folder / os.fsdecode(b"\xff.png")).write_bytes(b"no image")
    for way in WAYS.values():
        data = read(tmp_path, on_bad="skip", skip_limit=0.4, **way)
        assert data.class_names == ("b", r"caf\xe9") and len(data.paths) == 2
        texts = [data.fingerprint(), data.identity(), data.freshness(), *data.skipped, *data.class_names]
        assert all(text.encode() for text in texts) and r"caf\xe9/\xff.png" in data.skipped[0]
    with pytest.raises(DataError, match=r"caf\\xe9/\\xff\.png cannot be read"):
        read(tmp_path)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that Pillow has opened."""
    names, opening = [], Image.open

    def noted(path: Path, **options: object) -> Image.Image:
        names.append(Path(path).name)
        return opening(path, **options)

    monkeypatch.setattr(Image, "open", noted)
    return names


def test_every_file_is_opened_once_whatever_reads_the_images(tmp_path: Path, opened: list[str]) -> None:
    broken(tmp_path, good=30, bad=1)
    for name, way in WAYS.items():
        opened.clear()
        data = read(tmp_path, on_bad="skip", skip_limit=0.1, **way)
        assert len(opened) == len(set(opened)) == 31
        for _ in range(3):
            torch.cat([*data.once(7)])
        assert len(opened) == 31 + (90 if name == "files" else 0)
    read(tmp_path, on_bad="skip", skip_limit=0.1, **WAYS["copy"])
    assert len(opened) == 31 + 90  # the last way's; the copy is there already


def test_a_copy_is_made_anew_when_a_file_has_changed_and_when_it_is_damaged(
    tmp_path: Path, own_cache: Path, opened: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    broken(tmp_path, good=3, bad=0)
    whole = read(tmp_path, **WAYS["copy"]).at(range(3))
    save(tmp_path / "good1.png", seed=9)
    changed = read(tmp_path, **WAYS["copy"]).at(range(3))
    assert not torch.equal(changed[1], whole[1]) and torch.equal(changed[[0, 2]], whole[[0, 2]])
    assert len(opened) == 6
    (copy,) = own_cache.glob(f"{next(p.stem for p in own_cache.glob('*.json') if made_last(p, own_cache))}.bin")
    damages = [
        lambda: copy.write_bytes(copy.read_bytes()[:-1]),
        lambda: copy.unlink(),
        *(lambda text=text: copy.with_suffix(".json").write_text(text) for text in ("", "[]", '{"count": 3}', "{" * 9)),
        lambda: copy.with_suffix(".json").write_text(copy.with_suffix(".json").read_text().replace("3", "4")),
    ]
    for k, damage in enumerate(damages):
        damage()
        assert torch.equal(read(tmp_path, **WAYS["copy"]).at(range(3)), changed)
        assert len(opened) == 6 + 3 * (k + 1)
    assert capsys.readouterr().err.count("is made again") == len(damages) - 1


def made_last(path: Path, folder: Path) -> bool:
    return path == max(folder.glob("*.json"), key=lambda p: p.stat().st_mtime_ns)


@pytest.mark.parametrize("kind", ["a file in its place", "no room"])
def test_without_a_place_for_a_copy_threads_read_the_files(
    kind: str, tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken(tmp_path, good=6, bad=0)
    if kind == "no room":
        monkeypatch.setattr("gantrain.data.copies.SHARE", 0.0)
    else:
        (tmp_path / "file").touch()
        monkeypatch.setenv("GANTRAIN_CACHE", str(tmp_path / "file" / "cache"))
    data = read(tmp_path, in_memory=False)
    assert torch.equal(data.at(range(6)), read(tmp_path).at(range(6)))
    assert list(own_cache.iterdir()) == []
    assert ("no decoded copy" in capsys.readouterr().err) == (kind != "no room")


def test_a_full_disk_in_the_middle_of_a_copy_costs_a_warning(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken(tmp_path, good=6, bad=0)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    data = read(tmp_path, **WAYS["copy"])
    assert torch.equal(data.at(range(6)), read(tmp_path).at(range(6)))
    assert "No space left on device" in capsys.readouterr().err
    assert [path.suffix for path in own_cache.iterdir()] == [".lock"]


def test_images_are_held_in_memory_up_to_a_quarter_of_what_the_container_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(tmp_path, good=6, bad=0)  # 6 · 8 · 8 · 3 bytes
    for limit, held in ((4 * 1152, True), (4 * 1152 - 1, False)):
        monkeypatch.setattr("gantrain.data.memory.limit", lambda limit=limit: limit)
        assert read(tmp_path).in_memory == held
        assert read(tmp_path, in_memory=not held).in_memory == (not held)


def test_a_run_that_reads_each_batch_from_files_ends_without_a_traceback(tmp_path: Path) -> None:
    for k in range(8):
        save(tmp_path / "images" / f"{k}.png", seed=k)
    arguments = ("data=image_folder", "data.root=images", "data.size=8", "data.in_memory=false", "data.copy=false")
    short = ("total_steps=2", "batch_size=4", "device=cpu", "evaluation=none", "run.dir=run")
    command = [sys.executable, "-m", "gantrain", *arguments, *short]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
