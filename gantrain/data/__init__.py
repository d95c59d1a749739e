"""Data sets. Each has a sample ``shape`` and a number of ``classes``, and gives endless, resumable batches.

Below evaluation and training, which see a data set through `Data` and `Batches` alone.
"""

from gantrain.data.array import Array
from gantrain.data.audio import AudioFolder
from gantrain.data.celeba import CelebA
from gantrain.data.cifar import CIFAR10, CIFAR100
from gantrain.data.curves import Circles, Curves, Moons, Rings, Spiral, SwissRoll
from gantrain.data.dataset import TorchDataset, adapted
from gantrain.data.digits import Digits
from gantrain.data.huggingface import HuggingFace
from gantrain.data.idx import EMNIST, KMNIST, MNIST, FashionMNIST
from gantrain.data.image_folder import ImageFolder
from gantrain.data.imagenet import ImageNet
from gantrain.data.known import Fresh, Known
from gantrain.data.lsun import LSUN
from gantrain.data.signals import SignalFile, Sines
from gantrain.data.source import Batch, Batches, Data, Images, stream_of
from gantrain.data.stacked import Stacked
from gantrain.data.stl10 import STL10
from gantrain.data.svhn import SVHN
from gantrain.data.table import Table
from gantrain.data.toy import Gaussians, Grid, Mixture, Ring
from gantrain.data.waves import Waves

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "EMNIST",
    "KMNIST",
    "LSUN",
    "MNIST",
    "STL10",
    "SVHN",
    "Array",
    "AudioFolder",
    "Batch",
    "Batches",
    "CelebA",
    "Circles",
    "Curves",
    "Data",
    "Digits",
    "FashionMNIST",
    "Fresh",
    "Gaussians",
    "Grid",
    "HuggingFace",
    "ImageFolder",
    "ImageNet",
    "Images",
    "Known",
    "Mixture",
    "Moons",
    "Ring",
    "Rings",
    "SignalFile",
    "Sines",
    "Spiral",
    "Stacked",
    "SwissRoll",
    "Table",
    "TorchDataset",
    "Waves",
    "adapted",
    "stream_of",
]
