"""The experiments of published networks: they have the published sizes, their settings are the sources'."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from PIL import Image

from gantrain.build import build
from gantrain.build.scheduling import scheduled_keys
from tests.conftest import config

SIZES = {
    "sagan_cifar10": (4_386_308, 1_075_586),
    "biggan_cifar10": (4_304_387, 4_207_361),
    "sngan_proj_cifar10": (4_304_387, 1_055_105),
}


@pytest.mark.parametrize(("name", "sizes"), SIZES.items())
def test_an_experiments_networks_have_the_published_numbers_of_parameters(name: str, sizes: tuple[int, int]) -> None:
    nodes = config(f"experiment={name}").architecture
    nets = [instantiate(nodes[role], shape=(3, 32, 32), classes=10) for role in ("generator", "discriminator")]
    assert tuple(sum(p.numel() for p in net.parameters()) for net in nets) == sizes
    assert nets[0].conditional and type(nets[1].special).__name__ == "Projection"


@pytest.mark.parametrize("name", SIZES)
def test_without_conditioning_an_experiments_networks_know_no_classes(name: str) -> None:
    nodes = config(f"experiment={name}", "conditioning=none").architecture
    assert (nodes.generator.conditioning, nodes.discriminator.conditioning) == ("none", "none")


@pytest.mark.parametrize(
    ("conditioning", "sizes"), [("none", (20_732_160, 20_683_776)), ("projection", (20_781_952, 21_280_512))]
)
def test_r3gan_for_cifar_has_the_published_numbers_of_parameters(conditioning: str, sizes: tuple[int, int]) -> None:
    nodes = config("experiment=r3gan_cifar10", f"conditioning={conditioning}").architecture
    with torch.device("meta"):
        nets = [instantiate(nodes[role], shape=(3, 32, 32), classes=10) for role in ("generator", "discriminator")]
    assert tuple(sum(p.numel() for p in net.parameters()) for net in nets) == sizes


NARROW = {"r3gan_cifar10": {"width": 8, "groups": 4}}


@pytest.mark.parametrize("name", [*SIZES, "r3gan_cifar10", "cifar10_cpu", "cifar10_gpu_minutes"])
def test_an_experiment_plays_on_a_folder_of_classes(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label in ("cats", "dogs"):
        (tmp_path / label).mkdir()
        for k in range(4):
            Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(tmp_path / label / f"{k}.png")
    sizes = NARROW.get(name, {"width": 8})
    narrow = [f"architecture.{net}.{key}={n}" for net in ("generator", "discriminator") for key, n in sizes.items()]
    where = ("data=image_folder", f"data.root={tmp_path}", "data.size=32", "evaluation=none", "device=cpu")
    cfg = config(f"experiment={name}", *where, *narrow, "batch_size=4", "batch_size_g=null", "total_steps=2")
    trainer = build(cfg).trainer
    before = [p.clone() for player in (trainer.g, trainer.d) for p in player.net.parameters()]
    trainer.play(), trainer.play(), trainer.play()  # in the first, R3GAN's layers before one of zeros do not move
    after = [p for player in (trainer.g, trainer.d) for p in player.net.parameters()]
    assert all(torch.isfinite(p).all() for p in after)
    assert sum(not torch.equal(a, b) for a, b in zip(before, after, strict=True)) > 0.9 * len(after)


def test_biggan_has_its_authors_settings_for_cifar() -> None:
    cfg = config("experiment=biggan_cifar10")
    assert (cfg.batch_size, cfg.batch_size_g, cfg.total_steps, cfg.ratio.d_steps) == (50, None, 125_000, 4)
    for player in (cfg.optimizer.g, cfg.optimizer.d):
        assert (player.lr, list(player.betas), player.eps) == (2e-4, [0.0, 0.999], 1e-8)
    assert {cfg.architecture[role].init for role in ("generator", "discriminator")} == {"N02"}
    # --ema_decay 0.9999 --ema_start 1000: before step 1000 the average is a copy.
    assert 0.5 ** (cfg.batch_size / cfg.ema.halflife_images) == pytest.approx(0.9999, abs=1e-9) and not cfg.ema.rampup
    schedule = instantiate(cfg.schedule["ema.halflife_images"])
    of_step = [schedule(step / cfg.total_steps, cfg.ema.halflife_images) for step in (0, 999, 1000, 125_000)]
    assert of_step == [0, 0, 346_556, 346_556]


def test_sagan_and_sngan_have_the_settings_of_their_sources() -> None:
    sagan, sngan = config("experiment=sagan_cifar10"), config("experiment=sngan_proj_cifar10")
    assert (sagan.optimizer.g.lr, sagan.optimizer.d.lr, list(sagan.optimizer.d.betas)) == (1e-4, 4e-4, [0.5, 0.999])
    assert (sagan.batch_size, sagan.ratio.d_steps, sagan.total_steps) == (64, 1, 1_000_000)
    assert (sngan.batch_size, sngan.batch_size_g, sngan.ratio.d_steps, sngan.total_steps) == (64, 128, 5, 50_000)
    assert (sngan.optimizer.g.lr, list(sngan.optimizer.g.betas)) == (2e-4, [0.0, 0.9])


def test_r3gan_has_its_five_schedules_but_that_of_the_augmentation() -> None:
    cfg = config("experiment=r3gan_cifar10")
    assert cfg.batch_size * cfg.total_steps == pytest.approx(20e6, rel=1e-4)
    moved = dict(scheduled_keys(cfg.schedule))
    ends = {
        "optimizer.g.lr": (2e-4, 5e-5),
        "optimizer.d.lr": (2e-4, 5e-5),
        "optimizer.g.betas.1": (0.9, 0.99),
        "optimizer.d.betas.1": (0.9, 0.99),
        "loss.regularizers.r1.weight": (0.05, 0.005),
        "loss.regularizers.r2.weight": (0.05, 0.005),
        "ema.halflife_images": (0.0, 5e6),
    }
    assert set(moved) == set(ends)
    for key, (first, last) in ends.items():
        path, _, entry = key.rpartition(".")
        configured = OmegaConf.select(cfg, path)[int(entry)] if entry.isdigit() else OmegaConf.select(cfg, key)
        function = instantiate(moved[key])
        found = [function(share, configured) for share in (0.0, 0.5, 1.0)]
        assert found == pytest.approx([first, (first + last) / 2, last]), key  # a cosine is half-way in the middle


def test_stylegan2_has_the_settings_of_the_cifar_preset_and_plays_two_steps_on_a_folder(tmp_path: Path) -> None:
    cfg = config("experiment=stylegan2_ada_cifar10")
    for player in (cfg.optimizer.g, cfg.optimizer.d):
        assert (player.lr, list(player.betas)) == (2.5e-3, [0.0, 0.99])
    assert (cfg.loss.regularizers.r1.weight, cfg.loss.regularizers.r1.every) == (0.01, 16)
    assert (cfg.batch_size, cfg.batch_size * cfg.total_steps) == (64, 100_000_000)
    assert (cfg.ema.halflife_images, cfg.ema.rampup) == (500_000, 0.05)
    for way, sizes in (("none", (19_947_539, 20_720_641)), ("projection", (20_215_315, 23_089_664))):
        nodes = config("experiment=stylegan2_ada_cifar10", f"conditioning={way}")
        with torch.device("meta"):
            nets = [
                instantiate(nodes.architecture[role], shape=(3, 32, 32), classes=10)
                for role in ("generator", "discriminator")
            ]
        assert tuple(sum(p.numel() for p in net.parameters()) for net in nets) == sizes
    rng = np.random.default_rng(0)
    for k in range(6):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(tmp_path / f"{k}.png")
    where = ("data=image_folder", f"data.root={tmp_path}", "data.size=32", "evaluation=none", "device=cpu")
    small = ("architecture.generator.channel_max=8", "batch_size=4", "total_steps=2")
    trainer = build(config("experiment=stylegan2_ada_cifar10", *where, *small)).trainer
    trainer.play(), trainer.play()
    assert trainer.scalars["d/r1"].isfinite() and trainer.g.net.average.any()
    assert all(p.isfinite().all() for player in (trainer.g, trainer.d) for p in player.net.parameters())
