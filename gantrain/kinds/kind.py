"""The contract of kinds, and what holds for samples of which nothing is known but their shape."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gantrain.kinds.units import Units


class Kind:
    """Samples of any shape: they are not drawn, their values have no bounds, and nothing is measured on them."""

    name = "samples"
    """The plural, as messages, arrays and manifests have it."""
    axes: int | None = None
    """Numbers in the shape of a sample; None: any."""
    value_range: tuple[int, int] | None = None
    """Bounds of every value; None: there are none."""
    in_cells = False
    """Whether a picture shows each sample by itself, in a cell of a grid; else all are in one."""
    drawn_at_most: int | None = None
    """Samples in one picture of a command; None: any number."""
    evaluation = "none"
    """The options of ``evaluation`` that measure such samples."""
    architecture: str | None = None
    """The option of ``architecture`` made for such samples of many sizes; ``mlp`` takes all kinds."""

    def takes(self, shape: Sequence[int]) -> bool:
        """Tell whether samples of this kind can have the shape."""
        return self.axes in (None, len(shape))

    def bounded(self, x: Tensor) -> Tensor:
        """Return what a generator makes of its last numbers x: their tanh if the values are bounded, else x."""
        return x if self.value_range is None else torch.tanh(x)

    def grid_count(self, count: int) -> int:
        """Return the samples of a picture in which ``count`` cells would have room."""
        return count

    def undrawn(self, shape: Sequence[int]) -> str | None:
        """Return why samples of a shape are not drawn, None if they are: no picture is better than a wrong one."""
        return (
            f"samples of shape {tuple(shape)} are not drawn: there are pictures of points, of signals, "
            "and of images with one, three or four channels"
        )

    def draw(self, samples: Tensor, real: Tensor | None = None, columns: int | None = None) -> Tensor:
        """Return samples (n, *shape) that ``undrawn`` does not refuse as one RGB picture (3, h, w) in [0, 1].

        Args:
            samples: what to draw.
            real: samples to draw them above, in the same scale, where all are in one picture.
            columns: cells in a row; None: as many as rows.

        Raises:
            TypeError: if they are not drawn.
        """
        raise TypeError(self.undrawn(samples.shape[1:]))

    def preview(self, real: Tensor, columns: int | None = None) -> Tensor:
        """Return real samples by themselves, drawn as they are beside generated ones."""
        return self.draw(real, real, columns)

    def still(self, sample: Tensor) -> Tensor:
        """Return one sample (*shape) as a picture (C, h, w) in [0, 1], a frame of a walk from sample to sample."""
        return self.draw(sample[None])

    def to_array(self, samples: Tensor) -> np.ndarray:
        """Return samples as ``samples.npz`` holds them under the name of their kind."""
        array: np.ndarray = samples.detach().cpu().numpy()
        return array

    def write_files(
        self, samples: Tensor, folder: Path, units: Units | None = None, labels: Sequence[str] | None = None
    ) -> bool:
        """Write samples into files of their own in a folder; tell whether there are such files of this kind.

        Args:
            samples: as the generator gives them.
            folder: where to.
            units: what their numbers stand for, if the data said so: files then have the units of the data.
            labels: the name of each sample's class, if it has one.
        """
        return False
