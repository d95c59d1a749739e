"""DCGAN: strided convolutions, one halving of the size at a time. Radford et al. 2016, arXiv:1511.06434.

Any square power-of-two size from 8 to 256 and any number of channels. The discriminator mirrors the generator.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from gantrain.architectures.layers import (
    last_layers,
    norm_2d,
    normal_init,
    require_norm,
    require_not_negative,
    require_positive,
    require_side,
    weighted,
)

NORMS = ("batch", "layer", "instance", "spectral", "none")


def plan(shape: tuple[int, ...], width: int, max_width: int) -> tuple[int, list[int]]:
    """Return the smallest side and the channels from the smallest to the largest feature map.

    The network starts at 4×4 as in the paper, at 2×2 for 8×8 images so that there too are two steps. Channels double
    with each halving, from ``width`` at the layer next to the image up to ``max_width``.
    """
    side = require_side(shape, "dcgan")
    require_positive(width=width, max_width=max_width)
    smallest = 4 if side > 8 else 2
    steps = (side // smallest).bit_length() - 1
    return smallest, [min(width * 2**k, max_width) for k in reversed(range(steps))]


def convolution(layer: nn.Conv2d | nn.ConvTranspose2d, norm: str) -> nn.Module:
    """Return the layer with the paper's initial weights, spectrally normalised if ``norm`` asks for it."""
    return weighted(normal_init(layer), norm)


class Generator(nn.Module):
    """z (N, latent_dim) -> images (N, C, H, W) in [-1, 1].

    Args:
        shape: (C, H, W) of one image.
        classes: ignored; this generator is unconditional.
        latent_dim: length of z.
        width: channels of the layer next to the image.
        max_width: no layer is wider.
        norm: batch (the paper's), layer, instance, spectral or none.
    """

    def __init__(
        self, shape: tuple[int, ...], classes: int, latent_dim: int, width: int, max_width: int, norm: str
    ) -> None:
        super().__init__()
        require_positive(latent_dim=latent_dim)
        require_norm(norm, NORMS)
        smallest, channels = plan(shape, width, max_width)
        layers: list[nn.Module] = [
            convolution(nn.ConvTranspose2d(latent_dim, channels[0], smallest), norm),
            norm_2d(norm, channels[0]),
            nn.ReLU(),
        ]
        for wide, narrow in pairwise(channels):
            layers += [
                convolution(nn.ConvTranspose2d(wide, narrow, 4, stride=2, padding=1), norm),
                norm_2d(norm, narrow),
                nn.ReLU(),
            ]
        layers += [convolution(nn.ConvTranspose2d(channels[-1], shape[0], 4, stride=2, padding=1), norm), nn.Tanh()]
        self.net = nn.Sequential(*layers)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map latents to images."""
        x: Tensor = self.net(z[:, :, None, None])
        return x


class Discriminator(nn.Module):
    """Images (N, C, H, W) -> raw scores (N, outputs). The first layer has no norm of its features.

    Arguments as for the generator, and
        outputs: scores per sample; more than one for objectives that compare features.
        minibatch_features: numbers that minibatch discrimination adds before the last layer, 0 for none.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        classes: int,
        width: int,
        max_width: int,
        norm: str,
        outputs: int = 1,
        minibatch_features: int = 0,
    ) -> None:
        super().__init__()
        require_norm(norm, NORMS)
        require_positive(outputs=outputs)
        require_not_negative(minibatch_features=minibatch_features)
        smallest, channels = plan(shape, width, max_width)
        channels = channels[::-1]
        layers: list[nn.Module] = [
            convolution(nn.Conv2d(shape[0], channels[0], 4, stride=2, padding=1), norm),
            nn.LeakyReLU(0.2),
        ]
        for narrow, wide in pairwise(channels):
            layers += [
                convolution(nn.Conv2d(narrow, wide, 4, stride=2, padding=1), norm),
                norm_2d(norm, wide),
                nn.LeakyReLU(0.2),
            ]
        last = nn.Linear(channels[-1] * smallest**2 + minibatch_features, outputs)
        layers += last_layers(normal_init(last), minibatch_features, norm)
        self.net = nn.Sequential(*layers)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Score images."""
        scores: Tensor = self.net(x)
        return scores
