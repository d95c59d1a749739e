"""Terms and projections that can be added to any objective.

Above losses, whose turns they see; below training, which sees them through `Loss` alone.
"""

from gantrain.regularizers.base import InputGradient, Regularizer
from gantrain.regularizers.classes import AuxiliaryClassifier, DataToData, DiscriminativeClassifier, MultiHinge
from gantrain.regularizers.codes import PullingAway
from gantrain.regularizers.gradient import R1, R2, Dragan, GradientPenalty, LipschitzPenalty
from gantrain.regularizers.information import Information
from gantrain.regularizers.path_length import PathLength
from gantrain.regularizers.scores import Consistency, LeCam
from gantrain.regularizers.weights import Clip, Orthogonal

__all__ = [
    "R1",
    "R2",
    "AuxiliaryClassifier",
    "Clip",
    "Consistency",
    "DataToData",
    "DiscriminativeClassifier",
    "Dragan",
    "GradientPenalty",
    "Information",
    "InputGradient",
    "LeCam",
    "LipschitzPenalty",
    "MultiHinge",
    "Orthogonal",
    "PathLength",
    "PullingAway",
    "Regularizer",
]
