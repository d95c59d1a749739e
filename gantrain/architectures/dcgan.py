"""DCGAN: strided convolutions, one halving of the size at a time. Radford et al. 2016, arXiv:1511.06434.

Any square power-of-two size from 8 to 256 and any number of channels. The discriminator mirrors the generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from gantrain.architectures.conditioning import Opinion, Row, head, joined, judged, norm_for, of_generator
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
        classes: number of classes; 0 without labels.
        latent_dim: length of z.
        width: channels of the layer next to the image.
        max_width: no layer is wider.
        norm: batch (the paper's), layer, instance, spectral or none.
        conditioning: none, concat (the class beside z), or batch_norm (every norm's gain and bias are the class's
            own). auto is batch_norm with norm=batch, else concat.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        classes: int,
        latent_dim: int,
        width: int,
        max_width: int,
        norm: str,
        conditioning: str = "none",
    ) -> None:
        super().__init__()
        require_positive(latent_dim=latent_dim)
        require_norm(norm, NORMS)
        smallest, channels = plan(shape, width, max_width)
        way = of_generator(conditioning, classes, norm, own="batch_norm")
        self.conditional = way != "none"
        self.joined, own = (classes if way == kind else 0 for kind in ("concat", "batch_norm"))
        layers: list[nn.Module] = [
            convolution(nn.ConvTranspose2d(latent_dim + self.joined, channels[0], smallest), norm),
            norm_for(norm, channels[0], own),
            nn.ReLU(),
        ]
        for wide, narrow in pairwise(channels):
            layers += [
                convolution(nn.ConvTranspose2d(wide, narrow, 4, stride=2, padding=1), norm),
                norm_for(norm, narrow, own),
                nn.ReLU(),
            ]
        layers += [convolution(nn.ConvTranspose2d(channels[-1], shape[0], 4, stride=2, padding=1), norm), nn.Tanh()]
        self.net = Row(*layers)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map latents (N, latent_dim), and classes (N,) int64 if it is conditional, to images."""
        if self.joined:
            z = joined(z, labels, self.joined)
        x: Tensor = self.net(z[:, :, None, None], labels)
        return x


class Discriminator(nn.Module):
    """Images (N, C, H, W) -> raw scores (N, outputs). The first layer has no norm of its features.

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
        max_width: int,
        norm: str,
        outputs: int = 1,
        minibatch_features: int = 0,
        conditioning: str = "none",
        categories: Sequence[int] = (),
        continuous: int = 0,
    ) -> None:
        super().__init__()
        require_norm(norm, NORMS)
        require_positive(outputs=outputs)
        require_not_negative(minibatch_features=minibatch_features)
        smallest, channels = plan(shape, width, max_width)
        channels = channels[::-1]
        self.joined = classes if conditioning == "concat" else 0
        layers: list[nn.Module] = [
            convolution(nn.Conv2d(shape[0] + self.joined, channels[0], 4, stride=2, padding=1), norm),
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
        self.special = head(conditioning, last.in_features, classes, norm, outputs, sum(categories) + continuous)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Opinion:
        """Score images; if it is conditional, by their classes (N,) int64 too."""
        if self.joined:
            x = joined(x, labels, self.joined)
        return judged(self.net, self.special, x, labels)
