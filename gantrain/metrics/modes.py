"""Which modes of a known distribution the samples fall into."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Coverage:
    """How samples spread over the modes of a mixture."""

    modes: int  # modes that hold at least 1% of the samples, or a tenth of their share where that is less
    high_quality: float  # share of the samples that fall into any mode, in [0, 1]
    counts: list[int]  # samples in each mode


def deviations(dimensions: int) -> float:
    """Return within how many standard deviations of its centre a sample counts as in a mode: 3 up to two dimensions.

    In more it is the radius that holds the share of a Gaussian that three hold in the plane, 1 - exp(-4.5) = 98.9%:
    in 10 dimensions three would hold 47%.
    """
    from scipy.special import gammaincinv  # takes long, and a name on the command line needs no quantile

    return 3.0 if dimensions <= 2 else math.sqrt(2 * gammaincinv(dimensions / 2, -math.expm1(-4.5)))


def coverage(samples: Tensor, centers: Tensor, std: float, weights: Tensor | None = None) -> Coverage:
    """Count samples (N, d) by mode: a sample is in the nearest of ``centers`` (K, d) if within 3 ``std`` of it.

    The three standard deviations are the usual measure (Srivastava et al. 2017, VEEGAN, arXiv:1705.07761, Section 4.1),
    where one sample makes a mode covered; ``deviations`` says what they become in more than two dimensions. What covers
    a mode here, ``counted`` says, of true shares ``weights`` (K,), None for equal ones.
    """
    distance, nearest = torch.cdist(samples.double(), centers.double()).min(1)
    shares = torch.full((len(centers),), 1 / len(centers)) if weights is None else weights
    return counted(distance < deviations(samples.shape[1]) * std, nearest, shares)


def counted(inside: Tensor, mode: Tensor, weights: Tensor) -> Coverage:
    """Count samples by mode, those alone that are near enough to one.

    A mode needs 1% of the samples, so that stray ones do not count; a mode with less than 10% of the true distribution
    needs a tenth of its share.

    Args:
        inside: (N,) bool, whether a sample is near enough.
        mode: (N,) the mode that each is nearest to.
        weights: (K,) true shares of the modes.
    """
    counts = torch.bincount(mode[inside], minlength=len(weights))
    least = (weights / 10).clamp_max(0.01) * len(mode)
    return Coverage(int((counts >= least.clamp_min(1)).sum()), inside.double().mean().item(), counts.tolist())


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


def found_modes(near: Tensor, mode: Tensor, weights: Tensor) -> dict[str, float]:
    """Return how many modes were found and there are, the share of samples near one, and ``mode_kl``, by name.

    If no sample is near any mode, ``mode_kl`` is left out: shares of what was not found would say nothing, and be
    perfect where there is one mode.

    Args:
        near: (n,) bool, whether each sample is near enough to the mode that it is nearest to.
        mode: (n,) that mode.
        weights: (K,) true shares of the modes, all above 0.
    """
    found = counted(near, mode, weights)
    values = {"modes": float(found.modes), "modes_of_data": float(len(weights)), "high_quality": found.high_quality}
    return values | ({"mode_kl": mode_kl(mode, weights)} if near.any() else {})
