"""What is found in data sets of every kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gantrain.data import Data, Digits, Images, Ring, SignalFile, Sines
from gantrain.data.source import Batches, channels_first
from gantrain.inspection import Facts, inspect_data, picture, text
from gantrain.inspection.facts import DRAWN
from tests.data.made import MADE
from tests.data.test_sets import make as write_set
from tests.data.test_sets import read as read_set


def said(facts: Facts) -> str:
    return text.lines({"data": "mine", "command": ["gantrain"], "out": None} | facts.found)


def test_samples_that_are_drawn_fresh_are_counted_in_ten_thousand() -> None:
    facts = inspect_data(Ring(modes=8, radius=2.0, std=0.02), 256)
    found = facts.found
    assert found["samples"] is None and found["looked_at"] == DRAWN and found["duplicates"] is None
    counts = [one["samples"] for one in found["classes"]]
    assert sum(counts) == DRAWN and max(abs(n - DRAWN / 8) for n in counts) < 5 * (DRAWN / 8 * 7 / 8) ** 0.5
    assert [one["share"] for one in found["classes"]] == [1 / 8] * 8
    assert np.allclose(found["values"]["high"], 2, atol=0.12) and np.allclose(found["values"]["low"], -2, atol=0.12)
    assert "drawn fresh without end; 10,000 were looked at" in said(facts)


def test_digits_have_classes_balance_and_a_mean_image() -> None:
    facts = inspect_data(Digits(), 64)
    counts = torch.bincount(Digits().labels)
    assert [one["samples"] for one in facts.found["classes"]] == counts.tolist()
    assert facts.found["balance"] == pytest.approx(183 / 174)
    torch.testing.assert_close(facts.mean, Digits().pixels.double().mean(0))
    near = facts.found["duplicates"]["near"]
    assert near["groups"] <= 1, "different people wrote them: what is found is false"
    assert "largest : smallest 1.05 : 1 (3 : 8)" in said(facts)


def test_copies_are_counted_and_those_of_two_classes_too() -> None:
    pixels = torch.randint(0, 256, (20, 3, 8, 8), dtype=torch.uint8)
    pixels[7] = pixels[12] = pixels[3]
    facts = inspect_data(Images(pixels, torch.arange(20) % 2, 2), 64)
    exact = facts.found["duplicates"]["exact"]
    assert exact == {"groups": 1, "superfluous": 2, "across_classes": 1, "members": [["3", "7", "12"]]}
    assert "2 (10%) in 1 group, beside the first of each; 1 group is in several classes" in " ".join(
        said(facts).split()
    )


@pytest.mark.parametrize("labelled", [True, False])
def test_signals_of_a_file_and_fresh_ones(tmp_path: Path, labelled: bool) -> None:
    rows = np.random.default_rng(0).uniform(-1, 1, (30, 2, 16))
    rows[5] = rows[4]
    np.save(tmp_path / "x.npy", rows), np.save(tmp_path / "y.npy", np.arange(30) % 3 * 10)
    labels = str(tmp_path / "y.npy") if labelled else None
    facts = inspect_data(SignalFile(str(tmp_path / "x.npy"), labels, False, None), 64)
    assert facts.found["duplicates"]["exact"]["members"] == [["4", "5"]] and facts.found["duplicates"]["near"] is None
    names = [one["name"] for one in facts.found["classes"] or []]
    assert names == (["0", "10", "20"] if labelled else [])
    fresh = inspect_data(Sines([1, 2], 32, [0.4, 0.9], 0.02), 256)
    assert fresh.found["kind"] == "signals" and fresh.found["samples"] is None and "cycles_1" in said(fresh)


class Own(Data):
    """Numbers of a shape of which nothing is known, and no way to ask for one by its number."""

    shape, classes, count = (2, 2, 2, 2), 0, 30

    def stream(self, batch_size: int, seed: int, device: torch.device) -> Batches:
        return Batches(lambda position: (torch.full((batch_size, *self.shape), float(position)), None))


def test_a_data_set_without_numbered_samples_is_looked_at_as_it_is_drawn() -> None:
    facts = inspect_data(Own(), 64)
    assert facts.found["kind"] == "samples" and facts.found["looked_at"] == 30 and facts.found["duplicates"] is None
    assert facts.found["suggestions"] == {"batch_size": 8}


@pytest.mark.parametrize("option", list(MADE))
def test_every_published_set_is_looked_at(tmp_path: Path, option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_set(option, tmp_path, monkeypatch)
    data = read_set(option, tmp_path)
    facts = inspect_data(data, 64)
    assert facts.found["samples"] == data.count and len(facts.found["classes"]) == data.classes
    picture.draw(facts, tmp_path / "look.png")
    assert all(len(line) <= 80 for line in said(facts).splitlines())


def test_a_picture_of_16_bits_has_the_grays_of_the_same_picture_of_8(tmp_path: Path) -> None:
    bytes_ = np.random.default_rng(0).integers(0, 256, (9, 8, 8, 1), dtype=np.uint8)
    drawn = []
    for numbers in (bytes_, bytes_.astype(np.uint16) * 257):
        picture.draw(inspect_data(Images(channels_first(numbers), None, 0), 64), tmp_path / "look.png")
        drawn.append(np.asarray(Image.open(tmp_path / "look.png")))
    np.testing.assert_array_equal(*drawn)
