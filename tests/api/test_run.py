"""A run as Python sees it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import gantrain
from gantrain.errors import ConfigError
from tests.api.conftest import SHORT

MEASURED = ("evaluation=points", "evaluation.n_fake=100", "evaluation.n_w2=50", "evaluation.every=3", *SHORT[1:])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> gantrain.Run:
    folder = tmp_path_factory.mktemp("run")
    return gantrain.train(*MEASURED, data="ring", total_steps=6, run={"root": folder})


def test_records_are_columns_with_one_row_a_step(run: gantrain.Run) -> None:
    found = run.metrics
    assert found["step"].tolist() == [2, 3, 4, 6] and np.isnan(found["d/loss"]).tolist() == [False, True, False, False]
    assert run.evaluation["final"]["modes"] == found[next(k for k in found if k.endswith("/modes"))][-1]
    assert run.settings["loss"]["_target_"] == "gantrain.losses.Loss"


def test_records_are_a_table_of_pandas_if_that_is_there(run: gantrain.Run) -> None:
    pandas = pytest.importorskip("pandas")
    table = run.metrics.to_pandas()
    assert isinstance(table, pandas.DataFrame) and table.index.tolist() == [2, 3, 4, 6]


def test_it_is_measured_as_the_command_does(run: gantrain.Run) -> None:
    found = run.evaluate("evaluation.n_fake=150")
    assert {"modes", "sliced_wasserstein"} <= found.keys()
    line = (run.path / "evaluations.jsonl").read_text().splitlines()[-1]
    assert '"n_fake": 150' in line and f'"modes": {found["modes"]}' in line


def test_a_notebook_shows_how_it_stands_and_its_last_grid(run: gantrain.Run) -> None:
    assert "finished at step 6" in run._repr_html_() and "data:image/png;base64" in run._repr_html_()


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda run: gantrain.Run(run.path.parent), "is no run's folder"),
        (lambda run: gantrain.Run(run.path, nets=3), "nets is none of data, generator"),
        (lambda run: run.load(which="best"), "which must be ema or raw"),
        (lambda run: run.load(step=5), "keeps no checkpoint of step 5"),
        (lambda run: run.samples(2, classes=[1]), "takes no classes"),
        (lambda run: run.evaluate("evaluation=none"), "measures nothing"),
        (lambda run: run.resume(loss="hinge"), "loss"),
    ],
)
def test_what_it_cannot_do_is_said_in_a_sentence(run: gantrain.Run, act, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        act(run)


def test_a_run_that_is_opened_by_its_folder_goes_on_as_it_was_begun(run: gantrain.Run, tmp_path: Path) -> None:
    on = gantrain.Run(run.path).resume(total_steps=8)
    assert (on.path, on.step, on.settings["evaluation"]["n_fake"]) == (run.path, 8, 100)


def test_a_run_goes_on_where_its_folder_has_a_comma_and_it_was_begun_with_resume_never(tmp_path: Path) -> None:
    run = gantrain.train(*SHORT, data="ring", resume="never", total_steps=1, run={"dir": tmp_path / "a, b=[c]"})
    on = gantrain.Run(run.path).resume(total_steps=2)
    assert (on.path, on.step) == (tmp_path / "a, b=[c]", 2)


@pytest.mark.parametrize(
    "command", [None, "", ["x"], "gantrain.train(data)", "gantrain.train(3)", "gantrain.train(*['x'])"]
)
def test_a_record_that_does_not_tell_how_a_run_began_is_said(tmp_path: Path, command: object) -> None:
    (tmp_path / "config.yaml").write_text("seed: 0\n")
    (tmp_path / "status.json").write_text(json.dumps({"state": "finished", "command": command}))
    with pytest.raises(ConfigError, match="does not tell how the run was begun"):
        gantrain.Run(tmp_path).resume()


def test_the_step_of_a_run_that_plays_is_that_of_its_last_line() -> None:
    steps: list[int] = []

    class Looks:
        def on_log(self, moment: gantrain.Moment) -> None:
            steps.append(gantrain.Run(moment.path).step)

    gantrain.train(*SHORT, data="ring", total_steps=2, callbacks=[Looks()])
    assert steps == [2]
