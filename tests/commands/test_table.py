"""A table from the first step to the export: trained, resumed, measured, and sampled in its own units."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import gantrain as package
from gantrain.trained import Trained
from tests.commands.conftest import Command
from tests.commands.test_signals import SMALL, weights

MEASURED = ("evaluation=table", "evaluation.n_w2=50", "evaluation.n_neighbours=100", "evaluation.every=10")


@pytest.fixture
def mine(tmp_path: Path) -> tuple[str, ...]:
    x = np.random.default_rng(0).standard_normal((240, 3)) * [1e-4, 2, 3e5] + [0, 50, 7e6]
    lines = [f"{a},{b},{c},{'cat' if k % 3 else 'dog'}" for k, (a, b, c) in enumerate(x)]
    (tmp_path / "mine.csv").write_text("\n".join(["tiny,weight,size,animal", *lines]) + "\n")
    return ("data=table", "data.root=mine.csv", "data.label=animal", *SMALL)


def rows_of(path: str) -> tuple[list[str], np.ndarray, list[str]]:
    with Path(path).open(newline="") as file:
        head, *rows = csv.reader(file)
    return head, np.array([[float(cell) for cell in row[:3]] for row in rows]), [row[3] for row in rows if len(row) > 3]


def test_a_table_is_trained_measured_and_written_in_its_units_with_its_classes(
    gantrain: Command, gantrain_sample: Command, mine: tuple[str, ...]
) -> None:
    outcome = gantrain(*mine, *MEASURED, "conditioning=concat", "total_steps=20", "run.dir=run")
    assert outcome.exit_code == 0 and "warning" not in outcome.err, outcome.err
    assert "240 rows of 3 columns, 2 classes" in outcome.out
    final = json.loads(Path("run/evaluation.json").read_text())["final"]
    assert {"marginal_w1", "correlation_error_worst", "memorised", "conditional_accuracy"} <= final.keys()
    assert gantrain_sample("run=run", "n=50", "out=o").exit_code == 0
    head, rows, classes = rows_of("o/table.csv")
    assert head == ["tiny", "weight", "size", "animal"] and sorted(set(classes)) == ["cat", "dog"]
    arrays = np.load("o/samples.npz")
    units = Trained.open("run").units()
    assert units is not None
    scale, offset = np.array(units.scale), np.array(units.offset)
    assert np.abs((rows - offset) / scale - arrays["points"]).max() < 1e-5
    assert [("cat", "dog")[k] for k in arrays["labels"]] == classes
    assert abs(scale[2] / 3e5 - 1) < 0.2 and abs(offset[2] / 7e6 - 1) < 0.02


def test_what_was_sampled_is_a_table_to_train_on(
    gantrain: Command, gantrain_sample: Command, mine: tuple[str, ...]
) -> None:
    assert gantrain(*mine, "total_steps=2", "run.dir=run").exit_code == 0
    assert gantrain_sample("run=run", "n=40", "out=o", "save=[files]").exit_code == 0
    assert rows_of("o/table.csv")[0] == ["tiny", "weight", "size"]  # G was not told the classes, so it names none
    outcome = gantrain("data=table", "data.root=o/table.csv", *SMALL, "total_steps=2", "run.dir=second")
    assert outcome.exit_code == 0, outcome.err


def test_an_export_undoes_the_scaling(gantrain: Command, gantrain_export: Command, mine: tuple[str, ...]) -> None:
    assert gantrain(*mine, "total_steps=2", "run.dir=run").exit_code == 0
    assert gantrain_export("run=run", "out=x").exit_code == 0
    loaded, units = package.load("x"), Trained.open("run").units()
    samples = loaded.sample(5)
    assert units is not None and loaded.units == units and units.names == ("tiny", "weight", "size")
    assert torch.equal(loaded.original(samples), units.original(samples))
    told = json.loads(Path("x/config.json").read_text())
    told["units"]["scale"] = [1.0]
    Path("x/config.json").write_text(json.dumps(told))
    with pytest.raises(package.errors.CheckpointError, match="units of 3 and 1 numbers"):
        package.load("x")


def test_a_run_on_a_table_that_is_continued_is_the_same_bit_for_bit(gantrain: Command, mine: tuple[str, ...]) -> None:
    assert gantrain(*mine, "total_steps=40", "run.dir=whole").exit_code == 0
    assert gantrain(*mine, "total_steps=20", "run.dir=parts").exit_code == 0
    outcome = gantrain(*mine, "total_steps=40", "run.dir=parts")
    assert outcome.exit_code == 0 and "step 20" in outcome.out + outcome.err, outcome.err
    one, other = weights("whole"), weights("parts")
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["data.root=none.csv"], 3, "data.root=none.csv is not a file"),
        (["data.columns=[tiny,length]"], 2, "data.columns: length is no column of mine.csv; there are tiny, weight"),
        (["data.columns=[tiny,animal]", "data.label=null"], 3, "line 2 has the text 'dog' in animal"),
        (["batch_size=500"], 3, "the data set has 240 samples"),
    ],
)
def test_what_does_not_suit_a_table_is_refused_in_one_line(
    gantrain: Command, mine: tuple[str, ...], arguments: list[str], code: int, words: str
) -> None:
    outcome = gantrain(*mine, "run.dir=run", *arguments)
    assert outcome.exit_code == code and words in outcome.err and outcome.err.count("gantrain: error") == 1, outcome.err
    assert "Traceback" not in outcome.err and not Path("run").exists()
