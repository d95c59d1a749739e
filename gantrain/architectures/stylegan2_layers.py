"""StyleGAN2's layers: equalised learning rates, mapping network, modulated convolutions, minibatch deviation.

Karras et al. 2020, arXiv:1912.04958, and the code of its successor, NVlabs/stylegan2-ada-pytorch (arXiv:2006.06676).
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, embedding, leaky_relu, linear

from gantrain.architectures.conditioning import asked
from gantrain.architectures.resampling import blurred, halved_smoothly

SLOPE, GAIN = 0.2, math.sqrt(2)
"""Of the leaky ReLU, and what multiplies it, so that features keep their size."""
MAPPING_RATE = 0.01
"""Learning rate of a mapping network's layers, as a share of the others'."""
TINY = 1e-8


def activated(x: Tensor, gain: float = GAIN, clamp: float | None = None) -> Tensor:
    """Return leaky ReLU times ``gain``, held within ± ``clamp``; in x's dtype."""
    return clamped(leaky_relu(x, SLOPE) * gain, clamp)


def clamped(x: Tensor, clamp: float | None) -> Tensor:
    """Hold x within ± ``clamp``, None for no bound."""
    return x if clamp is None else x.clamp(-clamp, clamp)


def normalised(x: Tensor) -> Tensor:
    """Divide each row of x (N, d) by its root mean square."""
    return x * (x.square().mean(1, keepdim=True) + TINY).rsqrt()


class Dense(nn.Linear):
    """(N, inputs) -> (N, outputs) with an equalised learning rate. Karras et al. 2018, arXiv:1710.10196, Section 4.1.

    The stored weight is drawn from N(0, 1 / rate²) and multiplied by rate / √inputs in every pass, the bias by rate.

    Args:
        inputs, outputs: numbers of features.
        rate: learning rate relative to the network's.
        bias: its initial value.
        active: whether the activation follows.
    """

    def __init__(self, inputs: int, outputs: int, rate: float = 1.0, bias: float = 0.0, active: bool = False) -> None:
        super().__init__(inputs, outputs)
        nn.init.normal_(self.weight, std=1 / rate)
        nn.init.constant_(self.bias, bias)
        self.scale, self.rate, self.active = rate / math.sqrt(inputs), rate, active

    def forward(self, x: Tensor) -> Tensor:
        """Map features, in float32 also where an autocast is on, as the authors' code does outside of convolutions."""
        with torch.autocast(x.device.type, enabled=False):
            h = linear(x.to(self.weight.dtype), self.weight * self.scale, self.bias * self.rate)
            return activated(h) if self.active else h


class ClassEmbedding(nn.Module):
    """Classes (N,) int64 -> (N, features): ``Dense`` of a one-hot vector, of which only a row is read."""

    def __init__(self, classes: int, features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, features))
        self.bias = nn.Parameter(torch.zeros(features))
        self.scale = 1 / math.sqrt(classes)

    def forward(self, labels: Tensor) -> Tensor:
        """Look up."""
        return embedding(labels, self.weight) * self.scale + self.bias


class Mapping(nn.Module):
    """The mapping network: z (N, latent_dim) and classes (N,) -> w (N, w_dim).

    z and an embedding of the class are normalised each, and go beside each other through ``layers`` dense layers of
    w_dim units, whose learning rate is a hundredth of the others'. Karras et al. 2019, arXiv:1812.04948, Section 2.

    Args:
        latent_dim: length of z; 0 for none.
        classes: their number; 0 for none.
        w_dim: length of w, of the embedding and of what lies between.
        layers: how many.
    """

    def __init__(self, latent_dim: int, classes: int, w_dim: int, layers: int) -> None:
        super().__init__()
        self.embedding = ClassEmbedding(classes, w_dim) if classes else None
        first = latent_dim + (w_dim if classes else 0)
        sizes = [first, *[w_dim] * layers]
        self.layers = nn.Sequential(*(Dense(i, o, MAPPING_RATE, active=True) for i, o in pairwise(sizes)))

    def forward(self, z: Tensor | None, labels: Tensor | None = None) -> Tensor:
        """Map; in the weights' dtype."""
        parts = [] if z is None else [normalised(z.to(next(self.layers.parameters()).dtype))]
        if self.embedding is not None:
            parts.append(normalised(self.embedding(asked(labels))))
        w: Tensor = self.layers(torch.cat(parts, 1))
        return w


def arithmetic(x: Tensor) -> torch.dtype:
    """Return the dtype in which x will be convolved."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def grouped(x: Tensor, training: bool) -> bool:
    """Choose the form of ``modulated``: the one place that does.

    On a CPU scaled features are faster (``scripts/bench/modulated.py``). On a GPU this is the authors' choice: scaled
    features in training, weights of each sample in evaluation and float32.
    """
    return x.is_cuda and not training and arithmetic(x) == torch.float32


def modulated(
    x: Tensor, weight: Tensor, styles: Tensor, demodulate: bool, doubling: bool, by_groups: bool = False
) -> Tensor:
    """Convolve each sample of x (N, I, S, S) with a weight of its own.

    Karras et al. 2020, arXiv:1912.04958, Section 2.2. The weight (O, I, k, k) is multiplied by the sample's style for
    each input channel and by 1 / √(I k²), and then, to ``demodulate``, divided by its norm for each output channel.

    Args:
        x: features.
        weight: common to all samples.
        styles: (N, I).
        demodulate: as above.
        doubling: double the side: a transposed convolution, then the filter [1, 3, 3, 1].
        by_groups: make each sample's weight, and convolve in N groups. False: scale the features before and after one
            convolution with the common weight, which is the same function.

    Returns:
        (N, O, S, S), or (N, O, 2S, 2S).
    """
    fan_in = weight[0].numel()
    styles = styles / math.sqrt(fan_in)
    if demodulate and arithmetic(x) == torch.float16:
        # The norm cancels both divisors. Before it, float16 holds what is left: at most √fan_in times the largest x.
        styles = styles / styles.abs().amax(1, keepdim=True)
        weight = weight / weight.abs().amax((1, 2, 3), keepdim=True) / math.sqrt(fan_in)
    norms = None
    if demodulate:
        with torch.autocast(x.device.type, enabled=False):  # squares of small styles would be 0 in float16
            norms = (styles.square() @ weight.square().sum((2, 3)).T + TINY / fan_in).rsqrt()
    if by_groups:
        own = weight * styles[:, None, :, None, None]
        if norms is not None:
            own = own * norms[:, :, None, None, None]
        h = convolved(x.flatten(0, 1)[None], own.flatten(0, 1), doubling, len(x)).unflatten(1, (len(x), -1))[0]
    else:
        h = convolved(x * styles.to(x.dtype)[:, :, None, None], weight, doubling)
        if norms is not None:
            h = h * norms.to(h.dtype)[:, :, None, None]
    return blurred(h, padding=1, gain=4) if doubling else h


def convolved(x: Tensor, weight: Tensor, doubling: bool, groups: int = 1) -> Tensor:
    """Convolve x (N, groups · I, S, S) with weight (groups · O, I, k, k); doubling gives sides of 2S + 1."""
    if not doubling:
        return conv2d(x, weight, padding=weight.shape[2] // 2, groups=groups)
    transposed = weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)
    return conv_transpose2d(x, transposed, stride=2, groups=groups)


class Styled(nn.Conv2d):
    """G's layer: modulated 3×3 convolution, noise, bias, activation. (N, inputs, S, S) -> (N, outputs, side, side).

    Noise is one normal number for each pixel, times a learned strength, 0 at first. In training it is drawn; in
    evaluation it is a constant that was drawn once.

    Args:
        inputs, outputs: channels.
        w_dim: length of w.
        side: of the result.
        doubling: whether the input's side is half of it.
        clamp: bound of the result, None for none.
    """

    noise: Tensor

    def __init__(self, inputs: int, outputs: int, w_dim: int, side: int, doubling: bool, clamp: float | None) -> None:
        super().__init__(inputs, outputs, 3, padding=1)
        assert self.bias is not None
        nn.init.normal_(self.weight)
        nn.init.zeros_(self.bias)
        self.style = Dense(w_dim, inputs, bias=1.0)
        self.strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise", torch.randn(side, side))
        self.side, self.doubling, self.clamp = side, doubling, clamp

    def forward(self, x: Tensor, w: Tensor) -> Tensor:  # type: ignore[override]
        """Make features of features and w (N, w_dim)."""
        assert self.bias is not None
        h = modulated(x, self.weight, self.style(w), True, self.doubling, grouped(x, self.training))
        noise = self.noise
        if self.training:
            noise = torch.randn(len(x), 1, self.side, self.side, device=x.device, dtype=noise.dtype)
        h = h + (noise * self.strength).to(h.dtype) + self.bias.to(h.dtype)[:, None, None]
        return activated(h, clamp=self.clamp)


class ToImage(nn.Conv2d):
    """G's way from features to colours: modulated 1×1 convolution without demodulation, and bias.

    Args:
        inputs: channels of features.
        outputs: channels of the image.
        w_dim: length of w.
        clamp: bound of the result, None for none.
    """

    def __init__(self, inputs: int, outputs: int, w_dim: int, clamp: float | None) -> None:
        super().__init__(inputs, outputs, 1)
        assert self.bias is not None
        nn.init.normal_(self.weight)
        nn.init.zeros_(self.bias)
        self.style = Dense(w_dim, inputs, bias=1.0)
        self.clamp = clamp

    def forward(self, x: Tensor, w: Tensor) -> Tensor:  # type: ignore[override]
        """Make colours, in the dtype of the weights."""
        assert self.bias is not None
        h = modulated(x, self.weight, self.style(w), False, False, grouped(x, self.training))
        return clamped(h + self.bias.to(h.dtype)[:, None, None], self.clamp).to(self.weight.dtype)


class Convolution(nn.Conv2d):
    """D's convolution with an equalised learning rate, its activation, and a factor.

    Args:
        inputs, outputs: channels.
        kernel: its side.
        halving: halve the side, after the filter [1, 3, 3, 1].
        active: whether bias and activation follow.
        gain: multiplies the result, and its bound.
        clamp: bound of an activation, None for none.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        halving: bool = False,
        active: bool = True,
        gain: float = 1.0,
        clamp: float | None = None,
    ) -> None:
        super().__init__(inputs, outputs, kernel, bias=active)
        nn.init.normal_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)
        self.scale, self.gain = 1 / math.sqrt(self.weight[0].numel()), gain
        self.halving, self.active, self.clamp = halving, active, None if clamp is None else clamp * gain

    def forward(self, x: Tensor) -> Tensor:
        """Convolve."""
        margin, weight = self.kernel_size[0] // 2, self.weight * self.scale
        if not self.halving:
            h = conv2d(x, weight, self.bias, padding=margin)
        elif margin:
            h = conv2d(blurred(x, padding=margin + 1), weight, self.bias, stride=2)
        else:  # of a 1×1 convolution, which skips what the next size does not need
            h = conv2d(halved_smoothly(x), weight, self.bias)
        return activated(h, GAIN * self.gain, self.clamp) if self.active else h * self.gain


class MinibatchDeviation(nn.Module):
    """Append to x (N, C, S, S) one map: how much the samples of a group differ.

    The standard deviation of every number over the group, and of these the mean. Karras et al. 2018, arXiv:1710.10196,
    Section 3. Samples i, i + N / group, … make a group, as in the authors' code, which wants the group to divide N.
    Here, if it does not, groups are of the next smaller size that does.

    Args:
        group: samples in a group.
    """

    mixes_samples = True
    off = "architecture.discriminator.minibatch_group=0"

    def __init__(self, group: int) -> None:
        super().__init__()
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        """Append the map."""
        n = len(x)
        size = max(k for k in range(1, min(self.group, n) + 1) if n % k == 0)
        groups = x.unflatten(0, (size, n // size))
        spread = ((groups - groups.mean(0)).square().mean(0) + TINY).sqrt().mean((1, 2, 3))
        return torch.cat([x, spread.repeat(size)[:, None, None, None].expand(-1, 1, *x.shape[2:])], 1)
