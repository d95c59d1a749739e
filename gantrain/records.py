"""What a run leaves to look at: metrics.jsonl (the durable record), TensorBoard, and pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams
from torchvision.utils import make_grid, save_image

from gantrain import storage


class Records:
    """Writes a run's scalars and pictures.

    Args:
        folder: the run directory.
        step: where the run goes on (0 for a new one); records of later steps, left by a killed run, are dropped.
        limits: for points, the half-width of the square to draw; unused for images.
    """

    def __init__(self, folder: Path, step: int, limits: float = 1.0) -> None:
        self.samples = folder / "samples"
        self.samples.mkdir(parents=True, exist_ok=True)
        self.limits = limits
        self.metrics = folder / "metrics.jsonl"
        drop_lines_after(self.metrics, step)
        self._lines = self.metrics.open("a")
        # Also a run that was killed before its first checkpoint starts again with old events in the folder.
        purge = (step + 1 if step else 0) if (folder / "tb").exists() else None
        self._tensorboard = SummaryWriter(str(folder / "tb"), purge_step=purge)
        self._session_end: Any = None

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Append one line to metrics.jsonl, at once visible to others, and the same values to TensorBoard.

        Values that are not finite are left out: JSON has no word for them.
        """
        values = {tag: value for tag, value in values.items() if math.isfinite(value)}
        self._lines.write(json.dumps({"step": step} | values) + "\n")
        self._lines.flush()
        for tag, value in values.items():
            self._tensorboard.add_scalar(tag, value, step)

    def picture(self, tag: str, step: int, samples: Tensor, file: str | None = None) -> None:
        """Draw images (N, C, H, W) in [-1, 1] or points (N, 1) or (N, 2), as ``image`` does."""
        self.image(tag, step, draw_images(samples) if samples.ndim == 4 else draw_points(samples, self.limits), file)

    def image(self, tag: str, step: int, drawn: Tensor, file: str | None = None) -> None:
        """Put a picture (3, h, w) in [0, 1] into TensorBoard and, if ``file`` is given, into a PNG."""
        self._tensorboard.add_image(tag, drawn, step)
        if file is not None:
            save_image(drawn, self.samples / file)

    def hyperparameters(self, choices: Mapping[str, str | int | float | bool], metrics: list[str]) -> None:
        """Tell TensorBoard's HParams tab this run's choices and which scalars to show beside them."""
        experiment, start, self._session_end = hparams(dict(choices), dict.fromkeys(metrics, 0.0))
        writer = self._tensorboard._get_file_writer()
        writer.add_summary(experiment)
        writer.add_summary(start)

    def flush(self) -> None:
        """Hand everything written so far to the operating system."""
        self._tensorboard.flush()

    def __enter__(self) -> Records:
        return self

    def __exit__(self, *error: object) -> None:
        """Finish the files."""
        if self._session_end is not None:
            self._tensorboard._get_file_writer().add_summary(self._session_end)
        self._tensorboard.close()
        self._lines.close()


def drop_lines_after(metrics: Path, step: int) -> None:
    """Keep the complete lines of a metrics file up to ``step``: a killed run leaves later ones, and a torn last one."""
    if not metrics.exists():
        return
    lines = metrics.read_text().splitlines(keepends=True)
    kept = "".join(line for line in lines if line.endswith("}\n") and json.loads(line)["step"] <= step)
    if len(kept) != sum(map(len, lines)):
        storage.write_durably(metrics, kept)


def draw_images(images: Tensor) -> Tensor:
    """Return images (N, C, H, W) in [-1, 1] as one RGB grid (3, h, w) in [0, 1], small images enlarged to be seen."""
    side = images.shape[-1]
    images = images.detach().float().cpu().clamp(-1, 1).add(1).div(2)
    if side < 32:
        images = images.repeat_interleave(32 // side, -1).repeat_interleave(32 // side, -2)
    grid: Tensor = make_grid(images, nrow=max(1, round(len(images) ** 0.5)), padding=2, pad_value=0.5)
    return grid


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
