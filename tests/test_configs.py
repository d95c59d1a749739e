"""Every YAML composes, builds and trains; recipes are the papers'; what wins over what."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from gantrain import losses, regularizers
from gantrain.build import build, targets
from gantrain.errors import ConfigError
from tests.conftest import CONFIGS, REPOSITORY, built, config, option_names

GROUPS = ("data", "architecture", "loss", "optimizer", "ratio", "precision", "augment", "experiment")
OFFLINE_DATA = ("digits", "ring", "grid")


def recipe(*overrides: str) -> tuple[int, int, str, float, list[float] | None]:
    cfg = config(*overrides)
    adam = cfg.optimizer.d
    assert cfg.optimizer.g.lr == adam.lr and cfg.optimizer.g.get("betas") == adam.get("betas")
    betas = list(adam.betas) if "betas" in adam else None
    return cfg.ratio.d_steps, cfg.ratio.g_steps, adam._target_.split(".")[-1], adam.lr, betas


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("vanilla", (1, 1, "Adam", 2e-4, [0.5, 0.999])),
        ("minimax", (1, 1, "Adam", 2e-4, [0.5, 0.999])),
        ("lsgan", (1, 1, "Adam", 2e-4, [0.5, 0.999])),
        ("wgan", (5, 1, "RMSprop", 5e-5, None)),
        ("wgan_gp", (5, 1, "Adam", 1e-4, [0.0, 0.9])),
        ("hinge", (5, 1, "Adam", 2e-4, [0.0, 0.9])),
    ],
)
def test_a_loss_brings_its_papers_recipe(loss: str, expected: tuple) -> None:
    assert recipe(f"loss={loss}", "data=cifar10") == expected


def test_the_command_line_and_experiments_win_over_a_losss_recipe() -> None:
    assert recipe("loss=wgan_gp", "ratio=1to1", "optimizer=adam") == (1, 1, "Adam", 2e-4, [0.5, 0.999])
    assert recipe("loss=wgan_gp", "ratio.d_steps=3", "optimizer.g.lr=0.01")[:4] == (3, 1, "Adam", 0.01)
    assert recipe("loss=wgan_gp", "experiment=compare_losses") == (1, 1, "Adam", 2e-4, [0.5, 0.999])
    assert recipe("loss=wgan_gp", "experiment=compare_losses", "ratio=5to1")[0] == 5
    assert recipe("experiment=wgan_gp_cifar10") == (5, 1, "Adam", 1e-4, [0.0, 0.9])
    assert recipe("experiment=wgan_gp_cifar10", "loss=vanilla")[:2] == (1, 1)


def test_published_values_of_the_losses() -> None:
    gp = config("loss=wgan_gp").loss.regularizers.gp
    assert gp.weight == 10.0 and gp.every == 1
    assert config("loss=wgan").loss.regularizers.clip.bound == 0.01
    objective = config("loss=lsgan").loss.objective
    assert (objective.a, objective.b, objective.c) == (0, 1, 1)


def test_one_learning_rate_serves_both_players_until_d_gets_its_own() -> None:
    cfg = config("optimizer.g.lr=0.01")
    assert cfg.optimizer.d.lr == 0.01
    cfg = config("optimizer.d.lr=0.02")
    assert (cfg.optimizer.g.lr, cfg.optimizer.d.lr) == (2e-4, 0.02)
    assert config("optimizer=ttur").optimizer.d.lr == 4 * config("optimizer=ttur").optimizer.g.lr


def test_points_choose_the_mlp_unless_told_otherwise() -> None:
    assert "mlp" in config("data=ring").architecture.generator._target_
    with pytest.raises(ConfigError, match="architecture=mlp"):
        build(config("data=ring", "architecture=dcgan", "device=cpu"))


@pytest.mark.parametrize("group", GROUPS)
def test_every_option_of_every_group_composes(group: str) -> None:
    assert option_names(group)
    for option in option_names(group):
        config(f"{group}={option}", *(["data.root=x"] if option == "image_folder" else []))


@pytest.mark.parametrize(
    "choice",
    [f"{group}={option}" for group in ("optimizer", "ratio", "augment") for option in option_names(group)]
    + [f"data={option}" for option in OFFLINE_DATA]
    + [f"experiment={option}" for option in option_names("experiment")],
)
def test_every_option_that_needs_no_download_trains(choice: str) -> None:
    trainer = built(choice, *(["data=digits"] if "cifar10" in choice else [])).trainer
    before = trainer.g.net.state_dict()
    before = {k: v.clone() for k, v in before.items()}
    trainer.d_turn(*trainer.data.next(), True)
    trainer.g_turn(*trainer.data.next(), True)
    assert all(torch.isfinite(v) for v in trainer.scalars.values())
    assert any(not torch.equal(v, before[k]) for k, v in trainer.g.net.state_dict().items())


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda p: str(p.relative_to(CONFIGS)))
def test_every_yaml_says_what_it_is_and_explains_its_values(path: Path) -> None:
    lines = path.read_text().splitlines()
    if path.parent.name == "help":
        return
    header = [line for line in lines[:2] if line.startswith("# ") and "@package" not in line]
    assert header, "the first line says what this is"
    if path.parent.name == "loss":
        assert re.search(r"\b(19|20)\d\d\b.*arXiv", header[0])
    numbers = [line for line in lines if re.match(r"\s*(?!lr|total_steps|batch_size)\w+: [\d\[]", line)]
    assert all("#" in line for line in numbers), [line for line in numbers if "#" not in line]


def test_every_objective_and_regularizer_has_a_yaml_and_every_target_exists() -> None:
    used = {t for path in CONFIGS.rglob("*.yaml") for t in targets(OmegaConf.to_container(OmegaConf.load(path)))}
    abstract = {"Objective", "Loss", "Regularizer", "InputGradient"}
    for module in (losses, regularizers):
        for name in set(module.__all__) - abstract:
            assert f"{module.__name__}.{name}" in used
    for target in used:
        module, _, name = target.rpartition(".")
        assert inspect.isclass(getattr(__import__(module, fromlist=[name]), name))


def test_targets_outside_gantrain_and_torch_are_refused_even_through_a_trusted_door(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "ran"
    for target in ("os.system", "builtins.eval", "gantrain.run.os.system", "torch.nn.modules.module.torch.load"):
        with pytest.raises(ConfigError, match="trusted"):
            build(config("device=cpu", f"data._target_={target}", f"+data.command='touch {marker}'"))
    assert not marker.exists()
    (tmp_path / "my_gan_parts.py").write_text("from gantrain.losses import Hinge\nclass Mine(Hinge): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"trusted_modules"):
        built("loss.objective._target_=my_gan_parts.Mine")
    mine = built("loss.objective._target_=my_gan_parts.Mine", "trusted_modules=[my_gan_parts]")
    assert type(mine.trainer.loss.objective).__name__ == "Mine"


def test_the_list_of_packages_is_the_tree() -> None:
    import tomllib

    listed = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {".".join(p.parent.relative_to(REPOSITORY).parts) for p in (REPOSITORY / "gantrain").rglob("__init__.py")}
    assert set(listed) == found | {"gantrain.configs"}
