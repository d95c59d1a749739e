"""Sets of rows compared column by column, and pair of columns by pair."""

from __future__ import annotations

import numpy as np
from torch import Tensor


def marginal_distances(a: Tensor, b: Tensor) -> np.ndarray:
    """Return the 1-Wasserstein distance of each column of two sets (n, d), (m, d), in standard deviations of ``b``'s.

    Exact, for sets of any sizes: the area between two distribution functions (Ramdas et al. 2017, Section 2.3). Columns
    of ``b`` that do not vary are in the units of the data. (d,) float64.
    """
    from scipy.stats import wasserstein_distance  # takes half a second, and only tables need it

    x, y = a.double().numpy(), b.double().numpy()
    spread = y.std(0)
    distances = np.array([wasserstein_distance(x[:, k], y[:, k]) for k in range(x.shape[1])])
    found: np.ndarray = distances / np.where(spread > 0, spread, 1)
    return found


def correlation_errors(a: Tensor, b: Tensor) -> np.ndarray:
    """Return how much Pearson's correlation of each pair of columns differs between two sets (n, d), (m, d).

    Absolute differences in [0, 2], (d (d - 1) / 2,) float64. A column that does not vary goes together with none: 0.
    """
    first, second = np.triu_indices(a.shape[1], 1)
    found: np.ndarray = np.abs(correlations(a) - correlations(b))[first, second]
    return found


def correlations(rows: Tensor) -> np.ndarray:
    """Return the correlations of the columns of a set (n, d), (d, d) float64; 0 where a column does not vary."""
    centred = rows.double().numpy()
    centred = centred - centred.mean(0)
    length = np.sqrt(np.square(centred).sum(0))
    unit = centred / np.where(length > 0, length, 1)
    found: np.ndarray = unit.T @ unit
    return found
