"""Recorded turns: what they record is what is written, for every loss, and a wrong recording never counts."""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from gantrain.build import build
from gantrain.checkpoint import tree
from gantrain.errors import ConfigError, DivergedError
from gantrain.performance.replay import Captured, Recorded, Replay, compiled, distance
from gantrain.training.trainer import Trainer
from tests.conftest import config, loss_names, option_names

SMALL = ("data=ring", "architecture.generator.width=8", "architecture.discriminator.width=8")


ADAMW = "optimizer.g._target_=torch.optim.AdamW"


def traced(function: Recorded, real: Tensor, labels: Tensor | None) -> Recorded:
    """A recorder without a compiler: the very operations of one turn, whatever tensors they read and write."""
    graph = make_fx(function)(real, labels)
    return torch.no_grad()(graph)


def recorded(*overrides: str, recorder: Callable[..., Any] = traced) -> Trainer:
    trainer = build(config("batch_size=16", "device=cpu", *overrides, "compile=step")).trainer
    assert isinstance(trainer.perform, Replay)
    trainer.perform.recorders = [recorder]
    return trainer


def as_written(*overrides: str) -> Trainer:
    return build(config("batch_size=16", "device=cpu", *overrides)).trainer


def both(*overrides: str, steps: int, recorder: Callable[..., Any] = traced) -> tuple[Trainer, Trainer]:
    """The same game from recordings and as it is written, after the same steps."""
    replayed, written = recorded(*overrides, recorder=recorder), as_written(*overrides)
    for trainer in (replayed, written):
        trainer.rng.seed(5)
        for _ in range(steps):
            trainer.play()
    return replayed, written


def tensors(trainer: Trainer) -> dict[str, Tensor]:
    return {name: t.clone() for name, t in tree.flatten(trainer.state_dict())[1].items() if "scalars" not in name}


def assert_recorded(trainer: Trainer) -> None:
    assert isinstance(trainer.perform, Replay) and trainer.perform.recordings and not trainer.perform.failed


def assert_close(a: Trainer, b: Trainer) -> None:
    """Whether ``a``, from recordings, is where ``b`` is."""
    assert_recorded(a)
    mine, other = tensors(a), tensors(b)
    assert mine.keys() == other.keys()
    for name in mine:
        torch.testing.assert_close(mine[name], other[name], rtol=1e-3, atol=2e-5, msg=lambda m, n=name: f"{n}: {m}")


def with_adam(loss: str) -> tuple[str, ...]:
    return (f"loss={loss}", "optimizer=adam", "ratio=1to1")


@pytest.mark.parametrize("loss", loss_names())
def test_the_turns_of_every_loss_can_be_recorded(loss: str) -> None:
    # Without batch norm: a bias before it has only rounding for a gradient, which Adam makes a whole step of.
    overrides = (*SMALL, "architecture.generator.norm=none", *with_adam(loss))
    if loss in ("ebgan", "began"):
        overrides = (*SMALL, "architecture=autoencoder", *with_adam(loss))
    replayed, written = both(*overrides, steps=6)
    assert_close(replayed, written)
    assert (replayed.d.turns, replayed.g.turns) == (written.d.turns, written.g.turns)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "overrides",
    [
        ("loss=vanilla", "regularizer=[r1,lecam]", "regularizers.r1.every=3"),
        ("loss=vanilla", "schedule=linear", "total_steps=8"),
        ("loss=vanilla", "gradient_clip_norm=0.1"),
        ("loss=vanilla", "precision=bf16"),
        ("loss=sngan", "ratio=1to2"),
        ("loss=wgan", "optimizer.g.lr=1e-3", "schedule=linear", "total_steps=8"),
        ("loss=vanilla", "optimizer=optimistic_adam"),
        ("loss=vanilla", ADAMW, "+optimizer.g.weight_decay=0.1", "schedule=linear", "total_steps=8"),
        ("loss=vanilla", "+optimizer.g.weight_decay=0.1"),
        ("loss=vanilla", "regularizer=[consistency,orthogonal,clip]"),
        ("loss=vanilla", "regularizer=[lecam]", "loss.regularizers.lecam.start=3", "loss.regularizers.lecam.relu=true"),
        (
            "loss=ebgan",
            "architecture=autoencoder",
            "architecture.discriminator.code_dim=2",
            "regularizer=[pulling_away]",
        ),
        (
            "data=digits",
            "loss=vanilla",
            "architecture=stylegan2",
            "architecture.latent_dim=4",
            "architecture.generator.w_dim=4",
            "architecture.generator.channel_max=4",
            "architecture.generator.style_mixing=0.5",
            "regularizer=[r1,path_length]",
            "regularizers.r1.every=3",
            "loss.regularizers.path_length.every=2",
        ),
    ],
    ids=" ".join,
)
def test_what_changes_from_turn_to_turn_changes_in_recordings_too(overrides: tuple[str, ...]) -> None:
    own = SMALL if "architecture=stylegan2" not in overrides else ()
    overrides = tuple(o.replace("regularizers.r1", "loss.regularizers.r1") for o in (*own, *overrides))
    replayed, written = both(*overrides, steps=7)
    assert_close(replayed, written)


def test_lazy_terms_have_a_recording_of_their_own() -> None:
    trainer = recorded(*SMALL, "loss=vanilla", "regularizer=[r1]", "loss.regularizers.r1.every=4")
    for _ in range(9):
        trainer.play()
    assert isinstance(trainer.perform, Replay)
    assert len(trainer.perform.recordings) == 4  # D and G, with the term and without


def test_images_and_labels_are_recorded_with_augmentation() -> None:
    overrides = ("data=digits", "loss=wgan_gp", "augment=diffaug", "architecture.generator.width=8",
                 "architecture.discriminator.width=8")  # fmt: skip
    replayed, written = both(*overrides, steps=3)
    assert_close(replayed, written)


@pytest.mark.thorough  # in short: recordings are compared and dropped above and below, without a compiler
@pytest.mark.parametrize("term", [(), ("regularizer=[r1]", "loss.regularizers.r1.every=2")])
def test_a_compiled_run_resumes_bit_for_bit(term: tuple[str, ...]) -> None:
    overrides = (*SMALL, "loss=vanilla", *term, "compile=step", "schedule=cosine", "total_steps=8", "batch_size=16",
                 "device=cpu")  # fmt: skip

    def play(trainer: Trainer, steps: int, log_every: int) -> None:
        for k in range(steps):
            trainer.play(measure=k % log_every == 0)

    whole, first, second = (build(config(*overrides)).trainer for _ in range(3))
    whole.rng.seed(1)
    play(whole, 8, log_every=3)
    first.rng.seed(1)
    play(first, 3, log_every=1)
    state = tree.unflatten(*tree.flatten(first.state_dict()))
    second.load_state_dict(state)
    play(second, 5, log_every=2)
    mine, other = tensors(whole), tensors(second)
    for name in mine:
        assert torch.equal(mine[name], other[name]), name
    assert_recorded(whole), assert_recorded(second)


@pytest.mark.parametrize("way", [way for way in option_names("conditioning") if way != "none"])
def test_conditional_turns_are_recorded_with_the_labels_of_each_batch(way: str) -> None:
    overrides = (*SMALL, "loss=hinge", f"conditioning={way}", "latent=mixture", "architecture.generator.norm=none")
    replayed, written = both(*overrides, steps=5)
    assert_close(replayed, written)


def lying(function: Recorded, real: Tensor, labels: Tensor | None) -> Recorded:
    """A recorder whose recording forgets what it should do."""
    return lambda real, labels: {}


def refusing(function: Recorded, real: Tensor, labels: Tensor | None) -> Recorded:
    raise RuntimeError("operation not permitted when stream is capturing\nand more")


@pytest.mark.parametrize(
    ("recorder", "reason"), [(lying, "off by 100% of their change"), (refusing, "operation not permitted")]
)
def test_a_wrong_recording_is_told_and_the_turns_go_on_as_written(
    recorder: Callable[..., Any], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    replayed, written = both(*SMALL, "loss=vanilla", steps=5, recorder=recorder)
    told = capsys.readouterr().err
    assert told.count("warning") == 1 and reason in told and "and more" not in told
    mine, other = tensors(replayed), tensors(written)
    assert all(torch.equal(mine[name], other[name]) for name in mine)


def test_a_restored_state_drops_recordings_of_the_old_one() -> None:
    trainer = recorded(*SMALL, "loss=vanilla")
    for _ in range(3):
        trainer.play()
    state = copy.deepcopy(trainer.state_dict())
    trainer.play()
    after = tensors(trainer)
    trainer.load_state_dict(state)
    assert isinstance(trainer.perform, Replay) and not trainer.perform.recordings
    trainer.play()
    again = tensors(trainer)
    assert all(torch.equal(after[name], again[name]) for name in after)


def test_a_loss_lost_in_a_recording_is_noticed_when_asked() -> None:
    trainer = recorded(*SMALL, "loss=vanilla")
    for _ in range(2):
        trainer.play()
    assert_recorded(trainer)
    trainer.watch.refuse(trainer.step, trainer.scalars)
    real, labels = trainer.data.next()
    trainer.d_turn(torch.full_like(real, float("nan")), labels)
    trainer.play()
    with pytest.raises(DivergedError):
        trainer.watch.refuse(trainer.step, trainer.scalars)


@pytest.mark.thorough
def test_a_batch_without_labels_is_compiled_too() -> None:
    weight = torch.ones(2, requires_grad=True)

    def move(real: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
        assert labels is None
        with torch.no_grad():
            weight.mul_(2)
        return {"sum": (real * weight).sum()}

    run = compiled(move, torch.ones(3, 2), None)
    with torch.no_grad():
        weight.fill_(1)
    assert run(torch.ones(3, 2), None)["sum"] == 12 and run(torch.ones(3, 2), None)["sum"] == 24
    assert torch.equal(weight, torch.full((2,), 4.0))


def test_a_turn_that_is_not_finite_is_not_taken_for_a_wrong_recording(capsys: pytest.CaptureFixture[str]) -> None:
    trainer = recorded(*SMALL, "loss=vanilla")
    trainer.play()
    real, labels = trainer.data.next()
    trainer.d_turn(torch.full_like(real, float("nan")), labels)
    assert not trainer.perform.failed and "recorded" not in capsys.readouterr().err
    with pytest.raises(DivergedError):
        trainer.watch.refuse(trainer.step, trainer.scalars)


def test_distance_is_relative_to_what_changed() -> None:
    old, new = [torch.zeros(3), torch.ones(2)], [torch.tensor([3.0, 0, 0]), torch.ones(2)]
    assert distance(old, new, new) == 0
    assert distance(old, new, old) == pytest.approx(1)
    assert distance(old, new, [torch.tensor([3.3, 0, 0]), torch.ones(2)]) == pytest.approx(0.1)
    assert distance([torch.zeros(1)], [torch.zeros(1)], [torch.ones(1)]) == float("inf")
    still = [torch.ones(4)]
    assert distance(still, still, [torch.full((4,), 1 + 1e-6)]) == pytest.approx(1e-3, rel=0.2)  # rounding, not change


def test_an_unknown_kind_of_compilation_is_refused() -> None:
    with pytest.raises(ConfigError, match="compile must be one of none, networks, step"):
        config("compile=everything")


def test_a_trainer_is_gone_with_its_last_name_once_its_recordings_are_forgotten() -> None:
    trainer = recorded(*SMALL)
    for _ in range(3):
        trainer.play()
    assert trainer.perform.recordings
    last = weakref.ref(trainer)
    gc.collect()
    gc.disable()
    try:
        trainer.perform.forget()
        del trainer
        assert last() is None
    finally:
        gc.enable()


def test_memory_that_runs_out_while_a_turn_is_recorded_leaves_the_state_as_it_was(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    replayed, written = recorded(*SMALL), as_written(*SMALL)
    for trainer in (replayed, written):
        trainer.rng.seed(5)
        trainer.play()
    taken = iter(range(100))

    def full(state: dict[str, list[Tensor]]) -> dict[str, list[Tensor]]:
        if next(taken):  # room for the state before the turn, and no more
            raise torch.OutOfMemoryError("CUDA out of memory")
        return {name: [tensor.detach().clone() for tensor in tensors] for name, tensors in state.items()}

    monkeypatch.setattr("gantrain.performance.replay.copies", full)
    replayed.rng.seed(6), replayed.play()
    written.rng.seed(6), written.play()
    assert replayed.perform.failed and replayed.perform.failures == 1 and "out of memory" in capsys.readouterr().err
    for a, b in zip(tensors(replayed).values(), tensors(written).values(), strict=True):
        assert torch.equal(a, b)


def test_a_capture_that_fails_while_it_ends_gives_the_stream_back(monkeypatch: pytest.MonkeyPatch) -> None:
    on = ["ours"]
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: on[0])
    monkeypatch.setattr(torch.cuda, "set_stream", lambda stream: on.__setitem__(0, stream))

    def failing(self: Captured, *rest: object) -> Recorded:
        on[0] = "the capture's"
        raise RuntimeError("operation failed due to a previous error during capture")

    monkeypatch.setattr(Captured, "forget", lambda self: None)
    monkeypatch.setattr(Captured, "captured", failing)
    with pytest.raises(RuntimeError, match="previous error"):
        Captured()(lambda real, labels: {}, torch.zeros(1), None)
    assert on == ["ours"]
