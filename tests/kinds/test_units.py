"""What numbers stand for: turned back, written, recorded, and what a stranger's record may not say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gantrain.kinds import Points, Signals, Units
from gantrain.run import forms

UNITS = Units((10.0, -2e6), (2.0, 1e3), ("size, cm", "b"), "animal")


def test_each_coordinate_gets_its_own_offset_and_scale_back() -> None:
    found = UNITS.original(torch.tensor([[0.0, 0.0], [1.0, -1.0]]))
    assert found.dtype == torch.float64 and found.tolist() == [[10, -2e6], [12, -2.001e6]]
    assert Units((0.5,), (2.0,)).original(torch.ones(2, 1, 3)).tolist() == [[[2.5] * 3]] * 2


def test_a_table_has_names_classes_and_the_digits_that_its_scale_is_worth(tmp_path: Path) -> None:
    points = torch.tensor([[0.1, 0.0], [1.0, 0.123456]])
    assert Points().write_files(points, tmp_path, UNITS, ["cat", "dog"])
    lines = (tmp_path / "table.csv").read_text().splitlines()
    assert lines[0] == '"size, cm",b,animal'
    assert lines[1] == "10.2,-2000000.0,cat" and lines[2] == "12.0,-1999876.544,dog"
    assert Points().write_files(points, tmp_path, UNITS) and (tmp_path / "table.csv").read_text().count("cat") == 0


def test_points_without_names_have_no_file(tmp_path: Path) -> None:
    for units in (None, Units((0.0,), (1.0,))):
        assert not Points().write_files(torch.zeros(2, 2), tmp_path, units)
    assert not list(tmp_path.iterdir())


def test_signals_are_written_in_their_units(tmp_path: Path) -> None:
    Signals().write_files(torch.tensor([[[-1.0, 1.0]]]), tmp_path, Units((3.0,), (2.0,)))
    array = np.load(tmp_path / "signals.npy")
    assert array.dtype == np.float32 and array.tolist() == [[[1, 5]]]


def test_units_are_the_same_after_they_were_recorded() -> None:
    record = json.loads(json.dumps(UNITS.recorded()))
    assert Units.of(record, (2,)) == UNITS and forms.UNITS(record) == record
    assert Units.of(None, (2,)) is None


@pytest.mark.parametrize(
    "change",
    [
        {"offset": [1.0]}, {"offset": [1.0] * 3, "scale": [1.0] * 3}, {"scale": [1.0, 0.0]}, {"scale": [1.0, -1.0]},
        {"scale": [1.0, float("inf")]}, {"offset": ["a", "b"]}, {"offset": 3}, {"names": ["a"]},
    ],
)  # fmt: skip
def test_units_that_do_not_fit_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        Units.of(UNITS.recorded() | change, (2,))
