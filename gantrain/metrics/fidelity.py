"""KID, Inception Score, precision and recall, density and coverage of feature vectors, in float64.

All formulas but those of density and coverage are torch-fidelity's. It is given parts instead of whole sets, so that
50,000 samples take little memory. Random choices are made as by its command line, so the numbers are the same.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

ELEMENTS = 2**19  # of vectors in float64 at a time


def kid(fake: Tensor, real: Tensor, subsets: int, subset_size: int, seed: int) -> tuple[float, float]:
    """Return the mean and standard deviation over subsets of the squared MMD with the kernel (x·y/d + 1)³, unbiased.

    Bińkowski et al. 2018, arXiv:1801.01401, Section 4. It may be below 0 if the distributions are close.

    Args:
        fake: features (n, d).
        real: features (m, d).
        subsets: pairs of random subsets.
        subset_size: samples of each; at most half of the smaller set, else all subsets would be about that set.
        seed: of the subsets.
    """
    from torch_fidelity.metric_kid import kid_features_to_metric

    size = min(subset_size, len(fake) // 2, len(real) // 2)
    rng = np.random.RandomState(seed)
    values = []
    for _ in range(subsets):
        a = fake[rng.choice(len(fake), size, replace=False)].double()
        b = real[rng.choice(len(real), size, replace=False)].double()
        found = kid_features_to_metric(a, b, kid_subsets=1, kid_subset_size=size, rng_seed=0, verbose=False)
        values.append(found["kernel_inception_distance_mean"])
    return float(np.mean(values)), float(np.std(values))


def inception_score(logits: Tensor, splits: int, seed: int) -> tuple[float, float]:
    """Return mean and standard deviation over ``splits`` of exp E KL(p(y|x) ‖ p(y)). Salimans et al. 2016, Section 4.

    Args:
        logits: (n, classes) of the generated samples.
        splits: number of parts, each scored by itself.
        seed: of the order in which samples fall into parts.
    """
    from torch_fidelity.metric_isc import isc_features_to_metric

    n = len(logits)
    order = np.random.RandomState(seed).permutation(n)
    scores = []
    for k in range(splits):  # one part at a time: all at once would copy all logits
        part = logits[order[k * n // splits : (k + 1) * n // splits]]
        scores.append(isc_features_to_metric(part, splits=1, shuffle=False)["inception_score_mean"])
    return float(np.mean(scores)), float(np.std(scores))


def precision_recall(fake: Tensor, real: Tensor, k: int) -> tuple[float, float]:
    """Return the share of fakes inside the reals' k-nearest-neighbour balls, and of reals inside the fakes'.

    Kynkäänniemi et al. 2019, arXiv:1904.06991, Equations 1-2, a sample at distance ≤ the radius inside, as there.
    ``fake`` (n, d) and ``real`` (m, d), both longer than k.
    """
    from torch_fidelity.metric_prc import prc_features_to_metric

    settings = {"prc_neighborhood": k, "prc_batch_size": rows(real), "save_cpu_ram": True, "verbose": False}
    found = prc_features_to_metric(fake.double(), real.double(), **settings)
    return found["precision"], found["recall"]


def density_coverage(fake: Tensor, real: Tensor, k: int) -> tuple[float, float]:
    """Return density and coverage, from the k-nearest-neighbour balls of the reals.

    Density is the mean number of balls that a fake lies in, over k; coverage is the share of balls that hold a fake.
    Naeem et al. 2020, arXiv:2002.09797, Equations 4 and 6, a sample at distance < the radius inside, as in the authors'
    code. Density is 1 for equal distributions and may be more.
    Coverage is then 1 - 2⁻ᵏ for sets of the same size.
    """
    density, covered = 0.0, torch.zeros(len(real), dtype=torch.bool)
    radius = torch.cat([distances(part, real).kthvalue(k + 1).values for part in real.split(rows(real))])
    for part in fake.split(rows(real)):
        inside = distances(part, real) < radius
        density += float(inside.sum())
        covered |= inside.any(0)
    return density / (k * len(fake)), float(covered.double().mean())


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Return the Euclidean distances (n, m) float64 of few vectors a (n, d) from many b (m, d), copying b in parts."""
    return torch.cat([torch.cdist(a.double(), part.double()) for part in b.split(4 * rows(b))], 1)


def rows(vectors: Tensor) -> int:
    """Return how many of these vectors (n, d) to take at a time: fewer long ones, at least 250 to be quick."""
    return max(250, min(2000, ELEMENTS // vectors.shape[1]))
