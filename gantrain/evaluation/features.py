"""The contract of feature networks, which turn images into the vectors that FID and similar metrics compare."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor


class Features(ABC):
    """A fixed network from images to feature vectors and class scores."""

    name: str
    """The name that is stored with every number measured with it."""
    digest: str
    """Digest of its weights, because other weights give other numbers."""
    resizer = "none"
    """How it resizes images, if the protocol can choose that."""

    @abstractmethod
    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (n, d) and logits (n, …, classes) of images (n, C, H, W) uint8, float32 on the CPU."""

    def __str__(self) -> str:
        """Describe the network in a few words."""
        return self.name
