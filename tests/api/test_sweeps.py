"""Sweeps and reports from Python, and what there is to choose."""

from __future__ import annotations

from pathlib import Path

import pytest

import gantrain
from gantrain.errors import ConfigError
from tests.api.conftest import SHORT
from tests.api.test_run import MEASURED


def test_every_combination_is_trained_once_and_the_report_ranks_them(tmp_path: Path) -> None:
    arguments = ("loss=vanilla,lsgan", *MEASURED)
    runs = gantrain.sweep(*arguments, data="ring", seed=range(2), total_steps=4)
    assert [(run.status["choices"]["loss"], run.status["seed"]) for run in runs] == [
        ("vanilla", 0), ("vanilla", 1), ("lsgan", 0), ("lsgan", 1)
    ]  # fmt: skip
    page = runs.report(tmp_path / "all.html")
    assert page.is_file() and "lsgan" in page.with_suffix(".md").read_text()
    again = gantrain.sweep(*arguments, data="ring", seed=range(2), total_steps=4)
    assert [run.path for run in again] == [run.path for run in runs] and not again.failed


def test_a_job_that_fails_is_kept_and_the_others_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    runs = gantrain.sweep(*SHORT, "batch_size=8,7", data="ring", accumulate=2, total_steps=2)
    assert len(runs) == 1 and len(runs.failed) == 1
    (lines, error), *_ = runs.failed.items()
    assert "batch_size=7" in lines and "must divide batch_size=7" in str(error)
    assert "must divide batch_size=7" in capsys.readouterr().err


def test_launchers_are_the_command_s() -> None:
    with pytest.raises(ConfigError, match="gantrain -m"):
        gantrain.sweep("hydra/launcher=joblib", data="ring", seed=range(2))


def test_options_are_listed_and_described() -> None:
    assert {"vanilla", "hinge", "wgan_gp"} <= {*gantrain.list("loss")} and "r1" in gantrain.list("regularizer")
    assert "Gulrajani" in gantrain.describe("loss=wgan_gp") and "weight" in gantrain.describe("loss=wgan_gp")
    with pytest.raises(ConfigError, match="there are data, architecture"):
        gantrain.list("losses")
    assert "half-life" in gantrain.describe("ema.halflife_images")
    with pytest.raises(ConfigError, match="did you mean loss=wgan_gp"):
        gantrain.describe("loss=wgan-gp")


def test_every_public_name_is_there_and_documented() -> None:
    for name in gantrain.__all__:
        assert name in dir(gantrain) and (getattr(gantrain, name).__doc__ or name == "__version__"), name
    with pytest.raises(AttributeError, match="has no attribute 'tarin'"):
        gantrain.tarin  # noqa: B018
