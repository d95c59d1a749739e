"""MLflow: its own client reads back what a run has sent to a database, and to a server on this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import GUARD, until
from tests.loggers.played import play

pytest.importorskip("mlflow", reason="pip install 'gantrain[mlflow]'")

from gantrain.loggers import MLflow
from gantrain.loggers.mlflow import make_database


@pytest.fixture(scope="module", autouse=True)
def environment() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped at step 3, and went on from its checkpoint at step 2 with other values."""
    root = tmp_path_factory.mktemp("runs")
    for begin, steps, factor, stopped in ((0, (1, 2, 3), 1.0, True), (2, (3, 4), 10.0, False)):
        assert not play(root, MLflow(), steps, begin, factor, stopped).off
    return root


def runs_of(uri: str) -> tuple[Any, list[Any]]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri)
    return client, client.search_runs([client.get_experiment_by_name("gantrain").experiment_id])


def check(uri: str) -> None:
    client, (run,) = runs_of(uri)
    history = client.get_metric_history(run.info.run_id, "d/loss")
    assert [(one.step, one.value) for one in history] == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 40.0)]  # 3 is not doubled
    assert run.data.metrics["eval_points_1a/fid_"] == 0.5
    assert run.data.params == {"loss": "hinge", "settings/batch_size": "16"}
    assert (run.info.run_name, run.info.status) == ("ring/seed0", "FINISHED")
    assert (run.data.tags["group"], run.data.tags["state"]) == ("sweep of rings", "finished")
    files = [entry.path for entry in client.list_artifacts(run.info.run_id)]
    assert {"config.yaml", "evaluation-step-000000003.txt", "images", "step-000000004.png"} <= set(files)
    images = [entry.path for entry in client.list_artifacts(run.info.run_id, "images")]
    assert any("samples~ema" in name and "step+4" in name for name in images)


def test_a_run_and_what_it_went_on_with_are_one_run_in_the_database_beside_the_runs(root: Path) -> None:
    check(f"sqlite:///{root / 'mlflow.db'}")


def test_a_run_that_is_gone_from_the_store_is_begun_anew(root: Path) -> None:
    client, (run,) = runs_of(f"sqlite:///{root / 'mlflow.db'}")
    client.delete_run(run.info.run_id)
    assert not play(root, MLflow(), (5,), 4).off
    client, (new,) = runs_of(f"sqlite:///{root / 'mlflow.db'}")
    assert new.info.run_id != run.info.run_id
    client.delete_run(new.info.run_id)
    client.restore_run(run.info.run_id)


def test_a_run_that_is_killed_while_the_tables_are_made_leaves_no_half_of_a_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.tracking import MlflowClient

    def killed(self: object, **settings: object) -> None:
        (left,) = tmp_path.iterdir()
        assert left.name.startswith(".mlflow.db.")
        raise KeyboardInterrupt

    monkeypatch.setattr(MlflowClient, "search_experiments", killed)
    with pytest.raises(KeyboardInterrupt):
        make_database(tmp_path / "mlflow.db")
    monkeypatch.setattr(MlflowClient, "search_experiments", lambda self, **settings: None)
    monkeypatch.setattr(MlflowClient, "__init__", lambda self, uri: Path(uri.removeprefix("sqlite:///")).touch())
    make_database(tmp_path / "mlflow.db")
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


def test_a_changed_parameter_is_a_tag(root: Path) -> None:
    logger = MLflow()
    assert not play(root, logger, (6,), 5).off
    logger._params = {"loss": "vanilla"}
    logger.hyperparameters({"loss": "hinge", "new": 1})
    _, (run, *_) = runs_of(f"sqlite:///{root / 'mlflow.db'}")
    assert run.data.tags["loss"] == "hinge" and run.data.params["new"] == "1"


def test_a_server_that_never_answers_costs_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")  # the thread that waits for it ends soon after the test
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert play(tmp_path, MLflow(tracking_uri=uri, timeout=0.5), (1, 2)).off
        assert time.monotonic() - began < GUARD
    assert capsys.readouterr().err.count("logger tracker is off") == 1


def test_a_server_that_is_down_is_named_without_its_password(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    assert play(tmp_path, MLflow(tracking_uri=f"http://me:secret@127.0.0.1:{port}"), (1, 2)).off
    said = capsys.readouterr().err
    assert said.count("logger tracker is off") == 1 and str(port) in said and "secret" not in said, said
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"secret" in path.read_bytes()]


@pytest.mark.thorough
def test_a_real_server_shows_the_same(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{tmp_path / 'server.db'}", "--artifacts-destination", str(tmp_path)]
    log = (tmp_path / "server.log").open("wb")
    server = subprocess.Popen(
        command, stdout=log, stderr=log, cwd=tmp_path, env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}
    )
    try:
        uri = f"http://127.0.0.1:{port}"

        def answers() -> bool:
            assert server.poll() is None, (tmp_path / "server.log").read_text()
            try:
                with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{uri}/health") as reply:
                    return bool(reply.status == 200)
            except OSError:
                return False

        until(answers, lambda: (tmp_path / "server.log").read_text())
        for begin, steps, factor, stopped in ((0, (1, 2, 3), 1.0, True), (2, (3, 4), 10.0, False)):
            assert not play(tmp_path / "runs", MLflow(uri), steps, begin, factor, stopped).off
        check(uri)
    finally:
        server.terminate()
        server.wait(timeout=GUARD)
        log.close()
