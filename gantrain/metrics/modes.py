"""Which modes of a known distribution the samples fall into."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Coverage:
    """How samples spread over the modes of a mixture."""

    modes: int  # modes that hold at least 1% of the samples
    high_quality: float  # share of the samples that fall into any mode, in [0, 1]
    counts: list[int]  # samples in each mode


def coverage(samples: Tensor, centers: Tensor, std: float) -> Coverage:
    """Count samples (N, d) by mode, (K, d) ``centers``: a sample is in the nearest if within 3 ``std`` of it.

    The three standard deviations are the usual measure (Srivastava et al. 2017, VEEGAN, arXiv:1705.07761, Section 4.1),
    where one sample makes a mode covered; the 1% asked here does not let stray points count.
    """
    distance, nearest = torch.cdist(samples.double(), centers.double()).min(1)
    inside = distance < 3 * std
    counts = torch.bincount(nearest[inside], minlength=len(centers))
    return Coverage(int((counts >= 0.01 * len(samples)).sum()), inside.double().mean().item(), counts.tolist())


def mode_kl(mode: Tensor, weights: Tensor) -> float:
    """Return KL(found shares ‖ true weights) in nats, 0 when every mode has its share.

    In this direction it is finite, also when modes are missing: one of K equal modes alone gives log K. As reported by
    Lin et al. 2018, PacGAN, arXiv:1712.04086, Section 4.1.

    Args:
        mode: (n,) index of the mode that each sample belongs to.
        weights: (K,) true shares, all above 0.
    """
    shares = torch.bincount(mode, minlength=len(weights)).double() / len(mode)
    return float(torch.special.xlogy(shares, shares / weights.double()).sum())
