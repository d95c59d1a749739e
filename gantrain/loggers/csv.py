"""metrics.csv in the run's folder, for spreadsheets and data frames."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from gantrain.loggers.interface import Facts, Logger
from gantrain.run import files

HEADER = ("step", "tag", "value")
MOST = 2**32
"""Bytes that are read of a file that a run goes on with."""


class Csv(Logger):
    """Writes ``metrics.csv``: a row for each value, with the columns step, tag and value.

    In this long form a file only grows by whole lines, whichever values come later: a table with a column for each tag
    would have to be written anew. ``pandas.read_csv(…).pivot(index="step", columns="tag", values="value")`` is that
    table. Rows of later steps than the one where a run goes on are dropped.
    """

    in_folder: ClassVar[bool] = True

    def begin(self, facts: Facts) -> None:
        """Open the file, and drop what a killed run has left."""
        self._facts, self._path = facts, facts.folder / "metrics.csv"
        self._lines: files.Lines | None = None
        kept = "".join(line(row) + "\n" for row in (HEADER, *rows(self._path, facts.step)))
        if not self._path.exists() or files.content(self._path, len(kept.encode()) + 1) != kept.encode():
            files.write_durably(self._path, kept)
        self._lines = files.Lines(self._path)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Append a row for each value."""
        if self._lines is not None and values:
            self._lines.append("\n".join(line((step, tag, value)) for tag, value in values.items()))

    def flush(self) -> None:
        """Open the file if that had failed."""
        if self._lines is None:
            self.begin(self._facts)

    def finish(self, state: str, reason: str) -> None:
        """Close the file."""
        if self._lines is not None:
            self._lines.close()


def rows(path: Path, step: int) -> Iterator[list[str]]:
    """Yield the whole rows of a metrics.csv up to a step, without its header; none of a file that is not there."""
    if not path.exists():
        return
    text = files.whole(path, MOST).decode(errors="replace")
    for row in csv.reader(io.StringIO(text[: text.rfind("\n") + 1])):
        if len(row) == len(HEADER) and row[0].isdigit() and int(row[0]) <= step:
            yield row


def line(row: Sequence[object]) -> str:
    """Return a row without the end of its line; a tag with a comma stands in quotes."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(row)
    return text.getvalue()
