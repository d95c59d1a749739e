"""R3GAN's residual networks. Huang et al. 2024, arXiv:2501.05441, Section 3; layers as in the authors' code.

Square power-of-two sides from 8 to 256. No normalization: the third layer of every residual branch starts at 0, and the
others' initial weights shrink with the number of branches (Zhang et al. 2019, Fixup, arXiv:1901.09321).

A stage is one size of feature maps, S = 4, 8, …, side, with w channels in g groups:

    layer of a block       weights                what follows
    1×1 convolution        w → e·w, no bias       bias, leaky ReLU
    3×3 convolution        e·w → e·w in g groups  bias, leaky ReLU
    1×1 convolution        e·w → w, no bias       sum with the block's input

G: z (and the class's embedding) → linear layer, each of its w numbers times a learned 4×4 map → blocks of stage 4 →
1×1 convolution (where w changes), doubled → blocks of stage 8 → … → 1×1 convolution to the image, not bounded.
D: 1×1 convolution from the image → blocks of stage ``side`` → halved, 1×1 convolution (where w changes) → … → blocks
of stage 4 → 4×4 convolution of each channel by itself → linear layer.

Sizes are doubled and halved with the filter [1, 3, 3, 1].
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from gantrain.architectures.conditioning import (
    Opinion,
    asked,
    head,
    joined,
    of_generator,
    opinion,
    scoring,
    through,
)
from gantrain.architectures.layers import require_positive, require_side
from gantrain.architectures.resampling import doubled_smoothly, halved_smoothly
from gantrain.errors import ConfigError

SLOPE = 0.2
GAIN = math.sqrt(2 / (1 + SLOPE**2))
"""What keeps the size of features behind a leaky ReLU. He et al. 2015, arXiv:1502.01852, Section 2.2."""
SMALLEST = 4
BRANCH_LAYERS = 3

Weighted = nn.Conv2d | nn.Linear


def scaled(layer: Weighted, gain: float = 1.0) -> nn.Module:
    """Draw the weight from N(0, gain² / inputs); return the layer."""
    nn.init.normal_(layer.weight, std=gain / math.sqrt(layer.weight[0].numel()))
    return layer


def pointwise(inputs: int, outputs: int, gain: float = 1.0) -> nn.Module:
    """Return a 1×1 convolution without bias."""
    return scaled(nn.Conv2d(inputs, outputs, 1, bias=False), gain)


class Biased(nn.Module):
    """Leaky ReLU of x (N, C, H, W) plus a bias for each channel, 0 at first."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Add and bend."""
        return leaky_relu(x + self.bias.to(x.dtype)[:, None, None], SLOPE)


class Block(nn.Module):
    """(N, width, S, S) -> the same shape: x plus the branch that the module's docstring shows.

    Args:
        width: channels.
        groups: of the 3×3 convolution.
        expansion: the branch is that many times as wide.
        branches: blocks in the whole network.
    """

    def __init__(self, width: int, groups: int, expansion: int, branches: int) -> None:
        super().__init__()
        wide = expansion * width
        gain = GAIN * branches ** (-1 / (2 * BRANCH_LAYERS - 2))
        self.branch = nn.Sequential(
            pointwise(width, wide, gain),
            Biased(wide),
            scaled(nn.Conv2d(wide, wide, 3, padding=1, groups=groups, bias=False), gain),
            Biased(wide),
            pointwise(wide, width, gain=0.0),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Add the branch."""
        result: Tensor = x + self.branch(x)
        return result


class Basis(nn.Module):
    """G's first layer: (N, inputs) -> (N, width, 4, 4), learned maps weighted by linear functions of the input."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.maps = nn.Parameter(torch.randn(width, SMALLEST, SMALLEST))
        self.weigh = scaled(nn.Linear(inputs, width, bias=False))

    def forward(self, z: Tensor) -> Tensor:
        """Weigh the maps."""
        h: Tensor = self.weigh(z)
        return self.maps.to(h.dtype) * h[:, :, None, None]


class Doubled(nn.Module):
    """``doubled_smoothly`` as a layer."""

    def forward(self, x: Tensor) -> Tensor:
        """Double the size."""
        return doubled_smoothly(x)


class Halved(nn.Module):
    """``halved_smoothly`` as a layer."""

    def forward(self, x: Tensor) -> Tensor:
        """Halve the size."""
        return halved_smoothly(x)


def stages(side: int, width: int, groups: int, full_side: int) -> list[tuple[int, int]]:
    """Return (channels, groups) of every stage from 4×4 to the image.

    Up to ``full_side`` they are ``width`` and ``groups``; beyond, both halve with each doubling of the size.

    Raises:
        ConfigError: if they cannot be halved as often, or the groups do not divide the channels.
    """
    if width % groups:
        raise ConfigError(f"architecture=r3gan: groups={groups} must divide width={width}")
    found, size = [], SMALLEST
    while size <= side:
        narrower = max(size // full_side, 1)
        if width % narrower or groups % narrower:
            raise ConfigError(
                f"architecture=r3gan: width={width} and groups={groups} must both be divisible by {narrower} for "
                f"images of side {side}, or full_side be larger than {full_side}"
            )
        found.append((width // narrower, groups // narrower))
        size *= 2
    return found


def require_sizes(shape: tuple[int, ...], full_side: int, **sizes: int) -> int:
    """Return the images' side; raise ConfigError for a size that no network can have."""
    require_positive(full_side=full_side, **sizes)
    if full_side < SMALLEST or full_side & (full_side - 1):
        raise ConfigError(f"full_side must be a power of two, 4 or more, got {full_side}")
    return require_side(shape, "r3gan")


class Generator(nn.Module):
    """z (N, latent_dim) -> images (N, C, S, S), not bounded: what lies beyond [-1, 1] is cut off when it is drawn.

    Args:
        shape: (C, S, S) of one image.
        classes: number of classes; 0 without labels.
        latent_dim: length of z; the authors' 64.
        width: channels of the stages up to ``full_side``, half as many with each doubling beyond. The authors': 768;
            1,536 for ImageNet.
        groups: of the 3×3 convolutions up to ``full_side``, half as many with each doubling beyond; the authors' 96.
        full_side: largest side with all channels. The authors': 32; 64 for ImageNet at 64×64.
        blocks: in each stage; the authors' 2.
        expansion: a block's branch is that many times as wide; the authors' 2.
        conditioning: none, or concat: an embedding of the class as long as z, beside z. auto is concat.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        classes: int,
        latent_dim: int,
        width: int,
        groups: int,
        full_side: int,
        blocks: int,
        expansion: int,
        conditioning: str = "none",
    ) -> None:
        super().__init__()
        require_positive(latent_dim=latent_dim)
        side = require_sizes(shape, full_side, width=width, groups=groups, blocks=blocks, expansion=expansion)
        self.conditional = of_generator(conditioning, classes, "none", own="concat") != "none"
        sizes = stages(side, width, groups, full_side)
        branches = blocks * len(sizes)
        layers: list[nn.Module] = [Basis(latent_dim * (2 if self.conditional else 1), width)]
        for place, (channels, parts) in enumerate(sizes):
            if place:
                before = sizes[place - 1][0]
                layers += [pointwise(before, channels)] * (before != channels) + [Doubled()]
            layers += [Block(channels, parts, expansion, branches) for _ in range(blocks)]
        self.layers = nn.Sequential(*layers, pointwise(sizes[-1][0], shape[0]))
        if self.conditional:
            self.embedding = nn.Embedding(classes, latent_dim)
            nn.init.normal_(self.embedding.weight, std=1 / math.sqrt(classes))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map latents (N, latent_dim), and classes (N,) int64 if it is conditional, to images."""
        if self.conditional:
            z = torch.cat([z, self.embedding(asked(labels)).to(z.dtype)], 1)
        x: Tensor = self.layers(z)
        return x


class Projected(nn.Module):
    """D's last layer with classes: ⟨A φ(x), v_y⟩, φ D's features, and nothing beside it.

    Args:
        features: length of φ, and of the class's embedding v.
        classes: number of classes.
    """

    takes_labels = True

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.weigh = scaled(nn.Linear(features, features, bias=False))
        self.embedding = nn.Embedding(classes, features)
        nn.init.normal_(self.embedding.weight, std=1 / math.sqrt(features * classes))

    def forward(self, features: Tensor, labels: Tensor | None) -> Tensor:
        """Return scores (N, 1)."""
        products: Tensor = self.weigh(features) * self.embedding(asked(labels))
        return products.sum(1, keepdim=True)


class Discriminator(nn.Module):
    """Images (N, C, S, S) -> raw scores (N, outputs).

    Arguments as for the generator, and
        outputs: scores per sample; more than one for objectives that compare features.
        conditioning: none, projection (the authors': the score is the inner product of D's features, as long as
            ``width``, with the class's embedding alone), concat, or another head of ``architectures.conditioning``.
        categories: K of each categorical code in z that D guesses.
        continuous: number of continuous codes that it guesses.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        classes: int,
        width: int,
        groups: int,
        full_side: int,
        blocks: int,
        expansion: int,
        outputs: int = 1,
        conditioning: str = "none",
        categories: Sequence[int] = (),
        continuous: int = 0,
    ) -> None:
        super().__init__()
        side = require_sizes(
            shape, full_side, width=width, groups=groups, blocks=blocks, expansion=expansion, outputs=outputs
        )
        sizes = stages(side, width, groups, full_side)[::-1]
        branches = blocks * len(sizes)
        self.joined = classes if conditioning == "concat" else 0
        layers: list[nn.Module] = [pointwise(shape[0] + self.joined, sizes[0][0])]
        for place, (channels, parts) in enumerate(sizes):
            if place:
                before = sizes[place - 1][0]
                layers += [Halved()] + [pointwise(before, channels)] * (before != channels)
            layers += [Block(channels, parts, expansion, branches) for _ in range(blocks)]
        layers += [scaled(nn.Conv2d(width, width, SMALLEST, groups=width, bias=False)), nn.Flatten()]
        self.layers = nn.Sequential(*layers)
        self.score, left = scoring(
            conditioning,
            classes,
            outputs,
            projected=lambda: Projected(width, classes),
            plain=lambda: scaled(nn.Linear(width, outputs, bias=False)),
        )
        self.special = head(left, width, classes, "none", outputs, sum(categories) + continuous)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Opinion:
        """Score images; if it is conditional, by their classes (N,) int64 too."""
        if self.joined:
            x = joined(x, labels, self.joined)
        features = self.layers(x)
        return opinion(self.special, features, through(self.score, features, labels), labels)
