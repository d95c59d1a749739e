"""Pieces that several families share: normalization by name, argument checks, initial weights."""

from __future__ import annotations

import torch
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


@torch.no_grad()
def normal_init(net: nn.Module, std: float = 0.02) -> None:
    """Draw weights from N(0, std²), set biases to 0. Radford et al. 2016, arXiv:1511.06434, Section 4."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            module.weight.copy_(torch.randn_like(module.weight) * std)
            if module.bias is not None:
                module.bias.zero_()
