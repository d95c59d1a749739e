"""StyleGAN2. Karras et al. 2020, arXiv:1912.04958; its settings for CIFAR-10 and 256×256: arXiv:2006.06676 (ADA).

Square power-of-two sides from 8 to 256. A stage is one size of feature maps, S = 4, 8, …, side, with
min(channel_base / S, channel_max) channels.

G: w = mapping(z, class). A learned constant (C, 4, 4) → styled convolution → in every further stage a styled
convolution that doubles the side, and one that keeps it. Each stage also makes colours; the image is their sum, doubled
from stage to stage (the paper's "output skips").
D: 1×1 convolution from the image → in every stage but the last two 3×3 convolutions, the second halving the side
(``resnet``: plus a 1×1 convolution past both, the sum divided by √2) → at 4×4 the minibatch's deviation, a 3×3
convolution, a dense layer → scores.

Where paper and the authors' code (NVlabs/stylegan2-ada-pytorch) differ, the code is meant. Its presets give what is
left open here (None) its value: ``cifar`` up to side 32, ``paper256`` at 256, else ``stylegan2``.

| side | mapping layers | D | minibatch group | channel_base | style mixing |
|---|---|---|---|---|---|
| 8 to 32 | 2 | orig | 32 | 32768 | 0 |
| 64, 128 | 8 | resnet | 4 | 32768 | 0.9 |
| 256 | 8 | resnet | 8 | 16384 | 0.9 |
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from gantrain.architectures.conditioning import (
    Opinion,
    head,
    joined,
    of_generator,
    opinion,
    scoring,
    through,
)
from gantrain.architectures.layers import require_not_negative, require_positive, require_side
from gantrain.architectures.resampling import doubled_smoothly
from gantrain.architectures.stylegan2_layers import Convolution, Dense, Mapping, MinibatchDeviation, Styled, ToImage
from gantrain.errors import ConfigError

SMALL, LARGE = 32, 256
"""Largest side of the preset ``cifar``, and the side of ``paper256``."""
SMALLEST = 4
BLOCKS = ("orig", "resnet")
OF_CLASSES = 8
"""Layers of D's mapping network of classes."""


def stages(side: int, channel_base: int | None, channel_max: int) -> list[tuple[int, int]]:
    """Return (side, channels) of every stage from 4×4 to the image; raise ConfigError if one would have none."""
    base = (16384 if side == LARGE else 32768) if channel_base is None else channel_base
    require_positive(channel_base=base, channel_max=channel_max)
    if base < side:
        raise ConfigError(
            f"architecture=stylegan2: channel_base={base} leaves no channels at {side}×{side}; make it {side} or more"
        )
    sides = [2**k for k in range(SMALLEST.bit_length() - 1, side.bit_length())]
    return [(size, min(base // size, channel_max)) for size in sides]


def require_clamp(clamp: float | None) -> None:
    """Raise ConfigError unless a bound of activations is above 0 or None."""
    if clamp is not None and not clamp > 0:
        raise ConfigError(f"architecture=stylegan2: clamp must be above 0, or null for none, got {clamp}")


class Synthesis(nn.Module):
    """w (N, layers, w_dim) -> images (N, C, S, S), a row of w for each layer.

    The way to colours of a stage has the w of the next stage's first layer, as in the authors' code; the last has one
    of its own.

    Args:
        channels: of the image.
        sizes: (side, channels) of the stages.
        w_dim: length of w.
        clamp: bound of activations, None for none.
    """

    def __init__(self, channels: int, sizes: Sequence[tuple[int, int]], w_dim: int, clamp: float | None) -> None:
        super().__init__()
        first = sizes[0][1]
        self.constant = nn.Parameter(torch.randn(first, SMALLEST, SMALLEST))
        layers = [Styled(first, first, w_dim, SMALLEST, False, clamp)]
        for (_, before), (side, width) in pairwise(sizes):
            layers.append(Styled(before, width, w_dim, side, True, clamp))
            layers.append(Styled(width, width, w_dim, side, False, clamp))
        self.convolutions = nn.ModuleList(layers)
        self.to_image = nn.ModuleList(ToImage(width, channels, w_dim, clamp) for _, width in sizes)
        self.layers = len(layers) + 1

    def forward(self, w: Tensor) -> Tensor:
        """Make images, in the dtype of the weights."""
        each = w.unbind(1)
        # Not len(w): torch.export would hold the number of samples at what it saw.
        h = self.convolutions[0](self.constant.expand(w.shape[0], -1, -1, -1), each[0])
        image: Tensor = self.to_image[0](h, each[1])
        for k in range(1, len(self.to_image)):
            h = self.convolutions[2 * k - 1](h, each[2 * k - 1])
            h = self.convolutions[2 * k](h, each[2 * k])
            image = doubled_smoothly(image) + self.to_image[k](h, each[2 * k + 1])
        return image


class Generator(nn.Module):
    """z (N, latent_dim) -> images (N, C, S, S), not bounded: what lies beyond [-1, 1] is cut off when it is drawn.

    Its two halves can be used alone: ``styles`` gives w for every layer, ``synthesis`` an image of that.

    Args:
        shape: (C, S, S) of one image.
        classes: number of classes; 0 without labels.
        latent_dim: length of z; the authors' 512.
        w_dim: length of w; the authors' 512.
        mapping_layers: of the mapping network; None: the authors' for the size.
        channel_base: channels of a stage times its side; None: the authors' for the size.
        channel_max: no stage has more; the authors' 512.
        style_mixing: probability that, in training, the layers from a random one on get the w of another latent, which
            is drawn from N(0, I); None: the authors' for the size. Here each sample draws its own layer (Karras et al.
            2019, arXiv:1812.04948, Section 3.1, mix a share of the images); in the authors' code a batch has one.
        average_decay: share of the mean w that stays with each batch in training; the authors' 0.995.
        clamp: bound of activations, which the authors need for float16; None for none.
        conditioning: none, or concat: an embedding of the class beside z, each normalised. auto is concat.
    """

    average: Tensor

    running_means = ("average",)

    def __init__(
        self,
        shape: tuple[int, ...],
        classes: int,
        latent_dim: int,
        w_dim: int,
        mapping_layers: int | None,
        channel_base: int | None,
        channel_max: int,
        style_mixing: float | None,
        average_decay: float,
        clamp: float | None,
        conditioning: str = "none",
    ) -> None:
        super().__init__()
        side = require_side(shape, "stylegan2")
        depth = (2 if side <= SMALL else 8) if mapping_layers is None else mapping_layers
        mixing = (0.0 if side <= SMALL else 0.9) if style_mixing is None else style_mixing
        require_positive(latent_dim=latent_dim, w_dim=w_dim, mapping_layers=depth)
        require_clamp(clamp)
        for name, share in (("style_mixing", mixing), ("average_decay", average_decay)):
            if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
                raise ConfigError(f"architecture=stylegan2: {name} must be a number between 0 and 1, got {share!r}")
        self.conditional = of_generator(conditioning, classes, "none", own="concat") != "none"
        self.mapping = Mapping(latent_dim, classes if self.conditional else 0, w_dim, depth)
        self.synthesis = Synthesis(shape[0], stages(side, channel_base, channel_max), w_dim, clamp)
        self.style_mixing, self.average_decay = mixing, average_decay
        self.normal_latents_only = "architecture.generator.style_mixing=0" if mixing else ""
        self.register_buffer("average", torch.zeros(w_dim))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map latents (N, latent_dim), and classes (N,) int64 if it is conditional, to images."""
        images: Tensor = self.synthesis(self.styles(z, labels))
        return images

    def styles(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return w (N, layers, w_dim) of latents and classes; in training mixed, and the mean w follows."""
        w, layers = self.mapping(z, labels), self.synthesis.layers
        if not self.training:
            return self.everywhere(w)
        self.average.copy_(w.detach().mean(0).lerp(self.average, self.average_decay))
        if not self.style_mixing:
            return self.everywhere(w)
        other = self.mapping(torch.randn_like(z), labels)
        place = torch.randint(1, layers, (len(z),), device=z.device)
        mixed = torch.rand(len(z), device=z.device) < self.style_mixing
        other_from = torch.where(mixed, place, layers)[:, None, None]
        layer = torch.arange(layers, device=z.device)[:, None]
        return torch.where(layer < other_from, w[:, None], other[:, None])

    def everywhere(self, w: Tensor) -> Tensor:
        """Return w (N, w_dim) for every layer, (N, layers, w_dim)."""
        return w[:, None].expand(-1, self.synthesis.layers, -1)

    def truncated(self, z: Tensor, labels: Tensor | None, psi: float) -> Tensor:
        """Return images of w drawn towards its mean, w̄ + ψ (w - w̄): less variety, better samples.

        Karras et al. 2019, arXiv:1812.04948, Appendix B.
        """
        images: Tensor = self.synthesis(self.everywhere(self.average.lerp(self.mapping(z, labels), psi)))
        return images


class DownBlock(nn.Module):
    """A stage of D: (N, inputs, S, S) -> (N, outputs, S/2, S/2).

    Args:
        inputs, outputs: channels.
        residual: a 1×1 convolution past both layers is added, and the sum divided by √2.
        clamp: bound of activations, None for none.
    """

    def __init__(self, inputs: int, outputs: int, residual: bool, clamp: float | None) -> None:
        super().__init__()
        gain = math.sqrt(0.5) if residual else 1.0
        self.first = Convolution(inputs, inputs, 3, clamp=clamp)
        self.second = Convolution(inputs, outputs, 3, halving=True, gain=gain, clamp=clamp)
        self.skip = Convolution(inputs, outputs, 1, halving=True, active=False, gain=gain) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        """Halve the size."""
        h: Tensor = self.second(self.first(x))
        return h if self.skip is None else h + self.skip(x)


class Projected(nn.Module):
    """D's last layer with classes: ⟨A φ(x), m(y)⟩ / √k, φ D's features, m a mapping network of classes, k its width.

    As in the authors' code, after Miyato & Koyama 2018, arXiv:1802.05637.

    Args:
        features: length of φ, and k.
        classes: number of classes.
    """

    takes_labels = True

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.dense = Dense(features, features)
        self.mapping = Mapping(0, classes, features, OF_CLASSES)

    def forward(self, features: Tensor, labels: Tensor | None) -> Tensor:
        """Return scores (N, 1)."""
        products: Tensor = self.dense(features) * self.mapping(None, labels)
        return products.sum(1, keepdim=True) / math.sqrt(products.shape[1])


class Discriminator(nn.Module):
    """Images (N, C, S, S) -> raw scores (N, outputs).

    Args:
        shape: (C, S, S) of one image.
        classes: number of classes; 0 without labels.
        channel_base, channel_max, clamp: as for the generator.
        architecture: orig or resnet; None: the authors' for the size.
        minibatch_group: samples whose deviation D sees; 0 for none, then each score is of one sample alone. None: the
            authors' for the size.
        outputs: scores per sample; more than one for objectives that compare features.
        conditioning: none, projection (the authors'), concat, or another head of ``architectures.conditioning``.
        categories: K of each categorical code in z that D guesses.
        continuous: number of continuous codes that it guesses.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        classes: int,
        channel_base: int | None,
        channel_max: int,
        architecture: str | None,
        minibatch_group: int | None,
        clamp: float | None,
        outputs: int = 1,
        conditioning: str = "none",
        categories: Sequence[int] = (),
        continuous: int = 0,
    ) -> None:
        super().__init__()
        side = require_side(shape, "stylegan2")
        blocks = ("orig" if side <= SMALL else "resnet") if architecture is None else architecture
        if blocks not in BLOCKS:
            raise ConfigError(
                f"architecture.discriminator.architecture must be one of {', '.join(BLOCKS)}, got {blocks!r}"
            )
        if minibatch_group is None:
            minibatch_group = 32 if side <= SMALL else 8 if side == LARGE else 4
        require_positive(outputs=outputs)
        require_not_negative(minibatch_group=minibatch_group)
        require_clamp(clamp)
        widths = [width for _, width in stages(side, channel_base, channel_max)][::-1]
        self.joined = classes if conditioning == "concat" else 0
        self.from_image = Convolution(shape[0] + self.joined, widths[0], 1, clamp=clamp)
        self.blocks = nn.Sequential(*(DownBlock(i, o, blocks == "resnet", clamp) for i, o in pairwise(widths)))
        self.deviation = MinibatchDeviation(minibatch_group) if minibatch_group else None
        features = widths[-1]
        self.convolution = Convolution(features + bool(minibatch_group), features, 3, clamp=clamp)
        self.dense = Dense(features * SMALLEST**2, features, active=True)
        self.score, left = scoring(
            conditioning,
            classes,
            outputs,
            projected=lambda: Projected(features, classes),
            plain=lambda: Dense(features, outputs),
        )
        self.special = head(left, features, classes, "none", outputs, sum(categories) + continuous)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Opinion:
        """Score images; if it is conditional, by their classes (N,) int64 too."""
        if self.joined:
            x = joined(x, labels, self.joined)
        h = self.blocks(self.from_image(x))
        with torch.autocast(x.device.type, enabled=False):  # from 4×4 on in float32, as in the authors' code
            h = h.to(self.dense.weight.dtype)
            if self.deviation is not None:
                h = self.deviation(h)
            features = self.dense(self.convolution(h).flatten(1))
            return opinion(self.special, features, through(self.score, features, labels), labels)
