"""Evaluation while training: what is recorded, kept, and gone on with."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gantrain.build import build_quality
from gantrain.checkpoint import Checkpoints, Retention
from gantrain.errors import StoppedError
from gantrain.evaluation import Live
from gantrain.run.directory import RunDirectory
from gantrain.run.records import Records
from tests.conftest import Outcome, built, config, only

Command = Callable[..., Outcome]
SMALL = ("batch_size=16", "device=cpu", "architecture.generator.width=8", "architecture.discriminator.width=8")
QUICK = ("evaluation.n_fake=200", "evaluation.n_real=300")
RUN = ("run.dir=run", "total_steps=30", "log.every=10", *SMALL)


def play(
    folder: Path,
    *overrides: str,
    stop: Callable[[], bool] = bool,
    steps: int = 30,
    small: tuple[str, ...] = SMALL,
) -> dict[str, Any]:
    """Train as the command does, in this process; returns the trainer's state."""
    from omegaconf import OmegaConf

    from gantrain.cli.session import live as live_of

    settings = (f"total_steps={steps}", "log.every=10", "checkpoint.every=10", *small, *overrides)
    cfg = config(*settings)
    trainer = (made := built(*settings)).trainer
    quality = build_quality(cfg, made.data, trainer.precision.device, live=True)
    run = RunDirectory(folder)
    data = made.data
    facts = {"generator": {"shape": list(data.shape), "classes": data.classes, "shares": data.shares()}}
    checkpoints = Checkpoints(folder / "checkpoints", Retention(cfg.checkpoint.keep_last), lambda: facts)
    if (found := checkpoints.latest()) is not None:
        trainer.load_state_dict(found[1])
    folder.mkdir(exist_ok=True, parents=True)
    run.write_config(OmegaConf.to_yaml(cfg, resolve=True))
    with Records(run, trainer.step, columns=made.columns) as records:
        if (live := live_of(cfg, run, quality, trainer)) is not None:
            live.go_on(trainer.step)
            checkpoints.protected = live.protected
        trainer.train(records, checkpoints, stop, live)
    return trainer.state_dict()


def evaluations(folder: Path) -> list[dict[str, float]]:
    return [line for line in RunDirectory(folder).metrics() if any(name.startswith("eval_") for name in line)]


def test_a_run_is_measured_on_the_way_and_says_best_final_and_median(gantrain: Command, tmp_path: Path) -> None:
    outcome = gantrain(*RUN, "evaluation=classifier", *QUICK, "evaluation.every=5")
    assert outcome.exit_code == 0, outcome.err
    found = evaluations(tmp_path / "run")
    assert [line["step"] for line in found] == [5, 10, 15, 20, 25, 30]
    tag = next(name for name in found[0] if name != "step").split("/")[0]
    assert tag.startswith("eval_classifier_") and all(n == "step" or n.startswith(f"{tag}/") for n in found[0])
    summary = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    course = {line["step"]: line[f"{tag}/fid"] for line in found}
    assert summary["tag"] == tag and summary["best"]["fid"] == min(course.values())
    assert summary["final"]["step"] == 30 and summary["final"]["fid"] == course[30]
    assert summary["median_of_last_5"]["fid"] == sorted(list(course.values())[1:])[2]
    assert {"best", "final", "median"} <= set(outcome.out.split()) and "fid" in outcome.out
    assert "right on" in outcome.out and "of the training" in outcome.out
    assert len(list((tmp_path / "run" / "samples").glob("nearest-step-*.png"))) == 6

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(tmp_path / "run")).Reload()
    assert [round(event.value, 4) for event in board.Scalars(f"{tag}/fid")] == [round(v, 4) for v in course.values()]
    digest = tag.removeprefix("eval_classifier_")
    assert f"training/nearest_{digest}" in board.Tags()["tensors"]
    best = [event.value for event in board.Scalars(f"best/fid_classifier_{digest}")]
    assert best == pytest.approx(list(itertools.accumulate(course.values(), min)), rel=1e-6)


def test_the_best_checkpoint_is_kept_beside_the_newest(tmp_path: Path) -> None:
    play(tmp_path, "evaluation=classifier", *QUICK, "evaluation.every=3", "checkpoint.keep_last=2", steps=40)
    found = {line["step"]: next(v for n, v in line.items() if n.endswith("/fid")) for line in evaluations(tmp_path)}
    best = min(found, key=lambda step: found[step])
    assert Checkpoints(tmp_path / "checkpoints").steps() == sorted({best, 39, 40})


def test_measuring_changes_no_bit_of_the_training(tmp_path: Path) -> None:
    with_it = play(tmp_path / "a", "evaluation=classifier", *QUICK, "evaluation.every=7")
    without = play(tmp_path / "b", "evaluation=none")
    assert all(torch.equal(a, b) for a, b in zip(*(s["g"]["net"].values() for s in (with_it, without)), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(*(s["ema"]["net"].values() for s in (with_it, without)), strict=True))


@pytest.mark.parametrize("interrupted_at", only([30], [10, 30]))
def test_a_run_stopped_inside_an_evaluation_goes_on_to_the_same_records(tmp_path: Path, interrupted_at: int) -> None:
    settings = ("evaluation=classifier", *QUICK, "evaluation.every=10")
    whole = play(tmp_path / "whole", *settings)

    asked = {"times": 0}
    original = Live.evaluate

    def slow(self: Live, nets: Any, step: int, records: Records, stop: Callable[[], bool]) -> bool:
        if step == interrupted_at and asked["times"] == 0:
            asked["times"] = 1
        return original(self, nets, step, records, stop)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Live, "evaluate", slow)
        with pytest.raises(StoppedError, match=f"stopped at step {interrupted_at}"):
            play(tmp_path / "parts", *settings, stop=lambda: asked["times"] == 1)
    assert len(evaluations(tmp_path / "parts")) == interrupted_at // 10 - 1
    assert Checkpoints(tmp_path / "parts" / "checkpoints").steps()[-1] == interrupted_at
    parts = play(tmp_path / "parts", *settings)
    assert evaluations(tmp_path / "parts") == evaluations(tmp_path / "whole")
    assert json.loads((tmp_path / "parts" / "evaluation.json").read_text()) == json.loads(
        (tmp_path / "whole" / "evaluation.json").read_text()
    )
    assert all(torch.equal(a, b) for a, b in zip(*(s["g"]["net"].values() for s in (whole, parts)), strict=True))


def test_the_protocol_may_change_between_two_parts_of_a_run_and_its_numbers_stay_apart(
    gantrain: Command, tmp_path: Path
) -> None:
    first = gantrain(*RUN, "evaluation=pixels", *QUICK)
    second = gantrain(*RUN[:1], "total_steps=40", *RUN[2:], "evaluation=pixels", *QUICK, "evaluation.seed=1")
    assert first.exit_code == second.exit_code == 0, second.err
    tags = {name.split("/")[0] for line in evaluations(tmp_path / "run") for name in line if name != "step"}
    assert len(tags) == 2
    summary = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert summary["evaluations"] == 3 and summary["protocol"]["seed"] == 1  # after steps 30, 35 and 40


def test_points_are_measured_against_their_mixture(gantrain: Command, tmp_path: Path) -> None:
    outcome = gantrain("data=ring", "run.dir=run", "total_steps=20", "evaluation=points", "evaluation.n_fake=500")
    assert outcome.exit_code == 0, outcome.err
    assert "modes" in outcome.out and "high_quality" in outcome.out and "w2" in outcome.out
    names = {name.split("/")[1] for line in evaluations(tmp_path / "run") for name in line if name != "step"}
    assert names == {"modes", "modes_of_data", "high_quality", "mode_kl", "w2", "w2_of_real", "sliced_wasserstein"}


def test_an_evaluation_that_cannot_be_is_refused_before_anything_is_written(gantrain: Command, tmp_path: Path) -> None:
    outcome = gantrain(*RUN, "evaluation=points")
    assert outcome.exit_code == 2 and outcome.err.count("gantrain: error") == 1
    assert "Traceback" not in outcome.err and not (tmp_path / "run").exists()


def test_the_best_of_an_earlier_protocol_outlives_a_change_of_protocol(gantrain: Command, tmp_path: Path) -> None:
    first = ("evaluation=classifier", *QUICK, "evaluation.every=4", "checkpoint.keep_last=2", "checkpoint.every=0")
    assert gantrain(*RUN, *first).exit_code == 0
    best = json.loads((tmp_path / "run/evaluation.json").read_text())["best"]["step"]
    for steps, other in ((40, ("evaluation=none",)), (50, ("evaluation=pixels", *QUICK)), (60, first)):
        again = gantrain(RUN[0], f"total_steps={steps}", *RUN[2:], "checkpoint.keep_last=2", *other)
        assert again.exit_code == 0, again.err
        assert best in Checkpoints(tmp_path / "run/checkpoints").steps(), other
    assert "earlier" in json.loads((tmp_path / "run/evaluation.json").read_text())


def test_a_kill_inside_an_evaluation_loses_nothing(tmp_path: Path) -> None:
    settings = ("evaluation=classifier", *QUICK, "evaluation.every=10")
    play(tmp_path / "whole", *settings)

    def killed(self: Live, *arguments: Any) -> bool:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Live, "evaluate", killed)
        with pytest.raises(KeyboardInterrupt):
            play(tmp_path / "parts", *settings, "checkpoint.every=7")
    assert Checkpoints(tmp_path / "parts" / "checkpoints").steps() == [7, 10]
    play(tmp_path / "parts", *settings)
    assert evaluations(tmp_path / "parts") == evaluations(tmp_path / "whole")


def test_a_disk_that_does_not_take_the_summary_costs_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from gantrain.run import files

    original = files.write_durably

    def full(path: Path, text: str) -> None:
        if path.name == "evaluation.json":
            raise OSError(28, "No space left on device")
        original(path, text)

    monkeypatch.setattr(files, "write_durably", full)
    play(tmp_path / "run", "evaluation=pixels", *QUICK, "evaluation.every=10")
    assert [line["step"] for line in evaluations(tmp_path / "run")] == [10, 20, 30]
    assert capsys.readouterr().err.count("are being lost") == 1
