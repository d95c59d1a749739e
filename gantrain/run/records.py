"""What a run leaves to look at: metrics.jsonl (the durable record), TensorBoard, and pictures."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams
from torchvision.utils import make_grid, save_image

from gantrain.run import files
from gantrain.run.directory import RunDirectory


class Records:
    """Writes a run's scalars and pictures. A full disk costs records and one warning, never the run.

    Args:
        run: the run's directory; it is told of records that are lost.
        step: where the run goes on (0 for a new one); records of later steps, left by a killed run, are dropped.
        limits: for points, the half-width of the square to draw; unused for images.

    Raises:
        OSError: on opening, if the directory cannot be written at all.
    """

    def __init__(self, run: RunDirectory, step: int, limits: float = 1.0) -> None:
        folder = run.path
        self.run, self.samples, self.limits = run, folder / "samples", limits
        self.samples.mkdir(parents=True, exist_ok=True)
        drop_lines_after(run, step)
        self._lines = files.Lines(run.metrics_file)
        # Also a run that was killed before its first checkpoint starts again with old events in the folder.
        purge = (step + 1 if step else 0) if (folder / "tb").exists() else None
        self._board: SummaryWriter | None = SummaryWriter(str(folder / "tb"), purge_step=purge)
        self._session_end: Any = None

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Append one line to metrics.jsonl, at once visible to others, and the same values to TensorBoard.

        Values that are not finite are left out: JSON has no word for them.
        """
        values = {tag: value for tag, value in values.items() if math.isfinite(value)}
        with self._forgiven():
            self._lines.append(json.dumps({"step": step} | values))
        for tag, value in values.items():
            self._on_board(partial(SummaryWriter.add_scalar, tag=tag, scalar_value=value, global_step=step))

    def picture(self, tag: str, step: int, samples: Tensor, file: str | None = None) -> None:
        """Draw images (N, C, H, W) in [-1, 1] or points (N, 1) or (N, 2), as ``image`` does."""
        self.image(tag, step, draw_images(samples) if samples.ndim == 4 else draw_points(samples, self.limits), file)

    def pairs(self, tag: str, step: int, pairs: Tensor) -> None:
        """Draw pairs of images (2, n, C, H, W) uint8, the second of each below the first, into a PNG too."""
        self.image(tag, step, draw_pairs(pairs), f"nearest-step-{step:09d}.png")

    def image(self, tag: str, step: int, drawn: Tensor, file: str | None = None) -> None:
        """Put a picture (3, h, w) in [0, 1] into TensorBoard and, if ``file`` is given, into a PNG."""
        self._on_board(lambda board: board.add_image(tag, drawn, step))
        if file is not None:
            with self._forgiven():
                save_image(drawn, self.samples / file)

    def hyperparameters(self, choices: Mapping[str, str | int | float | bool], metrics: list[str]) -> None:
        """Tell TensorBoard's HParams tab this run's choices and which scalars to show beside them."""
        experiment, start, self._session_end = hparams(dict(choices), dict.fromkeys(metrics, 0.0))
        self._on_board(lambda board: [board._get_file_writer().add_summary(s) for s in (experiment, start)])

    def flush(self) -> None:
        """Force the metrics to disk, hand TensorBoard's events over, and open their file again if it had failed."""
        with self._forgiven():
            files.sync(self.run.metrics_file)
            if self._board is None:
                self._board = SummaryWriter(str(self.run.path / "tb"))
        self._on_board(SummaryWriter.flush)

    def __enter__(self) -> Records:
        self._hook = threading.excepthook
        threading.excepthook = self._thread_failed
        return self

    def __exit__(self, *error: object) -> None:
        """Finish the files."""
        if self._session_end is not None:
            self._on_board(lambda board: board._get_file_writer().add_summary(self._session_end))
        self._on_board(SummaryWriter.close)
        self._lines.close()
        threading.excepthook = self._hook

    @contextmanager
    def _forgiven(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.run.lost_a_record(error)

    def _on_board(self, action: Callable[[SummaryWriter], object]) -> None:
        board, self._board = self._board, None
        with self._forgiven():
            if board is not None:
                action(board)
                self._board = board  # after a failure its file may end within a record; the next flush opens another

    def _thread_failed(self, failure: threading.ExceptHookArgs) -> None:
        # TensorBoard's writing thread ends on a full disk and raises in ours at the next call; no traceback as well.
        if not isinstance(failure.exc_value, OSError):
            self._hook(failure)


def drop_lines_after(run: RunDirectory, step: int) -> None:
    """Keep the complete lines of metrics.jsonl up to ``step``: a killed run leaves later ones, and a torn last one."""
    kept = "".join(json.dumps(line) + "\n" for line in run.metrics() if line["step"] <= step)
    if run.metrics_file.exists() and kept.encode() != run.metrics_file.read_bytes():
        files.write_durably(run.metrics_file, kept)


def draw_images(images: Tensor, columns: int | None = None) -> Tensor:
    """Return images (N, C, H, W) in [-1, 1] as one RGB grid (3, h, w) in [0, 1], small images enlarged to be seen.

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
