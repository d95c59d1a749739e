"""Batches in parts: for every loss the gradients, scores and state of the whole batch, and no random number twice."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gantrain.checkpoint import Checkpoints
from gantrain.errors import ConfigError, StoppedError
from gantrain.regularizers import Consistency, GradientPenalty
from gantrain.training.player import frozen
from gantrain.training.trainer import Trainer
from tests.conftest import built, option_names
from tests.training.test_trainer import play

PLAIN = ("architecture.generator.norm=none",)
"""Batch norm, the generator's usual one, takes its statistics from a part."""
RING = ("data=ring", "architecture.generator.width=16", "architecture.discriminator.width=16", "batch_size=16",
        "device=cpu", "performance=plain", *PLAIN)  # fmt: skip
WHOLE_ONLY = {"dragan", "unrolled"}
"""Losses whose terms compare the samples of a batch."""
PENALTIES = {"cramer": ["gp"], "mmd": ["gp"]}
"""Penalties whose gradient is that of a function of the whole batch."""


def gradients(trainer: Trainer, player: str) -> tuple[list[Tensor], dict[str, Tensor]]:
    """A player's gradients on the next batch, and what it logs."""
    trainer.rng.seed(7)
    side = getattr(trainer, player)
    with frozen(trainer.d.weights if player == "g" else []):
        cost = trainer.differentiated(side, *trainer.data.next(), True)
    side.scaler.unscale_(side.optimizer)
    return [w.grad.clone() for w in side.weights if w.grad is not None], cost.scalars(player)


def trained(*overrides: str) -> Trainer:
    """A trainer after two steps, in which an objective's own state has moved."""
    autoencoder = any(f"loss={loss}" in overrides for loss in ("ebgan", "began"))  # it has no norm
    trainer = built(*(RING[: -len(PLAIN)] if autoencoder else RING), *overrides, "total_steps=8").trainer
    whole, trainer.accumulate = trainer.accumulate, 1
    trainer.rng.seed(5)
    for _ in range(2):
        trainer.play()
    trainer.accumulate = whole
    return trainer


def middle(self: GradientPenalty, turn: object) -> Tensor:
    return torch.lerp(turn.fake, turn.real, 0.5)


@pytest.mark.parametrize("loss", sorted(set(option_names("loss")) - WHOLE_ONLY))
def test_every_loss_has_the_gradients_of_the_whole_batch(loss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GradientPenalty, "points", middle)  # random points would be others in other parts
    without = [f"~loss.regularizers.{name}" for name in PENALTIES.get(loss, [])]
    whole, parts = (trained(f"loss={loss}", *without, f"accumulate={k}") for k in (1, 4))
    for player in ("d", "g"):
        expected, logged = gradients(whole, player)
        found, told = gradients(parts, player)
        size = max(float(g.abs().max()) for g in expected)
        torch.testing.assert_close(found, expected, rtol=2e-4, atol=1e-4 * size)
        assert told.keys() == logged.keys()
        torch.testing.assert_close(told, logged, rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("overrides", [
    ("loss=hinge", "architecture.discriminator.norm=spectral"),
    ("loss=rasgan", "regularizer=[lecam]"),
    ("loss=hinge", "conditioning=acgan"),
    ("loss=fisher", "conditioning=projection"),
    ("loss=hinge", "regularizer=[orthogonal]"),
    ("loss=wgan", "ratio=1to1"),
    ("loss=fisher", "ratio.simultaneous=true", "ratio=1to1"),
    ("loss=ralsgan", "precision=fp16"),
], ids=" ".join)  # fmt: skip
def test_steps_in_parts_are_those_of_the_whole_batch(overrides: tuple[str, ...]) -> None:
    # The state that moves with a step too: spectral norms, averages of scores, multipliers, clipped weights.
    trainers = [built(*RING, *overrides, f"accumulate={k}", "total_steps=8").trainer for k in (1, 2)]
    if "precision=fp16" in overrides:
        for trainer in trainers:
            for player in (trainer.g, trainer.d):
                player.scaler = torch.amp.GradScaler("cpu", init_scale=16.0)
    for trainer in trainers:
        trainer.rng.seed(7)
        for _ in range(3):
            trainer.play()
    states = [{**t.d.net.state_dict(), **t.g.net.state_dict(), **t.loss.state_dict()} for t in trainers]
    half = "precision=fp16" in overrides
    torch.testing.assert_close(states[1], states[0], rtol=2e-2 if half else 1e-3, atol=2e-3 if half else 2e-5)


class Noisy(nn.Module):
    """Adds noise to all that D sees, and keeps what it added."""

    def __init__(self) -> None:
        super().__init__()
        self.added: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        noise = torch.randn_like(x)
        self.added.append(noise)
        return x + noise


def test_the_second_look_sees_what_the_first_did_and_terms_draw_other_numbers() -> None:
    trainer = built(*RING, "loss=rasgan", "regularizer=[consistency]", "accumulate=1", "total_steps=8").trainer
    trainer.accumulate, trainer.augment = 2, Noisy()
    drawn: list[Tensor] = []

    def change(self: Consistency, x: Tensor, ranks: object) -> Tensor:
        drawn.append(torch.randn_like(x))
        return x + drawn[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Consistency, "change", change)
        gradients(trainer, "d")
    first, second = trainer.augment.added[:4], trainer.augment.added[4:]
    again = [second[k] for k in (0, 1, 3, 4)]  # 2 and 5 are of the term's own pass through D
    torch.testing.assert_close(again, first, rtol=0, atol=0)
    every = [*first, second[2], second[5], *drawn]
    assert len({tuple(noise.flatten().tolist()) for noise in every}) == len(every)


@pytest.mark.parametrize("loss", ["vanilla", "rasgan"])
def test_a_run_in_parts_resumes_bit_for_bit(loss: str, tmp_path: Path) -> None:
    def made() -> Trainer:
        return built(*RING, f"loss={loss}", "accumulate=2", "total_steps=6", "log.every=3").trainer

    whole, first, second = made(), made(), made()
    whole.rng.seed(5), play(whole, tmp_path / "whole")
    first.rng.seed(5)
    with pytest.raises(StoppedError):
        play(first, tmp_path / "parts", stop=lambda: first.step == 3)
    second.load_state_dict(Checkpoints(tmp_path / "parts" / "checkpoints").latest()[1])
    play(second, tmp_path / "parts")
    torch.testing.assert_close(dict(whole.g.net.state_dict()), dict(second.g.net.state_dict()), rtol=0, atol=0)
    torch.testing.assert_close(dict(whole.d.net.state_dict()), dict(second.d.net.state_dict()), rtol=0, atol=0)


class Largest(nn.Module):
    """A network that knows the most samples that it saw at once."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.most = net, 0

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        self.most = max(self.most, len(x))
        return self.net(x, labels)


@pytest.mark.parametrize("loss", ["vanilla", "rasgan", "wgan_gp"])
def test_no_network_sees_more_than_a_part(loss: str) -> None:
    trainer = built(*RING, f"loss={loss}", "accumulate=4", "ratio=1to1", "total_steps=8").trainer
    trainer.one_forward = False
    trainer.g.net, trainer.d.net = Largest(trainer.g.net), Largest(trainer.d.net)
    trainer.play()
    assert trainer.g.net.most == trainer.d.net.most == 4


def test_running_statistics_move_once_a_turn() -> None:
    trainer = built("data=digits", "batch_size=16", "accumulate=2", "total_steps=8", "architecture.generator.width=4",
                    "architecture.discriminator.width=4", "device=cpu").trainer  # fmt: skip
    trainer.play()
    counts = [b for name, b in trainer.g.net.named_buffers() if name.endswith("num_batches_tracked")]
    assert counts and all(int(count) == 2 for count in counts)  # one of D's turn, one of G's


@pytest.mark.parametrize(("overrides", "said"), [
    (("batch_size=10", "accumulate=4"), "must divide batch_size=10"),
    (("batch_size=16", "batch_size_g=18", "accumulate=4"), "must divide batch_size_g=18"),
    (("loss=dragan", "accumulate=2"), "compares the samples of a batch"),
    (("loss=unrolled", "accumulate=2"), "Unrolled steps on whole batches"),
    (("loss=mmd", "regularizer=[gradient_penalty]", "accumulate=2"), "compares whole batches"),
    (("loss=hinge", "conditioning=reacgan", "accumulate=2"), "compares the samples of a batch"),
    (("loss=hinge", "regularizer=[consistency]", "accumulate=2"), "compares the samples of a batch"),
    (("accumulate=2", "compile=step"), "in parts"),
])  # fmt: skip
def test_what_needs_the_whole_batch_is_refused(overrides: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        built(*RING, *overrides, "total_steps=8")


@pytest.mark.parametrize(("setting", "expected"), [
    ("gradient_clip_norm={g: 0.01, d: null}", (True, False)), ("gradient_clip_norm={d: 0.01}", (False, True)),
    ("gradient_clip_norm=0.01", (True, True)), ("gradient_clip_norm=null", (False, False)),
])  # fmt: skip
def test_each_player_has_its_own_limit(setting: str, expected: tuple[bool, bool]) -> None:
    trainer = built(*RING, "loss=vanilla", setting, "total_steps=8").trainer
    trainer.play()

    def norm(weights: list[nn.Parameter]) -> float:
        return float(torch.stack([w.grad.norm() for w in weights]).norm())

    clipped = tuple(norm(player.weights) == pytest.approx(0.01, rel=1e-3) for player in (trainer.g, trainer.d))
    assert clipped == expected
