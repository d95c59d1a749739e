"""Samples that several metrics are tried on."""

from __future__ import annotations

import numpy as np


def features(n: int, d: int, seed: int, scale: float = 1.0, shift: float = 0.0, rank: int | None = None) -> np.ndarray:
    """Rectified, correlated, like those of a network."""
    mix = np.random.default_rng(99).standard_normal((rank or d, d)) / np.sqrt(d)
    return np.maximum(scale * np.random.default_rng(seed).standard_normal((n, rank or d)) @ mix + shift, 0)
