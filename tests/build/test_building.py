"""Every YAML composes, builds and trains; recipes are the papers'; what wins over what."""

from __future__ import annotations

import copy
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from gantrain import losses, regularizers
from gantrain.build import build, build_generator
from gantrain.build.trust import targets
from gantrain.errors import ConfigError
from gantrain.kinds import KINDS, Kind
from tests.conftest import CONFIGS, REPOSITORY, built, config, loss_names, option_names

GROUPS = (
    "data",
    "architecture",
    "loss",
    "regularizer",
    "optimizer",
    "ratio",
    "precision",
    "augment",
    "performance",
    "schedule",
    "experiment",
    "budget",
)
NEEDED = {
    "image_folder": ["data.root=x"],
    "huggingface": ["data.name=x"],
    "signals": ["data.root=x"],
    "array": ["data.root=x"],
    "dataset": ["data.dataset._target_=mine.Mine", "trusted_modules=[mine]"],
    "table": ["data.root=x"],
    "audio_folder": ["data.root=x"],
    "seconds": ["budget.amount=9"],
    "flops": ["budget.amount=1e9"],
}
OFFLINE_DATA = ("digits", "ring", "grid", "sines")


def recipe(*overrides: str) -> tuple[int, int, str, float, list[float] | None]:
    cfg = config(*overrides)
    optimizer = cfg.optimizer.g
    betas = list(optimizer.betas) if "betas" in optimizer else None
    return cfg.ratio.d_steps, cfg.ratio.g_steps, optimizer._target_.split(".")[-1], optimizer.lr, betas


DCGAN = (1, 1, "Adam", 2e-4, [0.5, 0.999])
WGAN_GP = (5, 1, "Adam", 1e-4, [0.0, 0.9])
FGAN = (1, 1, "Adam", 5e-5, [0.5, 0.999])
SNGAN = (5, 1, "Adam", 2e-4, [0.0, 0.9])
RECIPES = {
    **dict.fromkeys(["vanilla", "minimax", "lsgan", "lsgan_pearson", "dragan", "ebgan"], DCGAN),
    **dict.fromkeys(["rsgan", "rasgan", "ralsgan", "rahinge"], DCGAN),
    **dict.fromkeys([name for name in option_names("loss") if name.startswith("fgan_")], FGAN),
    **dict.fromkeys(["wgan_gp", "wgan_lp", "cramer"], WGAN_GP),
    **dict.fromkeys(["hinge", "sngan"], SNGAN),
    "wgan": (5, 1, "RMSprop", 5e-5, None),
    "mmd": (5, 1, "Adam", 1e-4, [0.5, 0.9]),
    "fisher": (2, 1, "Adam", 2e-4, [0.5, 0.999]),
    "r1": (1, 1, "RMSprop", 1e-4, None),
    "r3gan": (1, 1, "Adam", 2e-4, [0.0, 0.9]),
    "began": (1, 1, "Adam", 1e-4, [0.5, 0.999]),
    "unrolled": (1, 1, "Adam", 1e-4, [0.5, 0.999]),
}


@pytest.mark.parametrize("loss", loss_names())
def test_a_loss_brings_its_papers_recipe(loss: str) -> None:
    assert recipe(f"loss={loss}", "data=cifar10") == RECIPES[loss]
    cfg = config(f"loss={loss}", "data=cifar10")
    assert cfg.optimizer.d.lr == cfg.optimizer.g.lr
    assert cfg.optimizer.d.get("betas") == cfg.optimizer.g.get("betas")


def test_the_command_line_and_experiments_win_over_a_losss_recipe() -> None:
    assert recipe("loss=wgan_gp", "ratio=1to1", "optimizer=adam") == (1, 1, "Adam", 2e-4, [0.5, 0.999])
    assert recipe("loss=wgan_gp", "ratio.d_steps=3", "optimizer.g.lr=0.01")[:4] == (3, 1, "Adam", 0.01)
    assert recipe("loss=wgan_gp", "experiment=compare_losses") == (1, 1, "Adam", 2e-4, [0.5, 0.999])
    assert recipe("loss=wgan_gp", "experiment=compare_losses", "ratio=5to1")[0] == 5
    assert recipe("experiment=wgan_gp_cifar10") == (5, 1, "Adam", 2e-4, [0.0, 0.9])
    assert recipe("experiment=wgan_gp_cifar10", "loss=vanilla")[:2] == (1, 1)


@pytest.mark.parametrize(
    ("loss", "key", "value"),
    [
        ("wgan_gp", "loss.regularizers.gp.weight", 10.0),
        ("wgan_gp", "loss.regularizers.gp.every", 1),
        ("wgan_lp", "loss.regularizers.lp.weight", 10.0),
        ("wgan", "loss.regularizers.clip.bound", 0.01),
        ("dragan", "loss.regularizers.dragan.weight", 10.0),
        ("dragan", "loss.regularizers.dragan.scale", 0.5),
        ("dragan", "loss.regularizers.dragan.slope", 1.0),
        ("r1", "loss.regularizers.r1.weight", 10.0),
        ("cramer", "loss.regularizers.gp.weight", 10.0),
        ("cramer", "architecture.discriminator.outputs", 256),
        ("mmd", "loss.regularizers.gp.weight", 1.0),
        ("mmd", "architecture.discriminator.outputs", 16),
        ("mmd", "loss.objective.alphas", [0.2, 0.5, 1.0, 2.0, 5.0]),
        ("fisher", "loss.objective.rho", 1e-6),
        ("began", "loss.objective.gamma", 0.5),
        ("began", "loss.objective.rate", 0.001),
        ("sngan", "architecture.discriminator.norm", "spectral"),
        ("lsgan", "loss.objective.c", 1.0),
        ("lsgan_pearson", "loss.objective.a", -1.0),
    ],
)
def test_published_values_of_the_losses(loss: str, key: str, value: object) -> None:
    assert OmegaConf.select(config(f"loss={loss}"), key) == value


def test_r3gan_weighs_both_of_its_penalties_alike() -> None:
    penalties = config("loss=r3gan").loss.regularizers
    assert set(penalties) == {"r1", "r2"} and penalties.r1.weight == penalties.r2.weight


@pytest.mark.parametrize("data", ["ring", "digits"])
@pytest.mark.parametrize("loss", ["began", "ebgan"])
def test_losses_over_energies_bring_the_autoencoder_and_the_command_line_still_wins(loss: str, data: str) -> None:
    assert "autoencoder" in config(f"loss={loss}", f"data={data}").architecture.discriminator._target_
    with pytest.raises(ConfigError, match="architecture=autoencoder"):
        built(f"loss={loss}", f"data={data}", "architecture=mlp")


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
        choice = f"[{option}]" if group == "regularizer" else option
        config(f"{group}={choice}", *NEEDED.get(option, []))


OPTIONS = [f"{group}={option}" for group in ("optimizer", "ratio", "augment") for option in option_names(group)]
OPTIONS += [f"data={option}" for option in OFFLINE_DATA]
OPTIONS += [f"experiment={option}" for option in option_names("experiment")]


def instead_of_downloads(choice: str) -> list[str]:
    """Return what makes an experiment small enough, on data that are in scikit-learn."""
    if "mnist" in choice:
        return ["data=stacked_digits", "batch_size=8"]
    if choice == "experiment=table":
        return ["data=ring"]  # its file is the user's
    if "cifar10" not in choice:
        return []
    mirrors = OmegaConf.load(CONFIGS / "experiment" / f"{choice.partition('=')[2]}.yaml").get("data") is not None
    return ["data=digits", "batch_size=8", *(["~data.flip"] if mirrors else [])]


@pytest.mark.parametrize("choice", OPTIONS)  # every loss trains in tests/training/test_trainer.py
def test_every_option_that_needs_no_download_trains(choice: str) -> None:
    trainer = built(choice, *instead_of_downloads(choice)).trainer
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
        for name in set(module.__all__) - abstract - {"FDivergence"}:
            assert f"{module.__name__}.{name}" in used
    for target in used - {"???"}:
        module, _, name = target.rpartition(".")
        assert inspect.isclass(getattr(__import__(module, fromlist=[name]), name))


def test_targets_outside_gantrain_and_torch_are_refused_even_through_a_trusted_door(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "ran"
    for target in (
        "os.system",
        "builtins.eval",
        "gantrain.run.os.system",
        "torch.nn.modules.module.torch.load",
    ):
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
    assert set(listed) == found | {"gantrain.configs", "hydra_plugins.gantrain_search"}


def test_a_target_that_an_interpolation_leads_to_is_refused_as_well(tmp_path: Path) -> None:
    marker = tmp_path / "copied"
    evil = f"${{oc.create:{{_target_: shutil.copyfile, src: /etc/hostname, dst: {marker}}}}}"
    cfg = config("device=cpu", "data=ring")
    for key in ("loss.objective", "schedule.g", "augment"):
        changed = copy.deepcopy(cfg)
        OmegaConf.update(changed, key, evil, merge=False)
        with pytest.raises(ConfigError, match=r"_target_=shutil\.copyfile is not trusted"):
            build(changed)
    assert not marker.exists()


def test_a_target_may_be_named_by_an_interpolation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OBJECTIVE", "Hinge")
    cfg = config("device=cpu", "data=ring")
    cfg.loss.objective = {"_target_": "gantrain.losses.${oc.env:OBJECTIVE}"}
    assert type(build(cfg).trainer.loss.objective).__name__ == "Hinge"


class ComparesSamples(nn.Module):
    """A stranger's D that adds the spread of the batch to its features, and does not say so."""

    def __init__(self, shape: tuple[int, ...], classes: int, compares: bool = True) -> None:
        super().__init__()
        self.features, self.score = nn.Linear(shape[0], 8), nn.Linear(9, 1)
        self.dropout, self.compares = nn.Dropout(0.5), compares

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        h = self.dropout(torch.relu(self.features(x)))
        spread = h.std(0).mean().expand(len(x), 1) if self.compares else h.new_zeros(len(x), 1)
        return self.score(torch.cat([h, spread], 1))


THEIRS = (
    "data=ring",
    "trusted_modules=[tests]",
    "architecture.discriminator={_target_:tests.build.test_building.ComparesSamples}",
    *(f"~architecture.discriminator.{key}" for key in ("width", "depth", "norm", "minibatch_features", "outputs")),
)


@pytest.mark.parametrize("loss", ["wgan_gp", "r1"])
def test_a_strangers_d_that_compares_samples_is_found_by_its_scores(loss: str) -> None:
    with pytest.raises(ConfigError, match=r"ComparesSamples cannot be used with .*: the score of a sample changes"):
        built(*THEIRS, f"loss={loss}")
    built(*THEIRS, "loss=vanilla")  # without a penalty it may compare
    built(*THEIRS, "+architecture.discriminator.compares=false", f"loss={loss}")  # dropout alone mixes nothing


def test_looking_for_a_d_that_compares_samples_leaves_its_state_and_the_random_numbers_alone() -> None:
    spectral = ("data=ring", "architecture.discriminator.norm=spectral")
    with_penalty = built(*spectral, "loss=r1").trainer
    here = torch.rand(1)
    without = built(*spectral, "loss=vanilla").trainer
    assert torch.equal(here, torch.rand(1))
    for a, b in zip(with_penalty.d.net.state_dict().values(), without.d.net.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_a_network_without_a_setting_for_norm_is_not_said_to_have_none(gantrain: Any) -> None:
    outcome = gantrain(*THEIRS, "loss=vanilla", "total_steps=1", "evaluation=none")
    assert outcome.exit_code == 0, outcome.err
    (row,) = [line for line in outcome.out.splitlines() if line.startswith("D ")]
    assert "norm" not in row and "parameters; Adam" in row


class ForgetsToSay(torch.nn.Module):
    """A conditional generator whose class does not say so."""

    def __init__(self, shape: tuple[int, ...], classes: int, latent_dim: int) -> None:
        super().__init__()
        self.embedding, self.layer = torch.nn.Embedding(classes, latent_dim), torch.nn.Linear(latent_dim, *shape)

    def forward(self, z: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return self.layer(z * self.embedding(labels))


def test_a_generator_that_uses_labels_and_does_not_say_so_is_refused() -> None:
    target = f"{__name__}.ForgetsToSay"
    plain = [f"~architecture.generator.{name}" for name in ("width", "depth", "norm")]
    arguments = ["data=ring", f"architecture.generator._target_={target}", f"trusted_modules=[{__name__}]", *plain]
    with pytest.raises(ConfigError, match="ForgetsToSay uses the labels: let the class say conditional = True"):
        build(config(*arguments))


def test_style_mixing_draws_normal_latents_and_goes_with_no_others() -> None:
    narrow = ("data=digits", "architecture=stylegan2", "architecture.latent_dim=16", "architecture.generator.w_dim=4",
              "architecture.generator.channel_max=4")  # fmt: skip
    mixing = "architecture.generator.style_mixing=0.5"
    built(*narrow, mixing)
    for latent in ("codes", "uniform"):
        with pytest.raises(ConfigError, match=rf"latent={latent}; set architecture.generator.style_mixing=0, or"):
            built(*narrow, mixing, f"latent={latent}")
        built(*narrow, f"latent={latent}")


def test_betas_may_be_whole_numbers() -> None:
    trainer = built("data=ring", "optimizer.g.betas=[0,0.99]").trainer
    assert trainer.g.optimizer.param_groups[0]["betas"] == (0.0, 0.99)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["data=mnist", "data.size=28"], "got 28×28. Set data.size to one of these, or use architecture=mlp"),
        (["data=stacked_mnist", "data.parts.size=28"], "got 28×28. Set data.parts.size to one of these, or use"),
        (["data=cifar10"], "got 28×28. Bring them to such a size, or use architecture=mlp"),
    ],
)
def test_images_of_another_size_than_a_network_makes_name_a_setting_that_the_data_have(
    overrides: list[str], words: str
) -> None:
    cfg = config("architecture=dcgan", "device=cpu", *overrides)
    with pytest.raises(ConfigError) as refused:
        build_generator(cfg, (1, 28, 28), 0, torch.device("cpu"))
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("architecture", "shape", "words"),
    [
        ("dcgan", (1, 64), "got signals of shape (1, 64). Use architecture=conv1d or architecture=mlp"),
        ("dcgan", (2,), "got points of shape (2,). Use architecture=mlp"),
        ("conv1d", (3, 32, 32), "got images of shape (3, 32, 32). Use architecture=dcgan or architecture=mlp"),
        ("conv1d", (1, 100), "got 100. Cut or pad them to such a length, or use architecture=mlp"),
    ],
)
def test_samples_of_another_kind_name_the_networks_that_there_are_for_it(
    architecture: str, shape: tuple[int, ...], words: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        build_generator(config(f"architecture={architecture}"), shape, 0, torch.device("cpu"))
    assert str(refused.value).endswith(words)


@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if kind.architecture], ids=lambda kind: kind.name)
def test_the_architecture_of_a_kind_is_an_option(kind: Kind) -> None:
    assert kind.architecture in option_names("architecture")
