"""BigGAN. Brock et al. 2019, arXiv:1809.11096, Appendix B; where paper and the authors' PyTorch differ, the latter.

Blocks and attention are SAGAN's. Channels as multiples of ``width`` (ch), from the authors' tables
(ajbrock/BigGAN-PyTorch, ``G_arch`` and ``D_arch``; 128 and 256 are the paper's Tables 4 and 5):

| side | G: linear, then each block up | D: each block; all but the last (at 32, the last two) halve |
|---|---|---|
| up to 32 | 4, 4, 4, 4 | 4, 4, 4, 4 |
| 64 | 16, 16, 8, 4, 2 | 1, 2, 4, 8, 16 |
| 128 | 16, 16, 8, 4, 2, 1 | 1, 2, 4, 8, 16, 16 |
| 256 | 16, 16, 8, 8, 4, 2, 1 | 1, 2, 4, 8, 8, 16, 16 |

G ends in batch norm, ReLU, 3×3 and tanh; D in ReLU, the sum over pixels, and a linear layer beside the projection. The
paper's tables draw the first linear layer from 20 + 128 numbers, its code from the 20 of the first chunk of z, which
gives the 70.4M parameters that the paper counts.

Another public BigGAN, StudioGAN's, has the same blocks and other sizes. For CIFAR-10: G of ``width=96``,
``latent_dim=80``, ``shared_dim=128``, ``hierarchical=true``; D of ``width=48`` (it says 96 and doubles where Brock et
al. take four times); both ``attention=16``. At 64: ``multiples=[16,8,4,2,1]`` in G.

Differences from the authors' code that change no function: shortcuts are convolved at the smaller of two sizes. Others:
torch's spectral norm begins with 15 power iterations instead of none, its eps is 1e-12 (theirs 1e-8, in the scripts for
ImageNet 1e-6), and in evaluation it uses the stored vectors, where theirs go one iteration further without keeping it.
At 32 their code puts ``--D_attn 16`` behind every block, ours behind the one whose map has that side. Biases begin as
torch draws them, as theirs do.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from gantrain.architectures.attention import side_of
from gantrain.architectures.conditioning import Opinion, Projection, asked, head, joined, of_generator, opinion
from gantrain.architectures.layers import require_norm, require_positive, require_side, weighted
from gantrain.architectures.sagan import NORMS, Norms, down_blocks, sides_of_d, sides_of_g, up_blocks
from gantrain.architectures.sngan_resnet import SMALL, SMALLEST
from gantrain.errors import ConfigError

INITS = ("orthogonal", "N02", "xavier")
OF_G = {64: (16, 16, 8, 4, 2), 128: (16, 16, 8, 4, 2, 1), 256: (16, 16, 8, 8, 4, 2, 1)}
OF_D = {64: (1, 2, 4, 8, 16), 128: (1, 2, 4, 8, 16, 16), 256: (1, 2, 4, 8, 8, 16, 16)}
ATTENDING = 64  # side of the map that attends, from 128×128 images on


def drawn(layer: nn.Module, init: str, norm: str) -> nn.Module:
    """Draw the weight: orthogonal, from N(0, 0.02²) or as Glorot & Bengio 2010 do; normalise it if ``norm`` asks."""
    weight: Any = layer.weight
    match init:
        case "orthogonal":
            nn.init.orthogonal_(weight)
        case "N02":
            nn.init.normal_(weight, std=0.02)
        case _:
            nn.init.xavier_uniform_(weight)
    return weighted(layer, norm)


def require_init(init: str) -> None:
    """Raise ConfigError unless the initial weights are known."""
    if init not in INITS:
        raise ConfigError(f"init must be one of {', '.join(INITS)}, got {init!r}")


def channels_of(width: int, multiples: Sequence[int] | None, usual: Sequence[int], count: int, role: str) -> list[int]:
    """Return numbers of channels: ``width`` times each multiple, the authors' ``usual`` ones if there are none.

    Raises:
        ConfigError: unless ``multiples`` is a list of ``count`` whole numbers above 0.
    """
    require_positive(width=width)
    if not isinstance(multiples, list | tuple | None):
        raise ConfigError(f"architecture.{role}.multiples must be a list of {count} whole numbers, got {multiples!r}")
    chosen = list(usual if multiples is None else multiples)
    if len(chosen) != count:
        raise ConfigError(
            f"architecture.{role}.multiples has {len(chosen)} numbers, and images of this side need {count}; give as "
            "many, or null for the authors'"
        )
    require_positive(**{f"multiples[{k}]": multiple for k, multiple in enumerate(chosen)})
    return [width * multiple for multiple in chosen]


class ConditionedNorm(nn.Module):
    """Batch norm (N, C, H, W) with gain 1 + W_g c and bias W_b c, c a vector, or a class and W_g, W_b its own rows.

    Brock et al. 2019, arXiv:1809.11096, Appendix B, Figure 15b.

    Args:
        channels: C.
        layers: makes W_g and W_b for so many channels.
    """

    takes_labels = True

    def __init__(self, channels: int, layers: Norms) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain, self.bias = layers(channels), layers(channels)

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Normalise, scale and shift, by vectors (N, d) or classes (N,) int64."""
        told = asked(condition)
        gain, bias = (part[:, :, None, None].to(x.dtype) for part in (1 + self.gain(told), self.bias(told)))
        result: Tensor = self.norm(x) * gain + bias
        return result


def norms_of(length: int, classes: int, init: str, norm: str) -> Norms:
    """Return what makes G's norms: conditioned on vectors of ``length``, else on ``classes``, else plain batch norm."""
    if length:
        return partial(
            ConditionedNorm, layers=lambda channels: drawn(nn.Linear(length, channels, bias=False), init, norm)
        )
    if classes:  # never spectrally normalised, which the authors found to cripple G
        return partial(ConditionedNorm, layers=lambda channels: drawn(nn.Embedding(classes, channels), init, "none"))
    return nn.BatchNorm2d


def redrawn(special: nn.Module | None, init: str, norm: str) -> nn.Module | None:
    """Draw the projection's embedding as all other weights."""
    for module in [] if special is None else list(special.modules()):
        if isinstance(module, Projection):
            weight: Any = module.embedding.weight
            module.embedding = drawn(nn.Embedding(*weight.shape), init, norm)
    return special


class Generator(nn.Module):
    """z (N, latent_dim) -> images (N, C, S, S) in [-1, 1].

    Args:
        shape: (C, S, S) of one image.
        classes: number of classes; 0 without labels.
        latent_dim: length of z; with ``hierarchical`` a multiple of the number of blocks + 1.
        width: ch; None: 64 up to S = 32 (the authors' script for CIFAR-10) and 96 beyond (the paper's).
        multiples: of ``width``, from side 4 outwards, one more than blocks; None: the authors'.
        attention: side of the feature map that gets it; auto: 64 of 128 and 128 of 256 as in the paper, none below;
            None: no attention.
        shared_dim: length of the class embedding that all norms share (the paper's 128); None: each norm has its own.
        hierarchical: split z into chunks, the first for the linear layer and one more for the norms of each block.
        init: orthogonal (the paper's), N02 (the authors' script for CIFAR-10) or xavier, of all weights.
        spectral: whether weights are spectrally normalised (the paper's).
        conditioning: none, concat (the class beside what the linear layer reads), or batch_norm (the class in every
            block's norms). auto is batch_norm, the paper's. The norms of an unconditional, hierarchical G read the
            chunks of z alone.

    Raises:
        ConfigError: for a latent_dim that cannot be split, and for chunks of z without a shared embedding beside them.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        classes: int,
        latent_dim: int,
        width: int | None,
        multiples: Sequence[int] | None,
        attention: int | str | None,
        shared_dim: int | None,
        hierarchical: bool,
        init: str,
        spectral: bool,
        conditioning: str = "none",
    ) -> None:
        super().__init__()
        require_positive(latent_dim=latent_dim)
        require_init(init)
        side = require_side(shape, "biggan")
        sides = sides_of_g(side)
        count = len(sides) + 1
        width = (64 if side <= SMALL else 96) if width is None else width
        channels = channels_of(width, multiples, OF_G.get(side, (4,) * count), count, "generator")
        way = of_generator(conditioning, classes, "batch", own="batch_norm")
        self.conditional = way != "none"
        self.joined, own = (classes if way == kind else 0 for kind in ("concat", "batch_norm"))
        self.chunk = chunk_of(latent_dim, count) if hierarchical else latent_dim
        self.hierarchical = hierarchical
        if hierarchical and own and shared_dim is None:
            raise ConfigError(
                "architecture.generator.hierarchical=true puts chunks of z beside the shared embedding of the class: "
                "set architecture.generator.shared_dim (the paper's: 128), or hierarchical=false"
            )
        draw: Any = partial(drawn, init=init, norm="spectral" if spectral else "none")
        self.shared: nn.Module | None = None
        if own and shared_dim is not None:
            require_positive(shared_dim=shared_dim)
            self.shared = drawn(nn.Embedding(classes, shared_dim), init, "none")
        length = (shared_dim or 0 if own else 0) + (self.chunk if hierarchical else 0)
        self.dense = draw(nn.Linear(self.chunk + self.joined, channels[0] * SMALLEST**2))
        self.start = nn.Unflatten(1, (channels[0], SMALLEST, SMALLEST))
        place = side_of(attention, sides, side // 2 if side > ATTENDING else None, "generator")
        self.blocks = up_blocks(channels, place, norms_of(length, own, init, "spectral" if spectral else "none"), draw)
        self.norm = nn.BatchNorm2d(channels[-1])
        self.to_image = draw(nn.Conv2d(channels[-1], shape[0], 3, padding=1))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map latents (N, latent_dim), and classes (N,) int64 if it is conditional, to images."""
        first, *chunks = z.split(self.chunk, 1)
        told = [] if self.shared is None else [self.shared(asked(labels))]
        if self.joined:
            first = joined(first, labels, self.joined)
        h = self.start(self.dense(first))
        for k, block in enumerate(self.blocks):
            parts = [*told, chunks[k]] if self.hierarchical else told
            h = block(h, torch.cat(parts, 1) if parts else labels)
        x: Tensor = self.to_image(relu(self.norm(h))).tanh()
        return x


def chunk_of(latent_dim: int, chunks: int) -> int:
    """Return the length of a chunk of z; raise ConfigError unless all are of one length."""
    if latent_dim % chunks:
        raise ConfigError(
            f"architecture.latent_dim={latent_dim} cannot be split into {chunks} chunks of one length, as "
            f"hierarchical=true asks for images of this side; take {max(latent_dim // chunks, 1) * chunks}"
        )
    return latent_dim // chunks


class Discriminator(nn.Module):
    """Images (N, C, S, S) -> raw scores (N, outputs).

    Arguments as for the generator, and
        multiples: of ``width``, behind each block.
        attention: auto: 64 from S = 128 on as in the paper, none below.
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
        width: int | None,
        multiples: Sequence[int] | None,
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
        require_positive(outputs=outputs)
        side = require_side(shape, "biggan")
        sides = sides_of_d(side)
        count = len(sides) - 1
        width = (64 if side <= SMALL else 96) if width is None else width
        channels = channels_of(width, multiples, OF_D.get(side, (4,) * count), count, "discriminator")
        self.joined = classes if conditioning == "concat" else 0
        draw: Any = partial(drawn, init=init, norm=norm)
        place = side_of(attention, sides[1:], ATTENDING if side > ATTENDING else None, "discriminator")
        self.blocks = down_blocks([shape[0] + self.joined, *channels], sides, place, draw)
        self.score = draw(nn.Linear(channels[-1], outputs))
        special = head(conditioning, channels[-1], classes, norm, outputs, sum(categories) + continuous)
        self.special = redrawn(special, init, norm)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Opinion:
        """Score images; if it is conditional, by their classes (N,) int64 too."""
        if self.joined:
            x = joined(x, labels, self.joined)
        features = relu(self.blocks(x)).sum((2, 3))
        return opinion(self.special, features, self.score(features), labels)
