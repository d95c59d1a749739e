"""Scheduled numbers: what they move, when, that nothing of them is saved, and what is refused in a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from gantrain.checkpoint import Checkpoints
from gantrain.errors import ConfigError, StoppedError
from gantrain.training.trainer import Trainer
from tests.commands.conftest import Command
from tests.conftest import built
from tests.training.test_trainer import play

RING = ("data=ring", "architecture.generator.width=16", "architecture.discriminator.width=16", "batch_size=16",
        "device=cpu")  # fmt: skip
KINDS = {
    "linear": "{_target_: gantrain.schedules.Linear, end: 0.0}",
    "cosine": "{_target_: gantrain.schedules.Cosine, start: 2e-4, end: 1e-5, until: 0.5}",
    "warm-up": "{_target_: gantrain.schedules.WarmUp, until: 0.3, then: {_target_: gantrain.schedules.Cosine, end: 0}}",
    "piecewise": "{_target_: gantrain.schedules.Piecewise, shares: [0, 0.4, 0.7], values: [null, 1e-4, 1e-5]}",
}


def to(start: float, end: float) -> str:
    return f"{{_target_: gantrain.schedules.Linear, start: {start}, end: {end}}}"


EVERY_PART = (
    "loss=r1",
    "optimizer=adam",
    "loss.regularizers.r1.every=2",
    "+schedule.optimizer.g.lr=" + KINDS["linear"],
    "+schedule.optimizer.d.betas.1=" + to(0.9, 0.99),
    "+schedule.loss.regularizers.r1.weight=" + to(10, 1),
    "+schedule.ema.halflife_images=" + to(0, 500),
)


def test_every_number_has_the_value_of_its_share_in_each_step() -> None:
    trainer = built(*RING, *EVERY_PART, "total_steps=8").trainer
    rate = trainer.g.optimizer.param_groups[0]["lr"]
    seen = []
    for _ in range(10):  # two steps longer than the schedule
        group = trainer.d.optimizer.param_groups[0]
        weight = trainer.loss.regularizers["r1"].weight
        seen.append((trainer.g.learning_rate / rate, group["betas"][1], float(weight), trainer.ema.halflife_images))
        trainer.play()
    shares = [min(k / 8, 1.0) for k in range(10)]
    expected = [(1 - s, 0.9 + 0.09 * s, 10 - 9 * s, 500 * s) for s in shares]
    torch.testing.assert_close(torch.tensor(seen), torch.tensor(expected))


def test_what_is_moved_is_what_is_used() -> None:
    # By a tenth of the weight the term is a tenth, by betas of 0 Adam's moment is the gradient itself.
    def term(*schedule: str) -> float:
        trainer = built(*RING, "loss=r1", *schedule, "total_steps=8").trainer
        trainer.rng.seed(3)
        trainer.play(measure=True)
        return float(trainer.scalars["d/r1"])

    whole = term("loss.regularizers.r1.weight=10")
    tenth = term("loss.regularizers.r1.weight=10", "+schedule.loss.regularizers.r1.weight=" + to(1, 1))
    assert tenth == pytest.approx(whole / 10, rel=1e-5)
    trainer = built(*RING, "loss=vanilla", "+schedule.optimizer.d.betas.0=" + to(0, 0), "total_steps=8").trainer
    trainer.play()
    gradients = [p.grad for p in trainer.d.weights]
    moments = [trainer.d.optimizer.state[p]["exp_avg"] for p in trainer.d.weights]
    torch.testing.assert_close(moments, gradients)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", [*KINDS, "every part"])
def test_a_resumed_run_follows_its_schedule_bit_for_bit(kind: str, tmp_path: Path) -> None:
    schedule = EVERY_PART if kind == "every part" else ("loss=vanilla", "+schedule.optimizer.g.lr=" + KINDS[kind])

    def made() -> Trainer:
        return built(*RING, "optimizer=adam", *schedule, "total_steps=10", "log.every=5").trainer

    whole, first, second = made(), made(), made()
    whole.rng.seed(5), play(whole, tmp_path / "whole")
    first.rng.seed(5)
    with pytest.raises(StoppedError):
        play(first, tmp_path / "parts", stop=lambda: first.step == 4)
    second.load_state_dict(Checkpoints(tmp_path / "parts" / "checkpoints").latest()[1])
    play(second, tmp_path / "parts")
    for mine, theirs in ((whole.g.net, second.g.net), (whole.d.net, second.d.net), (whole.ema.net, second.ema.net)):
        torch.testing.assert_close(dict(mine.state_dict()), dict(theirs.state_dict()), rtol=0, atol=0)
    constant = built(*RING, "loss=r1" if kind == "every part" else "loss=vanilla", "optimizer=adam", "total_steps=10")
    constant.trainer.rng.seed(5), play(constant.trainer, tmp_path / "constant")
    assert not torch.equal(next(constant.trainer.g.net.parameters()), next(whole.g.net.parameters()))


def test_nothing_of_a_schedule_is_saved() -> None:
    with_it = built(*RING, *EVERY_PART, "total_steps=8").trainer.state_dict()
    without = built(*RING, *EVERY_PART[:3], "total_steps=8").trainer.state_dict()
    assert with_it["loss"].keys() == without["loss"].keys()
    assert with_it["g"]["schedule"] is None and with_it.keys() == without.keys()


def test_scheduled_numbers_are_logged(tmp_path: Path) -> None:
    trainer = built(*RING, *EVERY_PART, "total_steps=8", "log.every=4").trainer
    play(trainer, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["schedule/loss.regularizers.r1.weight"] for line in lines] == [5.5, 1.0]
    assert "schedule/optimizer.g.lr" not in lines[0] and lines[1]["g/learning_rate"] == 0


@pytest.mark.parametrize(("schedule", "said"), [
    (("+schedule.optimizer.g.rate=" + to(1, 0),), "Adam has no such number"),
    (("+schedule.optimizer.g.betas.2=" + to(1, 0),), "no such number"),
    (("+schedule.optimizer.g.fused=" + to(1, 0),), "no such number"),
    (("+schedule.optimizer.d.betas.1=" + to(0.9, 1.5),), r"becomes 1\.5"),
    (("+schedule.optimizer.g.lr=" + to(1e-3, -1e-3),), r"becomes -0\.001"),
    (("loss=r1", "+schedule.loss.regularizers.r1.weight=" + to(1, -1)), "weight >= 0"),
    (("loss=r1", "+schedule.loss.regularizers.r1.every=" + to(1, 4)), "is a count"),
    (("+schedule.loss.regularizers.gp.weight=" + to(1, 4),), "no such part"),
    (("+schedule.ema.halflife_images=" + to(1, -4),), "0 or more"),
    (("+schedule.ema.speed=" + to(1, 4),), "no such number"),
    (("ema.rampup=null", "+schedule.ema.rampup=" + to(0, 1)), "it is null"),
    (("+schedule.batch_size=" + to(8, 64),), "optimizer.g, optimizer.d, loss, augment, ema"),
    (("+schedule.optimizer.g.lr=0.1",), "_target_ in gantrain.schedules"),
    (("+schedule.optimizer.g.lr={_target_: torch.nn.ReLU}",), "is no schedule"),
    (("+schedule.optimizer.g.lr={_target_: gantrain.schedules.Linear, end: inf}",), "needs a number for end, got inf"),
    (("schedule=linear", "schedule.g={_target_: torch.optim.lr_scheduler.LinearLR}"), "same optimizer"),
])  # fmt: skip
def test_what_cannot_be_scheduled_is_refused_in_a_sentence(schedule: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        built(*RING, *schedule, "total_steps=8")


def test_a_key_may_be_written_with_dots(tmp_path: Path) -> None:
    (tmp_path / "schedule").mkdir()
    (tmp_path / "schedule" / "mine.yaml").write_text(
        "optimizer.g.lr: {_target_: gantrain.schedules.Linear, end: 0.0}\nreference_steps: 4\n"
    )
    trainer = built(*RING, f"hydra.searchpath=[file://{tmp_path}]", "schedule=mine", "total_steps=8").trainer
    for _ in range(4):
        trainer.play()
    assert trainer.g.learning_rate == 0


SHORT = (*RING, "evaluation=none", "samples.every=0", "checkpoint.every=2", "log.every=2", "samples.count=4")


def test_a_scheduled_run_is_prolonged_on_purpose_only(gantrain: Command, tmp_path: Path) -> None:
    run = f"run.dir={tmp_path / 'run'}"
    assert gantrain(*SHORT, "schedule=linear", "total_steps=4", run).exit_code == 0
    longer = gantrain(*SHORT, "schedule=linear", "total_steps=6", run)
    assert longer.exit_code == 2 and "schedule.reference_steps=4 keeps its schedule" in longer.err
    assert gantrain(*SHORT, "schedule=linear", "total_steps=6", "schedule.reference_steps=4", run).exit_code == 0
    other = f"run.dir={tmp_path / 'other'}"
    assert gantrain(*SHORT, "schedule=linear", "total_steps=6", "schedule.reference_steps=4", other).exit_code == 0
    ends = [Checkpoints(tmp_path / name / "checkpoints").latest()[1] for name in ("run", "other")]
    torch.testing.assert_close(ends[0]["g"]["net"], ends[1]["g"]["net"], rtol=0, atol=0)


@pytest.mark.thorough
def test_seconds_know_a_schedule_whose_length_is_said(gantrain: Command, tmp_path: Path) -> None:
    seconds = (*SHORT, "schedule=linear", "budget=seconds", "budget.amount=0.5", f"run.dir={tmp_path / 'run'}")
    refused = gantrain(*seconds)
    assert refused.exit_code == 2 and "schedule.reference_steps" in refused.err
    assert gantrain(*seconds, "schedule.reference_steps=20").exit_code == 0


@pytest.mark.thorough
def test_settings_of_a_run_change_on_purpose_and_stay_on_record(gantrain: Command, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert (
        gantrain(*SHORT, "total_steps=4", "optimizer.g.lr=1e-4", "optimizer.d.lr=1e-4", f"run.dir={run}").exit_code == 0
    )
    other = (*SHORT, "total_steps=8", "optimizer.g.lr=1e-5", "optimizer.d.lr=1e-4", f"run.dir={run}")
    refused = gantrain(*other)
    assert refused.exit_code == 2 and "allow_changes=[optimizer.g.lr]" in refused.err
    changed = gantrain(*other, "allow_changes=[optimizer.g.lr]")
    assert changed.exit_code == 0 and "optimizer.g.lr: 0.0001 → 1e-05" in changed.out + changed.err
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert {line["step"]: line["g/learning_rate"] for line in lines} == {2: 1e-4, 4: 1e-4, 6: 1e-5, 8: 1e-5}
    told = json.loads((run / "status.json").read_text())["departures"]
    assert {"step": 4, "changed": "optimizer.g.lr: 0.0001 → 1e-05"} in told
    assert gantrain(*other, "total_steps=10").exit_code == 0, "the same settings once more need no permission"
    assert json.loads((run / "status.json").read_text())["departures"] == told


def test_a_change_is_known_also_if_the_run_is_killed_before_it_saves_again(gantrain: Command, tmp_path: Path) -> None:
    # After kill -9 there are the checkpoint of before, config.yaml of now, and changes.jsonl.
    run = tmp_path / "run"
    begun = (*SHORT, "total_steps=4", "optimizer.g.lr=1e-4", "optimizer.d.lr=1e-4", f"run.dir={run}")
    other = (*SHORT, "total_steps=8", "optimizer.g.lr=1e-5", "optimizer.d.lr=1e-4", f"run.dir={run}")
    assert gantrain(*begun).exit_code == 0
    assert gantrain(*other, "allow_changes=[optimizer.g.lr]").exit_code == 0
    for step in (6, 8):
        for file in (run / "checkpoints" / f"step-{step:09d}").iterdir():
            file.unlink()
        (run / "checkpoints" / f"step-{step:09d}").rmdir()
    (run / "status.json").unlink()
    again = gantrain(*other)
    assert again.exit_code == 0, again.err
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 8 and lines[-1]["g/learning_rate"] == 1e-5
    told = json.loads((run / "status.json").read_text())["departures"]
    assert [entry["changed"] for entry in told] == ["optimizer.g.lr: 0.0001 → 1e-05"]


@pytest.mark.parametrize(("overrides", "said"), [
    (("allow_changes=[seed]",), "seed stays as it was begun"),
    (("allow_changes=[optimizer.g.lr]",), "holds none"),
])  # fmt: skip
def test_changes_that_cannot_be_are_refused(
    gantrain: Command, tmp_path: Path, overrides: tuple[str, ...], said: str
) -> None:
    outcome = gantrain(*SHORT, "total_steps=4", f"run.dir={tmp_path / 'run'}", *overrides)
    assert outcome.exit_code == 2 and said in outcome.err and not (tmp_path / "run").exists()
