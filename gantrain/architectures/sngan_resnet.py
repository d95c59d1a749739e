"""SNGAN's residual networks. Miyato et al. 2018, arXiv:1802.05957, Tables 3 (32×32) and 4 (128×128); WGAN-GP's alike.

Square power-of-two sides from 8 to 256. Up to 32 every block has the same width, as in Table 3, and D ends in two plain
blocks; beyond, widths double from the image inwards and D ends in one, as in Table 4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, relu

from gantrain.architectures.conditioning import Opinion, Row, head, joined, norm_for, of_generator, opinion, through
from gantrain.architectures.layers import (
    Layer,
    doubled,
    norm_2d,
    require_norm,
    require_positive,
    require_side,
    weighted,
)
from gantrain.errors import ConfigError

NORMS = ("batch", "layer", "instance", "spectral", "none")
POOLS = ("sum", "mean")
SMALL = 32  # largest side with the widths of Table 3
SMALLEST = 4  # side of the innermost feature map


def widths(side: int, width: int | None, max_width: int | None, small_width: int, count: int) -> list[int]:
    """Return ``count`` numbers of channels from the image inwards: ``width`` doubled up to ``max_width``.

    None stands for the paper's value: ``small_width`` throughout for small images, else 64 up to 1024.
    """
    if width is None:
        width = small_width if side <= SMALL else 64
    if max_width is None:
        max_width = width if side <= SMALL else 1024
    require_positive(width=width, max_width=max_width)
    return [min(width * 2**k, max_width) for k in range(count)]


def glorot(layer: Layer, gain: float, norm: str) -> nn.Module:
    """Draw the weight as Glorot & Bengio 2010 do, times ``gain``, set the bias to 0; normalise it if ``norm`` asks."""
    nn.init.xavier_uniform_(layer.weight, gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return weighted(layer, norm)


def convolution(inputs: int, outputs: int, norm: str) -> nn.Module:
    """Return a 3×3 convolution of a residual branch, which has ReLU before it."""
    return glorot(nn.Conv2d(inputs, outputs, 3, padding=1), math.sqrt(2), norm)


def halved(x: Tensor) -> Tensor:
    """Average every 2×2 pixels."""
    return avg_pool2d(x, 2)


def unchanged(x: Tensor) -> Tensor:
    """Keep the size."""
    return x


class UpBlock(nn.Module):
    """Figure 4 left: (N, inputs, S, S) -> (N, outputs, 2S, 2S).

    Args:
        inputs, outputs: channels.
        norm: of features or weights, see Generator.
        classes: number of those that have gains and biases of their own, 0 for none.
        commute: apply the shortcut's 1×1 convolution before doubling. The function is the same, at a quarter of the
            work; only rounding differs.
    """

    takes_labels = True

    def __init__(self, inputs: int, outputs: int, norm: str, classes: int, commute: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = norm_for(norm, inputs, classes), norm_for(norm, outputs, classes)
        self.conv1, self.conv2 = convolution(inputs, outputs, norm), convolution(outputs, outputs, norm)
        self.shortcut = glorot(nn.Conv2d(inputs, outputs, 1), 1.0, norm)
        self.commute = commute

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Double the size."""
        h = self.conv1(doubled(relu(through(self.norm1, x, labels))))
        h = self.conv2(relu(through(self.norm2, h, labels)))
        shortcut = doubled(self.shortcut(x)) if self.commute else self.shortcut(doubled(x))
        result: Tensor = h + shortcut
        return result


class FirstDownBlock(nn.Module):
    """D's first block: (N, inputs, S, S) -> (N, outputs, S/2, S/2), without ReLU and norm before the image."""

    def __init__(self, inputs: int, outputs: int, norm: str) -> None:
        super().__init__()
        self.conv1, self.conv2 = convolution(inputs, outputs, norm), convolution(outputs, outputs, norm)
        self.shortcut = glorot(nn.Conv2d(inputs, outputs, 1), 1.0, norm)

    def forward(self, x: Tensor) -> Tensor:
        """Halve the size."""
        result: Tensor = halved(self.conv2(relu(self.conv1(x)))) + self.shortcut(halved(x))
        return result


class DownBlock(nn.Module):
    """(N, inputs, S, S) -> (N, outputs, S/2, S/2), or the same side with ``halve=False``.

    The shortcut is the identity where neither size nor width changes. ``commute`` as in UpBlock.
    """

    def __init__(self, inputs: int, outputs: int, norm: str, commute: bool, halve: bool = True) -> None:
        super().__init__()
        self.norm1, self.norm2 = norm_2d(norm, inputs), norm_2d(norm, inputs)
        self.conv1, self.conv2 = convolution(inputs, inputs, norm), convolution(inputs, outputs, norm)
        same = inputs == outputs and not halve
        self.shortcut = nn.Identity() if same else glorot(nn.Conv2d(inputs, outputs, 1), 1.0, norm)
        self.resize = halved if halve else unchanged
        self.commute = commute

    def forward(self, x: Tensor) -> Tensor:
        """Halve the size, or keep it."""
        h = self.conv1(relu(self.norm1(x)))
        h = self.resize(self.conv2(relu(self.norm2(h))))
        shortcut = self.shortcut(self.resize(x)) if self.commute else self.resize(self.shortcut(x))
        result: Tensor = h + shortcut
        return result


class Generator(nn.Module):
    """z (N, latent_dim) -> images (N, C, S, S) in [-1, 1].

    Args:
        shape: (C, S, S) of one image.
        classes: number of classes; 0 without labels.
        latent_dim: length of z.
        width: channels next to the image, doubled inwards; None: the paper's, 256 up to S = 32 and 64 beyond.
        max_width: no block is wider; None: the paper's, ``width`` up to S = 32 and 1024 beyond.
        norm: batch (the paper's), layer, instance, spectral or none.
        commute: see UpBlock.
        conditioning: none, concat (the class beside z), or batch_norm (the gain and bias of every block's norms are
            the class's own; the last norm's are common, as in the authors' code). auto is batch_norm with norm=batch,
            else concat.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        classes: int,
        latent_dim: int,
        width: int | None,
        max_width: int | None,
        norm: str,
        commute: bool,
        conditioning: str = "none",
    ) -> None:
        super().__init__()
        require_positive(latent_dim=latent_dim)
        require_norm(norm, NORMS)
        side = require_side(shape, "sngan_resnet")
        blocks = (side // SMALLEST).bit_length() - 1
        channels = widths(side, width, max_width, 256, blocks + 1)[::-1]
        way = of_generator(conditioning, classes, norm, own="batch_norm")
        self.conditional = way != "none"
        self.joined, own = (classes if way == kind else 0 for kind in ("concat", "batch_norm"))
        self.dense = glorot(nn.Linear(latent_dim + self.joined, channels[0] * SMALLEST**2), 1.0, norm)
        self.start = nn.Unflatten(1, (channels[0], SMALLEST, SMALLEST))
        self.blocks = Row(*(UpBlock(wide, narrow, norm, own, commute) for wide, narrow in pairwise(channels)))
        self.norm = norm_2d(norm, channels[-1])
        self.to_image = glorot(nn.Conv2d(channels[-1], shape[0], 3, padding=1), 1.0, norm)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map latents (N, latent_dim), and classes (N,) int64 if it is conditional, to images."""
        if self.joined:
            z = joined(z, labels, self.joined)
        h = self.blocks(self.start(self.dense(z)), labels)
        x: Tensor = self.to_image(relu(self.norm(h))).tanh()
        return x


class Discriminator(nn.Module):
    """Images (N, C, S, S) -> raw scores (N, outputs).

    Arguments as for the generator (the paper's width is 128 up to S = 32), and
        pool: sum (Miyato et al.) or mean (Gulrajani et al. 2017) of each feature over the last map.
        outputs: scores per sample; more than one for objectives that compare features.
        conditioning: none, concat, or a head of ``architectures.conditioning``; projection is Miyato & Koyama's.
        categories: K of each categorical code in z that D guesses.
        continuous: number of continuous codes that it guesses.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        classes: int,
        width: int | None,
        max_width: int | None,
        norm: str,
        commute: bool,
        pool: str,
        outputs: int = 1,
        conditioning: str = "none",
        categories: Sequence[int] = (),
        continuous: int = 0,
    ) -> None:
        super().__init__()
        require_norm(norm, NORMS)
        require_positive(outputs=outputs)
        if pool not in POOLS:
            raise ConfigError(f"pool must be one of {', '.join(POOLS)}, got {pool!r}")
        side = require_side(shape, "sngan_resnet")
        smallest, plain = (2 * SMALLEST, 2) if side <= SMALL else (SMALLEST, 1)
        halvings = max((side // smallest).bit_length() - 1, 1)
        channels = widths(side, width, max_width, 128, halvings + 1)
        self.joined = classes if conditioning == "concat" else 0
        blocks: list[nn.Module] = [FirstDownBlock(shape[0] + self.joined, channels[0], norm)]
        blocks += [DownBlock(narrow, wide, norm, commute) for narrow, wide in pairwise(channels[:-1])]
        for inputs in (channels[-2], *[channels[-1]] * (plain - 1)):
            blocks.append(DownBlock(inputs, channels[-1], norm, commute, halve=False))
        self.blocks = nn.Sequential(*blocks)
        self.pool = pool
        self.score = glorot(nn.Linear(channels[-1], outputs), 1.0, norm)
        self.special = head(conditioning, channels[-1], classes, norm, outputs, sum(categories) + continuous)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Opinion:
        """Score images; if it is conditional, by their classes (N,) int64 too."""
        if self.joined:
            x = joined(x, labels, self.joined)
        h = relu(self.blocks(x)).flatten(2)
        features = h.sum(2) if self.pool == "sum" else h.mean(2)
        return opinion(self.special, features, self.score(features), labels)
