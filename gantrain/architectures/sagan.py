"""SAGAN: SNGAN's networks with self-attention, and spectral norm in both. Zhang et al. 2019, arXiv:1805.08318.

The paper trains on ImageNet at 128×128 and leaves the layers to the authors' code, which is the source here
(brain-research/self-attention-gan, ``generator_test`` and ``discriminator_test``):

| G at 128×128 | channels | side || D at 128×128 | channels | side |
|---|---|---|---|---|---|---|
| linear 128 -> 4·4·1024 | 1024 | 4 || block, no ReLU before it | 3 -> 64 | 64 |
| block up | 1024 -> 1024 | 8 || block down | 64 -> 128 | 32 |
| block up | 1024 -> 512 | 16 || attention | 128 | 32 |
| block up | 512 -> 256 | 32 || block down | 128 -> 256 | 16 |
| attention | 256 | 32 || block down | 256 -> 512 | 8 |
| block up | 256 -> 128 | 64 || block down | 512 -> 1024 | 4 |
| block up | 128 -> 64 | 128 || block | 1024 -> 1024 | 4 |
| batch norm, ReLU, 3×3 | 64 -> 3 | 128 || ReLU, sum over pixels, linear | 1024 -> 1 | |

Sides of 64 and 256 continue this row of widths. Up to 32 the widths are those of SNGAN's Table 3 (256 in G, 128 in D),
as in every public SAGAN for CIFAR-10. Unlike SNGAN's, D's blocks widen in their first convolution ("wide"), as in the
authors' code; up to 32 both are one.

Differences from that code that change no function: shortcuts are convolved at the smaller of two sizes. Others: torch's
spectral norm begins with 15 power iterations instead of none, and like theirs goes on by one at every training forward;
eps is 1e-12 in both. Batch norm has momentum 0.1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import relu

from gantrain.architectures.attention import Attention, Draw, side_of
from gantrain.architectures.conditioning import Opinion, Row, head, joined, norm_for, of_generator, opinion, through
from gantrain.architectures.layers import doubled, require_norm, require_positive, require_side
from gantrain.architectures.sngan_resnet import SMALL, SMALLEST, glorot, halved, unchanged, widths

NORMS = ("spectral", "none")
Norms = Callable[[int], nn.Module]
"""Makes the norm of a feature map with so many channels."""


class UpBlock(nn.Module):
    """(N, inputs, S, S) -> (N, outputs, 2S, 2S): norm, ReLU, doubled, 3×3, norm, ReLU, 3×3; shortcut doubled and 1×1.

    Args:
        inputs, outputs: channels.
        norms: makes both norms; one that says ``takes_labels`` gets the condition.
        draw: makes the convolutions ready.
    """

    takes_labels = True

    def __init__(self, inputs: int, outputs: int, norms: Norms, draw: Draw) -> None:
        super().__init__()
        self.norm1, self.norm2 = norms(inputs), norms(outputs)
        self.conv1, self.conv2 = (draw(nn.Conv2d(i, outputs, 3, padding=1)) for i in (inputs, outputs))
        self.shortcut = draw(nn.Conv2d(inputs, outputs, 1))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Double the size; ``condition`` is what the norms take: classes (N,) int64, or vectors."""
        h = self.conv1(doubled(relu(through(self.norm1, x, condition))))
        h = self.conv2(relu(through(self.norm2, h, condition)))
        result: Tensor = h + doubled(self.shortcut(x))
        return result


class DownBlock(nn.Module):
    """(N, inputs, S, S) -> (N, outputs, S/2, S/2), or the same side with ``halve=False``: ReLU, 3×3, ReLU, 3×3, mean.

    The shortcut is a mean and 1×1, the identity where neither size nor width changes.

    Args:
        inputs, outputs: channels.
        draw: makes the convolutions ready.
        halve: whether to average 2×2 pixels.
        first: no ReLU before the image.
    """

    def __init__(self, inputs: int, outputs: int, draw: Draw, halve: bool, first: bool) -> None:
        super().__init__()
        self.conv1, self.conv2 = (draw(nn.Conv2d(i, outputs, 3, padding=1)) for i in (inputs, outputs))
        same = inputs == outputs and not halve
        self.shortcut = nn.Identity() if same else draw(nn.Conv2d(inputs, outputs, 1))
        self.begin = unchanged if first else relu
        self.resize = halved if halve else unchanged

    def forward(self, x: Tensor) -> Tensor:
        """Halve the size, or keep it."""
        h = self.conv2(relu(self.conv1(self.begin(x))))
        result: Tensor = self.resize(h) + self.shortcut(self.resize(x))
        return result


def up_blocks(channels: Sequence[int], attention: int | None, norms: Norms, draw: Draw) -> nn.ModuleList:
    """Return G's blocks from side 4 outwards, attention behind the one that reaches the side ``attention``."""
    rows, side = nn.ModuleList(), SMALLEST
    for inputs, outputs in pairwise(channels):
        side *= 2
        more = [Attention(outputs, draw)] if side == attention else []
        rows.append(Row(UpBlock(inputs, outputs, norms, draw), *more))
    return rows


def sides_of_g(side: int) -> list[int]:
    """Return the sides of G's feature maps behind its blocks."""
    return [2**k for k in range(3, side.bit_length())]


def down_blocks(channels: Sequence[int], sides: Sequence[int], attention: int | None, draw: Draw) -> nn.Sequential:
    """Return D's blocks.

    Args:
        channels: of the image, then behind each block.
        sides: of the image, then behind each block.
        attention: side of the map that gets it, behind the first block that reaches it.
        draw: makes convolutions ready.
    """
    rows: list[nn.Module] = []
    for k, (inputs, outputs) in enumerate(pairwise(channels)):
        row: list[nn.Module] = [DownBlock(inputs, outputs, draw, halve=sides[k + 1] < sides[k], first=k == 0)]
        if sides[k + 1] == attention and attention not in sides[1 : k + 1]:
            row.append(Attention(outputs, draw))
        rows.append(nn.Sequential(*row))
    return nn.Sequential(*rows)


def sides_of_d(side: int) -> list[int]:
    """Return the sides of D's maps, the image first: down to 8 and two blocks more up to 32, else to 4 and one more."""
    smallest, plain = (2 * SMALLEST, 2) if side <= SMALL else (SMALLEST, 1)
    halvings = max((side // smallest).bit_length() - 1, 1)
    return [side >> min(k, halvings) for k in range(halvings + plain + 1)]


def usual(side: int) -> int:
    """Return the side of the map that attends in public SAGANs: 32 (the paper's best, of 128), 16 of 32."""
    return min(32, side // 2)


class Generator(nn.Module):
    """z (N, latent_dim) -> images (N, C, S, S) in [-1, 1].

    Args:
        shape: (C, S, S) of one image.
        classes: number of classes; 0 without labels.
        latent_dim: length of z; the paper's 128.
        width: channels next to the image, doubled inwards; None: the authors', 256 up to S = 32 and 64 beyond.
        max_width: no block is wider; None: the authors', ``width`` up to S = 32 and 1024 beyond.
        attention: side of the feature map that gets it; auto: 32, or half of a smaller image's; None: no attention.
        spectral: whether weights are spectrally normalised (the paper's); batch norm is there anyway.
        conditioning: none, concat (the class beside z), or batch_norm (the gain and bias of every block's norms are
            the class's own; the last norm's are common). auto is batch_norm, the paper's.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        classes: int,
        latent_dim: int,
        width: int | None,
        max_width: int | None,
        attention: int | str | None,
        spectral: bool,
        conditioning: str = "none",
    ) -> None:
        super().__init__()
        require_positive(latent_dim=latent_dim)
        side = require_side(shape, "sagan")
        sides = sides_of_g(side)
        channels = widths(side, width, max_width, 256, len(sides) + 1)[::-1]
        way = of_generator(conditioning, classes, "batch", own="batch_norm")
        self.conditional = way != "none"
        self.joined, own = (classes if way == kind else 0 for kind in ("concat", "batch_norm"))
        draw: Any = partial(glorot, gain=1.0, norm="spectral" if spectral else "none")
        self.dense = draw(nn.Linear(latent_dim + self.joined, channels[0] * SMALLEST**2))
        self.start = nn.Unflatten(1, (channels[0], SMALLEST, SMALLEST))
        place = side_of(attention, sides, usual(side), "generator")
        self.blocks = up_blocks(channels, place, partial(norm_for, "batch", classes=own), draw)
        self.norm = nn.BatchNorm2d(channels[-1])
        self.to_image = draw(nn.Conv2d(channels[-1], shape[0], 3, padding=1))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map latents (N, latent_dim), and classes (N,) int64 if it is conditional, to images."""
        if self.joined:
            z = joined(z, labels, self.joined)
        h = self.start(self.dense(z))
        for block in self.blocks:
            h = block(h, labels)
        x: Tensor = self.to_image(relu(self.norm(h))).tanh()
        return x


class Discriminator(nn.Module):
    """Images (N, C, S, S) -> raw scores (N, outputs).

    Arguments as for the generator (the width is 128 up to S = 32), and
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
        max_width: int | None,
        norm: str,
        attention: int | str | None,
        outputs: int = 1,
        conditioning: str = "none",
        categories: Sequence[int] = (),
        continuous: int = 0,
    ) -> None:
        super().__init__()
        require_norm(norm, NORMS)
        require_positive(outputs=outputs)
        side = require_side(shape, "sagan")
        sides = sides_of_d(side)
        channels = widths(side, width, max_width, 128, len(sides) - 1)
        self.joined = classes if conditioning == "concat" else 0
        draw: Any = partial(glorot, gain=1.0, norm=norm)
        place = side_of(attention, sides[1:], usual(side), "discriminator")
        self.blocks = down_blocks([shape[0] + self.joined, *channels], sides, place, draw)
        self.score = draw(nn.Linear(channels[-1], outputs))
        self.special = head(conditioning, channels[-1], classes, norm, outputs, sum(categories) + continuous)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Opinion:
        """Score images; if it is conditional, by their classes (N,) int64 too."""
        if self.joined:
            x = joined(x, labels, self.joined)
        features = relu(self.blocks(x)).sum((2, 3))
        return opinion(self.special, features, self.score(features), labels)
