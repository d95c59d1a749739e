"""Multi-layer perceptrons, for points, signals and small images."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from gantrain.architectures.conditioning import Opinion, head, joined, judged, of_generator
from gantrain.architectures.layers import (
    last_layers,
    norm_1d,
    require_norm,
    require_not_negative,
    require_positive,
    weighted,
)
from gantrain.kinds import kind_of

NORMS = ("batch", "layer", "spectral", "none")


def hidden_layers(inputs: int, width: int, depth: int, norm: str) -> list[nn.Module]:
    """Return ``depth`` times linear, norm, leaky ReLU."""
    layers: list[nn.Module] = []
    for features in [inputs] + [width] * (depth - 1):
        layers += [weighted(nn.Linear(features, width), norm), norm_1d(norm, width), nn.LeakyReLU(0.2)]
    return layers


class Generator(nn.Module):
    """z (N, latent_dim) -> (N, *shape): any real for points, [-1, 1] for images and signals.

    Args:
        shape: shape of one sample, (features,), (channels, length) or (C, H, W).
        classes: number of classes; 0 without labels.
        latent_dim: length of z.
        width: units of each hidden layer.
        depth: hidden layers.
        norm: batch, layer, spectral or none.
        conditioning: none, or concat: the class beside z. auto is concat.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        classes: int,
        latent_dim: int,
        width: int,
        depth: int,
        norm: str,
        conditioning: str = "none",
    ) -> None:
        super().__init__()
        require_positive(latent_dim=latent_dim, width=width, depth=depth)
        require_norm(norm, NORMS)
        self.shape = tuple(shape)
        self.conditional = of_generator(conditioning, classes, norm, own="concat") != "none"
        self.joined = classes if self.conditional else 0
        self.net = nn.Sequential(
            *hidden_layers(latent_dim + self.joined, width, depth, norm),
            weighted(nn.Linear(width, math.prod(shape)), norm),
        )
        self.kind = kind_of(shape)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map latents (N, latent_dim), and classes (N,) int64 if it is conditional, to samples."""
        if self.joined:
            z = joined(z, labels, self.joined)
        x: Tensor = self.net(z).reshape(len(z), *self.shape)
        return self.kind.bounded(x)


class Discriminator(nn.Module):
    """x (N, *shape) -> raw scores (N, outputs).

    Arguments as for the generator, and
        outputs: scores per sample; more than one for objectives that compare features.
        minibatch_features: numbers that minibatch discrimination adds before the last layer, 0 for none.
        conditioning: none, concat, or a head of ``architectures.conditioning``.
        categories: K of each categorical code in z that D guesses.
        continuous: number of continuous codes that it guesses.
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
        conditioning: str = "none",
        categories: Sequence[int] = (),
        continuous: int = 0,
    ) -> None:
        super().__init__()
        require_positive(width=width, depth=depth, outputs=outputs)
        require_not_negative(minibatch_features=minibatch_features)
        require_norm(norm, NORMS)
        features = width + minibatch_features
        special = head(conditioning, features, classes, norm, outputs, sum(categories) + continuous)
        self.joined = classes if conditioning == "concat" else 0
        self.net = nn.Sequential(
            *hidden_layers(math.prod(shape) + self.joined, width, depth, norm),
            *last_layers(nn.Linear(features, outputs), minibatch_features, norm),
        )
        self.special = special

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Opinion:
        """Score samples; if it is conditional, by their classes (N,) int64 too."""
        x = x.flatten(1)
        if self.joined:
            x = joined(x, labels, self.joined)
        return judged(self.net, self.special, x, labels)
