"""The loops that are compared: the package's Trainer, the best loop of plain eager torch, and one as peers write it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_module
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import relu, softplus
from torch.utils.data import DataLoader

from gantrain.build import build
from gantrain.schema import validated
from gantrain.training.trainer import Trainer

Loop = Callable[[int], None]
"""Plays that many steps."""


def make(overrides: list[str]) -> Trainer:
    """Build a trainer as the command line would."""
    with initialize_config_module("gantrain.configs", version_base="1.3"):
        return build(validated(compose("train", overrides))).trainer


def trainer_loop(overrides: list[str]) -> Loop:
    """Return a loop of the Trainer's own steps."""
    trainer = make(overrides)

    def loop(steps: int) -> None:
        for _ in range(steps):
            trainer.play()

    return loop


def d_cost(loss: str, real: Tensor, fake: Tensor) -> Tensor:
    """Return D's loss, written out."""
    if loss == "vanilla":
        return softplus(-real).mean() + softplus(fake).mean()
    if loss == "sngan":
        return relu(1 - real).mean() + relu(1 + fake).mean()
    return fake.mean() - real.mean()


def g_cost(loss: str, fake: Tensor) -> Tensor:
    """Return G's loss, written out."""
    return softplus(-fake).mean() if loss == "vanilla" else -fake.mean()


def gradient_penalty(d: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """Return WGAN-GP's penalty."""
    epsilon = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device)
    x = torch.lerp(fake, real, epsilon).requires_grad_()
    (gradient,) = torch.autograd.grad(d(x).sum(), x, create_graph=True)
    return 10 * (gradient.flatten(1).norm(dim=1) - 1).square().mean()


def set_gradients(weights: list[Tensor], wanted: bool) -> None:
    """Switch the computation of these weights' gradients on or off."""
    for weight in weights:
        weight.requires_grad_(wanted)


def bare_loop(overrides: list[str], loss: str = "vanilla") -> Loop:
    """Return the shortest eager loop that plays the same game equally well: nothing but torch, written for speed.

    One D forward of both batches, fused Adam, no graph through G on D's turn, D frozen on G's, EMA of G, no waiting.
    """
    parts = make(overrides)
    g, d, ema, data, precision = parts.g.net, parts.d.net, parts.ema.net, parts.data, parts.precision
    d_optimizer, g_optimizer = parts.d.optimizer, parts.g.optimizer
    n, latent_dim, device = parts.batch_size, parts.grid.z.shape[1], precision.device
    d_weights, g_weights, ema_weights = (list(net.parameters()) for net in (d, g, ema))
    buffers = list(zip(ema.buffers(), g.buffers(), strict=True))
    half = precision.forward != torch.float32
    mixes = any(getattr(module, "mixes_samples", False) for module in d.modules())  # then each batch goes by itself

    def autocast() -> Any:
        return torch.autocast(device.type, precision.forward) if half else nullcontext()

    def d_turn() -> None:
        real, _ = data.next()
        with autocast():
            with torch.no_grad():
                fake = g(torch.randn(n, latent_dim, device=device)).float()
            scores = (d(real), d(fake)) if mixes else d(torch.cat([real, fake])).chunk(2)
        cost = d_cost(loss, *(part.float() for part in scores))
        if loss == "wgan_gp":
            cost = cost + gradient_penalty(d, real, fake)
        d_optimizer.zero_grad()
        cost.backward()
        d_optimizer.step()

    def g_turn() -> None:
        data.next()
        set_gradients(d_weights, False)
        with autocast():
            scores = d(g(torch.randn(n, latent_dim, device=device)).float()).float()
        g_optimizer.zero_grad()
        g_cost(loss, scores).backward()
        g_optimizer.step()
        set_gradients(d_weights, True)
        with torch.no_grad():
            torch._foreach_lerp_(ema_weights, g_weights, 0.01)
            for mine, theirs in buffers:
                mine.copy_(theirs)

    def loop(steps: int) -> None:
        for _ in range(steps):
            for _ in range(parts.d_steps):
                d_turn()
            g_turn()

    return loop


def peer_loop(images: Path, loss: str, device: str = "cpu") -> Loop:
    """Return a loop as peers write it: eager fp32, contiguous, a DataLoader over JPEGs, ``.item()`` at each turn."""
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    from gantrain.architectures import sngan_resnet

    norm = "spectral" if loss == "sngan" else "none"
    pool = "sum" if loss == "sngan" else "mean"
    g = sngan_resnet.Generator((3, 32, 32), 0, 128, None, None, "batch", commute=False).to(device)
    d = sngan_resnet.Discriminator((3, 32, 32), 0, None, None, norm, commute=False, pool=pool).to(device)
    as_tensor = transforms.Compose([transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)])
    loader = DataLoader(ImageFolder(str(images), as_tensor), 64, shuffle=True, num_workers=2, drop_last=True)
    g_optimizer = torch.optim.Adam(g.parameters(), 2e-4, (0.0, 0.9))
    d_optimizer = torch.optim.Adam(d.parameters(), 2e-4, (0.0, 0.9))

    def forever() -> Any:
        while True:
            yield from loader

    batches = forever()

    def loop(steps: int) -> None:
        for _ in range(steps):
            for _ in range(5):
                real = next(batches)[0].to(device)
                d_optimizer.zero_grad()
                fake = g(torch.randn(len(real), 128, device=device)).detach()
                cost = d_cost(loss, d(real), d(fake))
                if loss == "wgan_gp":
                    cost = cost + gradient_penalty(d, real, fake)
                cost.backward()
                d_optimizer.step()
                cost.item()
            g_optimizer.zero_grad()
            cost = g_cost(loss, d(g(torch.randn(64, 128, device=device))))
            cost.backward()
            g_optimizer.step()
            cost.item()

    return loop


def write_jpegs(folder: Path, count: int = 2000) -> Path:
    """Write smooth random pictures of CIFAR's size in two classes, for use without a folder of images."""
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        (folder / name).mkdir(parents=True)
    for k in range(count):
        small = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        small.resize((32, 32), Image.Resampling.BICUBIC).save(
            folder / ("one", "two")[k % 2] / f"{k:05d}.jpg", quality=95
        )
    return folder


def seconds(loop: Loop, steps: int) -> float:
    """Return the time per step."""
    start = time.perf_counter()
    loop(steps)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / steps
