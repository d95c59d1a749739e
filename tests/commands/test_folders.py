"""``gantrain-eval real=DIR fake=DIR``: two folders of images as users measure them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor

from gantrain.evaluation.features import Features
from tests.commands.conftest import Command
from tests.evaluation.test_folders import write


class First(Features):
    """The first four pixels, and as a class whether the first is bright."""

    name, digest = "classifier", "abc"

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        x = images.flatten(1).float()[:, :4]
        return x, torch.stack([127.5 - x[:, 0], x[:, 0] - 127.5], 1)


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders of 120 real and 110 generated images, and a network that is there at once."""
    write(tmp_path / "real", 120, a=60, b=120), write(tmp_path / "fake", 110, a=50, b=110)
    monkeypatch.setattr(
        sys.modules["gantrain.evaluation.prepare"], "network", lambda s, *_: First() if s.features else None
    )


def pixels(folder: Path) -> np.ndarray:
    from PIL import Image

    return np.stack([np.array(Image.open(path)).ravel() for path in sorted(folder.rglob("*.png"))]).astype(float)


def test_the_fid_of_two_folders_is_that_of_all_their_images(gantrain_eval: Command, folders: None) -> None:
    outcome = gantrain_eval("real=real", "fake=fake", "evaluation=classifier", "out=new/r.json")
    assert outcome.exit_code == 0, outcome.err
    found = json.loads(Path("new/r.json").read_text())
    a, b = (pixels(Path(name))[:, :4] for name in ("real", "fake"))
    root = sqrtm(np.cov(a.T) @ np.cov(b.T)).real
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(np.cov(a.T) + np.cov(b.T) - 2 * root)
    assert found["fid"] == pytest.approx(expected, rel=1e-4)
    right = np.where(np.arange(110) < 50, b[:, 0] < 127.5, b[:, 0] > 127.5).mean()
    assert found["conditional_accuracy"] == pytest.approx(right)
    assert (found["n_fake"], found["n_real"], found["settings"]["generator"]) == (110, 120, "folder")
    first, *rest = outcome.out.splitlines()
    assert first == f"classifier {found['protocol']}: 110 of a folder against 120 real"
    assert rest[0].startswith("real  real  120 images 1×4×4, 2 classes (") and rest[1].startswith("fake  fake  110")
    assert f"fid ↓                   {found['fid']:.4g}" in rest and any("kid ↓" in r and " ± " in r for r in rest)


def test_without_a_protocol_pixels_are_compared_and_some_if_fewer_are_asked_for(
    gantrain_eval: Command, folders: None
) -> None:
    every = json.loads(gantrain_eval("real=real", "fake=fake", "json=true").out)
    assert every["features"] == "pixels" and "fid" not in every and every["sliced_wasserstein"] > 0
    same = json.loads(gantrain_eval("real=real", "fake=real", "json=true").out)
    assert same["sliced_wasserstein"] == 0 and same["memorised_pixels"] == 1
    fewer = json.loads(gantrain_eval("real=real", "fake=fake", "json=true", "evaluation.n_fake=100").out)
    assert fewer["n_fake"] == 100 and fewer["protocol"] != every["protocol"]
    assert fewer["sliced_wasserstein"] != every["sliced_wasserstein"]
    larger = json.loads(gantrain_eval("real=real", "fake=fake", "json=true", "size=8").out)
    assert larger["data"].startswith("120 images 1×8×8") and larger["protocol"] != every["protocol"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["real=real"], 2, "nothing to be compared with; add fake=DIR"),
        (["fake=fake"], 2, "fake= is for two folders of images"),
        (["run=real", "out=r.json"], 2, "out= is for two folders of images"),
        (["real=real", "fake=fake", "run=run"], 2, "leave one out"),
        (["real=real", "fake=fake", "evaluation.truncation=0.5"], 2, "evaluation.truncation is a setting for runs"),
        (["real=real", "fake=fake", "evaluation=none"], 2, "measures nothing"),
        (["real=real", "fake=fake", "evaluation=points"], 2, "modes needs data whose modes are known"),
        (["real=real", "fake=fake", "size=0"], 2, "size must be 1 or more"),
        (["real=real", "fake=fake", "out=r.txt"], 2, "must end in .json"),
        (["real=real", "fake=fake", "out=there.json"], 2, "exists; choose another"),
        (["real=real", "fake=nowhere"], 3, "fake=nowhere is neither a folder nor a zip or tar"),
        (["real=real", "fake=few"], 2, "fake=few has 20 images, too few to measure anything by: 100 are needed"),
        (["real=few", "fake=fake"], 2, "20 real images are too few"),
    ],
)
def test_what_cannot_be_compared_gets_one_line(
    gantrain_eval: Command, folders: None, tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    write(tmp_path / "few", 20), Path("there.json").write_text("{}")
    outcome = gantrain_eval(*arguments)
    assert outcome.exit_code == code and words in outcome.err, outcome.err
    assert len(outcome.err.splitlines()) == 1 and not outcome.out and not Path("r.json").exists()
    assert Path("there.json").read_text() == "{}"


def test_missing_weights_of_inception_are_one_line(
    gantrain_eval: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "real", 100)
    arguments = ("evaluation=inception", "evaluation.weights=gone.pth", "evaluation.kid_subset_size=10")
    outcome = gantrain_eval("real=real", "fake=real", *arguments)
    assert outcome.exit_code == 3 and "gone.pth is not a file" in outcome.err and len(outcome.err.splitlines()) == 1
