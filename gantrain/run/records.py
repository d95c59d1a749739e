"""What a run leaves to look at: metrics.jsonl (the durable record), TensorBoard, and pictures."""

from __future__ import annotations

import json
import math
import os
import secrets
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

from gantrain.kinds import Images, Kind, kind_of
from gantrain.kinds.images import draw_pairs
from gantrain.run import files
from gantrain.run.directory import RunDirectory
from gantrain.run.tags import BEST, NEAREST, described


class Records:
    """Writes a run's scalars and pictures. A full disk costs records and one warning, never the run.

    Args:
        run: the run's directory; it is told of records that are lost.
        step: where the run goes on (0 for a new one); records of later steps, left by a killed run, are dropped.
        real: real samples (n, *shape), float32; generated points are drawn above them and in their square.
        columns: of grids; None: as many as rows.
        kind: of the samples; None: the one of their shape.

    Raises:
        OSError: on opening, if the directory cannot be written at all.
    """

    def __init__(
        self,
        run: RunDirectory,
        step: int,
        real: Tensor | None = None,
        columns: int | None = None,
        kind: Kind | None = None,
    ) -> None:
        self.run, self.samples, self.real, self.columns, self.kind = run, run.path / "samples", real, columns, kind
        files.own_folder(self.samples)
        drop_lines_after(run, step)
        self._lines = files.Lines(run.metrics_file)
        if run.lock is not None:
            run.lock.watch(run.metrics_file, self._lines.fileno())
        events = events_folder(run)
        # Also a run that was killed before its first checkpoint starts again with old events in the folder.
        purge = (step + 1 if step else 0) if any(events.glob("events.out.tfevents.*")) else None
        self._board: SummaryWriter | None = board_in(events, purge)
        self._session_end: Any = None

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Append one line to metrics.jsonl, at once visible to others, and the same values to TensorBoard.

        Values that are not finite are left out: JSON has no word for them.

        Raises:
            RunInUseError, DiskError: if the run's folder or its records are no longer those that were opened.
        """
        self.run.check_place()
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
        """Draw samples (N, *shape) as their kind is drawn, as ``image`` does; pass over those that are not drawn."""
        kind = self.kind or kind_of(samples.shape[1:])
        if kind.undrawn(samples.shape[1:]) is None:
            self.image(tag, step, kind.draw(samples, self.real, self.columns), file)

    def preview(self, step: int) -> None:
        """Draw the real samples alone, as ``picture`` does, into ``real.png`` too."""
        if self.real is None:
            return
        kind = self.kind or kind_of(self.real.shape[1:])
        if kind.undrawn(self.real.shape[1:]) is None:
            self.image("samples/real", step, kind.preview(self.real, self.columns), "real.png")

    def pairs(self, protocol: str, step: int, pairs: Tensor) -> None:
        """Draw pairs of images (2, n, C, H, W) uint8, the second of each below the first; into a PNG too."""
        if Images().undrawn(pairs.shape[2:]) is None:
            self.image(f"{NEAREST}{protocol}", step, draw_pairs(pairs), f"nearest-step-{step:09d}.png")

    def image(self, tag: str, step: int, drawn: Tensor, file: str | None = None) -> None:
        """Put a picture (3, h, w) in [0, 1] into TensorBoard and, if ``file`` is given, into a PNG."""
        self.run.check_place()
        self._show("images", tag, step, board_summary.image(tag, drawn, dataformats="CHW"))
        if file is not None:
            with self._forgiven(), files.replacing(self.samples / file, inside=True) as picture:
                save_image(drawn, picture, format="png")

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
        """Force the metrics to disk, hand TensorBoard's events over, and open their file again if it had failed.

        Raises:
            RunInUseError, DiskError: if the run's folder or its records are no longer those that were opened.
        """
        self.run.check_place()
        with self._forgiven():
            os.fsync(self._lines.fileno())
            if self._board is None:
                self._board = board_in(events_folder(self.run))
        self._on_board(SummaryWriter.flush)

    def __enter__(self) -> Records:
        self._hook = threading.excepthook
        threading.excepthook = self._thread_failed
        return self

    def __exit__(self, *error: object) -> None:
        """Finish the files."""
        lock = self.run.lock
        if lock is None or lock.owns():  # TensorBoard opens its file anew each time, by name
            if self._session_end is not None:
                self._on_board(lambda board: board._get_file_writer().add_summary(self._session_end))
            self._on_board(SummaryWriter.close)
        if lock is not None:
            lock.forget(self.run.metrics_file)
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
    files.check_own(old, folder=True)
    return old if old.is_dir() else run.path


def board_in(folder: Path, purge_step: int | None = None) -> SummaryWriter:
    """Return a writer of TensorBoard's events into a new file, whose name nobody can guess and put a link at."""
    return SummaryWriter(str(folder), purge_step=purge_step, filename_suffix=f".{secrets.token_hex(4)}")


def drop_lines_after(run: RunDirectory, step: int) -> None:
    """Keep the complete lines of metrics.jsonl up to ``step``: a killed run leaves later ones, and a torn last one."""
    kept = "".join(json.dumps(line) + "\n" for line in run.metrics() if line["step"] <= step)
    if run.metrics_file.exists() and kept.encode() != files.content(run.metrics_file, len(kept.encode()) + 1):
        files.write_durably(run.metrics_file, kept)
