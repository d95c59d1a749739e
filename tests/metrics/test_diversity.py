"""MS-SSIM against SSIM by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gantrain.metrics import (
    ms_ssim,
)


def ssim_by_hand(a: np.ndarray, b: np.ndarray) -> float:
    """Of images as large as the window, where there is one place."""
    side = len(a)
    line = np.exp(-((np.arange(side) - (side - 1) / 2) ** 2) / (2 * 1.5**2))
    w = np.outer(line, line) / line.sum() ** 2
    ma, mb = (w * a).sum(), (w * b).sum()
    va, vb, cov = (w * a * a).sum() - ma**2, (w * b * b).sum() - mb**2, (w * a * b).sum() - ma * mb
    c1, c2 = 2.55**2, 7.65**2
    return ((2 * ma * mb + c1) / (ma**2 + mb**2 + c1)) * ((2 * cov + c2) / (va + vb + c2))


def test_ms_ssim_of_the_smallest_images_is_ssim_by_hand() -> None:
    rng = np.random.default_rng(0)
    a = rng.integers(256, size=(8, 8))
    b = np.clip(a + rng.integers(-60, 60, size=(8, 8)), 0, 255)
    found = ms_ssim(*(torch.from_numpy(x)[None, None].to(torch.uint8) for x in (a, b)))
    assert float(found) == pytest.approx(ssim_by_hand(a.astype(float), b.astype(float)), rel=1e-9)


@pytest.mark.parametrize("side", [8, 16, 32, 64, 256])
def test_ms_ssim_is_one_for_equal_images_and_falls_with_noise(side: int) -> None:
    smooth = torch.nn.functional.interpolate(torch.rand(6, 3, 4, 4) * 255, side, mode="bilinear")
    values = []
    for noise in (0, 10, 40, 120):
        other = (smooth + noise * torch.randn(6, 3, side, side)).clamp(0, 255)
        values.append(float(ms_ssim(smooth.to(torch.uint8), other.to(torch.uint8)).mean()))
    assert values[0] == pytest.approx(1) and sorted(values, reverse=True) == values and values[-1] < 0.8
