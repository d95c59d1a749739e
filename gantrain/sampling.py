"""Drawing from a generator, and interpolation between latents."""

from __future__ import annotations

import math
from collections.abc import Generator

import torch
from torch import Tensor, nn

from gantrain.distributed import ALONE, Alone
from gantrain.errors import ConfigError

BATCH = 250  # samples at a time, fewer of large ones
LARGE = 3 * 32 * 32  # numbers in a sample; of larger samples fewer are drawn at a time


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


class Truncating(nn.Module):
    """A generator that draws its w towards their mean, with one ψ.

    Args:
        net: a generator with a method ``truncated(z, labels, psi)``.
        psi: share of the distance from the mean that is left.
    """

    def __init__(self, net: nn.Module, psi: float) -> None:
        super().__init__()
        self.net, self.psi, self.training = net, psi, net.training

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return truncated samples."""
        samples: Tensor = self.net.truncated(z, labels, self.psi)  # type: ignore[operator]
        return samples


def truncating(net: nn.Module, truncation: float | None) -> tuple[nn.Module, float | None]:
    """Return what to draw samples from for a truncation, and the bound of |z_i| that is left for the latents.

    A generator with a method ``truncated(z, labels, psi)`` says that it truncates by itself, as StyleGAN does: its
    latents then are whole. Of all others z is truncated.

    Raises:
        ConfigError: for a truncation that is no number above 0.
    """
    if truncation is not None and not (isinstance(truncation, int | float) and 0 < truncation < math.inf):
        raise ConfigError(f"truncation must be a number above 0 and finite, or None, got {truncation!r}")
    if truncation is None or not callable(getattr(net, "truncated", None)):
        return net, truncation
    return Truncating(net, truncation), None


@torch.no_grad()
def samples_of(
    net: nn.Module,
    z: Tensor,
    labels: Tensor | None = None,
    device: torch.device | None = None,
    ranks: Alone = ALONE,
) -> Generator[Tensor]:
    """Yield a generator's samples of latents z (n, d), in batches (b, *shape) float32 on its device.

    The network runs in evaluation mode, and its mode and torch's random numbers are restored, so that drawing between
    two steps of a training does not change the training. Of several ranks each draws every ``world``-th batch.
    """
    device = device or next(net.parameters()).device
    training = net.training
    net.eval()
    try:
        start, batch, number = 0, 8, 0
        while start < len(z):
            if number and number % ranks.world != ranks.rank:
                start, number = start + batch, number + 1
                continue
            with torch.random.fork_rng([device] if device.type == "cuda" else []):
                torch.manual_seed(start)  # for networks that draw noise of their own
                own = None if labels is None else labels[start : start + batch].to(device)
                samples: Tensor = net(z[start : start + batch].to(device), own).float()
            if number % ranks.world == ranks.rank:  # the first batch tells all how large the others are
                yield samples
            start, number = start + batch, number + 1
            batch = max(8, min(BATCH, BATCH * LARGE // samples[0].numel()))
    finally:
        net.train(training)
