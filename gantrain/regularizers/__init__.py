"""Terms and projections that can be added to any objective."""

from gantrain.regularizers.base import InputGradient, Regularizer
from gantrain.regularizers.gradient import GradientPenalty
from gantrain.regularizers.weights import Clip

__all__ = ["Clip", "GradientPenalty", "InputGradient", "Regularizer"]
