"""Files of generated samples: grids, single images, and moving pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import to_pil_image

from gantrain.data.folder import UNREADABLE
from gantrain.errors import first_line
from gantrain.run.records import draw_images, draw_points
from gantrain.terminal import say

MOST_IN_A_GRID = 400


def grid(samples: Tensor, path: Path, columns: int | None = None) -> None:
    """Draw images (n, C, H, W) in [-1, 1], of very many the first 400, or points (n, 1) or (n, 2) into a PNG."""
    if samples.ndim == 4:
        drawn = draw_images(samples[:MOST_IN_A_GRID], columns)
    else:
        drawn = draw_points(samples, limits=1.25 * float(samples.abs().max()))
    as_picture(drawn).save(path)


def as_picture(drawn: Tensor) -> Image.Image:
    """Return numbers in [0, 1] as a picture, rounded to bytes; torchvision would cut the fraction off."""
    picture: Image.Image = to_pil_image(drawn.mul(255).round().to(torch.uint8))
    return picture.convert("RGB")


def files(images: Tensor, folder: Path) -> None:
    """Write each of the images (n, C, H, W) uint8 into a PNG of its own, 00000.png and on, in its own size."""
    folder.mkdir()
    for k, image in enumerate(images):
        to_pil_image(image).save(folder / f"{k:05d}.png")


def moving(frames: Iterable[Image.Image], path: Path, milliseconds: int) -> None:
    """Write a GIF that runs for ever."""
    first, *rest = frames
    first.save(path, save_all=True, append_images=rest, duration=milliseconds, loop=0)


def progress(pictures: Sequence[Path], path: Path) -> None:
    """Write the sample grids of a training as a GIF, the last one shown longest."""
    frames = []
    for picture in pictures:
        try:
            frames.append(Image.open(picture).convert("RGB"))
        except UNREADABLE as error:  # a killed run may have left half of one
            say(f"{picture} is left out ({first_line(error)})")
    if frames:
        moving([*frames, *[frames[-1]] * 4], path, 400)


def walk(images: Tensor, path: Path, least_side: int = 128) -> None:
    """Write images (n, C, H, W) in [-1, 1] as a GIF, small ones enlarged pixel by pixel."""
    scale = max(1, least_side // images.shape[-1])
    large = images.repeat_interleave(scale, -1).repeat_interleave(scale, -2)
    moving([as_picture(image.clamp(-1, 1).add(1).div(2)) for image in large], path, 60)
