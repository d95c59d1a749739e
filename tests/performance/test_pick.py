"""Going faster changes nothing: every switch against the turns as they are written."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from gantrain.build import build
from gantrain.errors import ConfigError
from gantrain.performance import allocator
from gantrain.performance.pick import why_foreign
from gantrain.training.trainer import Trainer
from tests.conftest import GUARD, REPOSITORY, built, config, only

TINY = ("architecture.generator.width=8", "architecture.discriminator.width=8")


def course(*overrides: str, steps: int) -> torch.Tensor:
    """Both players' losses after each step, (steps, 2)."""
    trainer = build(config("batch_size=16", "device=cpu", *overrides)).trainer
    losses = []
    for _ in range(steps):
        trainer.play()
        losses.append(torch.stack([trainer.scalars["d/loss"], trainer.scalars["g/loss"]]))
    assert not trainer.perform.failed
    assert bool(getattr(trainer.perform, "recordings", False)) == ("compile=step" in overrides)
    return torch.stack(losses)


GAMES = {
    "ring": ("data=ring", "loss=vanilla", *TINY),
    "digits": ("data=digits", "loss=wgan_gp", "ratio=1to1", *TINY),
}
SWITCHES = {
    # what is switched on alone, and how far the losses of 200 steps may come from those without, relative to their size
    "performance.channels_last=true": 1e-2,
    "performance.one_forward=true": 1e-2,
    "performance.keep_memory=true": 0.0,
    "compile=step": 1e-2,
    "precision=bf16": 0.1,
}


@cache
def plain_course(game: str) -> torch.Tensor:
    return course(*GAMES[game], "performance=plain", steps=200)


IN_SHORT = [("ring", "performance.channels_last=true"), ("ring", "performance.one_forward=true"),
            ("digits", "performance.channels_last=true"), ("digits", "precision=bf16")]  # fmt: skip


@pytest.mark.parametrize(("game", "switch"), only(IN_SHORT, itertools.product(GAMES, SWITCHES)))
def test_losses_of_200_steps_stay_with_every_switch(game: str, switch: str) -> None:
    if game == "ring" and "channels_last" in switch:
        with pytest.raises(ConfigError, match="no convolutions"):
            course(*GAMES[game], switch, steps=1)
        return
    plain = plain_course(game)
    other = course(*GAMES[game], "performance=plain", switch, steps=200)
    assert ((other - plain).abs() / plain.abs().mean(0)).max() <= SWITCHES[switch]


@pytest.mark.slow
def test_losses_stay_with_compiled_networks() -> None:
    game = ("data=digits", "loss=vanilla", *TINY)
    plain = course(*game, "performance=plain", steps=200)
    other = course(*game, "performance=plain", "compile=networks", "performance.one_forward=true", steps=200)
    assert ((other - plain).abs() / plain.abs().mean(0)).max() <= 1e-2


def d_gradient(trainer: Trainer) -> list[torch.Tensor]:
    torch.manual_seed(0)
    trainer.move_d(*trainer.data.next(), measure=False)
    return [p.grad for p in trainer.d.net.parameters() if p.grad is not None]


def test_one_forward_under_spectral_norm_takes_one_power_iteration_and_else_gives_the_same_gradient() -> None:
    apart, at_once = (
        built("data=digits", "loss=sngan", *TINY, f"performance.one_forward={on}").trainer for on in ("false", "true")
    )
    for trainer in (apart, at_once):  # vectors that have converged stay where they are
        for _ in range(200):
            trainer.d.net(torch.zeros(1, 1, 8, 8))
    for a, b in zip(d_gradient(apart), d_gradient(at_once), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-6)


def test_what_auto_picks_is_safe_for_the_pieces_and_says_why() -> None:
    digits = built("data=digits").performance
    assert digits.channels_last and digits.one_forward and digits.keep_memory and not digits.cuda_graphs
    assert digits.compile.value == "none"
    assert "channels last off (no convolutions over images)" in str(built("data=ring").performance)
    mixing = built("data=digits", "architecture.discriminator.norm=batch").performance
    assert not mixing.one_forward and "batch norm in D" in str(mixing)
    comparing = built("data=digits", "architecture.discriminator.minibatch_features=4").performance
    assert not comparing.one_forward and "MinibatchDiscrimination" in str(comparing)


def test_plain_is_plain() -> None:
    result = built("data=digits", "performance=plain")
    assert not any(bool(choice) for name, choice in vars(result.performance).items() if name != "compile")
    assert result.performance.compile.value == "none"
    real = result.trainer.data.next()[0]
    assert real.is_contiguous() and not result.trainer.one_forward
    weights = [p for p in result.trainer.g.net.parameters() if p.ndim == 4]
    assert all(weight.is_contiguous() for weight in weights)


ONE_CYCLE = "{_target_: torch.optim.lr_scheduler.OneCycleLR, max_lr: 0.01, total_steps: 10}"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("architecture.discriminator.norm=batch", "performance.one_forward=true"), "one_forward=true.*batch norm"),
        (("performance.cuda_graphs=true",), "needs a GPU"),
        (("compile=step", "precision=fp16"), "float16 at times skips a step"),
        (
            ("compile=step", "loss=wgan", "optimizer.g._target_=torch.optim.RMSprop"),
            "RMSprop cannot be recorded; fused",
        ),
        (("compile=step", "loss=wgan", "+optimizer.d.momentum=0.9"), "RMSprop cannot be recorded; fused"),
        (("compile=step", "optimizer=extra_adam"), "ExtraAdam cannot be recorded; fused"),
        (("compile=step", "optimizer.g.fused=false"), "only plain Adam"),
        (("compile=step", f"schedule.g={ONE_CYCLE}"), "moves Adam's betas"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        built("data=digits", *overrides)


class Own(nn.Module):
    """A discriminator of a user's, which may do anything."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.net = nn.Linear(shape[0], 1)

    def forward(self, x: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        return self.net(x)


class Promising(Own):
    scores_each_sample_alone = True
    replayable = True


def test_classes_of_ones_own_are_trusted_only_with_what_they_promise() -> None:
    def with_d(name: str, *overrides: str) -> Trainer:
        cfg = config("data=ring", "batch_size=16", "device=cpu", "trusted_modules=[tests]", *overrides)
        cfg.architecture.discriminator = {"_target_": f"{__name__}.{name}"}
        return build(cfg).trainer

    assert not with_d("Own").one_forward
    assert with_d("Promising").one_forward
    with pytest.raises(ConfigError, match="Own does not say replayable = True"):
        with_d("Own", "compile=step")
    assert with_d("Promising", "compile=step").perform.replays


@pytest.mark.thorough
def test_a_missing_compiler_is_named(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gantrain", "data=ring", "device=cpu", "compile=step"]
    nowhere = os.environ | {"PATH": str(tmp_path), "PYTHONPATH": str(REPOSITORY)}
    nowhere.pop("CXX", None)
    done = subprocess.run(command, cwd=tmp_path, env=nowhere, capture_output=True, text=True, timeout=GUARD)
    assert done.returncode == 2 and "install g++" in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert "compile=step" in done.stderr and not list(tmp_path.iterdir())


FAULTS = """
import ctypes, resource, torch
ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # PR_SET_THP_DISABLE: pages of 4 KiB, whatever size this machine prefers
from gantrain.performance import allocator
{keep}
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(10 * 2**20)  # 40 MiB, 10,240 pages: above what glibc keeps by itself
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


@pytest.mark.thorough
@pytest.mark.skipif(not allocator.is_glibc(), reason="another allocator")
def test_kept_memory_is_not_faulted_in_again() -> None:
    found = {}
    for keep in ("allocator.keep_memory()", ""):
        program = [sys.executable, "-c", FAULTS.format(keep=keep)]
        found[keep] = int(subprocess.run(program, capture_output=True, text=True, check=True).stdout)
    assert found["allocator.keep_memory()"] < 100 < 10_000 < found[""], found


class OwnLinear(nn.Linear):
    """A layer of a user's, which spectral norm hides behind a class of torch's."""


def test_a_users_class_is_seen_through_what_torch_wraps_around_it() -> None:
    assert not why_foreign([nn.Sequential(spectral_norm(nn.Linear(2, 1)))], "replayable")
    assert "OwnLinear" in why_foreign([nn.Sequential(spectral_norm(OwnLinear(2, 1)))], "replayable")
    hooked = nn.Linear(2, 1)
    hooked.register_forward_hook(lambda *_: None)
    assert "forward hooks" in why_foreign([hooked], "replayable")


def test_compiled_networks_leave_a_d_alone_that_is_differentiated_twice_or_normalised_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda self, *arguments, **options: compiled.append(self))
    for overrides, alone in ((("loss=wgan_gp",), True), (("loss=sngan",), True), (("loss=vanilla",), False)):
        result = built("data=digits", "compile=networks", *overrides)
        assert ("G alone" in str(result.performance)) == alone
        assert [any(net is c for c in compiled) for net in (result.trainer.g.net, result.trainer.d.net)] == [
            True,
            not alone,
        ]


def test_a_checkpoint_says_what_was_picked() -> None:
    assert "one_forward=true" in built("data=digits").performance.facts()
    assert "one_forward=false" in built("data=digits", "performance=plain").performance.facts()
