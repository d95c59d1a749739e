"""Multi-layer perceptrons, for points and small images."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from gantrain.architectures.layers import (
    last_layers,
    norm_1d,
    require_norm,
    require_not_negative,
    require_positive,
    weighted,
)

NORMS = ("batch", "layer", "spectral", "none")


def hidden_layers(inputs: int, width: int, depth: int, norm: str) -> list[nn.Module]:
    """Return ``depth`` times linear, norm, leaky ReLU."""
    layers: list[nn.Module] = []
    for features in [inputs] + [width] * (depth - 1):
        layers += [weighted(nn.Linear(features, width), norm), norm_1d(norm, width), nn.LeakyReLU(0.2)]
    return layers


class Generator(nn.Module):
    """z (N, latent_dim) -> (N, *shape): any real for points, [-1, 1] for images.

    Args:
        shape: shape of one sample, (features,) or (C, H, W).
        classes: ignored; this generator is unconditional.
        latent_dim: length of z.
        width: units of each hidden layer.
        depth: hidden layers.
        norm: batch, layer, spectral or none.
    """

    def __init__(
        self, shape: tuple[int, ...], classes: int, latent_dim: int, width: int, depth: int, norm: str
    ) -> None:
        super().__init__()
        require_positive(latent_dim=latent_dim, width=width, depth=depth)
        require_norm(norm, NORMS)
        self.shape = tuple(shape)
        self.net = nn.Sequential(
            *hidden_layers(latent_dim, width, depth, norm),
            weighted(nn.Linear(width, math.prod(shape)), norm),
        )
        self.is_image = len(shape) == 3

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map latents to samples."""
        x: Tensor = self.net(z).reshape(len(z), *self.shape)
        return torch.tanh(x) if self.is_image else x


class Discriminator(nn.Module):
    """x (N, *shape) -> raw scores (N, outputs).

    Arguments as for the generator, and
        outputs: scores per sample; more than one for objectives that compare features.
        minibatch_features: numbers that minibatch discrimination adds before the last layer, 0 for none.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        classes: int,
        width: int,
        depth: int,
        norm: str,
        outputs: int = 1,
        minibatch_features: int = 0,
    ) -> None:
        super().__init__()
        require_positive(width=width, depth=depth, outputs=outputs)
        require_not_negative(minibatch_features=minibatch_features)
        require_norm(norm, NORMS)
        self.net = nn.Sequential(
            *hidden_layers(math.prod(shape), width, depth, norm),
            *last_layers(nn.Linear(width + minibatch_features, outputs), minibatch_features, norm),
        )

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Score samples."""
        scores: Tensor = self.net(x.flatten(1))
        return scores
