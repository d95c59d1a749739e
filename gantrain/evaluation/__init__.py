"""How good a generator is: features, references, protocols, and what is measured by them."""

from gantrain.evaluation.classifier import Classifier
from gantrain.evaluation.history import History
from gantrain.evaluation.images import ImageQuality, as_bytes
from gantrain.evaluation.live import Live, earlier_protocols, last_summary, recorded
from gantrain.evaluation.points import PointQuality
from gantrain.evaluation.prepare import prepare
from gantrain.evaluation.protocol import Protocol

__all__ = [
    "Classifier",
    "History",
    "ImageQuality",
    "Live",
    "PointQuality",
    "Protocol",
    "as_bytes",
    "earlier_protocols",
    "last_summary",
    "prepare",
    "recorded",
]
