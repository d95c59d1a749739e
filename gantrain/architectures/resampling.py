"""Sizes of feature maps doubled and halved with the filter [1, 3, 3, 1], as StyleGAN2 and R3GAN do.

Karras et al. 2020, arXiv:1912.04958, Appendix B. Beyond the border there are zeros, as in the authors' code.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d

FILTER = (1.0, 3.0, 3.0, 1.0)


def kernel_of(x: Tensor) -> Tensor:
    """Return the filter for each channel of x (N, C, H, W), (C, 1, 4, 4), whose sum is 1.

    It is computed on the device: to copy it there from the CPU would make a GPU wait, and cannot be recorded.
    """
    place = torch.arange(len(FILTER), dtype=x.dtype, device=x.device)
    row = (1 + place * (3 - place)) / sum(FILTER)  # 1, 3, 3, 1
    return torch.outer(row, row).expand(x.shape[1], 1, 4, 4)


def exact(x: Tensor) -> Tensor:
    """Return x as the filter takes it: in float32 on a CPU, where filters in half precision take ten times as long."""
    return x.float() if x.device.type == "cpu" and x.itemsize < 4 else x


def doubled_smoothly(x: Tensor) -> Tensor:
    """Double the size of x (N, C, H, W) in x's dtype: zeros between the pixels, then the filter, times 4."""
    with torch.autocast(x.device.type, enabled=False):
        values = exact(x)
        larger = conv_transpose2d(values, 4 * kernel_of(values), stride=2, padding=1, groups=x.shape[1])
    return larger.to(x.dtype)


def halved_smoothly(x: Tensor) -> Tensor:
    """Halve the size of x (N, C, H, W) in x's dtype: the filter, then every other pixel."""
    with torch.autocast(x.device.type, enabled=False):
        values = exact(x)
        smaller = conv2d(values, kernel_of(values), stride=2, padding=1, groups=x.shape[1])
    return smaller.to(x.dtype)


def blurred(x: Tensor, padding: int, gain: float = 1.0) -> Tensor:
    """Filter x (N, C, H, W) in x's dtype, with zeros around it, and multiply it: sides grow by 2 · padding - 3."""
    with torch.autocast(x.device.type, enabled=False):
        values = exact(x)
        smooth = conv2d(values, gain * kernel_of(values), padding=padding, groups=x.shape[1])
    return smooth.to(x.dtype)
