"""Images that are broken, odd, missing, or not read in time."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gantrain.data import MNIST
from gantrain.errors import DataError
from tests.conftest import only, write_mnist
from tests.data.messy import EPS, MALFORMED, ORIENTED, bright_above, logo, read, save
from tests.reliability.conftest import Start, error_of, same_state, status
from tests.reliability.test_kill import folder_of

pytestmark = pytest.mark.thorough

Figure = Callable[[str], None]
FROM_FILES = ("data.in_memory=false", "data.copy=false")  # threads read each batch


def vanish(path: Path) -> None:
    path.rename(path.with_suffix(".away"))


@pytest.mark.row("F12", "images vanish while threads read them (gantrain has no loader processes that could die)")
def test_an_image_that_vanishes_stops_the_run_which_then_goes_on_bit_for_bit(
    start: Start, tmp_path: Path, images: Path, figure: Figure
) -> None:
    disk = (*folder_of(images), *FROM_FILES, "total_steps=30")
    assert start(*disk, "run.dir=whole").wait() == 0
    equal = 0
    for k in range(2):
        child = start(*disk, f"run.dir={k}", faults=(("hold", "training", f"mark{k}", f"go{k}", 12),))
        child.until((tmp_path / f"mark{k}").exists)
        victims = sorted(images.rglob("*.png"))[k::6]
        for path in victims:
            vanish(path)
        (tmp_path / f"go{k}").touch()
        assert child.wait() == 3 and "cannot be read as an image" in error_of(child)
        assert any(str(path) in error_of(child) for path in victims)
        assert status(tmp_path / str(k))["state"] == "failed"
        for path in victims:
            path.with_suffix(".away").rename(path)
        assert start(*disk, f"run.dir={k}").wait() == 0
        equal += same_state(tmp_path / "whole", tmp_path / str(k))
    figure(f"{equal}/2: exit 3 naming the file; put back, the run ended bit-identical")
    assert equal == 2


@pytest.mark.row("F13", "an image file becomes a pipe that never answers, data.timeout=1")
def test_a_disk_that_does_not_answer_stops_the_run(start: Start, tmp_path: Path, images: Path, figure: Figure) -> None:
    child = start(*folder_of(images), *FROM_FILES, "data.timeout=1", "total_steps=1000000", "run.dir=run")
    child.until((tmp_path / "run" / "metrics.jsonl").exists)
    for path in sorted(images.rglob("*.png"))[::3]:
        path.unlink()
        os.mkfifo(path)
    assert child.wait() == 3 and "takes longer than data.timeout=1 seconds" in error_of(child)
    figure("exit 3, naming the file")


BROKEN = {
    "cut off": lambda path, image: path.write_bytes(image[: len(image) // 2]),
    "no bytes": lambda path, image: path.write_bytes(b""),
    "text": lambda path, image: path.write_text("not an image"),
    "a flipped signature": lambda path, image: path.write_bytes(b"\x00" + image[1:]),
    "a decompression bomb": lambda path, image: Image.new("1", (30_000, 30_000)).save(path),
}


@pytest.mark.row(
    "F17", "cut-off, empty and text files, a broken signature, a decompression bomb among 60 (skip: 500) images"
)
@pytest.mark.parametrize("kind", only(["cut off", "a decompression bomb"], BROKEN))
def test_a_broken_image_is_named_or_skipped(
    start: Start, tmp_path: Path, images: Path, kind: str, figure: Figure
) -> None:
    bad = images / "a" / "00.png"
    BROKEN[kind](bad, bad.read_bytes())
    child = start(*folder_of(images), "run.dir=run")
    assert child.wait() == 3 and str(bad) in error_of(child) and not (tmp_path / "run").exists()
    child = start(*folder_of(images), "run.dir=run", "data.on_bad=skip")
    assert child.wait() == 3 and "1 of 60 images cannot be read, more than data.skip_limit=0.01" in error_of(child)
    for k in range(440):
        Image.new("RGB", (8, 8)).save(images / "b" / f"more{k}.png")
    child = start(*folder_of(images), "run.dir=run", "data.on_bad=skip", "total_steps=10")
    assert child.wait() == 0 and f"1 of 500 images are left out; the first: {bad}" in child.text(), child.text()
    assert status(tmp_path / "run")["counters"]["skipped_images"] == 1
    listed = tmp_path / "run" / "skipped_images.txt"
    assert str(bad) in listed.read_text()
    save(bad)
    child = start(*folder_of(images), "run.dir=run", "data.on_bad=skip", "total_steps=12")
    assert child.wait() == 0 and not listed.exists(), child.text()
    figure(f"{kind}: exit 3 naming it; skip: listed, counted, at most data.skip_limit; repaired: listed no longer")


@pytest.mark.row("F18", "gray, CMYK, RGBA, palette, 16 bits, 1×1, very wide images")
@pytest.mark.parametrize("mode", ["L", "CMYK", "RGBA", "P", "I;16", "1x1", "wide"])
def test_odd_images_are_converted(start: Start, tmp_path: Path, images: Path, mode: str, figure: Figure) -> None:
    odd = images / "a" / ("odd.tif" if mode == "CMYK" else "odd.png")
    if mode == "I;16":
        Image.fromarray(np.full((8, 8), 40_000, dtype=np.uint16)).save(odd)
    else:
        size = {"1x1": (1, 1), "wide": (900, 3)}.get(mode, (8, 8))
        Image.new(mode if size == (8, 8) else "RGB", size).save(odd)
    child = start(*folder_of(images), "run.dir=run", "total_steps=5")
    assert child.wait() == 0 and "61 images" in child.text(), child.text()
    figure(f"{mode}: converted")


@pytest.mark.row("F19", "an empty folder, none, one without images, fewer images than a batch")
@pytest.mark.parametrize("kind", ["empty", "missing", "only text", "too few"])
def test_a_folder_that_cannot_be_trained_on_is_refused(start: Start, tmp_path: Path, kind: str, figure: Figure) -> None:
    root = tmp_path / "root"
    if kind != "missing":
        root.mkdir()
    if kind == "only text":
        (root / "a.txt").write_text("a")
    if kind == "too few":
        Image.new("RGB", (8, 8)).save(root / "a.png")
    child = start(*folder_of(root), "run.dir=run")
    assert child.wait() == 3 and not (tmp_path / "run").exists()
    assert ("batch_size=1" if kind == "too few" else "data.root") in error_of(child)
    figure(f"{kind}: exit 3 before step 1")


WRONG_CHANNELS = """
import torch

class Wrong(torch.nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.layer = torch.nn.Linear(64, 8 * 8)

    def forward(self, z, labels):
        return self.layer(z).view(-1, 1, 8, 8)
"""


@pytest.mark.row(
    "F20", "points for a network of images; a size that is no power of two; a generator of gray for colour"
)
@pytest.mark.parametrize("kind", ["points", "size", "channels"])
def test_networks_that_do_not_fit_the_data_are_refused(
    start: Start, tmp_path: Path, images: Path, kind: str, figure: Figure
) -> None:
    (tmp_path / "my_nets.py").write_text(WRONG_CHANNELS)
    (tmp_path / "mine" / "architecture").mkdir(parents=True)
    (tmp_path / "mine" / "architecture" / "wrong.yaml").write_text(
        "latent_dim: 64\n"
        "generator: {_target_: my_nets.Wrong}\n"
        "discriminator: {_target_: gantrain.architectures.dcgan.Discriminator, width: 8, max_width: 8, norm: none,"
        " outputs: 1, minibatch_features: 0}\n"
    )
    command = {
        "points": ("data=ring", "architecture=dcgan"),
        "size": (*folder_of(images)[:2], "data.size=20"),
        "channels": (
            *folder_of(images)[:3], "--config-dir", "mine", "architecture=wrong", "trusted_modules=[my_nets]"
        ),
    }[kind]  # fmt: skip
    child = start(*command, "device=cpu", "run.dir=run")
    assert child.wait() == 2 and "architecture" in error_of(child) and not (tmp_path / "run").exists()
    figure(f"{kind}: exit 2 before step 1")


@pytest.mark.row("F55", "a class and files whose names are no UTF-8, a broken one is skipped; Exif of wrong types")
def test_names_and_tags_of_any_kind_do_not_end_a_run(
    start: Start, tmp_path: Path, images: Path, figure: Figure
) -> None:
    folder = Path(os.fsdecode(os.fsencode(images) + b"/caf\xe9\n"))
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"this file system takes no such names ({error})")
    for k, tag in enumerate(MALFORMED.values()):
        (folder / os.fsdecode(b"%d\xff.jpg" % k)).write_bytes(bright_above("JPEG", ORIENTED, tag))
    (folder / os.fsdecode(b"broken\xff.jpg")).write_bytes(b"no image")
    child = start(*folder_of(images), "run.dir=run", "total_steps=5", "data.on_bad=skip", "data.skip_limit=0.1")
    assert child.wait() == 0 and "65 images 3×8×8, 3 classes" in child.text(), child.text()
    assert (tmp_path / "run" / "skipped_images.txt").read_text().splitlines() == [
        rf"{images}/caf\xe9\n/broken\xff.jpg cannot be read as an image "
        r"(cannot identify image file); remove or replace it"
    ]
    figure(f"read and listed; {len(MALFORMED)} kinds of malformed tags: the image is upright")


@pytest.mark.row("F56", "EPS named x.jpg, x.png and x.tif, a gs on the PATH that leaves a mark")
def test_no_file_starts_a_program(start: Start, tmp_path: Path, images: Path, figure: Figure) -> None:
    marked = 0
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/MARK\n")
    (tmp_path / "bin" / "gs").chmod(0o755)
    for name in ("x.jpg", "x.png", "x.tif"):
        (images / "a" / name).write_bytes(EPS)
        child = start(*folder_of(images), "run.dir=run", faults=(("program_first", str(tmp_path / "bin")),))
        assert child.wait() == 3 and f"{name} cannot be read as an image" in error_of(child)
        marked += (tmp_path / "MARK").exists()
        (images / "a" / name).unlink()
    figure(f"3 files refused by name, {marked} programs started")
    assert marked == 0


def pets(folder: Path, *names: str) -> None:
    for k, name in enumerate(names):
        save(folder / name / "x.png", seed=k)


LAYOUTS = {
    "train beside val": (lambda p: pets(p, "train/cat", "train/dog", "val/cat", "val/dog"), "data.root={}/train"),
    "a folder around all": (lambda p: pets(p, "pets/cat", "pets/dog"), "data.root={}/pets"),
    "around train and val": (lambda p: pets(p, "pets/train/cat", "pets/val/cat"), "data.root={}/pets/train"),
    "images beside folders": (lambda p: (pets(p, "cat"), save(p / "x.png")), "holds both images (x.png) and folders"),
    "an unknown kind alone": (lambda p: (p.mkdir(), (p / "x.heic").touch()), "there are 1 .heic file"),
}


@pytest.mark.row("F57", "train beside val, a folder around all, images beside folders, no known format; an empty name")
@pytest.mark.parametrize("kind", only(["train beside val", "around train and val"], LAYOUTS))
def test_a_folder_that_means_something_else_is_refused_with_what_to_name(
    start: Start, tmp_path: Path, kind: str, figure: Figure
) -> None:
    make, words = LAYOUTS[kind]
    make(tmp_path / "root")
    child = start(*folder_of(tmp_path / "root"), "run.dir=run")
    assert child.wait() == 3 and words.format(tmp_path / "root") in error_of(child)
    child = start("data=image_folder", "data.root=", "run.dir=run")
    assert child.wait() == 3 and "data.root is empty" in error_of(child) and not (tmp_path / "run").exists()
    figure(f"{kind}: exit 3 saying what to name")


@pytest.mark.row("F57", "folders of the system, links that lead nowhere or back, other formats, 10 beside 9")
def test_what_is_no_image_is_passed_over_counted_and_listed(
    start: Start, tmp_path: Path, images: Path, figure: Figure
) -> None:
    pets(images, "10", "9", "@eaDir", "__MACOSX", "lost+found", ".thumbnails")
    (images / "a" / "broken.png").symlink_to("nowhere.png"), (images / "a" / "back").symlink_to(images)
    (images / "a" / "far").symlink_to(images / "9"), (images / "dataset.json").write_text("{}")
    for name in ("x.jfif", "x.jp2"):
        Image.new("RGB", (8, 8)).save(images / "9" / name, {"x.jfif": "JPEG"}.get(name))
    child = start(*folder_of(images), "run.dir=run", "total_steps=5")
    assert child.wait() == 0 and "67 images 3×8×8, 4 classes" in child.text(), child.text()  # far: 3 more
    assert "passed over: 1 .json file, 1 broken link, 1 circular link" in child.text()
    listed = (tmp_path / "run" / "passed_over.txt").read_text().splitlines()
    manifest = json.loads(next((tmp_path / "run").glob("checkpoints/step-*/manifest.json")).read_text())
    assert len(listed) == 3 and manifest["generator"]["class_names"] == ["9", "10", "a", "b"]
    figure("counted in one line, listed in passed_over.txt; classes 9, 10, a, b")


@pytest.mark.row("F57", "a run whose classes were numbered 1, 10, 9 goes on")
def test_a_run_from_before_natural_order_is_told_that_its_classes_have_other_numbers(
    start: Start, tmp_path: Path, images: Path, figure: Figure
) -> None:
    pets(images, "10", "9")
    child = start(*folder_of(images), "run.dir=run", "total_steps=5", faults=(("name_no_classes",),))
    assert child.wait() == 0, child.text()
    child = start(*folder_of(images), "run.dir=run", "total_steps=7")
    assert child.wait() == 0
    assert "not bit-exact: the classes have other numbers, class 0 was 10 and is 9" in child.text(), child.text()
    figure("said at the resume, and kept among its departures")


@pytest.mark.row("F58", "a logo above a hidden colour, as RGBA, gray with alpha and palette, on white and on red")
def test_what_is_transparent_is_seen_on_the_background(tmp_path: Path, figure: Figure) -> None:
    logo().save(tmp_path / "rgba.png"), logo().convert("LA").save(tmp_path / "la.png")
    palette = logo(hidden=(9, 9, 9)).convert("RGB").quantize(4)
    palette.save(tmp_path / "palette.png", transparency=palette.getpixel((0, 0)))
    for background, rgb in (("white", (255, 255, 255)), ([200, 0, 0], (200, 0, 0))):
        for image in read(tmp_path, size=16, background=background).at(range(3)):
            assert image[:, 0, 0].tolist() == list(rgb) and image[:, 8, 8].tolist() == [0, 0, 0]
    four = read(tmp_path, size=16, channels=4).at(range(3))
    assert (four[:, 3, 0, 0] == 0).all() and (four[:, :3, 0, 0] == 255).all() and (four[:, 3, 8, 8] == 255).all()
    figure("3/3 show the background; with data.channels=4 the hidden colour is gone")


@pytest.mark.row("F59", "a class folder that cannot be opened")
@pytest.mark.parametrize("name", ["a", "b"])
def test_a_class_that_cannot_be_opened_ends_the_run(
    start: Start, tmp_path: Path, images: Path, name: str, figure: Figure
) -> None:
    child = start(*folder_of(images), "run.dir=run", faults=(("forbid_folder", str(images / name)),))
    assert child.wait() == 3 and f"{images / name} cannot be read (Permission denied)" in error_of(child)
    figure("exit 3 naming it; no class takes its number")


@pytest.mark.row("F59", "a truncated JPEG among 61 images, in memory, decoded on disk, and read batch by batch")
@pytest.mark.parametrize("way", ["data.in_memory=true", "data.copy=true", "data.copy=false"])
def test_a_truncated_image_ends_the_run_before_its_first_step_however_images_are_held(
    start: Start, tmp_path: Path, images: Path, way: str, figure: Figure
) -> None:
    save(images / "a" / "cut.jpg", size=(64, 64))
    content = (images / "a" / "cut.jpg").read_bytes()
    (images / "a" / "cut.jpg").write_bytes(content[: len(content) // 2])
    child = start(*folder_of(images), "data.in_memory=false", way, "run.dir=run")
    assert child.wait() == 3 and f"{images / 'a' / 'cut.jpg'} cannot be read" in error_of(child)
    assert not (tmp_path / "run").exists()
    figure("exit 3 naming it before step 1")


@pytest.mark.row("F60", "400 files, 40 steps with 8 evaluations: how often is one opened?")
@pytest.mark.parametrize("way", ["in_memory=true", "copy=true"])
def test_every_file_is_opened_once_however_often_the_run_is_evaluated(
    start: Start, tmp_path: Path, way: str, figure: Figure
) -> None:
    for k in range(400):
        save(tmp_path / "root" / str(k % 4) / f"{k}.png", seed=k)
    child = start(
        *folder_of(tmp_path / "root"), "data.in_memory=false", f"data.{way}", "evaluation=pixels", "evaluation.every=5",
        "evaluation.n_fake=100", "total_steps=40", "run.dir=run", faults=(("count_pictures", "opened"),),
    )  # fmt: skip
    assert child.wait() == 0, child.text()
    evaluations = json.loads((tmp_path / "run" / "status.json").read_text())
    opened = int((tmp_path / "opened").read_text())
    figure(f"data.{way}: {opened} opens")
    assert opened == 400 and evaluations["state"] == "finished"
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert sum(any(name.startswith("eval_pixels") for name in line) for line in lines) == 8


@pytest.mark.row("F61", "100 made-up images, 60 labels for 100 images, a label 12, a web page, a root among the files")
def test_files_that_are_not_mnist_are_refused_and_a_root_among_them_is_understood(
    tmp_path: Path, figure: Figure
) -> None:
    images, labels = torch.zeros(100, 1, 28, 28, dtype=torch.uint8), torch.arange(100) % 10
    write_mnist(tmp_path, train=(images, labels), test=(images, labels))
    raw = tmp_path / "MNIST" / "raw"
    whole = {path: path.read_bytes() for path in raw.iterdir()}
    of_labels, of_images = raw / "train-labels-idx1-ubyte", raw / "train-images-idx3-ubyte"
    faults = {
        "60,000 images": (of_images, whole[of_images], True),
        "100 images and 60 labels": (of_labels, struct.pack(">2i", 2049, 60) + bytes(60), False),
        "there is 12": (of_labels, whole[of_labels][:-1] + b"\x0c", False),
        "or damaged": (of_images, b"<html>404</html>" * 30, False),
    }
    for words, (path, content, check_count) in faults.items():
        path.write_bytes(content)
        with pytest.raises(DataError, match=words):
            MNIST(str(tmp_path), "train", 28, False, check_count)
        path.write_bytes(whole[path])
    for root in (tmp_path, tmp_path / "MNIST", raw, of_images):
        assert len(MNIST(str(root), "train", 28, False, False).pixels) == 100
    figure(f"{len(faults)}/{len(faults)} refused with a sentence; 4/4 roots understood")
