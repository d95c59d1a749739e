"""How good a generator is: features, references, and what is measured by them.

Above data, metrics and run, below training: a trainer is handed a ``Live``.
"""

from gantrain.evaluation.classifier import Classifier
from gantrain.evaluation.history import History
from gantrain.evaluation.images import ImageQuality
from gantrain.evaluation.live import Live
from gantrain.evaluation.metric import Metric
from gantrain.evaluation.points import PointQuality
from gantrain.evaluation.prepare import Quality, prepare
from gantrain.evaluation.signals import SignalQuality
from gantrain.evaluation.table import TableQuality
from gantrain.kinds.images import as_bytes
from gantrain.run.directions import AS_REAL, BESIDE, HIGHEST, LOWEST

__all__ = [
    "AS_REAL",
    "BESIDE",
    "HIGHEST",
    "LOWEST",
    "Classifier",
    "History",
    "ImageQuality",
    "Live",
    "Metric",
    "PointQuality",
    "Quality",
    "SignalQuality",
    "TableQuality",
    "as_bytes",
    "prepare",
]
