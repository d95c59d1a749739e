"""A run whose folder changes under it, and the circumstances in which a command is started."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gantrain.errors import DiskError, RunInUseError
from gantrain.run import files
from gantrain.run.directory import RunDirectory
from gantrain.run.lock import Lock
from gantrain.run.records import Records
from gantrain.run.signals import StopSignal, heeded
from gantrain.sweeps.search import own_database
from tests.conftest import until
from tests.reliability.conftest import Child, Start, error_of, records, same_state, status
from tests.reliability.test_kill import GAMES, SMALL

pytestmark = pytest.mark.thorough

Figure = Callable[[str], None]
RING = (*GAMES["ring"], *SMALL)
BIN = Path(sys.executable).parent


def held(start: Start, tmp_path: Path, *more: str) -> Child:
    """A run that waits in G's turn of step 25, between the checkpoints of steps 20 and 30."""
    child = start(*RING, "run.dir=run", *more, faults=(("hold", "training", "mark", "go", 25),))
    child.until((tmp_path / "mark").exists)
    return child


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


CHANGES: dict[str, tuple[Callable[[Path], object], int, str]] = {
    "the folder renamed": (lambda run: run.rename(run.with_name("moved")), 7, "was removed, renamed or replaced"),
    "the folder deleted": (shutil.rmtree, 7, "was removed, renamed or replaced"),
    "the folder replaced": (
        lambda run: (run.rename(run.with_name("moved")), run.mkdir()),
        7,
        "was removed, renamed or replaced",
    ),
    "run.lock deleted": (lambda run: (run / "run.lock").unlink(), 6, "run.lock was removed or replaced"),
    "run.lock replaced": (
        lambda run: ((run / "run.lock").unlink(), (run / "run.lock").touch()),
        6,
        "run.lock was removed or replaced",
    ),
    "metrics.jsonl deleted": (lambda run: (run / "metrics.jsonl").unlink(), 7, "metrics.jsonl was removed"),
    "metrics.jsonl replaced": (
        lambda run: (run / "metrics.jsonl").rename(run / "old") and (run / "metrics.jsonl").touch(),
        7,
        "metrics.jsonl was removed",
    ),
}


@pytest.mark.row("F46", "the run's folder, run.lock or metrics.jsonl deleted, renamed or replaced while it goes on")
@pytest.mark.parametrize("change", CHANGES)
def test_a_run_whose_place_is_taken_away_says_so_and_writes_nowhere_else(
    start: Start, tmp_path: Path, change: str, figure: Figure
) -> None:
    act, code, words = CHANGES[change]
    child, run = held(start, tmp_path), tmp_path / "run"
    act(run)
    before = contents(run) if run.exists() else None
    (tmp_path / "go").touch()
    assert child.wait() == code and words in error_of(child), child.text()
    if change.startswith("the folder"):
        assert (contents(run) if run.exists() else None) == before  # nothing is written where it was
    if change.startswith("run.lock"):
        assert status(run)["state"] == "running"  # its record may be another process's by now
    if change.startswith("metrics"):
        assert status(run)["state"] == "failed" and status(run)["exit_code"] == 7
    figure(f"{change}: exit {code} at the next save, in one sentence")


@pytest.mark.row("F46", "run.lock deleted, and a second process trains in the folder meanwhile")
def test_of_two_processes_the_one_that_has_lost_its_lock_ends(start: Start, tmp_path: Path, figure: Figure) -> None:
    first = held(start, tmp_path)
    (tmp_path / "run" / "run.lock").unlink()
    assert start(*RING, "run.dir=run").wait() == 0
    after = contents(tmp_path / "run")
    (tmp_path / "go").touch()
    assert first.wait() == 6 and "another process may train here" in error_of(first)
    assert contents(tmp_path / "run") == after
    assert start(*RING, "run.dir=alone").wait() == 0 and same_state(tmp_path / "run", tmp_path / "alone")
    figure("the first ends with 6 and changes nothing; the second's run is whole")


@pytest.mark.row("F46", "cp -al run run2 and cp -r run run2, then run2 goes on; cp -al while the run goes on")
@pytest.mark.parametrize("how", ["-al", "-r"])
def test_a_copied_run_goes_on_by_itself(start: Start, tmp_path: Path, how: str, figure: Figure) -> None:
    child = held(start, tmp_path)
    subprocess.run(["cp", how, "run", "run2"], cwd=tmp_path, check=True)
    if how == "-al":  # one lock in two folders: it is taken
        second = start(*RING, "run.dir=run2")
        assert second.wait() == 6 and "is in use by process" in error_of(second)
    child.kill()
    before = contents(tmp_path / "run")
    assert start(*RING, "run.dir=run2").wait() == 0
    assert contents(tmp_path / "run") == before
    assert start(*RING, "run.dir=run").wait() == 0
    assert same_state(tmp_path / "run", tmp_path / "run2") and records(tmp_path / "run") == records(tmp_path / "run2")
    figure(f"cp {how}: the original did not change, both ended alike")


@pytest.mark.row("F46", "hard links to files that are appended to: metrics.jsonl, evaluations.jsonl, search.db")
def test_a_file_with_two_names_is_copied_before_it_is_appended_to(tmp_path: Path, figure: Figure) -> None:
    for name in ("metrics.jsonl", "evaluations.jsonl", "sweep.jsonl"):
        (tmp_path / name).write_text("old\n")
        (tmp_path / f"other-{name}").hardlink_to(tmp_path / name)
        lines = files.Lines(tmp_path / name)
        lines.append("new")
        lines.close()
        assert (tmp_path / name).read_text() == "old\nnew\n" and (tmp_path / f"other-{name}").read_text() == "old\n"
    (tmp_path / "search.db").write_bytes(b"database")
    (tmp_path / "other.db").hardlink_to(tmp_path / "search.db")
    own_database(tmp_path / "search.db")
    assert (tmp_path / "search.db").stat().st_nlink == 1 and (tmp_path / "search.db").read_bytes() == b"database"
    figure("4/4: the other name kept its content")


def test_three_copies_by_hard_links_have_three_locks(tmp_path: Path) -> None:
    with RunDirectory(tmp_path / "a").open():
        pass
    for name in ("b", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.lock").hardlink_to(tmp_path / "a" / "run.lock")
    with RunDirectory(tmp_path / "b").open(), RunDirectory(tmp_path / "c").open(), RunDirectory(tmp_path / "a").open():
        assert len(Lock.held) == 3 and all(RunDirectory(tmp_path / name).is_in_use() for name in "abc")
        assert len({(tmp_path / name / "run.lock").stat().st_ino for name in "abc"}) == 3


def test_each_lost_thing_is_named_and_a_lock_is_held_once(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    with run.open():
        run.check_place()
        with pytest.raises(RunInUseError, match="this process"), RunDirectory(tmp_path / "run").open():
            pass
        (tmp_path / "again").symlink_to(tmp_path / "run")
        assert RunDirectory(tmp_path / "again").is_in_use()
        with Records(run, 0) as records:
            run.check_place()
            run.metrics_file.unlink()
            with pytest.raises(DiskError, match=r"metrics\.jsonl was removed"):
                records.flush()
        run.check_place()
        (run.path / "run.lock").unlink()
        with pytest.raises(RunInUseError, match="another process may train"):
            run.write_status("finished", {})
        assert not (run.path / "status.json").exists()
    assert not Lock.held


@pytest.mark.row("F47", "SIGHUP and SIGXCPU, in training and before it; SIGHUP under nohup; a limit on CPU time")
@pytest.mark.parametrize("name", ["SIGHUP", "SIGXCPU"])
def test_a_lost_terminal_and_a_reached_limit_save_and_stop(
    start: Start, tmp_path: Path, name: str, figure: Figure
) -> None:
    child = held(start, tmp_path)
    child.send(signal.Signals[name])
    child.until(lambda: f"{name}: stopping after this step" in child.text())
    (tmp_path / "go").touch()
    assert child.wait() == 75 and status(tmp_path / "run")["step"] == 25, child.text()
    assert start(*RING, "run.dir=run").wait() == 0 and start(*RING, "run.dir=whole").wait() == 0
    assert same_state(tmp_path / "run", tmp_path / "whole")
    early = start(*RING, "run.dir=early", faults=(("hold", "start-up", "early"),))
    early.until((tmp_path / "early").exists)
    early.send(signal.Signals[name])
    assert early.wait() == 75 and "stopped before training" in early.text()
    figure(f"{name}: saved, exit 75, went on bit-identical; before training: exit 75 at once")


@pytest.mark.row("F47", "SIGHUP to a run that was started with it ignored, as by nohup")
def test_a_run_under_nohup_goes_on_after_the_terminal_is_gone(start: Start, tmp_path: Path, figure: Figure) -> None:
    faults = (("ignore", signal.SIGHUP), ("hold", "training", "mark", "go", 25))
    child = start(*RING, "run.dir=run", faults=faults)
    child.until((tmp_path / "mark").exists)
    child.send(signal.SIGHUP)
    (tmp_path / "go").touch()
    assert child.wait() == 0 and status(tmp_path / "run")["state"] == "finished"
    figure("ignored: the run finished")


def test_sighup_is_heeded_unless_it_was_ignored_before() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        assert signal.SIGHUP in heeded() and signal.SIGXCPU in heeded()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        assert signal.SIGHUP not in heeded() and set(heeded()) == set(StopSignal.SIGNALS) - {signal.SIGHUP}
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_cpu_limit_s_signal_is_said_once_though_it_comes_every_second(capfd: pytest.CaptureFixture[str]) -> None:
    stop = StopSignal()
    stop.patient = True
    try:
        with stop.listening():
            for _ in range(3):
                os.kill(os.getpid(), signal.SIGXCPU)
        assert stop.name == "SIGXCPU" and capfd.readouterr().err.count("stopping after this step") == 1
    finally:
        StopSignal.received = None


@pytest.mark.row("F48", "no space left (ENOSPC) for run.lock, status.json, config.yaml when a run starts")
@pytest.mark.parametrize("name", ["run.lock", ".status.json", ".config.yaml"])
def test_a_disk_that_is_full_at_the_start_is_said_in_one_sentence(
    start: Start, tmp_path: Path, name: str, figure: Figure
) -> None:
    if name == "run.lock":
        (tmp_path / "run").mkdir()
        child = start(*RING, "run.dir=run", faults=(("no_space_for", name),))
        assert child.wait() == 7 and "No space left" in error_of(child)
        assert start(*RING, "run.dir=run").wait() == 0
        figure("exit 7 in one sentence; with space again the same command runs")
        return
    child = start(*RING, "run.dir=run", faults=(("full_for", name),))
    assert child.wait() == 7 and "No space left" in error_of(child)
    assert not list((tmp_path / "run").glob("*.tmp"))
    assert start(*RING, "run.dir=run").wait() == 0
    figure(f"{name.lstrip('.')}: exit 7 in one sentence; with space again the same command runs")


@pytest.mark.row("F48", "a file system without a byte left, with the run's folder on it")
def test_a_really_full_disk_at_the_start_is_said_in_one_sentence(
    start: Start,
    small_disk: Path,
    figure: Figure,
) -> None:
    (small_disk / "run").mkdir()
    with (small_disk / "hog").open("wb", buffering=0) as hog:
        try:
            while hog.write(bytes(65536)) == 65536:
                pass
        except OSError:
            pass
    child = start(*RING, f"run.dir={small_disk / 'run'}")
    assert child.wait() == 7 and error_of(child)
    (small_disk / "hog").unlink()
    assert start(*RING, f"run.dir={small_disk / 'run'}").wait() == 0
    figure("exit 7 in one sentence")


@pytest.mark.row("F48", "a file system that gives no locks (ENOLCK, EOPNOTSUPP, ENOSYS)")
@pytest.mark.parametrize("name", ["ENOLCK", "EOPNOTSUPP", "ENOSYS"])
def test_a_file_system_without_locks_is_said_in_one_sentence(
    start: Start, tmp_path: Path, name: str, figure: Figure
) -> None:
    child = start(*RING, "run.dir=run", faults=(("no_locks", getattr(errno, name)),))
    assert child.wait() == 2 and "gives no locks" in error_of(child)
    figure(f"{name}: exit 2 in one sentence")


@pytest.mark.row("F48", "stdout and stderr closed (>&- 2>&-); then a signal, which is told to descriptor 2")
def test_a_run_without_streams_runs_and_writes_its_messages_into_no_file(
    start: Start, tmp_path: Path, figure: Figure
) -> None:
    assert start(*RING, "run.dir=run", faults=(("close_streams",),)).wait() == 0
    assert start(*RING, "run.dir=whole").wait() == 0 and same_state(tmp_path / "run", tmp_path / "whole")
    faults = (("close_streams",), ("hold", "training", "mark", "go", 25))
    child = start(*RING, "run.dir=stopped", faults=faults)
    child.until((tmp_path / "mark").exists)
    child.send(signal.SIGTERM)
    (tmp_path / "go").touch()
    assert child.wait() == 75
    for path in (p for p in (tmp_path / "stopped").rglob("*") if p.is_file()):
        assert b"SIGTERM: stopping" not in path.read_bytes(), path
    figure("ran to the same end; no message in a file of the run")


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    line = line.replace("gantrain-", f"{BIN}/gantrain-")
    return subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, text=True)


@pytest.mark.row("F48", "gantrain-status and gantrain-report into head, /dev/full and closed streams; a deleted folder")
def test_output_that_nobody_takes_ends_no_command_in_a_traceback(tmp_path: Path, figure: Figure) -> None:
    for k in range(3):
        (tmp_path / "outputs" / str(k)).mkdir(parents=True)
        RunDirectory(tmp_path / "outputs" / str(k)).write_status("finished", {"step": 3}, 0)
    done = shell("gantrain-status | head -1; exit ${PIPESTATUS[0]}", tmp_path)
    assert done.returncode == 0 and done.stderr == "" and len(done.stdout.splitlines()) == 1
    for line, code in (
        ("gantrain-status > /dev/full", 7),
        ("gantrain-status --help > /dev/full", 7),
        ("gantrain-report --help > /dev/full", 7),
        ("gantrain-status > /dev/full 2>&1", 7),
        ("gantrain-status >&- 2>&-", 0),
        ("gantrain-status nowhere >&- 2>&-", 2),
        ("mkdir gone && cd gone && rmdir ../gone && gantrain-status", 2),
        ("mkdir gone && cd gone && rmdir ../gone && gantrain-export run=a", 2),
    ):
        done = shell(line, tmp_path)
        assert done.returncode == code and "Traceback" not in done.stderr, (line, done)
        assert len(done.stderr.splitlines()) <= 1, (line, done.stderr)
    figure("no traceback; 0 for a reader that has read enough, 7 for a full disk, 2 for a folder that is gone")


@pytest.mark.row("F49", "SIGTERM while a run or a sweep starts; TMPDIR is looked at before and after")
@pytest.mark.parametrize("kind", ["run", "sweep"])
def test_nothing_is_left_in_the_folder_for_temporary_files(
    start: Start, tmp_path: Path, kind: str, figure: Figure
) -> None:
    (tmp_path / "tmp").mkdir()
    sweep = ("-m", "seed=0,1") if kind == "sweep" else ()
    place = (("temporary_folder", str(tmp_path / "tmp")),)
    child = start(*sweep, *RING, faults=(*place, ("hold", "start-up", "mark")))
    child.until((tmp_path / "mark").exists)

    def left() -> list[Path]:
        return list((tmp_path / "tmp").glob(".gantrain-*"))

    assert len(left()) == (kind == "sweep")
    child.send(signal.SIGTERM)
    assert child.wait() == 75
    until(lambda: not left())
    assert start(*sweep, *RING, faults=place).wait() == 0
    assert not left()
    figure(f"{kind}: nothing left")
