"""DiffAugment: random colour, shift and cutout of every image D sees. Zhao et al. 2020, arXiv:2006.10738."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gantrain.errors import ConfigError
from gantrain.kinds import Images, kind_of


def uniform(x: Tensor) -> Tensor:
    """Return one number of U[0, 1) per sample, (N, 1, 1, 1)."""
    return torch.rand(len(x), 1, 1, 1, device=x.device, dtype=x.dtype)


def color(x: Tensor) -> Tensor:
    """Brightness ±0.5, saturation ×[0, 2], contrast ×[0.5, 1.5], in this order."""
    x = x + uniform(x) - 0.5
    gray = x.mean(1, keepdim=True)
    x = gray + (x - gray) * uniform(x) * 2
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + (x - mean) * (uniform(x) + 0.5)


def translation(x: Tensor) -> Tensor:
    """Shift by up to an eighth of the side each way, filled with 0 (mid-gray)."""
    side = x.shape[-1]
    reach = round(side / 8)
    shift = torch.randint(-reach, reach + 1, (2, len(x), 1), device=x.device)
    line = torch.arange(side, device=x.device)
    # One column and row of zeros around the image: every index beyond it is clamped onto that border.
    rows, columns = (line + shift + 1).clamp(0, side + 1)
    padded = nn.functional.pad(x, (1, 1, 1, 1)).permute(0, 2, 3, 1)
    n = torch.arange(len(x), device=x.device)[:, None, None]
    return padded[n, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def cutout(x: Tensor) -> Tensor:
    """Set a random square of half the side to 0 (mid-gray); it may hang over the edge."""
    side = x.shape[-1]
    size = side // 2
    corner = torch.randint(0, side + (1 - size % 2), (2, len(x), 1), device=x.device) - size // 2
    line = torch.arange(side, device=x.device)
    row_in, column_in = (line >= corner) & (line < corner + size)
    return x.masked_fill((row_in[:, :, None] & column_in[:, None, :])[:, None], 0)


POLICIES = {"color": color, "translation": translation, "cutout": cutout}


class DiffAugment(nn.Module):
    """Apply each named policy to images (N, C, H, W) in [-1, 1]; differentiable in the pixels.

    Args:
        shape: shape of one sample; only square images are accepted.
        policy: which of color, translation, cutout, in order.

    Raises:
        ConfigError: for samples that are no images, or an unknown policy.
    """

    def __init__(self, shape: tuple[int, ...], policy: Sequence[str]) -> None:
        super().__init__()
        if not isinstance(kind := kind_of(shape), Images) or shape[1] != shape[2]:
            raise ConfigError(
                f"augment=diffaug needs square images, got {kind.name} of shape {tuple(shape)}. Use augment=none"
            )
        unknown = [name for name in policy if name not in POLICIES]
        if unknown:
            raise ConfigError(f"augment.policy has {unknown[0]!r}; it may hold {', '.join(POLICIES)}")
        self.policy = tuple(policy)

    def forward(self, x: Tensor) -> Tensor:
        """Return augmented images, each sample with its own random choices."""
        for name in self.policy:
            x = POLICIES[name](x)
        return x
