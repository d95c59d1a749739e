"""Drawing from a generator: latents from a seed, truncation, and interpolation between latents."""

from __future__ import annotations

from collections.abc import Generator

import torch
from torch import Tensor, nn

BATCH = 250  # samples at a time, fewer of large ones
LARGE = 3 * 32 * 32  # numbers in a sample; of larger samples fewer are drawn at a time


def latents(n: int, dimensions: int, seed: int, truncation: float | None = None) -> Tensor:
    """Return z (n, dimensions) float32 from N(0, I), or from N(0, I) with every |z_i| ≤ ``truncation``.

    The truncation trick of Brock et al. 2019, arXiv:1809.11096, Section 3.1: less variety, better samples. The
    paper draws numbers beyond the limit again. Here every number moves to the same quantile of the truncated
    distribution, so the same seed gives the same samples at every truncation, only closer to the middle.
    """
    z = torch.randn(n, dimensions, generator=torch.Generator().manual_seed(seed))
    return z if truncation is None else truncated(z, truncation)


def truncated(z: Tensor, limit: float) -> Tensor:
    """Map normal numbers to normal ones truncated at ± ``limit``, quantile to quantile."""
    share = torch.special.ndtr(z.double())
    lowest = torch.special.ndtr(torch.tensor(-limit, dtype=torch.float64))
    moved: Tensor = torch.special.ndtri(lowest + share * (1 - 2 * lowest))
    return moved.clamp(-limit, limit).to(z.dtype)


def between(a: Tensor, b: Tensor, steps: int) -> Tensor:
    """Return ``steps`` latents from ``a`` (d,) to ``b`` (d,), both included, along the arc: (steps, d).

    Spherical interpolation (White 2016, arXiv:1609.04468). Halfway on the straight line between two normal vectors of
    many dimensions, the length would fall to 0.7 of those that the generator was trained on.
    """
    share = torch.linspace(0, 1, steps, dtype=torch.float64)[:, None]
    x, y = a.double(), b.double()
    angle = torch.acos((x @ y / (x.norm() * y.norm()).clamp_min(1e-12)).clamp(-1, 1))
    if angle.sin() < 1e-6:
        return x.lerp(y, share).to(a.dtype)
    return ((((1 - share) * angle).sin() * x + (share * angle).sin() * y) / angle.sin()).to(a.dtype)


@torch.no_grad()
def samples_of(
    net: nn.Module, z: Tensor, labels: Tensor | None = None, device: torch.device | None = None
) -> Generator[Tensor]:
    """Yield a generator's samples of latents z (n, d), in batches (b, *shape) float32 on its device.

    The network runs in evaluation mode, and its mode and torch's random numbers are restored, so that drawing between
    two steps of a training does not change the training.
    """
    device = device or next(net.parameters()).device
    training = net.training
    net.eval()
    try:
        start, batch = 0, 8
        while start < len(z):
            with torch.random.fork_rng([device] if device.type == "cuda" else []):
                torch.manual_seed(start)  # for networks that draw noise of their own
                own = None if labels is None else labels[start : start + batch].to(device)
                samples: Tensor = net(z[start : start + batch].to(device), own).float()
            yield samples
            start, batch = start + batch, max(8, min(BATCH, BATCH * LARGE // samples[0].numel()))
    finally:
        net.train(training)
