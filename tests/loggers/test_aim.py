"""Aim: its own library reads back what a run has tracked in a local repository."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.loggers.played import play

pytest.importorskip("aim", reason="pip install 'gantrain[aim]'")

from gantrain.loggers import Aim


def hash_in(root: Path) -> str:
    return str(json.loads((root / "ring" / "seed0" / "loggers" / "tracker.json").read_text())["id"])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped at step 3, and went on from its checkpoint at step 2 with other values."""
    root = tmp_path_factory.mktemp("runs")
    assert not play(root, Aim(), (1, 2, 3), stopped=True).off
    first = hash_in(root)
    assert not play(root, Aim(), (3, 4), 2, 10.0).off
    assert hash_in(root) == first
    return root


@pytest.fixture(scope="module")
def run(root: Path) -> Any:
    import aim

    # Aim's readers see a run once its own server has indexed it; one that could write sees it at once.
    run = aim.Run(hash_in(root), repo=aim.Repo.from_path(str(root)), system_tracking_interval=None,
                  capture_terminal_logs=False)  # fmt: skip
    yield run
    run.close()


def test_values_are_tracked_once_a_step_the_last_of_them_stays(run: Any) -> None:
    from aim.storage.context import Context

    found = run.get_metric("d/loss", Context({})).dataframe(include_name=False, include_context=False)
    assert sorted(zip(found["step"], found["value"], strict=True)) == [(1, 1.0), (2, 2.0), (3, 30.0), (4, 40.0)]
    assert run.get_metric("eval_points_1a/fid∞", Context({})) is not None


def test_pictures_texts_parameters_artifacts_and_the_end_are_there(run: Any, root: Path) -> None:
    from aim.storage.context import Context

    steps, pictures = run.get_image_sequence("samples/ema", Context({})).values.sparse_list()
    assert list(steps) == [3, 4] and np.unique(np.asarray(pictures[0].to_pil_image())).tolist() == [128]
    assert "fid  3 < 4" in str(run.get_text_sequence("evaluation", Context({})).values.sparse_list()[1][0].data)
    assert run["hparams"] == {"loss": "hinge", "settings/batch_size": 16}
    assert (run.name, run["group"], run["state"]) == ("ring/seed0", "sweep of rings", "finished")
    assert {"config.yaml", "step-000000003.png", "step-000000004.png"} == set(run.artifacts)
    assert list((root / ".aim" / "artifacts").rglob("config.yaml"))


def test_a_repository_that_cannot_be_made_costs_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "taken").touch()
    assert play(tmp_path / "runs", Aim(repo=str(tmp_path / "taken" / "repo")), (1, 2)).off
    assert capsys.readouterr().err.count("logger tracker is off") == 1
