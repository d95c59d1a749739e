"""Pieces that several families share: normalization by name, argument checks, initial weights."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.nn.utils.parametrizations import spectral_norm

from gantrain.errors import ConfigError
from gantrain.kinds import Images, Kind, Signals, kind_of

Layer = TypeVar("Layer", bound=nn.Conv1d | nn.Conv2d | nn.ConvTranspose1d | nn.ConvTranspose2d | nn.Linear)


def require_positive(**sizes: int) -> None:
    """Raise ConfigError unless every named size is an integer above zero."""
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ConfigError(f"{name} must be a whole number above 0, got {size!r}")


def require_not_negative(**counts: int) -> None:
    """Raise ConfigError unless every named count is an integer, 0 or more."""
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise ConfigError(f"{name} must be a whole number, 0 or more, got {count!r}")


def require_norm(norm: str, allowed: tuple[str, ...]) -> None:
    """Raise ConfigError unless ``norm`` is one of ``allowed``."""
    if norm not in allowed:
        raise ConfigError(f"norm must be one of {', '.join(allowed)}, got {norm!r}")


class SideError(ConfigError):
    """An architecture cannot make images of this size.

    Args:
        needs: what it can make, and what was asked for.
        remedy: how images get another size; whoever knows the data can say which setting does it.
    """

    def __init__(self, needs: str, remedy: str = "Bring them to such a size") -> None:
        super().__init__(f"{needs}. {remedy}, or use architecture=mlp")
        self.needs = needs


def require_side(shape: tuple[int, ...], architecture: str) -> int:
    """Return the side of square images whose side is a power of two from 8 to 256.

    Raises:
        SideError: for other images.
        ConfigError: for samples that are no images.
    """
    kind = kind_of(shape)
    needs = f"architecture={architecture} needs square images of side 8, 16, 32, 64, 128 or 256, got"
    if not isinstance(kind, Images):
        raise ConfigError(f"{needs} {kind.name} of shape {tuple(shape)}. {instead(kind)}")
    if shape[1] != shape[2] or shape[1] not in (8, 16, 32, 64, 128, 256):
        raise SideError(f"{needs} {shape[1]}×{shape[2]}")
    return shape[1]


def require_length(shape: tuple[int, ...], architecture: str) -> int:
    """Return the length of signals whose length is a power of two from 16 to 16384; else raise ConfigError."""
    kind = kind_of(shape)
    needs = f"architecture={architecture} needs signals whose length is a power of two from 16 to 16384, got"
    if not isinstance(kind, Signals):
        raise ConfigError(f"{needs} {kind.name} of shape {tuple(shape)}. {instead(kind)}")
    if shape[1] not in (2**k for k in range(4, 15)):
        raise ConfigError(f"{needs} {shape[1]}. Cut or pad them to such a length, or use architecture=mlp")
    return shape[1]


def instead(kind: Kind) -> str:
    """Return which architectures there are for samples of a kind, as advice."""
    own = "" if kind.architecture is None else f"architecture={kind.architecture} or "
    return f"Use {own}architecture=mlp"


def weighted(layer: nn.Module, norm: str) -> nn.Module:
    """Return ``layer``, spectrally normalised (Miyato et al. 2018, arXiv:1802.05957) if ``norm`` asks for it."""
    return spectral_norm(layer) if norm == "spectral" else layer


def doubled(x: Tensor) -> Tensor:
    """Repeat every pixel of x (N, C, H, W) as 2×2, in x's dtype; autocast on a GPU would make it float32."""
    if torch.is_autocast_enabled(x.device.type):
        with torch.autocast(x.device.type, enabled=False):
            return doubled(x)
    larger: Tensor = interpolate(x, scale_factor=2, mode="nearest")
    return larger


class Doubled(nn.Module):
    """``doubled`` as a layer."""

    def forward(self, x: Tensor) -> Tensor:
        """Repeat every pixel as 2×2."""
        return doubled(x)


def norm_2d(norm: str, channels: int) -> nn.Module:
    """Return the layer that normalises (N, C, H, W): ``layer`` is over C, H, W of each sample."""
    match norm:
        case "batch":
            return nn.BatchNorm2d(channels)
        case "layer":
            return nn.GroupNorm(1, channels)
        case "instance":
            return nn.InstanceNorm2d(channels, affine=True)
    return nn.Identity()


def norm_of_signals(norm: str, channels: int) -> nn.Module:
    """Return the layer that normalises (N, C, L): ``layer`` is over C, L of each sample."""
    match norm:
        case "batch":
            return nn.BatchNorm1d(channels)
        case "layer":
            return nn.GroupNorm(1, channels)
        case "instance":
            return nn.InstanceNorm1d(channels, affine=True)
    return nn.Identity()


def norm_1d(norm: str, features: int) -> nn.Module:
    """Return the layer that normalises (N, features)."""
    match norm:
        case "batch":
            return nn.BatchNorm1d(features)
        case "layer":
            return nn.LayerNorm(features)
    return nn.Identity()


def normal_init(layer: Layer, std: float = 0.02) -> Layer:
    """Draw the weight from N(0, std²), set the bias to 0, return the layer. Radford et al. 2016, arXiv:1511.06434, §4.

    Call it before spectral norm, which hides the weight that it normalises.
    """
    nn.init.normal_(layer.weight, std=std)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class MinibatchDiscrimination(nn.Module):
    """Append to each sample how close the batch's other samples are. Salimans et al. 2016, arXiv:1606.03498, §3.2.

    (N, inputs) -> (N, inputs + features). M_i = T x_i as (features, size); o(x_i)_b = Σ_{j≠i} exp(-‖M_ib - M_jb‖₁). The
    sum leaves out j = i, which adds a constant 1 in the paper.

    Args:
        inputs: length of a sample's feature vector.
        features: B, numbers appended.
        size: C, length of the vectors whose L1 distance is taken.
    """

    mixes_samples = True  # so per-sample gradient penalties refuse it
    off = "architecture.discriminator.minibatch_features=0"

    def __init__(self, inputs: int, features: int, size: int = 5) -> None:
        super().__init__()
        self.project = nn.Linear(inputs, features * size, bias=False)
        self.features, self.size = features, size

    def forward(self, x: Tensor) -> Tensor:
        """Append the closenesses."""
        m = self.project(x).reshape(len(x), self.features, self.size).float()
        distance = (m[:, None] - m[None]).abs().sum(-1)
        closeness = torch.exp(-distance).sum(1) - 1
        return torch.cat([x, closeness.to(x.dtype)], 1)


def last_layers(last: nn.Linear, minibatch_features: int, norm: str) -> list[nn.Module]:
    """Return D's last layers: flatten, minibatch discrimination if asked for, then ``last``, which reads both."""
    layers: list[nn.Module] = [nn.Flatten()]
    if minibatch_features:
        layers.append(MinibatchDiscrimination(last.in_features - minibatch_features, minibatch_features))
    return [*layers, weighted(last, norm)]
