"""What a run leaves to look at: metrics.jsonl (the durable record), TensorBoard, and pictures."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tensorboard.data_compat import migrate_value
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard import summary as board_summary
from torchvision.utils import save_image

from gantrain.run import files
from gantrain.run.directory import RunDirectory
from gantrain.run.pictures import draw_images, draw_pairs, draw_points, half_width, undrawn
from gantrain.run.tags import BEST, NEAREST, described


class Records:
    """Writes a run's scalars and pictures. A full disk costs records and one warning, never the run.

    Args:
        run: the run's directory; it is told of records that are lost.
        step: where the run goes on (0 for a new one); records of later steps, left by a killed run, are dropped.
        real: real samples (n, *shape), float32; generated points are drawn above them and in their square.

    Raises:
        OSError: on opening, if the directory cannot be written at all.
    """

    def __init__(self, run: RunDirectory, step: int, real: Tensor | None = None) -> None:
        self.run, self.samples, self.real = run, run.path / "samples", real
        self.limits = half_width(real) if real is not None and real.ndim == 2 else 1.0
        self.samples.mkdir(parents=True, exist_ok=True)
        drop_lines_after(run, step)
        self._lines = files.Lines(run.metrics_file)
        events = events_folder(run)
        # Also a run that was killed before its first checkpoint starts again with old events in the folder.
        purge = (step + 1 if step else 0) if any(events.glob("events.out.tfevents.*")) else None
        self._board: SummaryWriter | None = SummaryWriter(str(events), purge_step=purge)
        self._session_end: Any = None

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Append one line to metrics.jsonl, at once visible to others, and the same values to TensorBoard.

        Values that are not finite are left out: JSON has no word for them.
        """
        values = {tag: value for tag, value in values.items() if math.isfinite(value)}
        with self._forgiven():
            self._lines.append(json.dumps({"step": step} | values))
        for tag, value in values.items():
            self._show("scalars", tag, step, board_summary.scalar(tag, value))

    def best(self, protocol: str, step: int, name: str, value: float) -> None:
        """Show TensorBoard the best value of a metric so far; metrics.jsonl has the values that it is the best of."""
        tag = f"{BEST}/{name}_{protocol}"
        self._show("scalars", tag, step, board_summary.scalar(tag, value))

    def picture(self, tag: str, step: int, samples: Tensor, file: str | None = None) -> None:
        """Draw images (N, C, H, W) in [-1, 1], or points (N, 1) or (N, 2) above real ones, as ``image`` does.

        Samples of other shapes, as ``undrawn`` tells, are passed over.
        """
        if undrawn(samples.shape[1:]) is None:
            points = samples.ndim == 2
            drawn = draw_points(samples, self.limits, real=self.real) if points else draw_images(samples)
            self.image(tag, step, drawn, file)

    def preview(self, step: int) -> None:
        """Draw the real samples alone, as ``picture`` does, into ``real.png`` too."""
        if self.real is not None:
            self.picture("samples/real", step, self.real[:0] if self.real.ndim == 2 else self.real, "real.png")

    def pairs(self, protocol: str, step: int, pairs: Tensor) -> None:
        """Draw pairs of images (2, n, C, H, W) uint8, the second of each below the first; into a PNG too."""
        if undrawn(pairs.shape[2:]) is None:
            self.image(f"{NEAREST}{protocol}", step, draw_pairs(pairs), f"nearest-step-{step:09d}.png")

    def image(self, tag: str, step: int, drawn: Tensor, file: str | None = None) -> None:
        """Put a picture (3, h, w) in [0, 1] into TensorBoard and, if ``file`` is given, into a PNG."""
        self._show("images", tag, step, board_summary.image(tag, drawn, dataformats="CHW"))
        if file is not None:
            with self._forgiven():
                save_image(drawn, self.samples / file)

    def text(self, tag: str, step: int, text: str) -> None:
        """Put lines of text into TensorBoard, in a font whose letters are equally wide."""
        code = "\n".join(f"    {line}" for line in text.splitlines())  # as markdown, which TensorBoard reads
        self._on_board(lambda board: board.add_text(tag, code, step))

    def hyperparameters(self, choices: Mapping[str, str | int | float | bool]) -> None:
        """Tell TensorBoard's HParams tab this run's choices.

        The summary that describes an experiment is left out: TensorBoard would take that of one run for all. Without it
        the columns are the choices of all runs, those that differ first, and every scalar can be shown beside them.
        """
        _, start, self._session_end = board_summary.hparams(dict(choices), {})
        self._on_board(lambda board: board._get_file_writer().add_summary(start))

    def _show(self, plugin: str, tag: str, step: int, summary: Any) -> None:
        metadata = summary.value[0].metadata
        metadata.summary_description = described(tag)
        metadata.plugin_data.plugin_name = plugin
        # TensorBoard's fast reader, the default, drops the description of values in torch's older form. Scalars keep
        # that form all the same: there are more programs that read it.
        if plugin == "images":
            summary.value[0].CopyFrom(migrate_value(summary.value[0]))
        self._on_board(lambda board: board._get_file_writer().add_summary(summary, step))

    def flush(self) -> None:
        """Force the metrics to disk, hand TensorBoard's events over, and open their file again if it had failed."""
        with self._forgiven():
            files.sync(self.run.metrics_file)
            if self._board is None:
                self._board = SummaryWriter(str(events_folder(self.run)))
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


def events_folder(run: RunDirectory) -> Path:
    """Return where TensorBoard's events lie: in the run's folder, so that TensorBoard calls the run by its path.

    A run that has begun to keep them in a folder ``tb``, as gantrain once did, goes on there.
    """
    old = run.path / "tb"
    return old if old.is_dir() else run.path


def drop_lines_after(run: RunDirectory, step: int) -> None:
    """Keep the complete lines of metrics.jsonl up to ``step``: a killed run leaves later ones, and a torn last one."""
    kept = "".join(json.dumps(line) + "\n" for line in run.metrics() if line["step"] <= step)
    if run.metrics_file.exists() and kept.encode() != run.metrics_file.read_bytes():
        files.write_durably(run.metrics_file, kept)
