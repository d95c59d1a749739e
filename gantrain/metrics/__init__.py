"""Measures of how good samples are: arrays in, numbers out.

Below evaluation, which decides what is compared with what; no metric knows a run or a network of gantrain's.
"""

from gantrain.metrics.columns import correlation_errors, correlations, marginal_distances
from gantrain.metrics.diversity import ms_ssim
from gantrain.metrics.fidelity import density_coverage, inception_score, kid, precision_recall
from gantrain.metrics.frechet import Fitting, Gaussian, frechet_distance, frechet_infinity, samples_for_infinity
from gantrain.metrics.memorisation import Nearest, memorised, memorised_share, nearest, threshold
from gantrain.metrics.modes import Coverage, counted, coverage, deviations, found_modes, mode_kl
from gantrain.metrics.transport import directions, sliced_wasserstein, wasserstein_2

__all__ = [
    "Coverage",
    "Fitting",
    "Gaussian",
    "Nearest",
    "correlation_errors",
    "correlations",
    "counted",
    "coverage",
    "density_coverage",
    "deviations",
    "directions",
    "found_modes",
    "frechet_distance",
    "frechet_infinity",
    "inception_score",
    "kid",
    "marginal_distances",
    "memorised",
    "memorised_share",
    "mode_kl",
    "ms_ssim",
    "nearest",
    "precision_recall",
    "samples_for_infinity",
    "sliced_wasserstein",
    "threshold",
    "wasserstein_2",
]
