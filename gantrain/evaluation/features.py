"""The contract of feature networks: what turns images into the vectors that FID and its relatives compare."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def full_precision() -> Iterator[None]:
    """Switch TF32 off inside the block: with it a GPU's features differ from a CPU's by more than rounding."""
    convolutions, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = convolutions.allow_tf32, products.allow_tf32
    convolutions.allow_tf32 = products.allow_tf32 = False
    try:
        yield
    finally:
        convolutions.allow_tf32, products.allow_tf32 = before


class Features(ABC):
    """A fixed network from images to feature vectors and class scores."""

    name: str
    """What numbers measured with it are stamped with."""
    digest: str
    """Of its weights: with others the numbers would be others."""
    resizer = "none"
    """How it brings images to its own size, if that is for the protocol to choose."""

    @abstractmethod
    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (n, d) and logits (n, …, classes) of images (n, C, H, W) uint8, float32 on the CPU."""

    def __str__(self) -> str:
        """Describe the network in a few words."""
        return self.name
