"""Callbacks: when they hear, what they are told, how they end a run, and what of them is saved."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

import gantrain
from gantrain.checkpoint import read
from gantrain.errors import CallbackError, ConfigError
from gantrain.training.callbacks import Callback, Callbacks, Moment, by_name
from tests.api.conftest import SHORT

MEASURED = ("evaluation=points", "evaluation.n_fake=100", "evaluation.n_w2=50", "evaluation.every=4")
OFTEN = (*MEASURED, "batch_size=8", "log.every=2", "samples.every=3", "checkpoint.every=3", "data=ring")


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class Hears:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Moment]] = []

    def __getattr__(self, name: str):
        if not name.startswith("on_"):
            raise AttributeError(name)
        return lambda moment: self.told.append((name, moment))


class Counts(Callback):
    """Counts steps, and keeps the count in checkpoints."""

    def __init__(self) -> None:
        self.steps = 0

    def on_step(self, moment: Moment) -> None:
        self.steps += 1

    def state_dict(self) -> dict[str, int]:
        return {"steps": self.steps}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.steps = state["steps"]


def test_each_moment_is_told_at_its_steps_with_its_facts() -> None:
    hears = Hears()
    run = gantrain.train(*OFTEN, total_steps=6, callbacks=[hears])
    at = {name: [moment.step for told, moment in hears.told if told == name] for name, _ in hears.told}
    assert at == {
        "on_step": [1, 2, 3, 4, 5, 6],
        "on_log": [2, 4, 6],
        "on_samples": [0, 3, 6],
        "on_evaluation": [4, 6],
        "on_checkpoint": [3, 4, 6],
        "on_end": [6],
    }
    for name, moment in hears.told:
        assert moment.path == run.path.relative_to(Path.cwd()) and moment.total_steps == 6
        assert ("d/loss" in moment.values) == (name == "on_log")
        assert ("modes" in moment.values) == (name == "on_evaluation")
        assert (moment.samples is not None) == (name == "on_samples")
        assert (moment.file is not None and moment.file.exists()) == (name in ("on_samples", "on_checkpoint"))
        assert moment.state == ("finished" if name == "on_end" else "running")


def test_a_callback_that_draws_random_numbers_changes_no_bit_of_the_training() -> None:
    class Draws:
        def on_step(self, moment: Moment) -> None:
            torch.randn(7), np.random.rand(7), random.random()

    heard = gantrain.train(*SHORT, data="ring", total_steps=4, callbacks=[Draws()])
    alone = gantrain.train(*SHORT, data="ring", total_steps=4, run={"dir": "alone"})
    states = [read(max(run.path.glob("checkpoints/*")))[1] for run in (heard, alone)]
    weights = [state["g"]["net"] for state in states]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert states[0]["rng"]["python"] == states[1]["rng"]["python"]
    assert torch.equal(states[0]["rng"]["numpy"][1], states[1]["rng"]["numpy"][1])


@pytest.mark.parametrize("moment", ["on_step", "on_log", "on_samples", "on_checkpoint", "on_evaluation"])
def test_a_callback_ends_a_run_with_its_reason_state_saved(moment: str, capsys: pytest.CaptureFixture[str]) -> None:
    kind = type("Enough", (), {moment: lambda self, m: m.stop("that will do") if m.step else None})
    run = gantrain.train(*OFTEN, total_steps=8, callbacks=[kind()])
    ended = {"on_step": 1, "on_log": 2, "on_samples": 3, "on_checkpoint": 4, "on_evaluation": 4}[moment]
    assert (run.state, run.step, run.status["exit_code"]) == ("stopped", ended, 0)
    assert f"ended at step {ended} by callback Enough: that will do; state saved" in capsys.readouterr().out
    assert (run.path / "checkpoints" / f"step-{ended:09d}").is_dir()
    assert run.resume(callbacks=[]).step == 8


def test_the_state_of_a_callback_is_saved_and_restored_and_a_run_goes_on_without_it_too() -> None:
    first, second = Counts(), Counts()
    run = gantrain.train(*SHORT, data="ring", total_steps=4, callbacks=[first])
    run = run.resume(total_steps=6, callbacks=[second])
    assert (first.steps, second.steps) == (4, 6)
    assert run.resume(total_steps=8, callbacks=[]).resume(total_steps=9, callbacks=[Counts()]).step == 9


def test_the_option_ends_a_run_at_its_bound() -> None:
    option = ("callbacks=[stop_at]", "callbacks.stop_at.metric=d/loss", "callbacks.stop_at.value=100")
    run = gantrain.train(*SHORT, *option, data="ring", total_steps=8)
    assert (run.state, run.step) == ("stopped", 2) and "d/loss is 1." in run.status["reason"]
    never = gantrain.train(*SHORT, *option[:2], "callbacks.stop_at.value=-1", data="ring", total_steps=4, seed=1)
    assert (never.state, never.step) == ("finished", 4)
    with pytest.raises(ConfigError, match="best_is must be lowest or highest"):
        gantrain.train(*SHORT, *option, "callbacks.stop_at.best_is=low", data="ring", seed=2)


def test_a_method_of_the_protocol_that_nobody_wrote_is_not_called() -> None:
    told = Callbacks({"Counts": Counts(), "Hears": Hears()})
    assert told.hearing("on_step") == ["Counts", "Hears"] and told.hearing("on_log") == ["Hears"]
    assert list(by_name([Counts(), Hears(), Counts()])) == ["Counts", "Hears", "Counts2"]


@pytest.mark.parametrize(("state", "said"), [({1, 2}, "its state: set is not plain data"), (None, "division by zero")])
def test_a_state_that_cannot_be_saved_names_its_callback(state: object, said: str) -> None:
    class Keeps(Counts):
        def state_dict(self) -> object:
            return state if state is not None else 1 / 0

    with pytest.raises(CallbackError, match=f"callback Keeps failed in state_dict: .*{said}"):
        gantrain.train(*SHORT, data="ring", total_steps=1, callbacks=[Keeps()])


def test_a_state_that_a_callback_does_not_take_names_it() -> None:
    class Forgets(Counts):
        def load_state_dict(self, state: dict) -> None:
            raise KeyError("old")

    run = gantrain.train(*SHORT, data="ring", total_steps=1, callbacks=[Forgets()])
    with pytest.raises(CallbackError, match="callback Forgets failed in load_state_dict: KeyError: 'old'"):
        run.resume(total_steps=2)


def test_what_one_callback_changes_of_its_moment_no_other_hears() -> None:
    class Changes:
        def on_log(self, moment: Moment) -> None:
            moment.step = 99
            moment.values.clear()

    hears = Hears()
    gantrain.train(*SHORT, data="ring", total_steps=2, callbacks=[Changes(), hears])
    assert [(m.step, "d/loss" in m.values) for name, m in hears.told if name == "on_log"] == [(2, True)]


def test_a_class_is_no_callback() -> None:
    with pytest.raises(ConfigError, match="Counts is a class; give an object of it"):
        gantrain.train(*SHORT, data="ring", callbacks=[Counts])
