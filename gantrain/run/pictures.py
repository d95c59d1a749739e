"""Pictures as PNG files and GIFs; a kind of samples draws them (``gantrain.kinds``)."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import to_pil_image

from gantrain.errors import first_line
from gantrain.kinds import Kind, kind_of
from gantrain.run import files as run_files
from gantrain.run.read import png_size
from gantrain.terminal import say

LARGEST = 2**26
"""Bytes of a PNG file that is read."""
MOST_PIXELS, MOST_IN_ALL = 2**25, 2**29
"""Of a PNG file that is read, and of all that become one GIF, which must fit into memory."""


def grid(samples: Tensor, path: Path, columns: int | None = None, kind: Kind | None = None) -> None:
    """Draw samples that ``undrawn`` does not refuse into a PNG, of those in a grid the first 400.

    Args:
        samples: (n, *shape).
        path: of the PNG.
        columns: of a grid; None: as many as rows.
        kind: of the samples; None: the one of their shape.
    """
    kind = kind or kind_of(samples.shape[1:])
    as_picture(kind.draw(samples[: kind.drawn_at_most], columns=columns)).save(path)


def as_picture(drawn: Tensor) -> Image.Image:
    """Return numbers (C, h, w) in [0, 1] as an RGB picture, rounded to bytes; torchvision would cut fractions off."""
    picture: Image.Image = to_pil_image(drawn.mul(255).round().to(torch.uint8))
    return picture.convert("RGB")


def moving(frames: Iterable[Image.Image], path: Path, milliseconds: int) -> None:
    """Write a GIF that runs for ever."""
    first, *rest = frames
    first.save(path, save_all=True, append_images=rest, duration=milliseconds, loop=0)


def progress(pictures: Sequence[Path], path: Path) -> None:
    """Write the sample grids of a training as a GIF, the last one shown longest."""
    frames, left = [], MOST_IN_ALL
    for picture in pictures:
        try:
            content = run_files.whole(picture, LARGEST)
            width, height = png_size(content)
            if width * height > min(MOST_PIXELS, left):
                raise ValueError(f"{width:,} x {height:,} pixels are too many")
            left -= width * height
            frames.append(Image.open(io.BytesIO(content), formats=("PNG",)).convert("RGB"))
        except (
            OSError,
            SyntaxError,
            ValueError,
            Image.DecompressionBombError,
        ) as error:  # a killed run may have left half of one
            say(f"{picture} is left out ({first_line(error)})")
    if frames:
        moving([*frames, *[frames[-1]] * 4], path, 400)


def walk(samples: Tensor, path: Path, kind: Kind | None = None) -> None:
    """Write samples (n, *shape) of a kind that is drawn in cells as a GIF, one after the other."""
    kind = kind or kind_of(samples.shape[1:])
    moving([as_picture(kind.still(sample)) for sample in samples], path, 60)
