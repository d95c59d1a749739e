"""TensorBoard's event files, in the run's folder."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from tensorboard.data_compat import migrate_value
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard import summary as board_summary

from gantrain.loggers.interface import Facts, Logger
from gantrain.run import files
from gantrain.run.tags import described


class TensorBoard(Logger):
    """Writes event files. After a failure of the disk they go on in another file at the next flush.

    Of a run that was killed, TensorBoard drops the values of later steps than the one where it goes on.
    """

    in_folder: ClassVar[bool] = True

    def begin(self, facts: Facts) -> None:
        """Begin a file of events."""
        self._session_end: Any = None
        self._board: SummaryWriter | None = None
        self._hook = threading.excepthook
        threading.excepthook = self._thread_failed
        self._folder = events_folder(facts.folder)
        # Also a run that was killed before its first checkpoint starts again with old events in the folder.
        old = any(self._folder.glob("events.out.tfevents.*"))
        self._board = board_in(self._folder, (facts.step + 1 if facts.step else 0) if old else None)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Show each value under its tag, with what it is."""
        for tag, value in values.items():
            self._show("scalars", tag, step, board_summary.scalar(tag, value))

    def image(self, tag: str, step: int, drawn: Tensor) -> None:
        """Show a picture, with what it is."""
        self._show("images", tag, step, board_summary.image(tag, drawn, dataformats="CHW"))

    def text(self, tag: str, step: int, text: str) -> None:
        """Show lines of text."""
        code = "\n".join(f"    {line}" for line in text.splitlines())  # as markdown, which TensorBoard reads
        self._on_board(lambda board: board.add_text(tag, code, step))

    def hyperparameters(self, choices: Mapping[str, str | int | float | bool]) -> None:
        """Tell the HParams tab this run's choices.

        The summary that describes an experiment is left out: TensorBoard would take that of one run for all. Without it
        the columns are the choices of all runs, those that differ first, and every scalar can be shown beside them.
        """
        _, start, self._session_end = board_summary.hparams(dict(choices), {})
        self._on_board(lambda board: board._get_file_writer().add_summary(start))

    def flush(self) -> None:
        """Hand the events over, and open their file again if it had failed."""
        if self._board is None:
            self._board = board_in(self._folder)
        self._on_board(SummaryWriter.flush)

    def finish(self, state: str, reason: str) -> None:
        """Finish the file."""
        try:
            if self._session_end is not None:
                self._on_board(lambda board: board._get_file_writer().add_summary(self._session_end))
            self._on_board(SummaryWriter.close)
        finally:
            threading.excepthook = self._hook

    def _show(self, plugin: str, tag: str, step: int, summary: Any) -> None:
        metadata = summary.value[0].metadata
        metadata.summary_description = described(tag)
        metadata.plugin_data.plugin_name = plugin
        # TensorBoard's fast reader, the default, drops the description of values in torch's older form. Scalars keep
        # that form all the same: there are more programs that read it.
        if plugin == "images":
            summary.value[0].CopyFrom(migrate_value(summary.value[0]))
        self._on_board(lambda board: board._get_file_writer().add_summary(summary, step))

    def _on_board(self, action: Callable[[SummaryWriter], object]) -> None:
        board, self._board = self._board, None
        if board is not None:
            action(board)
            self._board = board  # after a failure its file may end within a record; the next flush opens another

    def _thread_failed(self, failure: threading.ExceptHookArgs) -> None:
        # TensorBoard's writing thread ends on a full disk and raises in ours at the next call; no traceback as well.
        if not isinstance(failure.exc_value, OSError):
            self._hook(failure)


def events_folder(run: Path) -> Path:
    """Return where events lie: in the run's folder, so that TensorBoard calls the run by its path.

    A run that has begun to keep them in a folder ``tb``, as gantrain once did, goes on there.
    """
    old = run / "tb"
    files.check_own(old, folder=True)
    return old if old.is_dir() else run


def board_in(folder: Path, purge_step: int | None = None) -> SummaryWriter:
    """Return a writer of TensorBoard's events into a new file, whose name nobody can guess and put a link at."""
    return SummaryWriter(str(folder), purge_step=purge_step, filename_suffix=f".{secrets.token_hex(4)}")
