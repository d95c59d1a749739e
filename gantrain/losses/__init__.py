"""Objectives, and the Loss that joins one with regularizers. The formulas are in each class's docstring."""

from gantrain.losses.classic import Hinge, LeastSquares, Minimax, NonSaturating
from gantrain.losses.loss import Loss
from gantrain.losses.objective import Objective
from gantrain.losses.wasserstein import Wasserstein

__all__ = ["Hinge", "LeastSquares", "Loss", "Minimax", "NonSaturating", "Objective", "Wasserstein"]
