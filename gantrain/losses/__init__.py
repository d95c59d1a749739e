"""Objectives, and the Loss that joins one with regularizers. The formulas are in each class's docstring.

`turn.py` says what a loss may see of a turn. Below regularizers, which see the same, and below everything that trains.
"""

from gantrain.losses.classic import Hinge, LeastSquares, Minimax, NonSaturating
from gantrain.losses.divergence import (
    GAN,
    KL,
    FDivergence,
    JensenShannon,
    Neyman,
    Pearson,
    ReverseKL,
    SquaredHellinger,
    TotalVariation,
)
from gantrain.losses.energy import BEGAN, EBGAN
from gantrain.losses.fisher import Fisher
from gantrain.losses.kernel import MMD, Cramer
from gantrain.losses.lookahead import Unrolled
from gantrain.losses.loss import Loss
from gantrain.losses.objective import Objective
from gantrain.losses.relativistic import RelativisticAverage, RelativisticPaired
from gantrain.losses.wasserstein import Wasserstein

__all__ = [
    "BEGAN",
    "EBGAN",
    "GAN",
    "KL",
    "MMD",
    "Cramer",
    "FDivergence",
    "Fisher",
    "Hinge",
    "JensenShannon",
    "LeastSquares",
    "Loss",
    "Minimax",
    "Neyman",
    "NonSaturating",
    "Objective",
    "Pearson",
    "RelativisticAverage",
    "RelativisticPaired",
    "ReverseKL",
    "SquaredHellinger",
    "TotalVariation",
    "Unrolled",
    "Wasserstein",
]
