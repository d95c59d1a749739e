"""CUDA graphs play the turns as they are written. Skipped where there is no GPU."""

from __future__ import annotations

import copy

import pytest
import torch

from gantrain.build import build
from gantrain.checkpoint import tree
from gantrain.performance.replay import Replay
from gantrain.training.trainer import Trainer
from tests.conftest import config

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

SMALL = ("batch_size=16", "device=cuda")
NARROW = ("architecture.generator.width=8", "architecture.discriminator.width=8")
BY_CLASS = ("data=digits", "conditioning=projection", "precision=bf16")
GAMES = {
    "ring": ("data=ring", "loss=vanilla", *NARROW),
    "lazy r1": ("data=ring", "loss=vanilla", "regularizer=[r1]", "loss.regularizers.r1.every=4", *NARROW),
    "wgan_gp": ("data=digits", "loss=wgan_gp", *NARROW),
    "sngan": ("data=digits", "loss=sngan", "architecture=sngan_resnet", "precision=bf16", *NARROW),
    "schedule": ("data=ring", "loss=vanilla", "schedule=linear", "total_steps=12", *NARROW),
    "sagan": (*BY_CLASS, "loss=hinge", "architecture=sagan", *NARROW),
    "biggan": (*BY_CLASS, "loss=hinge", "architecture=biggan", *NARROW),
    "biggan_deep": (*BY_CLASS, "loss=hinge", "architecture=biggan_deep", *NARROW),
    "r3gan": (*BY_CLASS, "loss=r3gan", "architecture=r3gan", "architecture.generator.width=16",
              "architecture.generator.groups=4"),
    "stylegan2": (*BY_CLASS, "loss=r1", "architecture=stylegan2", "architecture.generator.channel_max=8",
                  "regularizer=[path_length]"),
}  # fmt: skip


def trainer(*overrides: str) -> Trainer:
    made = build(config(*SMALL, *overrides)).trainer
    made.rng.seed(5)
    return made


def play(player: Trainer, steps: int) -> None:
    for k in range(steps):
        player.play(measure=k % 3 == 0)


@pytest.mark.parametrize("game", GAMES)
def test_graphs_end_where_the_turns_end(game: str) -> None:
    replayed, written = trainer(*GAMES[game]), trainer(*GAMES[game], "performance.cuda_graphs=false")
    play(replayed, 10), play(written, 10)
    assert isinstance(replayed.perform, Replay) and replayed.perform.recordings and not replayed.perform.failed
    mine, other = (tree.flatten(t.state_dict())[1] for t in (replayed, written))
    for name in mine:
        torch.testing.assert_close(mine[name].float(), other[name].float(), rtol=5e-2, atol=1e-3, msg=name)


def test_a_lazy_terms_value_stays_until_its_next_turn() -> None:
    player = trainer(*GAMES["lazy r1"])
    play(player, 5)  # its turns are 0 and 4
    shown = player.scalars["d/r1"].item()
    play(player, 3)
    assert player.scalars["d/r1"].item() == shown


def test_after_a_rollback_the_turns_are_recorded_anew() -> None:
    player = trainer(*GAMES["ring"])
    play(player, 4)
    state = copy.deepcopy(player.state_dict())
    play(player, 3)
    player.go_on_elsewhere(state, seed=1)
    play(player, 3)
    assert isinstance(player.perform, Replay) and player.perform.recordings and not player.perform.failed


def test_the_device_is_not_waited_for_between_log_lines() -> None:
    player = trainer(*GAMES["wgan_gp"])
    play(player, 6)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(5):
            player.play()
    finally:
        torch.cuda.set_sync_debug_mode("default")
