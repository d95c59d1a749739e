"""The commands in this process, and a run for them to work on."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gantrain.cli import eval as eval_command
from gantrain.cli import export as export_command
from gantrain.cli import sample as sample_command
from tests.conftest import Outcome, command
from tests.evaluation.test_live import QUICK, play

Command = Callable[..., Outcome]


@pytest.fixture
def gantrain_eval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    yield from command(eval_command.main, "gantrain-eval", tmp_path, monkeypatch, capsys)


@pytest.fixture
def gantrain_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    yield from command(sample_command.main, "gantrain-sample", tmp_path, monkeypatch, capsys)


@pytest.fixture
def gantrain_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    yield from command(export_command.main, "gantrain-export", tmp_path, monkeypatch, capsys)


@pytest.fixture(scope="module")
def trained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run on digits with evaluation, made once.

    With plain performance, so that a generator that is built anew from its checkpoint computes what it computed while
    it trained. Otherwise its weights were in channels-last order then: the convolutions add up in another order, a
    pixel comes out 1e-7 higher or lower, and where that crosses the boundary between two grey levels (each of the
    200 × 64 pixels has a chance of 1e-7 × 127.5 × 2) the metrics see another image. Whether it happens depends on CPU.
    """
    folder = tmp_path_factory.mktemp("trained")
    play(folder / "run", "evaluation=classifier", *QUICK, "evaluation.every=10", "performance=plain")
    return folder / "run"


@pytest.fixture
def run(trained_run: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained_run, tmp_path / "run")
    return tmp_path / "run"
