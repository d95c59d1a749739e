"""``gantrain-status``: what it says of runs, without disturbing them."""

from __future__ import annotations

import fcntl
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gantrain.cli.status import main
from gantrain.run.directory import RunDirectory
from tests.conftest import Outcome, command, until

Command = Callable[..., Outcome]


@pytest.fixture
def status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    yield from command(main, "gantrain-status", tmp_path, monkeypatch, capsys)


def left(folder: Path, state: str, step: int, **facts: object) -> RunDirectory:
    """A run directory as a run in that state leaves it."""
    run = RunDirectory(folder)
    folder.mkdir(parents=True)
    (folder / "run.lock").write_text("process 1 on here\n")
    run.write_status(state, {"step": step if state != "running" else 0, "total_steps": 1000} | facts)
    run.metrics_file.write_text(
        "".join(json.dumps({"step": s, "d/loss": s / 100, "speed/steps_per_s": 10.0}) + "\n" for s in (1, step))
    )
    return run


def test_each_run_has_its_line(status: Command, tmp_path: Path) -> None:
    left(tmp_path / "outputs" / "a", "finished", 1000, counters={"failed_saves": 2, "rollbacks": 0})
    left(tmp_path / "outputs" / "b", "stopped", 300, exit_code=75, reason="stopped at step 300")
    outcome = status()
    assert "outputs/a  finished" in outcome.out and "step 1,000 of 1,000" in outcome.out and "d/loss 10" in outcome.out
    assert "2 failed saves" in outcome.out and "rollbacks" not in outcome.out
    assert "outputs/b  stopped" in outcome.out and "stopped at step 300" in outcome.out
    assert outcome.exit_code == 75
    assert status("outputs/a").exit_code == 0


def test_in_a_terminal_of_80_columns_no_word_is_broken(
    status: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = "d/gp is nan at step 300; try a smaller learning rate, or nonfinite.policy=rollback"
    left(tmp_path / "outputs" / "digits" / "dcgan" / "seed0", "diverged", 300, exit_code=3, reason=reason)
    plain = status().out
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda self: True)
    folded = status().out
    assert max(map(len, plain.splitlines())) > 90 and max(map(len, folded.splitlines())) <= 80
    assert folded.split() == plain.split()


def test_a_running_run_tells_its_time_left_and_a_killed_one_where_it_goes_on(status: Command, tmp_path: Path) -> None:
    run = left(tmp_path / "run", "running", 400)
    (run.path / "checkpoints" / "step-000000350").mkdir(parents=True)
    killed = status("run")
    assert killed.exit_code == 137 and "killed" in killed.out and "step 400 of 1,000" in killed.out
    assert "goes on from step 350" in killed.out
    pid = os.fork()  # a lock of this process would not be seen by it
    if pid == 0:
        lock = (run.path / "run.lock").open("a+")
        fcntl.lockf(lock, fcntl.LOCK_EX)
        (run.path / "locked").touch()
        until(lambda: not (run.path / "locked").exists())
        os._exit(0)
    until((run.path / "locked").exists)
    running = status("run")
    assert running.exit_code == 0 and "running" in running.out and "0:01:00 left" in running.out
    facts = json.loads(status("run", "--json").out)
    assert facts["state"] == "running" and facts["seconds_left"] == 60 and facts["metrics"]["d/loss"] == 4
    (run.path / "locked").unlink()
    os.waitpid(pid, 0)
    assert status("run").exit_code == 137


def test_damaged_files_of_a_run_are_no_reason_to_fail(status: Command, tmp_path: Path) -> None:
    run = left(tmp_path / "run", "finished", 10)
    run.metrics_file.write_bytes(b"\xff\xfe{]\n" + b'{"step": 5, "d/loss"')
    (run.path / "status.json").write_bytes(b'{"state": "fini')
    outcome = status("run")
    assert outcome.exit_code == 0 and "unknown" in outcome.out


def test_a_folder_without_runs_is_said(status: Command, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name, words in (("empty", "holds no run"), ("nowhere", "is not a folder")):
        outcome = status(name)
        assert outcome.exit_code == 2 and words in outcome.err and len(outcome.err.splitlines()) == 1
