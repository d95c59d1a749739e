"""metrics.csv, as Python's own reader and pandas' rule of pivoting see it."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from gantrain.loggers import Csv, guarded
from gantrain.run.directory import RunDirectory
from gantrain.run.records import Records


def written(folder: Path, step: int, values: dict[int, dict[str, float]]) -> list[list[str]]:
    run = RunDirectory(folder)
    with Records(run, step, outlets=guarded({"csv": Csv()}, run)) as records:
        for at, one in values.items():
            records.scalars(at, one)
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.reader(file))


def test_each_value_is_a_row_and_tags_may_come_later_and_hold_commas(tmp_path: Path) -> None:
    found = written(tmp_path, 0, {1: {"d/loss": 0.5}, 2: {"d/loss": 0.25, 'odd,"tag': 1e-300}})
    assert found == [
        ["step", "tag", "value"],
        ["1", "d/loss", "0.5"],
        ["2", "d/loss", "0.25"],
        ["2", 'odd,"tag', "1e-300"],
    ]


@pytest.mark.parametrize("torn", ["", "3,d/lo", '3,"d/lo', "3,d/loss,0.1"])
def test_a_run_that_goes_on_drops_later_rows_and_a_torn_one(tmp_path: Path, torn: str) -> None:
    written(tmp_path, 0, {k: {"d/loss": float(k)} for k in (1, 2, 3)})
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write(torn)
    found = written(tmp_path, 2, {3: {"d/loss": 33.0}})
    assert found[1:] == [["1", "d/loss", "1.0"], ["2", "d/loss", "2.0"], ["3", "d/loss", "33.0"]]


def test_a_copy_of_the_folder_by_hard_links_goes_on_by_itself(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    written(tmp_path / "a", 0, {1: {"d/loss": 1.0}})
    os.link(tmp_path / "a" / "metrics.csv", tmp_path / "b" / "metrics.csv")
    written(tmp_path / "b", 1, {2: {"d/loss": 2.0}})
    assert (tmp_path / "a" / "metrics.csv").read_text() == "step,tag,value\n1,d/loss,1.0\n"
