"""TensorBoard, as its own server shows it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer import event_file_writer
from torch.utils.tensorboard import SummaryWriter

from gantrain.run.directory import RunDirectory
from tests.conftest import GUARD, until, with_board


def test_a_run_killed_before_its_first_checkpoint_starts_its_curves_again(tmp_path: Path) -> None:
    for value in (1.0, 2.0):
        with with_board(RunDirectory(tmp_path)) as records:
            records.scalars(5, {"d/loss": value})
    assert [e.value for e in EventAccumulator(str(tmp_path)).Reload().Scalars("d/loss")] == [2.0]


def test_a_run_whose_events_lie_in_a_folder_tb_goes_on_there(tmp_path: Path) -> None:
    with SummaryWriter(str(tmp_path / "tb")) as board:  # as gantrain wrote them before they lay in the run's folder
        for step in (1, 2, 3):
            board.add_scalar("d/loss", step, step)
    for step in (3, 4):  # a kill after step 2, and another after step 3
        with with_board(RunDirectory(tmp_path), step - 1) as records:
            records.scalars(step, {"d/loss": 10.0 * step})
    assert not list(tmp_path.glob("events*"))
    events = EventAccumulator(str(tmp_path / "tb")).Reload().Scalars("d/loss")
    assert [(e.step, e.value) for e in events] == [(1, 1.0), (2, 2.0), (3, 30.0), (4, 40.0)]


@pytest.fixture(autouse=True)
def writers_are_counted_from_0(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorBoard reads the files of one second in the order of their names, by which the writer 10 precedes 9."""
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(0))


RUNS = {"hinge": "mlp", "vanilla": "dcgan"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A real TensorBoard over two finished runs that differ in loss and architecture, each with a value of its own."""
    for run, architecture in RUNS.items():
        with with_board(RunDirectory(tmp_path / "ring" / run)) as records:
            choices = {"settings/architecture": architecture, "data": "ring", "seed": 3, "loss": run}
            records.hyperparameters(choices)
            for step in (50, 100):
                records.scalars(step, {"d/loss": step / 100, f"d/{run}_term": 0.25})
            records.best("classifier_1a2b3c4d", 100, "fid", 7.5)
            for tag in ("samples/ema", "samples/raw"):
                records.picture(tag, 100, torch.zeros(4, 1, 8, 8), "grid.png")
            records.pairs("1a2b3c4d", 100, torch.zeros(2, 4, 1, 8, 8, dtype=torch.uint8))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "tensorboard.main",
        "--logdir",
        str(tmp_path),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(timeout=GUARD)


def fetch(url: str, body: dict | None = None) -> object:
    """GET, or POST a JSON body; tried again while the server starts and reads."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    found: list[object] = []

    def answered() -> bool:
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=GUARD) as reply:
                found.append(json.load(reply))
        except OSError:
            return False
        return bool(found[-1])

    until(answered, lambda: url)
    return found[-1]


def test_tensorboard_serves_scalars_pictures_and_hyperparameters(server: str) -> None:
    assert sorted(fetch(f"{server}/data/runs")) == ["ring/hinge", "ring/vanilla"]  # each by its path
    scalars = fetch(f"{server}/data/plugin/scalars/scalars?tag=d%2Floss&run=ring%2Fhinge")
    assert [(step, value) for _, step, value in scalars] == [(50, 0.5), (100, 1.0)]
    images = fetch(f"{server}/data/plugin/images/tags")["ring/vanilla"]
    assert sorted(images) == ["samples/ema", "samples/raw", "training/nearest_1a2b3c4d"]  # samples first
    assert "averaged generator" in images["samples/ema"]["description"]
    assert "<strong>below</strong>, the training image" in images["training/nearest_1a2b3c4d"]["description"]
    experiment = fetch(f"{server}/data/plugin/hparams/experiment", {})
    names = [h["name"] for h in experiment["hparamInfos"]]
    assert names == ["loss", "settings/architecture", "data", "seed"]  # those that differ first
    offered = [m["name"]["tag"] for m in experiment["metricInfos"]]
    assert offered == ["best/fid_classifier_1a2b3c4d", "d/hinge_term", "d/loss", "d/vanilla_term"]  # of both runs
    body = {
        "allowedStatuses": ["STATUS_SUCCESS", "STATUS_RUNNING", "STATUS_UNKNOWN"],
        "colParams": [{"metric": {"group": "", "tag": "d/loss"}}],
        "startIndex": 0,
        "sliceSize": 9,
    }
    groups = fetch(f"{server}/data/plugin/hparams/session_groups", body)["sessionGroups"]
    assert {g["hparams"]["loss"] for g in groups} == {"hinge", "vanilla"}
    shown = [{m["name"]["tag"]: m["value"] for m in g["metricValues"]} for g in groups]
    assert all(values["d/loss"] == 1.0 and values["best/fid_classifier_1a2b3c4d"] == 7.5 for values in shown)


def test_scalars_carry_their_descriptions(tmp_path: Path) -> None:
    with with_board(RunDirectory(tmp_path)) as records:
        records.scalars(1, {"d/loss": 1.0})
    metadata = EventAccumulator(str(tmp_path)).Reload().SummaryMetadata("d/loss")
    assert "the discriminator minimises" in metadata.summary_description
    assert metadata.plugin_data.plugin_name == "scalars"
