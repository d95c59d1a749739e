"""Points (d,): a few numbers without bounds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from gantrain.kinds.kind import Kind
from gantrain.kinds.units import Units

TO_AN_IMAGE = 32
"""Points that have room where one image has."""
TITLE = 20
"""Pixels of the line above points of more than two coordinates."""
GENERATED, REAL, BOTH = (0.12, 0.35, 0.70), (0.78, 0.78, 0.78), (0.10, 0.22, 0.42)
"""Colours of points and bars; ``BOTH`` is where the bars of both stand."""


class Points(Kind):
    """Points on a line are drawn as a histogram, those in the plane as dots, others as dots on principal axes."""

    name = "points"
    axes = 1
    evaluation = "points, or table for a table"

    def grid_count(self, count: int) -> int:
        """Return many more than there would be images."""
        return TO_AN_IMAGE * count

    def undrawn(self, shape: Sequence[int]) -> str | None:
        """Refuse none."""
        return None

    def draw(self, samples: Tensor, real: Tensor | None = None, columns: int | None = None) -> Tensor:
        """Return all in one picture, above real ones in the square that these need.

        Of more than two coordinates it shows the two directions in which the real ones vary most, or the samples
        themselves if there are no real ones, under a title that says so.
        """
        if samples.shape[1] > 2:
            return draw_projected(samples, real)
        return draw_points(samples, half_width(samples if real is None else real), real=real)

    def preview(self, real: Tensor, columns: int | None = None) -> Tensor:
        """Return real points in grey."""
        return self.draw(real[:0], real)

    def write_files(
        self, samples: Tensor, folder: Path, units: Units | None = None, labels: Sequence[str] | None = None
    ) -> bool:
        """Write points whose coordinates have names into ``table.csv``, in their units, with their classes."""
        if units is None or not units.names:
            return False
        units.write_csv(samples, folder / "table.csv", labels)
        return True


def half_width(points: Tensor) -> float:
    """Return the half-width of the square in which to draw points (n, d): a quarter more than they reach."""
    return 1.25 * float(points[:, :2].abs().max()) or 1.0


def draw_points(points: Tensor, limits: float, side: int = 512, real: Tensor | None = None) -> Tensor:
    """Return points (N, d) as dots in a picture (3, side, side) in [0, 1], the origin in the middle, y upwards.

    Of more than two coordinates the first two are drawn. Real points lie underneath, in grey. Points (N, 1) are drawn
    as histograms.
    """
    if points.shape[1] == 1:
        return draw_histograms(points[:, 0], limits, side, None if real is None else real[:, 0])
    picture = torch.ones(3, side, side)
    for dots, colour in ((real, REAL), (points, GENERATED)):
        if dots is not None:
            dot(picture, dots[:, :2], limits, colour)
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


def draw_projected(points: Tensor, real: Tensor | None) -> Tensor:
    """Return points (N, d), d above 2, as dots on the principal axes of the real ones (M, d), if any, under a title."""
    middle, axes, share = principal(points if real is None else real)
    flat, flat_real = (
        (each.detach().double().cpu() - middle) @ axes for each in (points, points if real is None else real)
    )
    drawn = draw_points(flat, half_width(flat_real), real=None if real is None else flat_real)
    whose = "the samples" if real is None else "real points"
    words = f"principal axes 1 and 2 of {whose} in {points.shape[1]} dimensions: {share:.0%} of the variance"
    return torch.cat([title(words, drawn.shape[2]), drawn], 1)


def principal(points: Tensor) -> tuple[Tensor, Tensor, float]:
    """Return the mean (d,), the two axes (d, 2) along which points (N, d) vary most, and their share of the variance.

    Each axis points to where its longest coordinate is positive, so that equal points have equal pictures. Points that
    are not finite do not count.
    """
    finite = points.detach().double().cpu()
    finite = finite[finite.isfinite().all(1)]
    middle = finite.mean(0) if len(finite) else torch.zeros(points.shape[1], dtype=torch.float64)
    variances, axes = torch.linalg.eigh((finite - middle).T @ (finite - middle))
    longest = axes.gather(0, axes.abs().argmax(0, keepdim=True))
    share = float(variances[-2:].sum() / variances.sum()) if float(variances.sum()) > 0 else 1.0
    return middle, (axes * longest.sign()).flip(1)[:, :2], share


def title(words: str, width: int) -> Tensor:
    """Return words as black on white, (3, TITLE, width) in [0, 1]."""
    from PIL import Image, ImageDraw  # networks need no pictures

    strip = Image.new("L", (width, TITLE), 255)
    ImageDraw.Draw(strip).text((6, 4), words, fill=0)
    return (
        torch.frombuffer(bytearray(strip.tobytes()), dtype=torch.uint8).reshape(1, TITLE, width).expand(3, -1, -1) / 255
    )


def histogram(numbers: Tensor, bins: int, limits: float) -> Tensor:
    """Return the share of numbers (N,) in each bin (bins,) of [-limits, limits]; the rest lies outside."""
    numbers = numbers.detach().float().cpu()
    return torch.histc(numbers[numbers.isfinite()], bins, -limits, limits) / max(len(numbers), 1)
