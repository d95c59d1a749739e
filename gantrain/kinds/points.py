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
GENERATED, REAL, BOTH = (0.12, 0.35, 0.70), (0.78, 0.78, 0.78), (0.10, 0.22, 0.42)
"""Colours of points and bars; ``BOTH`` is where the bars of both stand."""


class Points(Kind):
    """Points on a line are drawn as a histogram, others as dots by their first two coordinates."""

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
        """Return all in one picture, above real ones in the square that these need."""
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


def histogram(numbers: Tensor, bins: int, limits: float) -> Tensor:
    """Return the share of numbers (N,) in each bin (bins,) of [-limits, limits]; the rest lies outside."""
    numbers = numbers.detach().float().cpu()
    return torch.histc(numbers[numbers.isfinite()], bins, -limits, limits) / max(len(numbers), 1)
