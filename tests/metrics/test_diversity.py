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


def ms_ssim_by_loops(a: np.ndarray, b: np.ndarray) -> float:
    """Of one colour image (3, H, W): each channel by itself, window by window, and then their mean."""
    weights = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])
    scales = max(1, min(5, int(np.log2(a.shape[1])) - 2))
    found = []
    for x, y in zip(a.astype(float), b.astype(float), strict=True):
        product = 1.0
        for scale in range(scales):
            size = min(11, len(x))
            line = np.exp(-((np.arange(size) - (size - 1) / 2) ** 2) / (2 * 1.5**2))
            w = np.outer(line, line) / line.sum() ** 2
            luminances, structures = [], []
            for i in range(len(x) - size + 1):
                for j in range(len(x) - size + 1):
                    p, q = x[i : i + size, j : j + size], y[i : i + size, j : j + size]
                    mp, mq = (w * p).sum(), (w * q).sum()
                    vp, vq = (w * p * p).sum() - mp**2, (w * q * q).sum() - mq**2
                    cov = (w * p * q).sum() - mp * mq
                    luminances.append((2 * mp * mq + 2.55**2) / (mp**2 + mq**2 + 2.55**2))
                    structures.append((2 * cov + 7.65**2) / (vp + vq + 7.65**2))
            last = scale == scales - 1
            mean = np.mean([s * m for s, m in zip(structures, luminances, strict=True)] if last else structures)
            product *= max(mean, 0) ** (weights[scale] / weights[:scales].sum())
            x, y = (z.reshape(len(z) // 2, 2, -1, 2).mean((1, 3)) for z in (x, y))
        found.append(product)
    return float(np.mean(found))


@pytest.mark.parametrize("side", [8, 16, 32])
@pytest.mark.parametrize("kind", ["noise", "one channel differs", "smooth"])
def test_ms_ssim_of_colours_is_the_mean_of_the_channels(side: int, kind: str) -> None:
    rng = np.random.default_rng(0)
    a = rng.integers(256, size=(3, side, side))
    b = rng.integers(256, size=(3, side, side))
    if kind == "one channel differs":
        b[1:] = a[1:]
    if kind == "smooth":
        a, b = (np.cumsum(np.cumsum(rng.standard_normal((3, side, side)), 1), 2) * 8 + 128 for _ in range(2))
        a, b = (np.clip(x, 0, 255).astype(int) for x in (a, 0.7 * a + 0.3 * b))
    found = ms_ssim(*(torch.from_numpy(x)[None].to(torch.uint8) for x in (a, b)))
    assert float(found) == pytest.approx(ms_ssim_by_loops(a, b), rel=1e-9)


@pytest.mark.parametrize("side", [8, 16, 32, 64, 256])
def test_ms_ssim_is_one_for_equal_images_and_falls_with_noise(side: int) -> None:
    smooth = torch.nn.functional.interpolate(torch.rand(6, 3, 4, 4) * 255, side, mode="bilinear")
    values = []
    for noise in (0, 10, 40, 120):
        other = (smooth + noise * torch.randn(6, 3, side, side)).clamp(0, 255)
        values.append(float(ms_ssim(smooth.to(torch.uint8), other.to(torch.uint8)).mean()))
    assert values[0] == pytest.approx(1) and sorted(values, reverse=True) == values and values[-1] < 0.8
