"""Values that are not finite: no step follows them, none is saved; the run stops, or rolls back and goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gantrain.checkpoint import read, tree
from tests.conftest import only
from tests.reliability.conftest import Child, Start, error_of, records, same_state, status
from tests.reliability.test_kill import GAMES, SMALL, command_of

pytestmark = pytest.mark.thorough

Figure = Callable[[str], None]
PENALTY = ("data=ring", "loss=wgan_gp", "ratio=1to1", *SMALL, "run.dir=run")


def all_finite(run: Path) -> bool:
    """Whether there is a checkpoint, and all of them are finite."""
    states = [read(folder)[1] for folder in (run / "checkpoints").glob("step-*")]
    return bool(states) and all(tree.first_nonfinite(tree.flatten(state)[1]) is None for state in states)


def stopped_with(child: Child, run: Path, name: str, step: int) -> None:
    """The run ended as diverged, its error names the value and the step, and its checkpoints are finite."""
    assert child.wait() == 4, child.text()
    assert f"{name} is nan at step {step}." in error_of(child)
    assert status(run)["state"] == "diverged" and status(run)["exit_code"] == 4 and status(run)["step"] == step - 1
    assert all_finite(run) and max((run / "checkpoints").glob("step-*")).name == "step-000000030"


@pytest.mark.row("F14", "D's loss, G's loss, D's penalty times NaN at step 37; fp32 and bf16")
@pytest.mark.parametrize("precision", only(["fp32"], ["fp32", "bf16"]))
@pytest.mark.parametrize(("player", "loss", "name"), [
    ("g", "wgan_gp", "g/adversarial"), ("d", "wgan_gp", "d/gp"), ("d", "vanilla", "d/adversarial"),
])  # fmt: skip
def test_a_loss_that_is_not_finite_stops_the_run_before_the_optimizer_follows(
    start: Start, tmp_path: Path, player: str, loss: str, name: str, precision: str, figure: Figure
) -> None:
    command = [x for x in PENALTY if not x.startswith("loss=")]
    child = start(*command, f"loss={loss}", f"precision={precision}", faults=(("nan_loss", player, 36),))
    stopped_with(child, tmp_path / "run", name, 37)
    figure(f"{name} {precision}: exit 4 at that step, checkpoints finite")


@pytest.mark.row("F15", "a hook makes a gradient NaN from step 37 on; a NaN in a batch of step 37")
@pytest.mark.parametrize(("fault", "name", "step"), [
    (("nan_gradient", "d", 37), "g/adversarial", 37),  # G's turn follows at once
    (("nan_gradient", "g", 37), "d/adversarial", 38),  # D's next turn sees G's samples
    (("nan_pixel", 72), "d/adversarial", 37),
])  # fmt: skip
def test_a_bad_gradient_or_input_is_noticed_in_the_next_turn(
    start: Start, tmp_path: Path, fault: tuple, name: str, step: int, figure: Figure
) -> None:
    child = start(*PENALTY, faults=(fault,))
    assert child.wait() == 4, child.text()
    message = error_of(child)
    assert f"{name} is nan at step {step}." in message
    assert status(tmp_path / "run")["state"] == "diverged" and all_finite(tmp_path / "run")
    figure(f"{fault[0]} {fault[1]}: exit 4 at step {step}, checkpoints finite")


@pytest.mark.row("F15", "the same in the last turn of all, after which no loss could show it")
def test_a_bad_gradient_in_the_last_turn_is_never_saved(start: Start, tmp_path: Path, figure: Figure) -> None:
    child = start(*PENALTY, "log.every=1000", faults=(("nan_gradient", "g", 120),))
    assert child.wait() == 4 and "not finite" in error_of(child).replace("is nan", "not finite"), child.text()
    assert all_finite(tmp_path / "run") and max((tmp_path / "run/checkpoints").glob("step-*")).name == "step-000000110"
    figure("in the last turn: exit 4, checkpoints finite")


@pytest.mark.row("F16", "float16 starts with a scale of 2^60")
def test_float16_overflows_are_skipped_and_counted(start: Start, tmp_path: Path, figure: Figure) -> None:
    child = start(*GAMES["float16"], *SMALL, "run.dir=run", faults=(("huge_scale",),))
    assert child.wait() == 0, child.text()
    counters = status(tmp_path / "run")["counters"]
    last = records(tmp_path / "run")[-1]
    assert counters["skipped_d_turns"] == last["d/skipped_steps"] > 30
    assert counters["skipped_g_turns"] == last["g/skipped_steps"] > 30
    figure(f"{counters['skipped_d_turns']} D and {counters['skipped_g_turns']} G turns skipped, logged and counted")


@pytest.mark.row("F16", "float16, and D's gradients NaN from step 37 on, while its loss stays finite")
def test_float16_does_not_skip_bad_gradients_for_ever(start: Start, tmp_path: Path, figure: Figure) -> None:
    child = start(*command_of("float16"), "run.dir=run", faults=(("nan_gradient", "d", 37),))
    assert child.wait() == 4 and "a loss or gradient is not finite" in error_of(child), child.text()
    skipped = status(tmp_path / "run")["counters"]["skipped_d_turns"]
    figure(f"given up after {skipped} skips of D, checkpoints finite")
    assert 10 <= skipped <= 20 and all_finite(tmp_path / "run")


@pytest.mark.row("F16", "float16, and D's loss NaN from step 37 on, which no smaller scale mends")
def test_float16_does_not_skip_for_ever(start: Start, tmp_path: Path, figure: Figure) -> None:
    faults = tuple(("nan_loss", "d", turn) for turn in range(36, 120))
    child = start(*GAMES["float16"], *SMALL, "run.dir=run", faults=faults)
    assert child.wait() == 4, child.text()
    stopped = status(tmp_path / "run")
    figure(f"given up after {stopped['counters']['skipped_d_turns']} skips, when the scale had come down to 1")
    assert 10 <= stopped["counters"]["skipped_d_turns"] <= 20 and all_finite(tmp_path / "run")


@pytest.mark.row(
    "F14", "nonfinite.policy=rollback; NaN once at step 37, killed afterwards; NaN at every step from 37 on"
)
def test_rollback_goes_back_and_on_elsewhere(start: Start, tmp_path: Path, figure: Figure) -> None:
    rollback = (*PENALTY[:-1], "nonfinite.policy=rollback")
    child = start(*rollback, "run.dir=run", faults=(("nan_loss", "d", 36, "once"),))
    assert child.wait() == 0, child.text()
    assert "d/gp is nan at step 37" in child.text() and "Rolled back to step 30" in child.text()
    assert status(tmp_path / "run")["counters"]["rollbacks"] == 1 and all_finite(tmp_path / "run")
    assert [line["step"] for line in records(tmp_path / "run")] == list(range(5, 125, 5))

    assert start(*PENALTY[:-1], "run.dir=without").wait() == 0
    after = [line for line in records(tmp_path / "run") if line["step"] > 30]
    assert after != [line for line in records(tmp_path / "without") if line["step"] > 30]  # another course

    repeatable = (("nan_before_a_rollback", 36), ("hold_after_rollback", "mark"))
    assert start(*rollback, "run.dir=straight", faults=repeatable[:1]).wait() == 0
    child = start(*rollback, "run.dir=killed", faults=repeatable)
    child.until((tmp_path / "mark").exists)
    child.kill()
    child = start(*rollback, "run.dir=killed", faults=repeatable[:1])
    assert child.wait() == 0 and "Rolled back to step 30" in child.text()
    assert same_state(tmp_path / "straight", tmp_path / "killed")

    for_ever = tuple(("nan_loss", "d", turn) for turn in range(36, 200))
    child = start(*rollback, "run.dir=never", faults=for_ever)
    assert child.wait() == 4 and "(after 3 rollbacks)" in error_of(child)
    assert status(tmp_path / "never")["counters"]["rollbacks"] == 3 and all_finite(tmp_path / "never")
    early = start(*rollback, "run.dir=early", faults=(("nan_loss", "d", 3),))
    assert early.wait() == 4 and "there is no checkpoint to roll back to" in error_of(early)
    figure("once: finished on another course, repeatable also when killed; for ever: exit 4 after 3 rollbacks")


def test_batch_norm_poisoned_by_one_pixel_is_restored_by_a_rollback(start: Start, tmp_path: Path) -> None:
    normed = ("architecture.discriminator.norm=batch", "loss=vanilla", "nonfinite.policy=rollback")
    child = start("data=digits", *SMALL, *normed, "total_steps=60", "run.dir=run", faults=(("nan_pixel", 72),))
    assert child.wait() == 0 and "Rolled back to step 30" in child.text(), child.text()
    assert all_finite(tmp_path / "run")


def test_on_a_gpu_a_turn_that_is_not_finite_is_noticed_before_anything_is_saved(tmp_path: Path) -> None:
    from gantrain.errors import DivergedError
    from gantrain.training.nonfinite import Watch
    from tests.conftest import built

    trainer = built("data=ring").trainer
    real, labels = trainer.data.next()
    bad = trainer.loss.for_d(trainer.turn(trainer.d, real, real, torch.full_like(real, float("nan")), labels, True))
    trainer.watch = Watch(torch.device("cpu"), late=True)  # as on a GPU
    for total in (bad.total, torch.zeros(())):  # the finding stays
        trainer.watch.see(trainer.d, total, 1, {})
    with pytest.raises(DivergedError, match="at step 0"):
        trainer.watch.refuse(trainer.step, trainer.scalars)
