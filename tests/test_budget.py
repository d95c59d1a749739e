"""What a budget buys, what a run costs, and that counting changes nothing."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from gantrain.checkpoint import Checkpoints
from gantrain.errors import ConfigError
from gantrain.performance import cost
from gantrain.run.directory import RunDirectory
from gantrain.run.identity import compared, plain
from gantrain.run.records import Records
from gantrain.training.clock import Clock
from tests.conftest import Outcome, built, config

Command = Callable[..., Outcome]
RING = ("data=ring", "batch_size=16", "device=cpu", "samples.every=0", "checkpoint.every=0")


def status_of(folder: Path) -> dict:
    (path,) = folder.rglob("status.json")
    return json.loads(path.read_text())


@pytest.mark.parametrize(
    ("overrides", "steps", "amount"),
    [
        (["total_steps=300"], 300, 300),
        (["budget=steps", "budget.amount=120"], 120, 120),
        (["budget=d_updates", "total_steps=300"], 300, 300),
        (["budget=d_updates", "total_steps=300", "ratio=5to1"], 60, 300),
        (["budget=d_updates", "budget.amount=1000", "loss=wgan_gp"], 200, 1000),
        (["budget=d_updates", "budget.amount=1000", "ratio=1to2"], 1000, 1000),
        (["budget=images", "total_steps=300", "batch_size=32"], 300, 9600),
        (["budget=images", "budget.amount=64000", "batch_size=64", "ratio=5to1"], 200, 64000),
        (["budget=images", "budget.amount=64063", "batch_size=64", "ratio=1to1"], 1000, 64063),
    ],
)
def test_a_budget_buys_steps_by_what_a_step_takes(overrides: list[str], steps: int, amount: float) -> None:
    cfg = config(*overrides)
    assert cfg.total_steps == steps and cfg.budget.amount == amount
    assert cfg.evaluation.every == math.ceil(steps / 8)  # cadences follow the length that the budget buys


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (
            ["budget=d_updates", "budget.amount=4", "ratio=5to1"],
            "budget.amount=4 d_updates buys no step; a step takes 5",
        ),
        (["budget=images", "budget.amount=63"], "buys no step; a step takes 64"),
        (["budget.amount=0"], "budget.amount must be above 0"),
        (["budget.of=epochs"], "budget.of must be one of steps"),
        (["budget=seconds"], "budget.amount is not set"),
    ],
)
def test_a_budget_that_buys_nothing_is_refused(overrides: list[str], named: str) -> None:
    with pytest.raises(ConfigError, match=named.replace(".", r"\.")):
        config(*overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        ["budget.amount=40"],
        ["budget=d_updates", "total_steps=200", "ratio=5to1"],
        ["budget=images", "budget.amount=640"],
    ],
)
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_schedules_end_where_the_budget_does(overrides: list[str], schedule: str) -> None:
    cfg = config("data=ring", "batch_size=16", f"schedule={schedule}", *overrides)
    assert cfg.total_steps == 40
    assert compared(plain(cfg))["schedule.reference_steps"] == 40


def test_a_schedule_under_a_budget_of_operations_ends_at_zero(gantrain: Command, tmp_path: Path) -> None:
    flops = cost.count_flops(built("data=ring").trainer)
    assert (
        gantrain(*RING, "budget=flops", f"budget.amount={flops * 9.5}", "schedule=linear", "log.every=1").exit_code == 0
    )
    (lines,) = tmp_path.rglob("metrics.jsonl")
    rates = [json.loads(line)["g/learning_rate"] for line in lines.read_text().splitlines()]
    assert len(rates) == 9 and rates[-1] == 0 and rates[3] == pytest.approx(2e-4 * 5 / 9)


@pytest.mark.parametrize("of", ["steps", "flops", "seconds"])
def test_an_endless_budget_is_refused(of: str) -> None:
    with pytest.raises(ConfigError, match="finite"):
        config("data=ring", f"budget={of}", "budget.amount=inf")


def test_the_shortest_time_still_buys_a_step(gantrain: Command, tmp_path: Path) -> None:
    assert gantrain(*RING, "budget=seconds", "budget.amount=1e-7").exit_code == 0
    assert status_of(tmp_path)["step"] == 1


def layers(*widths: int) -> list[tuple[int, int]]:
    return list(itertools.pairwise(widths))


def test_operations_of_a_step_are_those_counted_by_hand() -> None:
    mlp = ("architecture.generator.width=24", "architecture.generator.depth=2", "architecture.generator.norm=none",
           "architecture.discriminator.width=40", "architecture.discriminator.depth=2")  # fmt: skip
    g, d, n = layers(2, 24, 24, 2), layers(2, 40, 40, 1), 16

    def products(net: list[tuple[int, int]], samples: int) -> int:
        return sum(2 * samples * a * b for a, b in net)

    # Backward: a product for the weights, and one for the inputs unless nothing before a layer needs a gradient.
    d_turn = products(g, n) + products(d, 2 * n) + products(d, 2 * n) + products(d[1:], 2 * n)
    g_turn = products(g, n) + products(d, n) + products(d, n) + products(g, n) + products(g[1:], n)
    assert cost.count_flops(built("data=ring", *mlp).trainer) == d_turn + g_turn
    five = built("data=ring", *mlp, "ratio=5to1", "loss=vanilla").trainer
    assert cost.count_flops(five) == 5 * d_turn + g_turn


def test_counting_the_first_steps_changes_no_bit_and_ends_with_the_slowest_term() -> None:
    runs = []
    for count in (False, True):
        trainer = built("data=ring", "loss=r1", "loss.regularizers.r1.every=4").trainer
        meter = cost.Meter(trainer) if count else None
        for _ in range(6):
            trainer.play()
        runs.append(trainer)
    assert meter is not None and meter.steps == 4 and "play" not in vars(runs[1])
    assert meter.per_step() == cost.count_flops(built("data=ring", "loss=r1", "loss.regularizers.r1.every=4").trainer)
    for a, b in zip(runs[0].g.weights + runs[0].d.weights, runs[1].g.weights + runs[1].d.weights, strict=True):
        assert a.equal(b)


def test_a_run_records_what_it_is_and_what_it_cost(gantrain: Command, tmp_path: Path) -> None:
    assert gantrain(*RING, "loss=wgan_gp", "budget=images", "budget.amount=1600", "seed=3").exit_code == 0
    status = status_of(tmp_path)
    assert status["step"] == 20 and status["budget"] == {"of": "images", "amount": 1600.0} and status["seed"] == 3
    assert status["per_step"] == {"steps": 1, "d_updates": 5, "images": 80}
    assert status["choices"]["loss"] == "wgan_gp" and status["choices"]["optimizer"] == "adam_wgan_gp"
    taken = status["cost"]
    assert taken["flops"] == 20 * taken["flops_per_step"] > 0
    assert 0 < taken["training_seconds"] < 60 and 50e6 < taken["peak_memory_bytes"] < 100e9


def test_seeds_of_one_setting_share_a_variant_and_settings_do_not(gantrain: Command, tmp_path: Path) -> None:
    def variant(*overrides: str) -> str:
        assert gantrain(*RING, "total_steps=2", f"run.dir={len(list(tmp_path.iterdir()))}", *overrides).exit_code == 0
        newest = max(tmp_path.iterdir(), key=lambda folder: int(folder.name))
        return str(json.loads((newest / "status.json").read_text())["variant"])

    first = variant("seed=0")
    assert variant("seed=1") == first and variant("seed=0", "log.every=1") == first
    assert variant("seed=0", "optimizer.g.lr=0.001") != first


def test_a_budget_of_operations_buys_whole_steps(gantrain: Command, tmp_path: Path) -> None:
    flops = cost.count_flops(built("data=ring").trainer)
    assert gantrain(*RING, "budget=flops", f"budget.amount={flops * 7.9}").exit_code == 0
    status = status_of(tmp_path)
    assert status["step"] == 7 and status["cost"]["flops"] == 7 * flops
    again = gantrain(*RING, "budget=flops", f"budget.amount={flops * 7.9}")
    assert again.exit_code == 0 and "is finished" in again.out
    refused = gantrain(*RING, "budget=flops", "budget.amount=1e3")
    assert refused.exit_code == 2 and "buys no step" in refused.err


def test_a_budget_of_seconds_ends_by_the_clock_with_everything_of_a_last_step(
    gantrain: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = itertools.count()
    monkeypatch.setattr("gantrain.training.clock.time.monotonic", lambda: next(looks) / 50)  # a look takes 20 ms
    measured = ("evaluation=points", "evaluation.n_fake=200", "evaluation.n_real=200", "evaluation.metrics=[modes]",
                "evaluation.best=modes")  # fmt: skip
    arguments = (*RING, "budget=seconds", "budget.amount=1.5", *measured)
    outcome = gantrain(*arguments)
    assert outcome.exit_code == 0, outcome.err
    status = status_of(tmp_path)
    step = status["step"]
    assert step == status["total_steps"] and 5 < step <= 75  # a step takes a look at least
    # The clock is looked at before each step: the last ends after the time was up, by no more than that one step took.
    assert 1.5 <= status["cost"]["training_seconds"] < 1.5 + 20 * 0.02
    (run,) = (path.parent for path in tmp_path.rglob("status.json"))
    assert (run / "checkpoints" / f"step-{status['step']:09d}").is_dir()
    assert json.loads((run / "evaluation.json").read_text())["final"]["step"] == status["step"]
    assert (run / "samples" / f"step-{status['step']:09d}.png").exists()
    assert "is finished" in gantrain(*arguments).out


def test_a_longer_budget_of_seconds_trains_on_past_the_steps_that_were_estimated(
    gantrain: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = itertools.count()
    monkeypatch.setattr("gantrain.training.clock.time.monotonic", lambda: next(looks) / 50)  # a look takes 20 ms
    monkeypatch.setattr("gantrain.performance.cost.steps_in", lambda seconds, trainer: 3)  # a bad estimate
    arguments = (*RING, "budget=seconds", "evaluation=none")
    assert gantrain(*arguments, "budget.amount=1").exit_code == 0
    first = status_of(tmp_path)
    assert first["step"] > 3
    outcome = gantrain(*arguments, "budget.amount=2", f"run.dir={next(tmp_path.rglob('status.json')).parent}")
    assert outcome.exit_code == 0, outcome.err
    second = status_of(tmp_path)
    assert second["step"] > first["step"] and second["cost"]["training_seconds"] >= 2
    (run,) = (path.parent for path in tmp_path.rglob("status.json"))
    assert (run / "samples" / f"step-{second['step']:09d}.png").exists()


def test_a_run_that_was_killed_when_its_time_was_up_still_draws_its_last_grid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = built("data=ring", "samples.every=0").trainer
    trainer.play()
    trainer.clock.training = trainer.clock.limit = 5.0
    with Records(RunDirectory(tmp_path), trainer.step) as records:
        trainer.train(records, Checkpoints(tmp_path / "checkpoints"))
    assert trainer.step == 1 and (tmp_path / "samples" / "step-000000001.png").exists()


def test_a_schedule_cannot_follow_a_clock(gantrain: Command) -> None:
    outcome = gantrain(*RING, "budget=seconds", "budget.amount=1", "schedule=linear")
    assert outcome.exit_code == 2 and "schedule=constant" in outcome.err


def test_the_clock_counts_training_apart_and_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("gantrain.training.clock.time.monotonic", lambda: now[0])
    clock = Clock()
    clock.training, clock.limit = 5.0, 8.0
    assert clock.start(10, 1000) == 1000
    now[0] += 2
    with clock.paused():
        now[0] += 30
    assert clock.seconds() == 7.0 and clock.other == 30.0 and not clock.is_up()
    assert clock.last_step(11, 12) == 13  # time is left: there is at least one more step after the next
    assert clock.steps_per_s(14) == 2.0
    now[0] += 1
    assert clock.last_step(14, 900) == 15
    assert clock.start(15, 900) == 15  # a run that goes on after its time was up is at its end
    clock.limit = 20.0
    assert clock.start(15, 12) == 17  # with time left it goes on, whatever number of steps was estimated
    clock.limit = math.inf
    assert clock.start(12, 12) == 12  # without a limit the planned steps are the end
