"""Data sets. Each has a sample ``shape`` and a number of ``classes``, and gives endless, resumable batches.

Below evaluation and training, which see a data set through `Data` and `Batches` alone.
"""

from gantrain.data.benchmarks import CIFAR10, MNIST
from gantrain.data.digits import Digits
from gantrain.data.folder import ImageFolder
from gantrain.data.source import Batch, Batches, Data, Images
from gantrain.data.stacked import Stacked
from gantrain.data.toy import Grid, Mixture, Ring

__all__ = [
    "CIFAR10",
    "MNIST",
    "Batch",
    "Batches",
    "Data",
    "Digits",
    "Grid",
    "ImageFolder",
    "Images",
    "Mixture",
    "Ring",
    "Stacked",
]
