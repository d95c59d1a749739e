"""All drawing: samples as pictures, and pictures as PNG files and GIFs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import to_pil_image
from torchvision.utils import make_grid

from gantrain.errors import first_line
from gantrain.terminal import say

MOST_IN_A_GRID = 400


def grid(samples: Tensor, path: Path, columns: int | None = None) -> None:
    """Draw images (n, C, H, W) in [-1, 1], at most the first 400, or points (n, 1) or (n, 2), into a PNG."""
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
        except (
            OSError,
            SyntaxError,
            ValueError,
            Image.DecompressionBombError,
        ) as error:  # a killed run may have left half of one
            say(f"{picture} is left out ({first_line(error)})")
    if frames:
        moving([*frames, *[frames[-1]] * 4], path, 400)


def walk(images: Tensor, path: Path, least_side: int = 128) -> None:
    """Write images (n, C, H, W) in [-1, 1] as a GIF, small ones enlarged pixel by pixel."""
    scale = max(1, least_side // images.shape[-1])
    large = images.repeat_interleave(scale, -1).repeat_interleave(scale, -2)
    moving([as_picture(image.clamp(-1, 1).add(1).div(2)) for image in large], path, 60)


def draw_images(images: Tensor, columns: int | None = None) -> Tensor:
    """Return images (N, C, H, W) in [-1, 1] as one RGB grid (3, h, w) in [0, 1], small images enlarged.

    As wide as high, unless the number of columns is given.
    """
    side = images.shape[-1]
    images = images.detach().float().cpu().clamp(-1, 1).add(1).div(2)
    if side < 32:
        images = images.repeat_interleave(32 // side, -1).repeat_interleave(32 // side, -2)
    grid: Tensor = make_grid(images, nrow=columns or max(1, round(len(images) ** 0.5)), padding=2, pad_value=0.5)
    return grid


def draw_pairs(pairs: Tensor) -> Tensor:
    """Return pairs of images (2, n, C, H, W) uint8 as one RGB picture in [0, 1], each above its second."""
    images = pairs.flatten(0, 1).float().div(127.5).sub(1)
    return draw_images(images, columns=pairs.shape[1])


def draw_points(points: Tensor, limits: float, side: int = 512) -> Tensor:
    """Return points (N, 2) as dots in a picture (3, side, side) in [0, 1], the origin in the middle, y upwards.

    Points (N, 1) are drawn as a histogram.
    """
    if points.shape[1] == 1:
        return draw_histogram(points[:, 0], limits, side)
    pixel = ((points.detach().float().cpu() / limits + 1) / 2 * side).long()
    picture = torch.ones(3, side, side)
    for dx in (-1, 0, 1):
        for dy in (-1, 0, 1):
            x, y = pixel[:, 0] + dx, side - 1 - (pixel[:, 1] + dy)
            inside = (x >= 0) & (x < side) & (y >= 0) & (y < side)
            picture[:, y[inside], x[inside]] = torch.tensor([[0.12], [0.35], [0.70]])
    return picture


def draw_histogram(numbers: Tensor, limits: float, side: int) -> Tensor:
    """Return numbers (N,) as a histogram (3, side, side) over [-limits, limits], the highest bar nine tenths high."""
    bins = side // 8
    counts = torch.histc(numbers.detach().float().cpu(), bins, -limits, limits)
    heights = (counts / counts.max().clamp_min(1) * 0.9 * side).repeat_interleave(8)
    picture = torch.ones(3, side, bins * 8)
    inside = torch.arange(side, 0, -1)[:, None] <= heights
    picture[:, inside] = torch.tensor([[0.12], [0.35], [0.70]])
    return picture
