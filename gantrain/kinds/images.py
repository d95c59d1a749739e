"""Images (C, H, W) in [-1, 1]."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gantrain.kinds.kind import Kind
from gantrain.kinds.units import Units

LEAST_SIDE, LEAST_SIDE_OF_A_FRAME = 32, 128
"""Pixels: images whose longer side is shorter are enlarged."""


class Images(Kind):
    """Images of one, three or four channels, the fourth being alpha; others are not drawn."""

    name = "images"
    axes = 3
    value_range = (-1, 1)
    in_cells = True
    drawn_at_most = 400
    evaluation = "pixels, classifier or inception"
    architecture = "dcgan"

    def undrawn(self, shape: Sequence[int]) -> str | None:
        """Refuse numbers of channels for which there are no colours."""
        return None if shape[0] in (1, 3, 4) else super().undrawn(shape)

    def draw(self, samples: Tensor, real: Tensor | None = None, columns: int | None = None) -> Tensor:
        """Return a grid, small images enlarged."""
        return draw_images(samples, columns)

    def still(self, sample: Tensor) -> Tensor:
        """Return an image by itself, small ones enlarged pixel by pixel."""
        return visible(enlarged(sample, LEAST_SIDE_OF_A_FRAME).clamp(-1, 1).add(1).div(2))

    def to_array(self, samples: Tensor) -> np.ndarray:
        """Return bytes (n, H, W, C)."""
        array: np.ndarray = as_bytes(samples).permute(0, 2, 3, 1).numpy()
        return array

    def write_files(
        self, samples: Tensor, folder: Path, units: Units | None = None, labels: Sequence[str] | None = None
    ) -> bool:
        """Write each that is drawn into a PNG in its own size, ``files/00000.png`` and on.

        Those of 16 bits keep them; if these stand for other numbers than 0 to 65535, each is a TIFF of such numbers.
        """
        from torchvision.transforms.functional import to_pil_image  # takes long, and networks need no files

        if self.undrawn(samples.shape[1:]) is not None:
            return False
        (folder / "files").mkdir()
        if units is not None:
            write_deep(units.original(samples.clamp(-1, 1)), folder / "files", units)
            return True
        for k, image in enumerate(as_bytes(samples)):
            to_pil_image(image).save(folder / "files" / f"{k:05d}.png")
        return True


def write_deep(images: Tensor, folder: Path, units: Units) -> None:
    """Write gray images (n, 1, H, W) in their units: as PNG of 16 bits if these go from 0 to 65535, else as TIFF."""
    from PIL import Image  # as above

    whole = (units.offset, units.scale) == ((32767.5,), (32767.5,))
    for k, image in enumerate(images[:, 0].numpy()):
        pixels = np.rint(image).astype(np.uint16) if whole else image.astype(np.float32)
        Image.fromarray(pixels).save(folder / f"{k:05d}.{'png' if whole else 'tiff'}")


def as_bytes(images: Tensor) -> Tensor:
    """Return images in [-1, 1] as the bytes 0 to 255 that a picture file would have."""
    return images.add(1).mul(127.5).round_().clamp_(0, 255).to(torch.uint8)


def visible(images: Tensor) -> Tensor:
    """Return images (…, C, h, w) in [0, 1] as they are seen: with alpha, C is 4, on white, as (…, 3, h, w)."""
    if images.shape[-3] != 4:
        return images
    colours, alpha = images[..., :3, :, :], images[..., 3:, :, :]
    return 1 - alpha * (1 - colours)


def enlarged(images: Tensor, least_side: int) -> Tensor:
    """Return images (…, h, w) whose longer side has as many pixels at least, or half as many, each a square."""
    scale = max(1, least_side // max(images.shape[-2:]))
    return images.repeat_interleave(scale, -1).repeat_interleave(scale, -2)


def draw_images(images: Tensor, columns: int | None = None) -> Tensor:
    """Return images (N, C, H, W) in [-1, 1], C 1, 3 or 4, as one RGB grid (3, h, w) in [0, 1], small images enlarged.

    It has as many columns as rows, unless the number of columns is given.
    """
    seen = visible(images.detach().float().cpu().clamp(-1, 1).add(1).div(2))
    return laid_out(enlarged(seen, LEAST_SIDE), columns)


def draw_pairs(pairs: Tensor) -> Tensor:
    """Return pairs of images (2, n, C, H, W) uint8 as one RGB picture in [0, 1], each above its second."""
    images = pairs.flatten(0, 1).float().div(127.5).sub(1)
    return draw_images(images, columns=pairs.shape[1])


def laid_out(cells: Tensor, columns: int | None) -> Tensor:
    """Return cells (n, C, h, w) in [0, 1] as a grid with gray lines between them."""
    from torchvision.utils import make_grid  # takes long, and networks need no pictures

    grid: Tensor = make_grid(cells, nrow=columns or max(1, round(len(cells) ** 0.5)), padding=2, pad_value=0.5)
    return grid
