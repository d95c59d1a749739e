"""Images that are broken, odd, missing, or not read in time."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import only
from tests.reliability.conftest import Start, error_of, same_state, status
from tests.reliability.test_kill import folder_of

Figure = Callable[[str], None]


def vanish(path: Path) -> None:
    path.rename(path.with_suffix(".away"))


@pytest.mark.row("F12", "images vanish while threads read them (gantrain has no loader processes that could die)")
def test_an_image_that_vanishes_stops_the_run_which_then_goes_on_bit_for_bit(
    start: Start, tmp_path: Path, images: Path, figure: Figure
) -> None:
    disk = (*folder_of(images), "data.in_memory=false", "total_steps=30")
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
    child = start(*folder_of(images), "data.in_memory=false", "data.timeout=1", "total_steps=1000000", "run.dir=run")
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
    assert child.wait() == 3 and "1 of 60 images cannot be read, more than 1%" in error_of(child)
    for k in range(440):
        Image.new("RGB", (8, 8)).save(images / "b" / f"more{k}.png")
    child = start(*folder_of(images), "run.dir=run", "data.on_bad=skip", "total_steps=10")
    assert child.wait() == 0 and f"1 of 500 images are left out; the first: {bad}" in child.text(), child.text()
    assert status(tmp_path / "run")["counters"]["skipped_images"] == 1
    assert str(bad) in (tmp_path / "run" / "skipped_images.txt").read_text()
    figure(f"{kind}: exit 3 naming it; skip: listed, counted, at most 1%")


@pytest.mark.row("F18", "gray, CMYK, RGBA, palette, 16 bits, 1×1, very wide images")
@pytest.mark.parametrize("mode", ["L", "CMYK", "RGBA", "P", "I;16", "1x1", "wide"])
def test_odd_images_are_converted_or_refused(
    start: Start, tmp_path: Path, images: Path, mode: str, figure: Figure
) -> None:
    odd = images / "a" / ("odd.tif" if mode == "CMYK" else "odd.png")
    if mode == "I;16":
        Image.fromarray(np.full((8, 8), 40_000, dtype=np.uint16)).save(odd)
    else:
        size = {"1x1": (1, 1), "wide": (900, 3)}.get(mode, (8, 8))
        Image.new(mode if size == (8, 8) else "RGB", size).save(odd)
    child = start(*folder_of(images), "run.dir=run", "total_steps=5")
    if mode == "I;16":
        assert child.wait() == 3 and f"{odd} has more than 8 bits" in error_of(child)
    else:
        assert child.wait() == 0 and "61 images" in child.text(), child.text()
    figure(f"{mode}: {'refused, exit 3' if mode == 'I;16' else 'converted'}")


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
