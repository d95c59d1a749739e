"""Terms and projections that can be added to any objective.

Above losses, whose turns they see; below training, which sees them through `Loss` alone.
"""

from gantrain.regularizers.base import InputGradient, Regularizer
from gantrain.regularizers.codes import PullingAway
from gantrain.regularizers.gradient import R1, R2, Dragan, GradientPenalty, LipschitzPenalty
from gantrain.regularizers.scores import Consistency, LeCam
from gantrain.regularizers.weights import Clip, Orthogonal

__all__ = [
    "R1",
    "R2",
    "Clip",
    "Consistency",
    "Dragan",
    "GradientPenalty",
    "InputGradient",
    "LeCam",
    "LipschitzPenalty",
    "Orthogonal",
    "PullingAway",
    "Regularizer",
]
