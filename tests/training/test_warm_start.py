"""A run begins with another's weights where they fit, and D's first layers may be held."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from gantrain.checkpoint import Checkpoints
from gantrain.errors import ConfigError
from gantrain.training.warm_start import freeze, take
from tests.commands.test_train import Command
from tests.conftest import built

SMALL = ("data=ring", "architecture.generator.width=8", "architecture.discriminator.width=8", "evaluation=none",
         "samples.every=0", "batch_size=16")  # fmt: skip


def test_weights_are_taken_by_name_where_shapes_fit_and_the_rest_is_named() -> None:
    torch.manual_seed(0)
    old, new = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)), nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    kept = new[1].weight.clone()
    assert take(new, old.state_dict(), "D") == "D but for 1.weight (of another shape), 1.bias (of another shape)"
    assert torch.equal(new[0].weight, old[0].weight) and torch.equal(new[1].weight, kept)
    assert take(nn.Linear(2, 3), nn.Linear(2, 3).state_dict(), "G") == "G wholly"
    with pytest.raises(ConfigError, match="no weight of G there has a name and a shape of the new G"):
        take(nn.Linear(2, 3), nn.Linear(4, 3).state_dict() | {"bias": torch.zeros(1)}, "G")


@pytest.mark.parametrize("more", [(), ("architecture.discriminator.norm=spectral",), ("loss=wgan", "ratio=1to1")])
def test_the_first_layers_of_d_keep_their_weights_and_the_others_learn(more: tuple[str, ...]) -> None:
    trainer = built(*SMALL, "freeze_d=2", *more).trainer
    before = {name: weight.clone() for name, weight in trainer.d.net.named_parameters()}
    for _ in range(3):
        trainer.play()
    moved = {name for name, weight in trainer.d.net.named_parameters() if not torch.equal(weight, before[name])}
    layers = [name.split(".")[1] for name in before]
    first_two = list(dict.fromkeys(layers))[:2]
    assert moved == {name for name in before if name.split(".")[1] not in first_two}
    assert all(weight.requires_grad == (name in moved) for name, weight in trainer.d.net.named_parameters())


def test_a_look_ahead_leaves_held_layers_where_they_are() -> None:
    trainer = built(*SMALL, "freeze_d=2", "loss=unrolled").trainer
    real, labels = trainer.data.next()
    turn = trainer.turn(trainer.g, real, real, real.flip(0), labels, False)
    ahead = trainer.loss.lookahead(turn, trainer.loss.objective)
    moved = ahead.net.tensors.keys() - dict(trainer.d.net.named_buffers()).keys()
    held = {name for name, weight in trainer.d.net.named_parameters() if not weight.requires_grad}
    assert held and not held & moved and moved | held == dict(trainer.d.net.named_parameters()).keys()


def test_one_layer_at_least_must_learn() -> None:
    with pytest.raises(ConfigError, match="freeze_d=2: D has 2 layers"):
        freeze(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)), 2)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.evaluation.test_live import play

    folder = tmp_path_factory.mktemp("source")
    play(folder / "run", *SMALL[:3], "evaluation=none")
    return folder / "run"


def state_of(run: Path, step: int) -> dict:
    from gantrain.checkpoint import read

    return read(Checkpoints(run / "checkpoints").path(step))[1]


def test_a_run_begins_with_another_runs_weights_and_resumes_without_it(
    gantrain: Command, source: Path, tmp_path: Path
) -> None:
    shutil.copytree(source, tmp_path / "source")
    command = (*SMALL, "init_from=source", "loss=hinge", "total_steps=4", "run.dir=new", "checkpoint.every=1",
               "checkpoint.keep_last=9", "optimizer.g.lr=0", "optimizer.d.lr=0", "ema.halflife_images=0")  # fmt: skip
    outcome = gantrain(*command, "optimizer.d.lr=1e-12", "optimizer.g.lr=1e-12")
    assert outcome.exit_code == 0, outcome.err
    assert "source gives G wholly; D wholly; G's average wholly" in outcome.out
    given, found = state_of(source, 30), state_of(tmp_path / "new", 1)
    for part in ("g", "d"):
        for name, value in given[part]["net"].items():
            if value.is_floating_point() and "running" not in name:
                torch.testing.assert_close(found[part]["net"][name], value, rtol=0, atol=1e-6)
    shutil.rmtree(tmp_path / "source")
    again = gantrain(*command, "optimizer.d.lr=1e-12", "optimizer.g.lr=1e-12", "total_steps=6")
    assert again.exit_code == 0 and "gives G" not in again.out, again.err


def test_an_export_gives_g_and_its_average(gantrain: Command, source: Path, tmp_path: Path) -> None:
    from gantrain.export import export
    from gantrain.trained import Trained

    (tmp_path / "exported").mkdir()
    export(Trained.open(source), "ema", tmp_path / "exported", {})
    outcome = gantrain(*SMALL, "init_from=exported", "total_steps=1", "run.dir=new")
    assert outcome.exit_code == 0 and "exported gives G wholly; G's average wholly" in outcome.out, outcome.err
    # The average is of trained weights: it goes on with its half-life of 10,000 images, not with a twentieth of eight.
    exported = load_file(tmp_path / "exported" / "generator.safetensors")
    after = state_of(tmp_path / "new", 1)["ema"]["net"]
    name = next(name for name, value in exported.items() if value.ndim > 1)
    torch.testing.assert_close(after[name], exported[name], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("init_from=nowhere",), "is neither a run with checkpoints nor an export"),
        (("init_from=source", "architecture=autoencoder", "loss=began"), "no weight of G there has a name and a shape"),
        (("freeze_d=99",), "one at least must learn"),
    ],
)
def test_what_cannot_begin_is_refused_before_anything_is_written(
    gantrain: Command, source: Path, tmp_path: Path, overrides: tuple[str, ...], message: str
) -> None:
    shutil.copytree(source, tmp_path / "source")
    outcome = gantrain(*SMALL, *overrides, "total_steps=2", "run.dir=new")
    assert outcome.exit_code == 2 and message in outcome.err and not Path("new").exists(), outcome.err
