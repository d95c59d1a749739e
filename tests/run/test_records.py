"""metrics.jsonl, TensorBoard as its own server shows it, and pictures."""

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
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gantrain.run.directory import RunDirectory
from gantrain.run.records import Records
from tests.conftest import GUARD, until


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_each_line_of_metrics_is_on_disk_at_once(tmp_path: Path) -> None:
    with Records(RunDirectory(tmp_path), 0) as records:
        for step in (1, 2):
            records.scalars(step, {"d/loss": step / 2, "g/gradient_norm": float("inf")})
            assert lines(tmp_path)[-1] == {"step": step, "d/loss": step / 2}


@pytest.mark.parametrize("torn", ["", '{"step": 4, "d/lo', '{"step": 4}'])
def test_after_a_kill_metrics_continue_without_torn_or_repeated_lines(tmp_path: Path, torn: str) -> None:
    with Records(RunDirectory(tmp_path), 0) as records:
        for step in (1, 2, 3):
            records.scalars(step, {"d/loss": float(step)})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(torn)
    with Records(RunDirectory(tmp_path), 2) as records:
        records.scalars(3, {"d/loss": 33.0})
    assert [(line["step"], line["d/loss"]) for line in lines(tmp_path)] == [(1, 1.0), (2, 2.0), (3, 33.0)]
    events = EventAccumulator(str(tmp_path / "tb")).Reload().Scalars("d/loss")
    assert [(e.step, e.value) for e in events] == [(1, 1.0), (2, 2.0), (3, 33.0)]


def test_a_run_killed_before_its_first_checkpoint_starts_its_curves_again(tmp_path: Path) -> None:
    for value in (1.0, 2.0):
        with Records(RunDirectory(tmp_path), 0) as records:
            records.scalars(5, {"d/loss": value})
    assert [e.value for e in EventAccumulator(str(tmp_path / "tb")).Reload().Scalars("d/loss")] == [2.0]
    assert [line["d/loss"] for line in lines(tmp_path)] == [2.0]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A real TensorBoard over two finished runs."""
    for run in ("first", "second"):
        with Records(RunDirectory(tmp_path / run), 0) as records:
            records.hyperparameters({"loss": run, "seed": 3, "g/learning_rate": 1e-4}, ["d/loss"])
            for step in (50, 100):
                records.scalars(step, {"d/loss": step / 100, "d/gp": 0.25})
            for tag in ("samples/ema", "samples/raw"):
                records.picture(tag, 100, torch.zeros(4, 1, 8, 8), "grid.png")
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
    assert sorted(fetch(f"{server}/data/runs")) == ["first/tb", "second/tb"]
    scalars = fetch(f"{server}/data/plugin/scalars/scalars?tag=d%2Floss&run=first%2Ftb")
    assert [(step, value) for _, step, value in scalars] == [(50, 0.5), (100, 1.0)]
    images = fetch(f"{server}/data/plugin/images/tags")
    assert set(images["second/tb"]) == {"samples/ema", "samples/raw"}
    experiment = fetch(f"{server}/data/plugin/hparams/experiment", {})
    assert {h["name"] for h in experiment["hparamInfos"]} == {"loss", "seed", "g/learning_rate"}
    body = {
        "allowedStatuses": ["STATUS_SUCCESS", "STATUS_RUNNING", "STATUS_UNKNOWN"],
        "colParams": [{"metric": {"group": "", "tag": "d/loss"}}],
        "startIndex": 0,
        "sliceSize": 9,
    }
    groups = fetch(f"{server}/data/plugin/hparams/session_groups", body)["sessionGroups"]
    assert {g["hparams"]["loss"] for g in groups} == {"first", "second"}
    assert all(g["metricValues"][0]["value"] == 1.0 for g in groups)


def test_a_picture_is_a_png_file(tmp_path: Path) -> None:
    with Records(RunDirectory(tmp_path), 0, limits=2.0) as records:
        records.picture("samples/ema", 3, torch.zeros(4, 3, 32, 32), "step-000000003.png")
        records.picture("samples/raw", 3, torch.zeros(9, 2), "points.png")
    with Image.open(tmp_path / "samples" / "step-000000003.png") as image:
        assert image.size == (70, 70)
    assert (tmp_path / "samples" / "points.png").stat().st_size > 0
