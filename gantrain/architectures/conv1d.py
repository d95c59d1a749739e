"""DCGAN along one axis, for signals: strided convolutions, one shortening at a time.

From DCGAN (Radford et al. 2016, arXiv:1511.06434): layers that are convolutions throughout, beginning at length 4, with
norm and ReLU in G and leaky ReLU in D, and channels that double as the length halves. From WaveGAN (Donahue et al.
2019, arXiv:1802.04208): that along one axis a kernel is long (its 25 beside a stride of 4 is DCGAN's 5×5 beside 2×2,
flattened), that D has a dense layer last, and that weights begin as Glorot's (its code leaves them to TensorFlow):
DCGAN's N(0, 0.02²) is made for kernels of 1,600 inputs and more, and in a small network hardly a signal would pass. Not
from WaveGAN: phase shuffle, and a first length of 16.

Any power-of-two length from 16 to 16384 and any number of channels. The discriminator mirrors the generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from gantrain.architectures.conditioning import (
    ConditionalBatchNorm1d,
    Opinion,
    Row,
    head,
    joined,
    judged,
    of_generator,
)
from gantrain.architectures.dcgan import NORMS
from gantrain.architectures.layers import (
    Layer,
    last_layers,
    norm_of_signals,
    require_length,
    require_norm,
    require_not_negative,
    require_positive,
    weighted,
)
from gantrain.errors import ConfigError

SHORTEST = 4
"""Length of the first and the last feature map, as in DCGAN."""


def plan(shape: tuple[int, ...], width: int, max_width: int, kernel: int, stride: int) -> tuple[list[int], list[int]]:
    """Return the channels from the shortest to the longest feature map, and the factor from each to the next length.

    All factors are ``stride`` but the first, which is 2 where a stride of 4 does not go into the length. Channels are
    ``width`` at the layer next to the signal, and multiplied by the factor with each shortening up to ``max_width``.

    Raises:
        ConfigError: for signals of another length, or a kernel and a stride that do not go together.
    """
    length = require_length(shape, "conv1d")
    require_positive(width=width, max_width=max_width, kernel=kernel)
    if stride not in (2, 4):
        raise ConfigError(f"stride must be 2 or 4, got {stride!r}")
    if kernel < stride:
        raise ConfigError(
            f"kernel must be at least as long as stride={stride}, or values are passed over, got {kernel}"
        )
    whole, rest = divmod((length // SHORTEST).bit_length() - 1, stride // 2)
    factors = [2] * rest + [stride] * whole
    channels = [min(width, max_width)]
    for factor in reversed(factors[1:]):
        channels.append(min(channels[-1] * factor, max_width))
    return channels[::-1], factors


def begun(layer: Layer, norm: str) -> nn.Module:
    """Return the layer with Glorot's uniform weights and biases of 0, spectrally normalised if ``norm`` asks for it."""
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return weighted(layer, norm)


def longer(inputs: int, outputs: int, kernel: int, factor: int, norm: str) -> nn.Module:
    """Return the convolution (N, inputs, L) -> (N, outputs, factor · L)."""
    odd = (kernel - factor) % 2
    padding = (kernel - factor + odd) // 2
    layer = nn.ConvTranspose1d(inputs, outputs, kernel, stride=factor, padding=padding, output_padding=odd)
    return begun(layer, norm)


def shorter(inputs: int, outputs: int, kernel: int, factor: int, norm: str) -> nn.Module:
    """Return the convolution (N, inputs, L) -> (N, outputs, L / factor)."""
    layer = nn.Conv1d(inputs, outputs, kernel, stride=factor, padding=(kernel - factor + 1) // 2)
    return begun(layer, norm)


class Generator(nn.Module):
    """z (N, latent_dim) -> signals (N, channels, length) in [-1, 1].

    Args:
        shape: (channels, length) of one signal.
        classes: number of classes; 0 without labels.
        latent_dim: length of z.
        width: channels of the layer next to the signal.
        max_width: no layer is wider.
        kernel: numbers that a convolution sees at once.
        stride: factor between the lengths of two layers, 2 or 4.
        norm: batch (DCGAN's), layer, instance, spectral or none.
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
        kernel: int,
        stride: int,
        norm: str,
        conditioning: str = "none",
    ) -> None:
        super().__init__()
        require_positive(latent_dim=latent_dim)
        require_norm(norm, NORMS)
        channels, factors = plan(shape, width, max_width, kernel, stride)
        way = of_generator(conditioning, classes, norm, own="batch_norm")
        self.conditional = way != "none"
        self.joined, own = (classes if way == kind else 0 for kind in ("concat", "batch_norm"))

        def normed(count: int) -> nn.Module:
            return ConditionalBatchNorm1d(count, own) if own else norm_of_signals(norm, count)

        first = nn.ConvTranspose1d(latent_dim + self.joined, channels[0], SHORTEST)
        layers: list[nn.Module] = [begun(first, norm), normed(channels[0]), nn.ReLU()]
        for (wide, narrow), factor in zip(pairwise(channels), factors[:-1], strict=True):
            layers += [longer(wide, narrow, kernel, factor, norm), normed(narrow), nn.ReLU()]
        layers += [longer(channels[-1], shape[0], kernel, factors[-1], norm), nn.Tanh()]
        self.net = Row(*layers)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map latents (N, latent_dim), and classes (N,) int64 if it is conditional, to signals."""
        if self.joined:
            z = joined(z, labels, self.joined)
        x: Tensor = self.net(z[:, :, None], labels)
        return x


class Discriminator(nn.Module):
    """Signals (N, channels, length) -> raw scores (N, outputs). The first layer has no norm of its features.

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
        kernel: int,
        stride: int,
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
        channels, factors = (values[::-1] for values in plan(shape, width, max_width, kernel, stride))
        self.joined = classes if conditioning == "concat" else 0
        first = shorter(shape[0] + self.joined, channels[0], kernel, factors[0], norm)
        layers: list[nn.Module] = [first, nn.LeakyReLU(0.2)]
        for (narrow, wide), factor in zip(pairwise(channels), factors[1:], strict=True):
            layers += [shorter(narrow, wide, kernel, factor, norm), norm_of_signals(norm, wide), nn.LeakyReLU(0.2)]
        last = nn.Linear(channels[-1] * SHORTEST + minibatch_features, outputs)
        nn.init.xavier_uniform_(last.weight), nn.init.zeros_(last.bias)
        layers += last_layers(last, minibatch_features, norm)
        self.net = nn.Sequential(*layers)
        self.special = head(conditioning, last.in_features, classes, norm, outputs, sum(categories) + continuous)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Opinion:
        """Score signals; if it is conditional, by their classes (N,) int64 too."""
        if self.joined:
            x = joined(x, labels, self.joined)
        return judged(self.net, self.special, x, labels)
