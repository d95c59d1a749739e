"""Every family of networks, with and without classes, plays 50 steps on images of CIFAR-10's size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gantrain.build import build
from tests.conftest import config

EIGHT = tuple(f"architecture.{net}.width=8" for net in ("generator", "discriminator"))
NARROW = {
    "dcgan": EIGHT,
    "sngan_resnet": (*EIGHT, "loss=sngan", "ratio=1to1"),
    "sagan": (*EIGHT, "loss=hinge"),
    "biggan": ("architecture.generator.width=4", "architecture.discriminator.width=4", "loss=hinge"),
    "biggan_deep": ("architecture.generator.width=4", "architecture.discriminator.width=4", "loss=hinge"),
    "stylegan2": ("architecture.generator.channel_max=16", "loss=r1", "optimizer.g.lr=2.5e-3"),
    "r3gan": ("architecture.generator.width=16", "architecture.generator.groups=4", "loss=r3gan"),
}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes: a bright disc on dark ground, and the reverse."""
    root, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    rows, columns = np.mgrid[:32, :32]
    for label, (inside, outside) in {"bright": (210, 40), "dark": (40, 210)}.items():
        (root / label).mkdir()
        for k in range(64):
            x, y = rng.integers(12, 20, 2)
            disc = ((rows - y) ** 2 + (columns - x) ** 2 < 64)[..., None]
            pixels = np.where(disc, inside, outside) + rng.integers(-30, 31, (32, 32, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(root / label / f"{k}.png")
    return root


@pytest.mark.slow
@pytest.mark.parametrize("conditioning", ["none", "projection"])
@pytest.mark.parametrize("family", NARROW)
def test_a_family_plays_fifty_steps(family: str, conditioning: str, images: Path) -> None:
    torch.manual_seed(0)
    data = ("data=image_folder", f"data.root={images}", "data.size=32", "evaluation=none", "batch_size=16")
    networks = (f"architecture={family}", f"conditioning={conditioning}", *NARROW[family])
    cfg = config(*data, *networks, "device=cpu", "total_steps=50", "ema.halflife_images=100")
    trainer = build(cfg).trainer
    start = {name: p.clone() for player in (trainer.g, trainer.d) for name, p in player.net.named_parameters()}
    for _ in range(50):
        trainer.play()
    for player in (trainer.g, trainer.d):
        for name, weight in player.net.named_parameters():
            assert weight.isfinite().all(), name
            assert not torch.equal(weight, start[name]), name
    assert trainer.scalars["d/loss"].isfinite() and trainer.scalars["g/loss"].isfinite()
    z = torch.randn(16, trainer.inputs.latent.dim)
    with torch.no_grad():
        bright, dark = (trainer.ema.net(z, torch.full((16,), k)) for k in (0, 1))
    assert bright.isfinite().all() and bright.std(0).mean() > 1e-3  # not one image for every latent
    assert torch.equal(bright, dark) == (conditioning == "none")
