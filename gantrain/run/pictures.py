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
LEAST_SIDE = 32
"""Pixels: images whose longer side is shorter are enlarged."""
GENERATED, REAL, BOTH = (0.12, 0.35, 0.70), (0.78, 0.78, 0.78), (0.10, 0.22, 0.42)
"""Colours of points and bars; ``BOTH`` is where the bars of both stand."""


def undrawn(shape: Sequence[int]) -> str | None:
    """Return why samples of a shape are not drawn, None if they are: no picture is better than a wrong one."""
    if tuple(shape) in ((1,), (2,)) or (len(shape) == 3 and shape[0] in (1, 3)):
        return None
    return (
        f"samples of shape {tuple(shape)} are not drawn: there are pictures of points with one or two coordinates, "
        "and of images with one or three channels"
    )


def half_width(points: Tensor) -> float:
    """Return the half-width of the square in which to draw points (n, d): a quarter more than they reach."""
    return 1.25 * float(points.abs().max()) or 1.0


def grid(samples: Tensor, path: Path, columns: int | None = None) -> None:
    """Draw samples that ``undrawn`` does not refuse into a PNG; of images (n, C, H, W) in [-1, 1] the first 400."""
    if samples.ndim == 4:
        drawn = draw_images(samples[:MOST_IN_A_GRID], columns)
    else:
        drawn = draw_points(samples, half_width(samples))
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
    scale = max(1, least_side // max(images.shape[-2:]))
    large = images.repeat_interleave(scale, -1).repeat_interleave(scale, -2)
    moving([as_picture(image.clamp(-1, 1).add(1).div(2)) for image in large], path, 60)


def draw_images(images: Tensor, columns: int | None = None) -> Tensor:
    """Return images (N, C, H, W) in [-1, 1], C 1 or 3, as one RGB grid (3, h, w) in [0, 1], small images enlarged.

    It has as many columns as rows, unless the number of columns is given.
    """
    scale = max(1, LEAST_SIDE // max(images.shape[-2:]))
    images = images.detach().float().cpu().clamp(-1, 1).add(1).div(2)
    images = images.repeat_interleave(scale, -1).repeat_interleave(scale, -2)
    grid: Tensor = make_grid(images, nrow=columns or max(1, round(len(images) ** 0.5)), padding=2, pad_value=0.5)
    return grid


def draw_pairs(pairs: Tensor) -> Tensor:
    """Return pairs of images (2, n, C, H, W) uint8 as one RGB picture in [0, 1], each above its second."""
    images = pairs.flatten(0, 1).float().div(127.5).sub(1)
    return draw_images(images, columns=pairs.shape[1])


def draw_points(points: Tensor, limits: float, side: int = 512, real: Tensor | None = None) -> Tensor:
    """Return points (N, 2) as dots in a picture (3, side, side) in [0, 1], the origin in the middle, y upwards.

    Real points lie underneath, in grey. Points (N, 1) are drawn as histograms.
    """
    if points.shape[1] == 1:
        return draw_histograms(points[:, 0], limits, side, None if real is None else real[:, 0])
    picture = torch.ones(3, side, side)
    for dots, colour in ((real, REAL), (points, GENERATED)):
        if dots is not None:
            dot(picture, dots, limits, colour)
    return picture


def dot(picture: Tensor, points: Tensor, limits: float, colour: tuple[float, float, float]) -> None:
    """Draw points (N, 2) into a picture (3, side, side), three pixels wide; those that are not finite nowhere."""
    side, points = picture.shape[1], points.detach().float().cpu()
    pixel = ((points[points.isfinite().all(1)] / limits + 1) / 2 * side).clamp(-2, side + 2).long()
    for dx in (-1, 0, 1):
        for dy in (-1, 0, 1):
            x, y = pixel[:, 0] + dx, side - 1 - (pixel[:, 1] + dy)
            inside = (x >= 0) & (x < side) & (y >= 0) & (y < side)
            picture[:, y[inside], x[inside]] = torch.tensor(colour)[:, None]


def draw_histograms(numbers: Tensor, limits: float, side: int, real: Tensor | None = None) -> Tensor:
    """Return numbers (N,), and real ones (M,) underneath, as histograms (3, side, side) over [-limits, limits].

    Their areas are in one scale, in which the highest bar is nine tenths high.
    """
    bins = side // 8
    shares = [histogram(each, bins, limits) for each in (numbers, real) if each is not None]
    highest = max(float(share.max()) for share in shares) or 1.0
    picture = torch.ones(3, side, bins * 8)
    levels = torch.arange(side, 0, -1)[:, None]
    inside = [levels <= (share / highest * 0.9 * side).repeat_interleave(8) for share in shares]
    picture[:, inside[0]] = torch.tensor(GENERATED)[:, None]
    if real is not None:
        picture[:, inside[1] & ~inside[0]] = torch.tensor(REAL)[:, None]
        picture[:, inside[1] & inside[0]] = torch.tensor(BOTH)[:, None]
    return picture


def histogram(numbers: Tensor, bins: int, limits: float) -> Tensor:
    """Return the share of numbers (N,) in each bin (bins,) of [-limits, limits]; the rest lies outside."""
    numbers = numbers.detach().float().cpu()
    return torch.histc(numbers[numbers.isfinite()], bins, -limits, limits) / max(len(numbers), 1)
