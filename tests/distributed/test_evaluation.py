"""Images that all ranks make and look at are measured to the number of one process."""

from __future__ import annotations

import math
import tempfile
from contextlib import nullcontext
from pathlib import Path

import pytest

from gantrain.build import build, build_quality
from gantrain.distributed import ALONE, Alone
from gantrain.evaluation import Live
from gantrain.run.directory import RunDirectory
from gantrain.run.records import Records
from tests.conftest import config
from tests.distributed.world import on_ranks

GAME = ("data=digits", "architecture.generator.width=8", "architecture.discriminator.width=8", "batch_size=12",
        "device=cpu", "total_steps=2", "evaluation.n_fake=700", "evaluation.n_real=700")  # fmt: skip


def values(ranks: Alone, evaluation: str) -> dict[str, float]:
    """What an evaluation of an untrained generator finds, on the first rank; {} on the others."""
    cfg = config(*GAME, f"evaluation={evaluation}")
    made = build(cfg, ranks=ranks)
    quality = ranks.first_then_all(lambda: build_quality(cfg, made.data, made.trainer.precision.device))
    trainer = made.trainer
    with tempfile.TemporaryDirectory() as folder:
        run = RunDirectory(Path(folder))
        live = Live(quality, trainer.inputs, None, run, trainer.g.net, ranks=ranks)
        nets = {"ema": trainer.ema.net, "raw": trainer.g.net}
        with Records(run, 0) if ranks.is_first else nullcontext() as records:
            assert live.evaluate(nets, 0, records, bool)
    return live.history.values.get(0, {})


def stopped(ranks: Alone) -> bool:
    """Whether an evaluation that the first rank is told to stop midway ends on all ranks."""
    cfg = config(*GAME, "evaluation=pixels")
    made = build(cfg, ranks=ranks)
    quality = ranks.first_then_all(lambda: build_quality(cfg, made.data, made.trainer.precision.device))
    asked = iter([False, True, True, True, True])
    with tempfile.TemporaryDirectory() as folder:
        live = Live(quality, made.trainer.inputs, None, RunDirectory(Path(folder)), made.trainer.g.net, ranks=ranks)
        nets = {"ema": made.trainer.ema.net, "raw": made.trainer.g.net}
        return not live.evaluate(nets, 0, None, lambda: next(asked))


@pytest.mark.thorough
@pytest.mark.parametrize("evaluation", ["classifier", "pixels"])
def test_three_ranks_measure_what_one_does(evaluation: str) -> None:
    alone = values(ALONE, evaluation)
    first, *others = on_ranks(3, values, evaluation)
    assert len(alone) >= 3 and alone.keys() == first.keys() and others == [{}, {}]
    for name, value in alone.items():
        assert math.isclose(first[name], value, rel_tol=1e-6, abs_tol=1e-6), name


@pytest.mark.thorough
def test_an_evaluation_that_is_stopped_ends_on_all_ranks() -> None:
    assert on_ranks(2, stopped) == [True, True]
