"""Signals: the step is finished, the state saved, exit code 75; a second Ctrl-C leaves at once."""

from __future__ import annotations

import csv
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gantrain.checkpoint import Checkpoints
from tests.conftest import REPOSITORY
from tests.reliability.conftest import Start, records, same_state, status
from tests.reliability.test_kill import GAMES, SMALL, folder_of

Figure = Callable[[str], None]
RING = (*GAMES["solver"], *SMALL)
RUNS = "outputs/*/*/*/*/"


@pytest.mark.row("F9", "SIGTERM, SIGINT, SIGUSR1 to the process or its group; images in memory or read by threads")
def test_a_signal_ends_the_run_between_two_steps_and_it_goes_on_bit_for_bit(
    start: Start, tmp_path: Path, images: Path, figure: Figure
) -> None:
    slowest, equal = 0.0, 0
    short = (*folder_of(images), "total_steps=50")
    assert start(*short, "run.dir=whole").wait() == 0
    for k in range(12):
        number = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)[k % 3]
        command = (*short, f"data.in_memory={('true', 'false')[k // 6]}", f"run.dir={k}")
        child = start(*command)
        metrics = tmp_path / str(k) / "metrics.jsonl"
        child.until(lambda metrics=metrics: metrics.exists() and metrics.read_text())
        begin = time.monotonic()
        child.send(number, group=k % 2 == 1)
        assert child.wait() == 75, child.text()
        slowest = max(slowest, time.monotonic() - begin)
        assert f"{number.name}: stopping after this step" in child.text() and "state saved" in child.text()
        stopped = status(tmp_path / str(k))
        assert stopped["state"] == "stopped" and stopped["exit_code"] == 75
        assert Checkpoints(tmp_path / str(k) / "checkpoints").steps()[-1] == stopped["step"] < 50
        assert start(*command).wait() == 0
        equal += same_state(tmp_path / "whole", tmp_path / str(k))
    figure(f"{equal}/12 saved, exit 75 after at most {slowest:.2f} s, and ended bit-identical")
    assert equal == 12 and slowest < 2


@pytest.mark.row("F10", "SIGINT, then SIGINT again within the second that a step or a save takes")
def test_a_second_interrupt_leaves_at_once(start: Start, tmp_path: Path, figure: Figure) -> None:
    for k, phase in enumerate(["training", "saving", "training", "saving", "sampling"]):
        child = start(*RING, f"run.dir={k}", "samples.every=10", faults=(("slow", phase, f"mark{k}"),))
        child.until((tmp_path / f"mark{k}").exists)
        child.send(signal.SIGINT)
        child.until(lambda child=child: "Ctrl-C again" in child.text())
        begin = time.monotonic()
        child.send(signal.SIGINT)
        assert child.wait() == 130 and time.monotonic() - begin < 0.5
        checkpoints = Checkpoints(tmp_path / str(k) / "checkpoints")
        steps = checkpoints.steps()
        assert not steps or checkpoints.latest()[0]["step"] == steps[-1]
        assert start(*RING, f"run.dir={k}").wait() == 0
    figure("5/5: exit 130 within half a second, the last acknowledged checkpoint valid")


@pytest.mark.row("F11", "SIGTERM while each phase of a run is held up for a second")
@pytest.mark.parametrize("phase", ["start-up", "training", "sampling", "logging", "saving", "evaluation"])
def test_every_phase_heeds_a_signal(start: Start, tmp_path: Path, phase: str, figure: Figure) -> None:
    measured = ("evaluation=points", "evaluation.n_fake=500") if phase == "evaluation" else ()
    child = start(*RING, "run.dir=run", "samples.every=10", *measured, faults=(("slow", phase, "mark"),))
    child.until((tmp_path / "mark").exists)
    begin = time.monotonic()
    child.send(signal.SIGTERM)
    assert child.wait() == 75 and "Traceback" not in child.text(), child.text()
    took = time.monotonic() - begin
    figure(f"{phase}: exit 75 after {took:.1f} s")
    assert took < 5
    if phase == "start-up":
        assert "SIGTERM: stopped before training" in child.text() and len(child.text().splitlines()) < 20
        assert not (tmp_path / "run").exists()
    else:
        assert status(tmp_path / "run")["state"] == "stopped"


@pytest.mark.row("F11", "SIGTERM at 40 random moments from the start of the command to its first steps")
def test_a_signal_at_any_moment_of_the_start_is_heeded(start: Start, tmp_path: Path, figure: Figure) -> None:
    rng, slowest = random.Random(3), 0.0
    for k in range(40):
        child = start(*RING, f"run.dir={k}", "total_steps=100000", faults=(("announce",),))
        child.until(lambda child=child: "ready" in child.text())
        time.sleep(rng.uniform(0.0, 0.6))
        begin = time.monotonic()
        child.send(signal.SIGTERM)
        assert child.wait(20) == 75 and "Traceback" not in child.text(), child.text()
        slowest = max(slowest, time.monotonic() - begin)
    figure(f"40/40: exit 75 after at most {slowest:.1f} s")
    assert slowest < 5


@pytest.mark.row("F9", "Ctrl-C to a run whose output nobody reads any more, as with | tee")
def test_a_run_whose_reader_has_gone_saves_and_ends_well(tmp_path: Path, figure: Figure) -> None:
    command = [sys.executable, "-m", "gantrain", *RING, "run.dir=run", "total_steps=100000"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=pipe, stderr=subprocess.STDOUT)
    while not (tmp_path / "run" / "metrics.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.stdout.close()
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 75
    stopped = status(tmp_path / "run")
    assert stopped["state"] == "stopped" and stopped["exit_code"] == 75
    assert Checkpoints(tmp_path / "run" / "checkpoints").steps()[-1] == stopped["step"]
    figure("its reader gone: saved, exit 75")


@pytest.mark.row("F11", "SIGTERM in the second job of a sweep")
def test_a_signal_stops_the_whole_sweep(start: Start, tmp_path: Path, figure: Figure) -> None:
    sweep = ("-m", *RING, "seed=0,1,2", "total_steps=200")
    child = start(*sweep)
    child.until(lambda: len(list(tmp_path.glob(RUNS + "metrics.jsonl"))) == 2)
    child.send(signal.SIGTERM)
    assert child.wait() == 75, child.text()
    states = sorted(status(path.parent)["state"] for path in tmp_path.glob(RUNS + "status.json"))
    assert states == ["finished", "stopped"]
    again = start(*sweep)
    assert again.wait() == 0 and "is finished" in again.text() and "resumed" in again.text()
    runs = [path.parent for path in sorted(tmp_path.glob(RUNS + "status.json"))]
    assert len(runs) == 3 and all(len(records(run)) == 40 for run in runs)
    figure("the sweep stopped with its job; the same command skips, resumes and ends it")


@pytest.mark.row("F39", "job 2 of 4 diverges; SIGKILL in job 3 of 4, the same command again")
def test_a_sweep_goes_on_after_a_diverged_job_and_a_kill(start: Start, tmp_path: Path, figure: Figure) -> None:
    sweep = ("-m", *RING, "seed=0,1,2,3")
    diverging = (("nan_loss_of_seed", 1, 30),)
    child = start(*sweep, faults=diverging)
    child.until(lambda: len(list(tmp_path.glob(RUNS + "metrics.jsonl"))) == 3)
    child.kill()
    runs = {path.parent.name.split("-")[0]: path.parent for path in tmp_path.glob(RUNS + "status.json")}
    assert {seed: status(run)["state"] for seed, run in runs.items()} == {
        "seed0": "finished", "seed1": "diverged", "seed2": "running",
    }  # fmt: skip
    child = start(*sweep, faults=diverging)
    assert child.wait() == 4, child.text()
    assert child.text().count("is finished") == 1 and "Traceback" not in child.text()
    again = {path.parent.name.split("-")[0]: path.parent for path in tmp_path.glob(RUNS + "status.json")}
    assert again.keys() == {"seed0", "seed1", "seed2", "seed3"} and all(again[seed] == runs[seed] for seed in runs)
    states = {seed: status(run)["state"] for seed, run in again.items()}
    assert states == dict.fromkeys(again, "finished") | {"seed1": "diverged"}
    figure("the others ran, exit 4; the rerun skipped job 1, resumed job 3 in its directory, and ran job 4")


def test_a_sweep_killed_at_any_moment_ends_with_the_same_table(start: Start, tmp_path: Path) -> None:
    from gantrain.cli import report

    measured = ("evaluation=points", "evaluation.n_fake=200", "evaluation.n_real=200", "evaluation.metrics=[modes,w2]",
                "evaluation.best=w2", "evaluation.n_w2=100")  # fmt: skip
    sweep = ("-m", *RING, *measured, "loss=vanilla,lsgan", "seed=0,1")

    def table(root: str) -> tuple[list[str], str]:
        found = report.report(report.parse([str(tmp_path / root), f"out={tmp_path / root}.html"]))
        rows = list(csv.DictReader((tmp_path / f"{root}.csv").open()))
        clock = {"seconds", "training_seconds", "other_seconds", "peak_memory_bytes", "run"}
        text = (tmp_path / f"{root}.md").read_text().split("### What it cost")[0]
        values = [str({k: v for k, v in row.items() if k not in clock}) for row in rows]
        return values, found.split("report  ")[0] + text

    whole = start(*sweep, f"run.root={tmp_path / 'whole'}")
    assert whole.wait() == 0, whole.text()
    killed = set()
    for moment in np.random.default_rng(7).uniform(0.4, 1.8, 4):  # it would take two to three seconds
        child = start(*sweep, f"run.root={tmp_path / 'killed'}")
        time.sleep(moment)
        child.kill()
        killed |= {
            str(p.parent) for p in tmp_path.glob("killed/**/status.json") if status(p.parent)["state"] == "running"
        }
    last = start(*sweep, f"run.root={tmp_path / 'killed'}")
    assert last.wait() == 0 and killed, last.text()
    assert table("killed") == table("whole")
