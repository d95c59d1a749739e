"""How good a generator is: features, references, protocols, and what is measured by them."""

from gantrain.evaluation.classifier import Classifier
from gantrain.evaluation.history import History
from gantrain.evaluation.images import ImageQuality, as_bytes
from gantrain.evaluation.live import Live, recorded
from gantrain.evaluation.points import PointQuality
from gantrain.evaluation.prepare import prepare
from gantrain.evaluation.protocol import BETTER, Protocol

__all__ = [
    "BETTER",
    "Classifier",
    "History",
    "ImageQuality",
    "Live",
    "PointQuality",
    "Protocol",
    "as_bytes",
    "prepare",
    "recorded",
]
