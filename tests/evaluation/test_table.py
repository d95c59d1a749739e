"""Rows of a table are measured by column and by pair of columns: what moves each value, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from gantrain.build import build_quality
from gantrain.data import Table
from gantrain.errors import ConfigError
from gantrain.evaluation import TableQuality
from tests.conftest import config

CPU = torch.device("cpu")
SIZES = ("evaluation.n_w2=100", "evaluation.n_neighbours=200")


def rows(seed: int, n: int = 400) -> np.ndarray:
    """Three columns in units of their own, the first two of correlation 0.8."""
    x = np.random.default_rng(seed).standard_normal((n, 3))
    x[:, 1] = 0.8 * x[:, 0] + 0.6 * x[:, 1]
    return x * [1, 1000, 0.01] + [5, 0, -3]


def a_table(folder: Path, **settings: object) -> Table:
    np.savetxt(folder / "t.csv", rows(0), delimiter=",", header="a,b,c", comments="")
    plain = {"columns": None, "label": None, "standardise": True, "header": True, "delimiter": ","}
    return Table(str(folder / "t.csv"), **plain | settings)  # type: ignore[arg-type]


def quality_of(data: Table, *settings: str) -> TableQuality:
    quality = build_quality(config("data=table", "data.root=t.csv", *SIZES, *settings), data, CPU)
    assert isinstance(quality, TableQuality)
    return quality


def as_points(data: Table, table: np.ndarray) -> Tensor:
    assert data.units is not None
    return torch.from_numpy((table - data.units.offset) / data.units.scale).float()


def test_other_rows_of_the_same_distribution_are_good_and_each_fault_moves_its_value(tmp_path: Path) -> None:
    data = a_table(tmp_path)
    quality = quality_of(data)

    def values(table: np.ndarray) -> dict[str, float]:
        return quality.measure(as_points(data, table).split(150)).values

    good = values(rows(3))
    assert good["marginal_w1"] < 0.12 and good["correlation_error"] < 0.08 and good["memorised"] < 0.1
    assert good["w2"] == pytest.approx(good["w2_of_real"], rel=0.3)
    shifted = values(rows(3) + np.array([0, 2000, 0]))
    assert shifted["marginal_w1_worst"] == pytest.approx(2, abs=0.2)
    assert shifted["correlation_error"] == pytest.approx(good["correlation_error"], abs=1e-6)
    apart = values(np.stack([np.random.default_rng(k).permutation(column) for k, column in enumerate(rows(3).T)], 1))
    assert apart["marginal_w1"] == pytest.approx(good["marginal_w1"], abs=1e-6)
    assert apart["correlation_error_worst"] == pytest.approx(0.8, abs=0.12)
    assert values(rows(0))["memorised"] == 1 and values(rows(0))["marginal_w1"] == pytest.approx(0, abs=1e-6)


def test_values_by_column_do_not_depend_on_the_scale(tmp_path: Path) -> None:
    found = []
    for standardise in (True, False):
        data = a_table(tmp_path, standardise=standardise)
        values = quality_of(data).measure([as_points(data, rows(1))]).values
        found.append([values[name] for name in ("marginal_w1", "marginal_w1_worst", "correlation_error")])
    assert found[0] == pytest.approx(found[1], rel=1e-3)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["evaluation=points"], "modes is not measured on tables; there are sliced_wasserstein"),
        (["evaluation=points"], "use evaluation=table"),
        (["evaluation=classifier"], "features=classifier is for images; use evaluation=points, or table for a table"),
        (["evaluation.best=fid"], "best=fid is not measured"),
    ],
)
def test_what_is_not_measured_on_a_table_is_refused(tmp_path: Path, settings: list[str], words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        quality_of(a_table(tmp_path), *settings)
    assert words in str(refused.value)
