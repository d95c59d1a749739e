"""The progress bar, warnings, and output streams that survive the loss of their reader."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from tqdm import tqdm


def bar(**options: Any) -> tqdm[Any]:
    """Return a tqdm bar on stderr: redrawn several times a second on a terminal, every 20 s elsewhere."""
    from tqdm import tqdm  # imported here, so that --help is quick

    return tqdm(dynamic_ncols=True, mininterval=0.2 if sys.stderr.isatty() else 20, **options)


class Unbreakable:
    """A stream whose reader may go away: its output is then dropped, and the program goes on."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write; ignore the error if the reader is gone."""
        with self._tolerant():
            self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush; ignore the error if the reader is gone."""
        with self._tolerant():
            self.stream.flush()

    @contextmanager
    def _tolerant(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            # The stream still holds the text, and would fail again when the interpreter ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def unbreakable() -> Iterator[None]:
    """Make stdout and stderr unbreakable inside the block: in ``gantrain | tee``, a Ctrl-C ends tee as well."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = Unbreakable(before[0]), Unbreakable(before[1])
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before


def say(text: str) -> None:
    """Print a warning on stderr, above the bar if one is shown."""
    from tqdm import tqdm

    tqdm.write(f"gantrain: warning: {text}", file=sys.stderr)
