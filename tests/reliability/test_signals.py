"""Signals: the step is finished, the state saved, exit code 75; a second Ctrl-C leaves at once."""

from __future__ import annotations

import csv
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gantrain.checkpoint import Checkpoints
from tests.conftest import GUARD, REPOSITORY, until
from tests.reliability.conftest import Start, records, same_state, status
from tests.reliability.test_kill import GAMES, SMALL, folder_of, lines_in

pytestmark = pytest.mark.thorough

Figure = Callable[[str], None]
RING = (*GAMES["solver"], *SMALL)
RUNS = "outputs/*/*/*/*/"


@pytest.mark.row("F9", "SIGTERM, SIGINT, SIGUSR1 to the process or its group; images in memory or read by threads")
@pytest.mark.parametrize("in_memory", ["true", "false"])
def test_a_signal_ends_the_run_between_two_steps_and_it_goes_on_bit_for_bit(
    start: Start, tmp_path: Path, images: Path, in_memory: str, figure: Figure
) -> None:
    equal = 0
    short = (*folder_of(images), "total_steps=50", f"data.in_memory={in_memory}")
    assert start(*short, "run.dir=whole").wait() == 0
    cases = {"true": [(signal.SIGTERM, False), (signal.SIGINT, True)], "false": [(signal.SIGUSR1, True)]}[in_memory]
    for k, (number, group) in enumerate(cases):
        step = 1 + 23 * k
        held = (("hold", "training", f"mark{k}", f"go{k}", step),)  # in G's turn of that step
        child = start(*short, f"run.dir={k}", faults=held)
        child.until((tmp_path / f"mark{k}").exists)
        child.send(number, group=group)
        child.until(lambda child=child, name=number.name: f"{name}: stopping after this step" in child.text())
        (tmp_path / f"go{k}").touch()
        assert child.wait() == 75 and "state saved" in child.text(), child.text()
        stopped = status(tmp_path / str(k))
        assert stopped["state"] == "stopped" and stopped["exit_code"] == 75 and stopped["step"] == step
        assert Checkpoints(tmp_path / str(k) / "checkpoints").steps()[-1] == step
        assert start(*short, f"run.dir={k}").wait() == 0
        equal += same_state(tmp_path / "whole", tmp_path / str(k))
    figure(f"in_memory {in_memory}: {equal}/{len(cases)} ended their step, saved, exit 75, and ended bit-identical")
    assert equal == len(cases)


@pytest.mark.row("F10", "SIGINT, then SIGINT again within a step, a save or a drawing that would last for ever")
@pytest.mark.parametrize("phase", ["training", "saving", "sampling"])
def test_a_second_interrupt_leaves_at_once(start: Start, tmp_path: Path, phase: str, figure: Figure) -> None:
    command = (*RING, "samples.every=10", "total_steps=50", "run.dir=run")
    child = start(*command, faults=(("hold", phase, "mark", "", {"training": 15, "saving": 2, "sampling": 6}[phase]),))
    child.until((tmp_path / "mark").exists)
    child.send(signal.SIGINT)
    child.until(lambda: "Ctrl-C again" in child.text())
    child.send(signal.SIGINT)
    assert child.wait() == 130  # nothing but leaving at once ends it
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints")
    assert checkpoints.latest()[0]["step"] == checkpoints.steps()[-1] == 10
    assert start(*command).wait() == 0
    figure(f"{phase}: exit 130 in the midst of it, the last acknowledged checkpoint valid")


@pytest.mark.row("F11", "SIGTERM while each phase of a run is held up")
@pytest.mark.parametrize("phase", ["start-up", "training", "sampling", "logging", "saving", "evaluation"])
def test_every_phase_heeds_a_signal(start: Start, tmp_path: Path, phase: str, figure: Figure) -> None:
    measured = ("evaluation=points", "evaluation.n_fake=500") if phase == "evaluation" else ()
    command = (*RING, "run.dir=run", "samples.every=10", *measured)
    child = start(*command, faults=(("hold", phase, "mark", "go", 1),))
    child.until((tmp_path / "mark").exists)
    child.send(signal.SIGTERM)
    if phase == "start-up":  # nothing is there to be saved: it does not wait for the phase to end
        assert child.wait() == 75
        assert "SIGTERM: stopped before training" in child.text() and len(child.text().splitlines()) < 20
        assert not (tmp_path / "run").exists()
    else:
        child.until(lambda: "SIGTERM: stopping after this step" in child.text())
        (tmp_path / "go").touch()
        assert child.wait() == 75
        stopped = status(tmp_path / "run")
        at = {"training": 1, "sampling": 0, "logging": 5, "saving": 10, "evaluation": 15}[phase]  # the phase's first
        assert stopped["state"] == "stopped" and stopped["step"] in (at, at + 1)  # it asks once in each step
    assert "Traceback" not in child.text(), child.text()
    figure(f"{phase}: exit 75 after that step or the next")


@pytest.mark.row("F11", "SIGTERM at random calls of functions from the start of the command to its first steps")
@pytest.mark.parametrize("times", [8, pytest.param(32, marks=pytest.mark.thorough)])
def test_a_signal_at_any_moment_of_the_start_is_heeded(
    start: Start, tmp_path: Path, times: int, figure: Figure
) -> None:
    short = start(*RING, "run.dir=short", "total_steps=3", faults=(("count_calls", "calls"),))
    assert short.wait() == 0, short.text()
    calls, rng = int((tmp_path / "calls").read_text()), random.Random(times)
    for k in range(times):
        fault = ("signal_at", rng.randint(1, calls), signal.SIGTERM)
        child = start(*RING, f"run.dir={k}", "total_steps=1000000", faults=(fault,))
        assert child.wait() == 75 and "Traceback" not in child.text(), child.text()
    figure(f"{times}/{times}: exit 75")


@pytest.mark.row("F9", "Ctrl-C to a run whose output nobody reads any more, as with | tee")
def test_a_run_whose_reader_has_gone_saves_and_ends_well(tmp_path: Path, figure: Figure) -> None:
    command = [sys.executable, "-m", "gantrain", *RING, "run.dir=run", "total_steps=1000000"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=pipe, stderr=subprocess.STDOUT)
    metrics = tmp_path / "run" / "metrics.jsonl"
    until(lambda: metrics.exists() or process.poll() is not None)
    process.stdout.close()
    gone = lines_in(metrics)
    until(lambda: lines_in(metrics) > gone + 40 or process.poll() is not None)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)  # it says, to nobody, that it stops
    assert process.wait(GUARD) == 75
    stopped = status(tmp_path / "run")
    assert stopped["state"] == "stopped" and stopped["exit_code"] == 75
    assert Checkpoints(tmp_path / "run" / "checkpoints").steps()[-1] == stopped["step"]
    figure("its reader gone: saved, exit 75")


@pytest.mark.row("F11", "SIGTERM in the second job of a sweep")
def test_a_signal_stops_the_whole_sweep(start: Start, tmp_path: Path, figure: Figure) -> None:
    sweep = ("-m", *RING, "seed=0,1,2")
    child = start(*sweep, faults=(("hold", "training", "mark", "go", 20, 1),))  # in step 20 of the job with seed 1
    child.until((tmp_path / "mark").exists)
    child.send(signal.SIGTERM)
    child.until(lambda: "SIGTERM: stopping after this step" in child.text())
    (tmp_path / "go").touch()
    assert child.wait() == 75, child.text()
    assert sorted(state_and_step(tmp_path).values()) == [("finished", 120), ("stopped", 20)]
    again = start(*sweep)
    assert again.wait() == 0 and "is finished" in again.text() and "resumed" in again.text()
    runs = [path.parent for path in sorted(tmp_path.glob(RUNS + "status.json"))]
    assert len(runs) == 3 and all(len(records(run)) == 24 for run in runs)
    figure("the sweep stopped with its job; the same command skips, resumes and ends it")


def state_and_step(folder: Path) -> dict[str, tuple[str, int]]:
    """How the runs of a sweep stand, by seed."""
    found = {path.parent.name.split("-")[0]: status(path.parent) for path in folder.glob(RUNS + "status.json")}
    return {seed: (each["state"], each["step"]) for seed, each in found.items()}


@pytest.mark.row("F39", "job 2 of 4 diverges; SIGKILL in job 3 of 4, the same command again")
def test_a_sweep_goes_on_after_a_diverged_job_and_a_kill(start: Start, tmp_path: Path, figure: Figure) -> None:
    sweep = ("-m", *RING, "seed=0,1,2,3")
    diverging = ("nan_loss_of_seed", 1, 30)
    child = start(*sweep, faults=(diverging, ("hold", "training", "mark", "", 25, 2)))
    child.until((tmp_path / "mark").exists)
    child.kill()
    runs = {path.parent.name.split("-")[0]: path.parent for path in tmp_path.glob(RUNS + "status.json")}
    assert {seed: state for seed, (state, _) in state_and_step(tmp_path).items()} == {
        "seed0": "finished", "seed1": "diverged", "seed2": "running",
    }  # fmt: skip
    child = start(*sweep, faults=(diverging,))
    assert child.wait() == 4, child.text()
    assert child.text().count("is finished") == 1 and "Traceback" not in child.text()
    again = {path.parent.name.split("-")[0]: path.parent for path in tmp_path.glob(RUNS + "status.json")}
    assert again.keys() == {"seed0", "seed1", "seed2", "seed3"} and all(again[seed] == runs[seed] for seed in runs)
    states = {seed: state for seed, (state, _) in state_and_step(tmp_path).items()}
    assert states == dict.fromkeys(again, "finished") | {"seed1": "diverged"}
    figure("the others ran, exit 4; the rerun skipped job 1, resumed job 3 in its directory, and ran job 4")


def table(root: Path) -> tuple[list[str], str]:
    """The report of a sweep without what the clock says: the rows of its CSV, and its text."""
    from gantrain.cli import report

    found = report.report(report.parse([str(root), f"out={root}.html"]))
    rows = list(csv.DictReader(root.with_suffix(".csv").open()))
    clock = {"seconds", "training_seconds", "other_seconds", "peak_memory_bytes", "run"}
    text = root.with_suffix(".md").read_text().split("### What it cost")[0]
    values = [str({k: v for k, v in row.items() if k not in clock}) for row in rows]
    return values, found.split("report  ")[0] + text


@pytest.mark.parametrize("shares", [(0.35,), pytest.param((0.2, 0.4, 0.6), marks=pytest.mark.thorough)])
def test_a_sweep_killed_at_any_moment_ends_with_the_same_table(
    start: Start, tmp_path: Path, shares: tuple[float, ...]
) -> None:
    measured = ("evaluation=points", "evaluation.n_fake=200", "evaluation.n_real=200", "evaluation.metrics=[modes,w2]",
                "evaluation.best=w2", "evaluation.n_w2=100")  # fmt: skip
    sweep = ("-m", *RING, *measured, "loss=vanilla,lsgan", "seed=0,1", "total_steps=40")
    whole = start(*sweep, f"run.root={tmp_path / 'whole'}", faults=(("count_moments", "moments"),))
    assert whole.wait() == 0, whole.text()
    moments, killed = int((tmp_path / "moments").read_text()), set()
    for share in shares:  # of what the whole sweep does; each time less of it is left
        child = start(*sweep, f"run.root={tmp_path / 'killed'}", faults=(("kill_at", int(share * moments)),))
        assert child.wait() in (0, -signal.SIGKILL), child.text()
        killed |= {p for p in tmp_path.glob("killed/**/status.json") if status(p.parent)["state"] == "running"}
    last = start(*sweep, f"run.root={tmp_path / 'killed'}")
    assert last.wait() == 0 and killed, last.text()
    assert table(tmp_path / "killed") == table(tmp_path / "whole")
