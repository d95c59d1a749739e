"""``gantrain-data``: what it says of a data set, and that it writes nothing else than what is asked for."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gantrain.cli import data as data_command
from gantrain.data import files
from tests.commands.conftest import Command
from tests.conftest import command
from tests.data.messy import save


@pytest.fixture
def gantrain_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    monkeypatch.setenv("GANTRAIN_CACHE", str(tmp_path / "cache"))
    yield from command(data_command.main, "gantrain-data", tmp_path, monkeypatch, capsys)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Ten photographs of two classes, of several sizes, four of which cannot be read, and other files."""
    folder = tmp_path / "photos"
    for k, (w, h) in enumerate([(60, 40), (60, 40), (60, 40), (40, 60)]):
        save(folder / "cat" / f"{k}.png", size=(w, h), seed=k)
    save(folder / "dog" / "again.png", size=(60, 40), seed=0)
    save(folder / "dog" / "gray.png", "L", size=(300, 300), seed=9)
    (folder / "cat" / "cut.png").write_bytes((folder / "cat" / "0.png").read_bytes()[:900])
    (folder / "dog" / "page.jpg").write_text("<html>")
    (folder / "dog" / "empty.png").touch()
    Image.fromarray(np.zeros((9, 9), np.float32) + 999).save(folder / "dog" / "deep.tif")
    (folder / "notes.txt").touch()
    turned = Image.open(folder / "cat" / "1.png").resize((50, 30))
    exif = turned.getexif()
    exif[0x112] = 6
    turned.save(folder / "cat" / "turned.jpg", exif=exif)
    return folder


ASKED = ("data=image_folder", "data.root=photos", "data.size=16")


def test_a_folder_that_training_would_refuse_is_reported_whole(gantrain_data: Command, photos: Path) -> None:
    before = sorted(photos.parent.rglob("*"))
    outcome = gantrain_data(*ASKED)
    assert outcome.exit_code == 0
    lines = outcome.out.splitlines()
    assert max(map(len, lines)) <= 80 and not any(line != line.rstrip() for line in lines)
    told = " ".join(outcome.out.split())
    for text in (
        "samples 7 images (3, 16, 16)",
        "classes 2, largest : smallest 2.5 : 1 (cat : dog) cat 5 dog 2",
        "files 11 images",
        "PNG 6, JPEG 1",
        "sizes 60×40: 4, 40×60: 1, 30×50: 1, and 1 other size",
        "smallest 30×50, largest 300×300, median side 40",
        "modes RGB 6, L 1",
        "cropped to a square 6, 34% is cut off on average",
        "made smaller all",
        "gray to three channels 1",
        "turned upright (Exif) 1",
        "kept in memory",
        "unreadable 4 of 11",
        "exact copies 1 (14%) in 1 group, beside the first of each; 1 group is in several classes",
        "cat/0.png = dog/again.png",
        "passed over photos/notes.txt: .txt file",
        "data.size=32 the power of two up to the median side, 40",
        "data.skip_limit=0.37",
    ):
        assert text in told, text
    for name in ("cat/cut.png", "dog/page.jpg", "dog/empty.png", "dog/deep.tif"):
        assert f"photos/{name} " in told, name
    assert "data.range" in told
    assert sorted(photos.parent.rglob("*")) == before


def test_what_it_suggests_is_a_command_that_trains(gantrain_data: Command, photos: Path) -> None:
    words = json.loads(gantrain_data(*ASKED, "json=true", "data.fit=pad").out)["command"]
    assert words[:2] == ["gantrain", "data=image_folder"] and "json=true" not in words and "data.fit=pad" in words
    assert [word for word in words if word.startswith("data.size")] == ["data.size=32"]
    again = json.loads(gantrain_data(*words[1:], "json=true").out)
    assert sorted(again["command"]) == sorted(words) and again["samples"] == 7


def test_json_is_one_object_the_same_of_a_folder_and_of_archives(gantrain_data: Command, photos: Path) -> None:
    with zipfile.ZipFile("photos.zip", "w") as archive:
        for path in sorted(photos.rglob("*.*")):
            archive.write(path, path.relative_to(photos))
    subprocess.run(["tar", "cf", "photos.tar", "photos"], check=True)
    found = []
    for root in ("photos", "photos.zip", "photos.tar/photos"):
        outcome = gantrain_data("data=image_folder", f"data.root={root}", "data.size=16", "json=true")
        assert outcome.exit_code == 0 and len(outcome.out.splitlines()) == 1
        found.append(outcome.out.replace(root, "ROOT"))
    assert found[0] == found[1] == found[2]
    facts = json.loads(found[0])
    assert facts["files"]["loader"]["turned"] == 1 and facts["duplicates"]["exact"]["members"] == [
        ["cat/0.png", "dog/again.png"]
    ]
    assert facts["kind"] == "images" and facts["balance"] == 2.5 and len(facts["unreadable"]) == 4


def test_a_folder_of_which_nothing_can_be_read_is_reported_too(gantrain_data: Command, tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "1.png").write_text("no image")
    outcome = gantrain_data("data=image_folder", "data.root=bad")
    assert outcome.exit_code == 0 and "0 images" in outcome.out and "bad/1.png cannot be read" in outcome.out
    assert "train with" not in outcome.out
    assert json.loads(gantrain_data("data=image_folder", "data.root=bad", "json=true").out)["suggestions"] == {}
    refused = gantrain_data("data=image_folder", "data.root=bad", "out=look.png")
    assert refused.exit_code == 2 and "nothing to draw" in refused.err and not Path("look.png").exists()


def test_gray_files_and_other_ways_of_fitting(gantrain_data: Command, tmp_path: Path) -> None:
    for k in range(3):
        save(tmp_path / "gray" / f"{k}.png", "L", size=(12, 8), seed=k)
    outcome = gantrain_data("data=image_folder", "data.root=gray", "data.size=16", "data.fit=pad")
    told = " ".join(outcome.out.split())
    assert "classes none" in told and "samples 3 images (1, 16, 16)" in told
    assert "padded to a square all, 33% of the square is black on average" in told
    assert "made larger, so blurred all" in told and "data.channels=1 every image is gray" in told


def test_where_training_would_keep_the_images_is_what_the_loader_decides(
    gantrain_data: Command, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "from the files" in gantrain_data(*ASKED, "data.in_memory=false", "data.copy=false").out
    monkeypatch.setattr(files.memory, "limit", lambda: 4 * 11 * 16 * 16 * 3 - 1)
    assert "a file of the cache" in gantrain_data(*ASKED).out


def test_the_picture_has_a_row_for_each_class_and_nothing_is_overwritten(gantrain_data: Command, photos: Path) -> None:
    outcome = gantrain_data(*ASKED, "out=deep/look.png")
    assert outcome.exit_code == 0 and "picture       deep/look.png" in outcome.out
    picture = Image.open("deep/look.png")
    assert picture.size == (5 * 34 + 2 + 8 + 128 + 4 + 8, 132)  # five cats at most, images twice as large; the mean
    content = Path("deep/look.png").read_bytes()
    for out, words in {"deep/look.png": "exists", "look.jpg": "must end in .png"}.items():
        refused = gantrain_data(*ASKED, f"out={out}")
        assert refused.exit_code == 2 and words in refused.err and not refused.out
    assert Path("deep/look.png").read_bytes() == content and not Path("look.jpg").exists()


@pytest.mark.parametrize("option", ["digits", "ring", "grid", "mixture", "sines", "stacked_digits"])
def test_every_set_that_needs_no_files_is_looked_at_and_drawn(gantrain_data: Command, option: str) -> None:
    outcome = gantrain_data(f"data={option}", "out=look.png", "json=true")
    facts = json.loads(outcome.out)
    assert outcome.exit_code == 0 and facts["data"] == option and facts["out"] == "look.png"
    assert Image.open("look.png").size[0] > 64
    assert facts["suggestions"]["batch_size"] <= 256


OWN = """
import torch
from gantrain.data import Images
class Squares(Images):
    def __init__(self, n):
        super().__init__(torch.zeros(n, 1, 8, 8, dtype=torch.uint8), torch.zeros(n, dtype=torch.int64), 1, False, ["a"])
"""


def test_a_data_set_of_ones_own(gantrain_data: Command, tmp_path: Path) -> None:
    (tmp_path / "my_squares.py").write_text(OWN)
    (tmp_path / "mine" / "data").mkdir(parents=True)
    yaml = "# @package _global_\ndata:\n  _target_: my_squares.Squares\n  n: 20\ntotal_steps: 10\nbatch_size: 16\n"
    (tmp_path / "mine" / "data" / "squares.yaml").write_text(yaml)
    refused = gantrain_data("--config-dir", "mine", "data=squares")
    assert refused.exit_code == 2 and "trusted_modules" in refused.err
    outcome = gantrain_data("--config-dir", "mine", "data=squares", "trusted_modules=[my_squares]")
    assert outcome.exit_code == 0 and "exact copies  19 (95%) in 1 group" in outcome.out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["data=image_folder"], 2, "data.root is not set"),
        (["data=image_folder", "data.root=nowhere"], 3, "neither a folder nor"),
        (["data=image_folder", "data.root=photos", "data.fit=x"], 2, "data.fit must be one of"),
        (["data=image_folder", "data.root=photos", "data.limit=99"], 2, "data.limit must be"),
        (["data=signals", "data.root=photos/notes.txt"], 3, "notes.txt is no .npy file"),
        (["data=digit"], 2, "did you mean data=digits"),
        (["loss=hinge"], 2, "choice of a training"),
        (["photos"], 2, "data=image_folder data.root=photos"),
        (["data=image_folder", "data.root=photos", "out=notes.txt/look.png"], 7, "cannot be written"),
    ],
)
def test_a_mistake_costs_one_line(
    gantrain_data: Command, photos: Path, arguments: list[str], code: int, words: str
) -> None:
    Path("notes.txt").touch()
    outcome = gantrain_data(*arguments)
    errors = [line for line in outcome.err.splitlines() if "warning" not in line]
    assert outcome.exit_code == code and words in outcome.err and len(errors) == 1 and not outcome.out


def test_help_needs_no_torch() -> None:
    code = (
        "import sys; from gantrain.cli.data import main; sys.argv = ['gantrain-data', '--help']\n"
        "try: main()\nexcept SystemExit as leaving: assert not leaving.code\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and "out=look.png" in done.stdout, done.stderr
