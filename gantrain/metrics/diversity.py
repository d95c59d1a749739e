"""How alike the images of a set are to one another."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, from the full size down; Wang et al. 2003
WINDOW, SIGMA = 11, 1.5


def ms_ssim(a: Tensor, b: Tensor) -> Tensor:
    """Return the multi-scale structural similarity of each pair of images, (n,) float64; 1 for equal images.

    Wang, Simoncelli & Bovik 2003, Equation 7, with as many of its five scales as leave a side of 8 or more (their
    weights scaled to sum to 1) and a window no wider than the image. Below 0 counts as 0 before the powers are taken.
    The paper is about gray images; of colour images it is the mean over the channels' similarities.

    Args:
        a: (n, C, H, W) uint8.
        b: as many of the same size.
    """
    a, b = a.double(), b.double()
    scales = max(1, min(len(WEIGHTS), min(a.shape[-2:]).bit_length() - 3))
    weights = torch.tensor(WEIGHTS[:scales], dtype=torch.float64)
    result = torch.ones(a.shape[:2], dtype=torch.float64)
    for scale, weight in enumerate(weights / weights.sum()):
        luminance, structure = similarity(a, b)
        last = scale == scales - 1
        term = (luminance * structure if last else structure).mean((2, 3))
        result *= term.clamp_min(0) ** weight
        a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
    return result.mean(1)


def similarity(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return luminance and contrast-structure similarity at each place of images (n, C, H, W) of range 0-255."""
    side = min(WINDOW, *a.shape[-2:])
    line = torch.exp(-((torch.arange(side, dtype=a.dtype) - (side - 1) / 2) ** 2) / (2 * SIGMA**2))
    window = (line / line.sum()).expand(a.shape[1], 1, side)  # the square window is the product of two lines

    def blurred(x: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(x, window[:, :, None], groups=x.shape[1]), window[..., None], groups=x.shape[1])

    mean_a, mean_b = blurred(a), blurred(b)
    variance = blurred(a * a) - mean_a**2 + blurred(b * b) - mean_b**2
    covariance = blurred(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return luminance, (2 * covariance + c2) / (variance + c2)
