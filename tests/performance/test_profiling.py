"""gantrain profile=true: parts that add up, arithmetic counted right, and nothing of a run touched."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gantrain.performance import profiling
from tests.conftest import Outcome, built, run_files


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiling, "SECONDS", 0.2)
    monkeypatch.setattr(profiling, "MATRIX_SIDE", {"cpu": 256})


def test_the_command_prints_one_table_and_writes_a_trace_beside_the_run(
    gantrain: Callable[..., Outcome], tmp_path: Path
) -> None:
    outcome = gantrain("data=digits", "loss=wgan_gp", "profile=true", "batch_size=16", "run.dir=run", "device=cpu")
    assert outcome.exit_code == 0, outcome.err
    for part in ("data", "G forward", "D forward", "D's turn: backward", "G's turn: backward", "term gp", "optimizers",
                 "average of G", "records", "all parts", "GFLOP a step", "of the best"):  # fmt: skip
        assert part in outcome.out, part
    assert [path.name for path in run_files(tmp_path)] == ["trace.json"] and not (tmp_path / "run").exists()
    trace = json.loads((tmp_path / "run-profile" / "trace.json").read_text())
    assert {"G forward", "D forward", "optimizers"} <= {event.get("name") for event in trace["traceEvents"]}


def test_calls_of_a_step_are_those_of_the_game(gantrain: Callable[..., Outcome]) -> None:
    outcome = gantrain("data=ring", "loss=wgan_gp", "profile=true", "batch_size=16", "device=cpu")
    calls = {line.split("  ")[0]: line.split()[-1] for line in outcome.out.splitlines() if line}
    assert calls["data"] == "6" and calls["G forward"] == "6"
    assert calls["D forward"] == "11"  # 5 of both batches, 5 in the penalty, 1 on G's turn
    assert calls["term gp: all but D forward"] == "5" and calls["average of G"] == "1"


def test_time_is_charged_to_the_innermost_part_so_that_parts_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    watch = profiling.Stopwatch(torch.device("cpu"))
    with watch.part("outer"):
        now[0] += 2
        with watch.part("inner"):
            now[0] += 5
        now[0] += 1
    assert watch.seconds == {"outer": 3, "inner": 5} and watch.calls == {"outer": 1, "inner": 1}


def test_arithmetic_of_a_step_is_what_the_layers_say() -> None:
    n, w = 16, 8
    trainer = built("data=ring", "architecture.generator.width=8", "architecture.discriminator.width=8",
                    "architecture.generator.norm=none").trainer  # fmt: skip
    g = [(2, w), (w, w), (w, w), (w, 2)]
    d = [(2, w), (w, w), (w, w), (w, 1)]

    def products(layers: list[tuple[int, int]], samples: int) -> int:
        return sum(2 * samples * a * b for a, b in layers)

    d_turn = products(g, n) + 2 * products(d, 2 * n) + products(d[1:], 2 * n)  # forward; by weights; by inputs
    g_turn = products(g, n) + 2 * products(d, n) + products(g, n) + products(g[1:], n)
    assert profiling.count_flops(trainer) == d_turn + g_turn


def test_arithmetic_of_a_penalty_is_counted_too() -> None:
    def flops(*overrides: str) -> float:
        return profiling.count_flops(built("data=digits", "ratio=1to1", *overrides).trainer)

    assert 1.4 < flops("loss=wgan_gp") / flops("loss=hinge") < 2


def test_the_best_rate_is_that_of_a_product_not_of_nothing() -> None:
    assert profiling.best_rate(torch.device("cpu"), torch.float32) > 1e8
