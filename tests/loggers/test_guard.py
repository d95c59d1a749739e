"""What a logger does wrong costs one warning with its name and the reason, never the run, and no long wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from gantrain.loggers import Facts, Logger, guard, guarded
from gantrain.run.directory import RunDirectory
from gantrain.run.records import Records
from tests.conftest import GUARD

Property = Callable[[str, object], None]
CALLS = ("begin", "scalars", "image", "text", "hyperparameters", "artifact", "flush", "finish")


class Noting(Logger):
    """Notes the calls that it gets; one of them, ``breaks``, raises or waits."""

    def __init__(self, breaks: str = "", error: Callable[[], object] | None = None, **settings: object) -> None:
        super().__init__(**settings)
        self.breaks, self.error, self.got = breaks, error, []
        for name in CALLS:
            setattr(self, name, self.noted(name))

    def noted(self, name: str) -> Callable[..., None]:
        def call(*arguments: object) -> None:
            self.got.append((name, *arguments))
            if name == self.breaks and self.error is not None:
                self.error()

        return call

    def names(self) -> list[str]:
        return [name for name, *_ in self.got]


class NotingInFolder(Noting):
    in_folder = True


def refused() -> None:
    raise ConnectionError("http://me:secret@tracker refused the connection\nand more")


def broken() -> None:
    raise ValueError("http://me:secret@tracker refused the connection\nand more")


def play(folder: Path, *loggers: Logger, error: RuntimeError | None = None) -> RunDirectory:
    """All that a run hands on, twice."""
    run = RunDirectory(folder)
    (folder / "config.yaml").write_text("a: 1\n")
    outlets = guarded({f"log{k}": logger for k, logger in enumerate(loggers)}, run)
    with suppress(RuntimeError), Records(run, 0, outlets=outlets) as records:
        records.hyperparameters({"seed": 3})
        for step in (1, 2):
            records.scalars(step, {"d/loss": float(step), "g/loss": float("nan")})
            records.image("samples/ema", step, torch.zeros(3, 8, 8), f"step-{step:09d}.png")
            records.text("evaluation", step, "fid 3")
            records.flush()
        if error is not None:
            raise error
    return run


@pytest.mark.row("F63", "an error in each of a logger's methods, called in a thread or at once")
@pytest.mark.parametrize("kind", [Noting, NotingInFolder])
@pytest.mark.parametrize("call", CALLS)
def test_a_logger_that_raises_costs_one_warning_and_nothing_else(
    call: str, kind: type[Noting], tmp_path: Path, capsys: pytest.CaptureFixture[str], record_property: Property
) -> None:
    bad, good = kind(call, broken), Noting()
    run = play(tmp_path, bad, good)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "warning" in said and "log0 is off from here on" in said, said
    assert "http://me:***@tracker refused the connection" in said and "secret" not in said and "and more" not in said
    assert bad.names().count(call) == 1 and bad.names()[-1] == call  # it is asked for nothing more
    assert good.names().count("scalars") == 2 and good.names()[-1] == "finish"
    assert len(list(run.metrics())) == 2 and run.lost_records == 0
    record_property("figure", f"{call}: one warning, then off; the run and the other logger whole")


def test_a_server_that_refuses_is_off_and_a_disk_that_refuses_is_asked_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    remote, local = Noting("scalars", refused), NotingInFolder("scalars", refused)
    run = play(tmp_path, remote, local)
    said = capsys.readouterr().err
    assert "log0 is off" in said and "log1" not in said and said.count("records in") == 1
    assert remote.names().count("scalars") == 1 and local.names().count("scalars") == 2 and run.lost_records == 2


@pytest.mark.row("F63", "a method that does not return, with a timeout of 0.3 s")
@pytest.mark.parametrize("call", ["begin", "scalars", "flush", "finish"])
def test_a_logger_that_hangs_is_waited_for_once_and_only_so_long(
    call: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], record_property: Property
) -> None:
    release = threading.Event()
    bad, good = Noting(call, release.wait, timeout=0.3), Noting()
    began = time.monotonic()
    play(tmp_path, bad, good)
    took = time.monotonic() - began
    release.set()
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "log0 is off" in said and "did not keep up" in said, said
    assert took < GUARD and good.names()[-1] == "finish"
    record_property("figure", f"{call}: waited for once, one warning, then off")


def test_calls_that_no_longer_fit_make_the_run_wait_and_then_the_logger_is_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(guard, "WAITING", 3)
    release, run = threading.Event(), RunDirectory(tmp_path)
    (outlet,) = guarded({"slow": Noting("begin", release.wait, timeout=0.2)}, run)
    outlet.begin(0)
    for step in range(9):
        outlet.scalars(step, {"d/loss": 1.0})
    assert outlet.off and capsys.readouterr().err.count("slow is off") == 1
    release.set()


def test_a_slow_logger_may_take_a_hundredth_of_the_time_beyond_its_timeout(tmp_path: Path) -> None:
    (outlet,) = guarded({"slow": Noting(timeout=5.0)}, RunDirectory(tmp_path))
    outlet.begin(0)
    outlet.began, outlet.waited = time.monotonic() - 1000.0, 14.0
    assert outlet._allowed() == pytest.approx(1.0, abs=0.5)
    outlet.waited = 20.0
    assert outlet._allowed() == 0.0
    outlet.finish("finished", "")


def test_at_a_checkpoint_a_logger_has_all_that_came_before(tmp_path: Path) -> None:
    seen: list[int] = []
    logger = Noting("flush", lambda: seen.append(logger.names().count("scalars")))
    (outlet,) = guarded({"slow": logger}, RunDirectory(tmp_path))
    outlet.begin(0)
    for step in range(50):
        outlet.scalars(step, {"d/loss": 1.0})
    outlet.flush()
    assert seen[-1] == 50 == logger.names().count("scalars") and not outlet.off
    outlet.finish("finished", "")


def test_a_logger_gets_what_a_run_hands_on_and_how_it_ended(tmp_path: Path) -> None:
    plain, weighty = Noting(), Noting(weights=True)
    (tmp_path / "checkpoints" / "step-000000002").mkdir(parents=True)
    play(tmp_path, plain, weighty, error=RuntimeError("no more"))
    assert ("scalars", 1, {"d/loss": 1.0}) in plain.got and ("text", "evaluation", 2, "fid 3") in plain.got
    assert ("hyperparameters", {"seed": 3}) in plain.got
    sent = [arguments[0].name for name, *arguments in plain.got if name == "artifact"]
    assert sent == ["config.yaml", "step-000000002.png"]
    sent = [arguments[0].name for name, *arguments in weighty.got if name == "artifact"]
    assert sent == ["config.yaml", "step-000000002.png", "step-000000002"]
    assert plain.got[-1] == ("finish", "failed", "no more") and plain.got[-2] == ("flush",)


def test_after_a_rollback_a_logger_goes_on_where_the_run_does_and_one_that_is_off_stays_off(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = Noting(), Noting("scalars", refused)
    outlets = guarded({"good": good, "bad": bad}, RunDirectory(tmp_path))
    for step in (0, 4):
        for outlet in outlets:
            outlet.begin(step)
            outlet.scalars(step + 1, {"d/loss": 1.0})
            outlet.finish("diverged", "")
    begun = [facts for name, *rest in good.got if name == "begin" for facts in rest]
    assert all(isinstance(facts, Facts) for facts in begun) and [facts.step for facts in begun] == [0, 4]
    assert bad.names().count("begin") == 1 and capsys.readouterr().err.count("bad is off") == 1
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("logger ")]
