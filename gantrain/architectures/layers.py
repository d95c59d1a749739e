"""Pieces that several families share: normalization by name, argument checks, initial weights."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from gantrain.errors import ConfigError


def require_positive(**sizes: int) -> None:
    """Raise ConfigError unless every named size is an integer above zero."""
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ConfigError(f"{name} must be a whole number above 0, got {size!r}")


def require_norm(norm: str, allowed: tuple[str, ...]) -> None:
    """Raise ConfigError unless ``norm`` is one of ``allowed``."""
    if norm not in allowed:
        raise ConfigError(f"norm must be one of {', '.join(allowed)}, got {norm!r}")


def weighted(layer: nn.Module, norm: str) -> nn.Module:
    """Return ``layer``, spectrally normalised (Miyato et al. 2018, arXiv:1802.05957) if ``norm`` asks for it."""
    return spectral_norm(layer) if norm == "spectral" else layer


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


def norm_1d(norm: str, features: int) -> nn.Module:
    """Return the layer that normalises (N, features)."""
    match norm:
        case "batch":
            return nn.BatchNorm1d(features)
        case "layer":
            return nn.LayerNorm(features)
    return nn.Identity()


def normal_init(layer: nn.Conv2d | nn.ConvTranspose2d, std: float = 0.02) -> nn.Module:
    """Draw the weight from N(0, std²), set the bias to 0, return the layer. Radford et al. 2016, arXiv:1511.06434, §4.

    To be called before spectral norm, which hides the weight it normalises.
    """
    nn.init.normal_(layer.weight, std=std)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
