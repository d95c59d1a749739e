"""The discriminator as an autoencoder, for EBGAN and BEGAN. Berthelot et al. 2017, arXiv:1703.10717, Section 3.5.

Its score is minus the reconstruction error, so that real samples score higher, as everywhere. The generator has the
shape of the discriminator's decoder. Points and signals pass through linear layers; images, square with a power-of-two
side from 8 to 256, through 3×3 convolutions with ELU, two for each size, as in the paper; the encoder's width grows by
``width`` with each halving, the decoder's stays. No normalization anywhere.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from gantrain.architectures.layers import Doubled, require_positive, require_side
from gantrain.errors import ConfigError
from gantrain.kinds import Images, kind_of

ERRORS = {"l1": torch.abs, "l2": torch.square}
"""Reconstruction error of one number; the energy is its mean over the sample. BEGAN: l1, EBGAN: l2."""


def halvings(shape: tuple[int, ...]) -> int:
    """Return how often an image of ``shape`` (C, H, W) is halved: down to 8×8, as in the paper, or 4×4 from 8×8."""
    return max((require_side(shape, "autoencoder") // 8).bit_length() - 1, 1)


def two_convolutions(inputs: int, outputs: int) -> list[nn.Module]:
    """Return two 3×3 convolutions, each followed by ELU."""
    return [
        nn.Conv2d(inputs, outputs, 3, padding=1),
        nn.ELU(),
        nn.Conv2d(outputs, outputs, 3, padding=1),
        nn.ELU(),
    ]


def linear_layers(inputs: int, width: int, depth: int, outputs: int) -> nn.Sequential:
    """Return ``depth`` hidden layers with ELU, then a linear one."""
    layers: list[nn.Module] = []
    for features in [inputs] + [width] * (depth - 1):
        layers += [nn.Linear(features, width), nn.ELU()]
    return nn.Sequential(*layers, nn.Linear(width, outputs))


class Encoder(nn.Module):
    """x (N, *shape) -> h (N, latent_dim)."""

    def __init__(self, shape: tuple[int, ...], latent_dim: int, width: int, depth: int) -> None:
        super().__init__()
        if not isinstance(kind_of(shape), Images):
            self.net = nn.Sequential(nn.Flatten(), *linear_layers(math.prod(shape), width, depth, latent_dim))
            return
        steps = halvings(shape)
        layers: list[nn.Module] = [nn.Conv2d(shape[0], width, 3, padding=1), nn.ELU()]
        for k in range(1, steps + 1):
            layers += [
                *two_convolutions(k * width, k * width),
                nn.Conv2d(k * width, (k + 1) * width, 3, 2, 1),
                nn.ELU(),
            ]
        channels, side = (steps + 1) * width, shape[1] >> steps
        layers += [*two_convolutions(channels, channels), nn.Flatten(), nn.Linear(channels * side**2, latent_dim)]
        self.net = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Encode samples."""
        h: Tensor = self.net(x)
        return h


class Decoder(nn.Module):
    """h (N, latent_dim) -> (N, *shape), unbounded."""

    def __init__(self, shape: tuple[int, ...], latent_dim: int, width: int, depth: int) -> None:
        super().__init__()
        self.shape = tuple(shape)
        if not isinstance(kind_of(shape), Images):
            self.net = linear_layers(latent_dim, width, depth, math.prod(shape))
            return
        steps = halvings(shape)
        side = shape[1] >> steps
        layers: list[nn.Module] = [nn.Linear(latent_dim, width * side**2), nn.Unflatten(1, (width, side, side))]
        for _ in range(steps):
            layers += [*two_convolutions(width, width), Doubled()]
        layers += [*two_convolutions(width, width), nn.Conv2d(width, shape[0], 3, padding=1)]
        self.net = nn.Sequential(*layers)

    def forward(self, h: Tensor) -> Tensor:
        """Decode."""
        x: Tensor = self.net(h).reshape(len(h), *self.shape)
        return x


class Generator(nn.Module):
    """z (N, latent_dim) -> (N, *shape): any real for points, [-1, 1] for images and signals.

    A decoder with weights of its own.

    Args:
        shape: shape of one sample, (features,), (channels, length) or (C, H, W).
        classes: number of classes; not used, this family is unconditional.
        latent_dim: length of z.
        width: channels of each convolution, or units of each hidden layer.
        depth: hidden layers, for points and signals only.
    """

    conditional = False

    def __init__(self, shape: tuple[int, ...], classes: int, latent_dim: int, width: int, depth: int) -> None:
        super().__init__()
        require_positive(latent_dim=latent_dim, width=width, depth=depth)
        self.decoder = Decoder(shape, latent_dim, width, depth)
        self.kind = kind_of(shape)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map latents to samples."""
        x: Tensor = self.decoder(z)
        return self.kind.bounded(x)


class Discriminator(nn.Module):
    """x (N, *shape) -> minus the mean reconstruction error, (N, 1), at most 0.

    Arguments as for the generator, except
        code_dim: length of the code between encoder and decoder; None: half as many numbers as a sample has, at most
            64. With a code as long as the sample, D could copy every input and would tell nothing apart.
        error: l1 or l2, of each number of the sample.
    """

    reconstructs = True

    def __init__(
        self, shape: tuple[int, ...], classes: int, code_dim: int | None, width: int, depth: int, error: str
    ) -> None:
        super().__init__()
        if code_dim is None:
            code_dim = min(max(math.prod(shape) // 2, 1), 64)
        require_positive(code_dim=code_dim, width=width, depth=depth)
        if error not in ERRORS:
            raise ConfigError(f"error must be one of {', '.join(ERRORS)}, got {error!r}")
        self.code_dim = code_dim
        self.encoder = Encoder(shape, code_dim, width, depth)
        self.decoder = Decoder(shape, code_dim, width, depth)
        self.error = ERRORS[error]

    def encode(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return codes (N, code_dim)."""
        code: Tensor = self.encoder(x)
        return code

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Score samples."""
        # The error is taken in x's own dtype: in half precision the difference of close numbers is noise.
        reconstruction = self.decoder(self.encoder(x)).to(x.dtype)
        return -self.error(reconstruction - x).flatten(1).mean(1, keepdim=True)
