"""BigGAN-deep: blocks with bottlenecks, two at every resolution. Brock et al. 2019, arXiv:1809.11096, Appendix B.

Table 7, the networks for 128×128, with ch = ``width``; Table 8 (256×256) has one more step of 8 ch in each network:

| G | channels | side || D | channels | side |
|---|---|---|---|---|---|---|
| linear 128 + 128 -> 4·4·16 ch | 16 | 4 || 3×3 | 3 -> 1 | 128 |
| block, block up | 16 -> 16 -> 16 | 8 || block down, block | 1 -> 2 -> 2 | 64 |
| block, block up | 16 -> 16 -> 8 | 16 || attention | 2 | 64 |
| block, block up | 8 -> 8 -> 4 | 32 || block down, block | 2 -> 4 -> 4 | 32 |
| block, block up | 4 -> 4 -> 2 | 64 || block down, block | 4 -> 8 -> 8 | 16 |
| attention | 2 | 64 || block down, block | 8 -> 16 -> 16 | 8 |
| block, block up | 2 -> 2 -> 1 | 128 || block down, block | 16 -> 16 -> 16 | 4 |
| batch norm, ReLU, 3×3, tanh | 1 -> 3 | 128 || ReLU, sum over pixels, linear | 16 -> 1 | |

The paper has no table below 128. Sides up to 64 follow the authors' PyTorch (ajbrock/BigGAN-PyTorch, BigGANdeep.py),
with its multiples in ``architectures.biggan``; at 32 the third pair of D's blocks keeps the size.

Figure 16: a block is 1×1 to a quarter of the channels, two 3×3, 1×1 back, each after (in G: norm and) ReLU; G doubles
before the first 3×3, D averages before the last 1×1. G's shortcut drops the last channels that it has too many; D's
adds those that it has too few by 1×1. Every norm of G's blocks, and its linear layer, read the whole z beside the
shared embedding of the class; the embedding comes first here.

Table 7 ends in three channels. The 50.4M parameters that the paper counts for G are 125 output channels more, which are
thrown away (for the TPU); so are they in the authors' PyTorch, and not here. Differences of spectral norm as in biggan.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from gantrain.architectures.attention import Attention, Draw, side_of
from gantrain.architectures.biggan import (
    ATTENDING,
    OF_D,
    OF_G,
    channels_of,
    drawn,
    norms_of,
    redrawn,
    require_init,
)
from gantrain.architectures.conditioning import Opinion, Row, asked, head, joined, of_generator, opinion, through
from gantrain.architectures.layers import doubled, require_norm, require_positive, require_side
from gantrain.architectures.sagan import NORMS, Norms, sides_of_d, sides_of_g
from gantrain.architectures.sngan_resnet import SMALLEST, halved, unchanged
from gantrain.errors import ConfigError

RATIO = 4
"""Channels of a block : channels of its bottleneck."""


class UpBlock(nn.Module):
    """Figure 16b: (N, inputs, S, S) -> (N, outputs, 2S, 2S), or the same side with ``double=False``.

    Args:
        inputs, outputs: channels; no more outputs than inputs.
        norms: makes the four norms, which get the condition if they take one.
        draw: makes the convolutions ready.
        double: whether every pixel becomes 2×2.
    """

    takes_labels = True

    def __init__(self, inputs: int, outputs: int, norms: Norms, draw: Draw, double: bool) -> None:
        super().__init__()
        hidden, self.outputs = inputs // RATIO, outputs
        self.norm1, self.norm2, self.norm3, self.norm4 = (norms(c) for c in (inputs, hidden, hidden, hidden))
        self.conv1 = draw(nn.Conv2d(inputs, hidden, 1))
        self.conv2, self.conv3 = (draw(nn.Conv2d(hidden, hidden, 3, padding=1)) for _ in range(2))
        self.conv4 = draw(nn.Conv2d(hidden, outputs, 1))
        self.resize = doubled if double else unchanged

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Double the size, or keep it."""
        h = self.conv1(relu(through(self.norm1, x, condition)))
        h = self.conv2(self.resize(relu(through(self.norm2, h, condition))))
        h = self.conv3(relu(through(self.norm3, h, condition)))
        h = self.conv4(relu(through(self.norm4, h, condition)))
        result: Tensor = h + self.resize(x[:, : self.outputs])
        return result


class DownBlock(nn.Module):
    """Figure 16c: (N, inputs, S, S) -> (N, outputs, S/2, S/2), or the same side with ``halve=False``.

    Args:
        inputs, outputs: channels; no fewer outputs than inputs.
        draw: makes the convolutions ready.
        halve: whether to average 2×2 pixels.
    """

    def __init__(self, inputs: int, outputs: int, draw: Draw, halve: bool) -> None:
        super().__init__()
        hidden = outputs // RATIO
        self.conv1 = draw(nn.Conv2d(inputs, hidden, 1))
        self.conv2, self.conv3 = (draw(nn.Conv2d(hidden, hidden, 3, padding=1)) for _ in range(2))
        self.conv4 = draw(nn.Conv2d(hidden, outputs, 1))
        self.added = draw(nn.Conv2d(inputs, outputs - inputs, 1)) if outputs > inputs else None
        self.resize = halved if halve else unchanged

    def forward(self, x: Tensor) -> Tensor:
        """Halve the size, or keep it."""
        h = self.conv3(relu(self.conv2(relu(self.conv1(relu(x))))))
        h = self.conv4(self.resize(relu(h)))
        shortcut = self.resize(x)
        if self.added is not None:
            shortcut = torch.cat([shortcut, self.added(shortcut)], 1)
        result: Tensor = h + shortcut
        return result


def check_channels(channels: Sequence[int], grow: bool, role: str) -> None:
    """Raise ConfigError if a bottleneck would be no whole number, or a shortcut would have to do what it cannot."""
    if any(c % RATIO for c in channels):
        raise ConfigError(f"architecture.{role}.width: {RATIO} must divide the channels of every block of biggan_deep")
    if any((a > b) if grow else (a < b) for a, b in pairwise(channels)):
        way = "fall from the image inwards" if grow else "rise towards the image"
        raise ConfigError(f"architecture.{role}.multiples must not {way}: shortcuts of biggan_deep cannot follow")


class Generator(nn.Module):
    """z (N, latent_dim) -> images (N, C, S, S) in [-1, 1].

    Args:
        shape: (C, S, S) of one image.
        classes: number of classes; 0 without labels.
        latent_dim: length of z; the paper's 128.
        width: ch, a multiple of 4; the paper's 128.
        multiples: of ``width``, from side 4 outwards, one more than there are resolutions; None: the authors'.
        depth: blocks at each resolution; the paper's 2.
        attention: side of the feature map that gets it; auto: 64 from S = 128 on, as in the paper, none below; None: no
            attention.
        shared_dim: length of the class embedding; the paper's 128.
        init: orthogonal (the paper's), N02 or xavier, of all weights.
        spectral: whether weights are spectrally normalised (the paper's).
        conditioning: none (norms read z alone), concat (the linear layer reads the class as a one-hot vector too), or
            batch_norm (linear layer and norms read its embedding too). auto is batch_norm, the paper's.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        classes: int,
        latent_dim: int,
        width: int,
        multiples: Sequence[int] | None,
        depth: int,
        attention: int | str | None,
        shared_dim: int,
        init: str,
        spectral: bool,
        conditioning: str = "none",
    ) -> None:
        super().__init__()
        require_positive(latent_dim=latent_dim, depth=depth, shared_dim=shared_dim)
        require_init(init)
        side = require_side(shape, "biggan_deep")
        sides = sides_of_g(side)
        count = len(sides) + 1
        channels = channels_of(width, multiples, OF_G.get(side, (4,) * count), count, "generator")
        check_channels(channels, False, "generator")
        way = of_generator(conditioning, classes, "batch", own="batch_norm")
        self.conditional = way != "none"
        self.joined = classes if way == "concat" else 0
        self.shared = drawn(nn.Embedding(classes, shared_dim), init, "none") if way == "batch_norm" else None
        length = latent_dim + (0 if self.shared is None else shared_dim)
        norm = "spectral" if spectral else "none"
        draw: Any = partial(drawn, init=init, norm=norm)
        self.dense = draw(nn.Linear(length + self.joined, channels[0] * SMALLEST**2))
        self.start = nn.Unflatten(1, (channels[0], SMALLEST, SMALLEST))
        place = side_of(attention, sides, ATTENDING if side > ATTENDING else None, "generator")
        norms = norms_of(length, 0, init, norm)
        blocks: list[nn.Module] = []
        for reached, (inputs, outputs) in zip(sides, pairwise(channels), strict=True):
            blocks += [UpBlock(inputs, inputs, norms, draw, double=False) for _ in range(depth - 1)]
            blocks.append(UpBlock(inputs, outputs, norms, draw, double=True))
            blocks += [Attention(outputs, draw)] if reached == place else []
        self.blocks = Row(*blocks)
        self.norm = nn.BatchNorm2d(channels[-1])
        self.to_image = draw(nn.Conv2d(channels[-1], shape[0], 3, padding=1))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map latents (N, latent_dim), and classes (N,) int64 if it is conditional, to images."""
        condition = z if self.shared is None else torch.cat([self.shared(asked(labels)), z], 1)
        first = joined(condition, labels, self.joined) if self.joined else condition
        h = self.blocks(self.start(self.dense(first)), condition)
        x: Tensor = self.to_image(relu(self.norm(h))).tanh()
        return x


class Discriminator(nn.Module):
    """Images (N, C, S, S) -> raw scores (N, outputs).

    Arguments as for the generator, and
        multiples: of ``width``, behind the first convolution and behind each resolution's blocks.
        norm: spectral (the paper's) or none, of the weights.
        outputs: scores per sample; more than one for objectives that compare features.
        conditioning: none, concat, or a head of ``architectures.conditioning``; projection is the paper's.
        categories: K of each categorical code in z that D guesses.
        continuous: number of continuous codes that it guesses.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        classes: int,
        width: int,
        multiples: Sequence[int] | None,
        depth: int,
        norm: str,
        attention: int | str | None,
        init: str,
        outputs: int = 1,
        conditioning: str = "none",
        categories: Sequence[int] = (),
        continuous: int = 0,
    ) -> None:
        super().__init__()
        require_norm(norm, NORMS)
        require_init(init)
        require_positive(outputs=outputs, depth=depth)
        side = require_side(shape, "biggan_deep")
        sides = sides_of_d(side)[:-1]  # where BigGAN has a block more, its first convolution stands here
        channels = channels_of(width, multiples, OF_D.get(side, (4,) * len(sides)), len(sides), "discriminator")
        check_channels(channels, True, "discriminator")
        self.joined = classes if conditioning == "concat" else 0
        draw: Any = partial(drawn, init=init, norm=norm)
        place = side_of(attention, sides[1:], ATTENDING if side > ATTENDING else None, "discriminator")
        blocks: list[nn.Module] = [draw(nn.Conv2d(shape[0] + self.joined, channels[0], 3, padding=1))]
        for k, (inputs, outputs_) in enumerate(pairwise(channels)):
            blocks.append(DownBlock(inputs, outputs_, draw, halve=sides[k + 1] < sides[k]))
            blocks += [DownBlock(outputs_, outputs_, draw, halve=False) for _ in range(depth - 1)]
            if sides[k + 1] == place and place not in sides[1 : k + 1]:
                blocks.append(Attention(outputs_, draw))
        self.blocks = nn.Sequential(*blocks)
        self.score = draw(nn.Linear(channels[-1], outputs))
        special = head(conditioning, channels[-1], classes, norm, outputs, sum(categories) + continuous)
        self.special = redrawn(special, init, norm)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Opinion:
        """Score images; if it is conditional, by their classes (N,) int64 too."""
        if self.joined:
            x = joined(x, labels, self.joined)
        features = relu(self.blocks(x)).sum((2, 3))
        return opinion(self.special, features, self.score(features), labels)
