"""Progress, warnings, lines that fit the terminal, and output streams that outlive their reader and bear any letter."""

from __future__ import annotations

import codecs
import os
import re
import shutil
import sys
import textwrap
import time
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

from gantrain.errors import DiskError, GantrainError, first_line, masked, of_a_path

if TYPE_CHECKING:
    from tqdm import tqdm

T = TypeVar("T")
SECONDS = 20.0
"""Between two lines about something that has no log lines of its own, where there is no terminal."""
BAR = "{desc}{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}, {remaining} left{postfix}"
WIDEST_LABEL = 24
"""Columns: a continued line is indented below its text if the label before that is no wider."""

_name, _shared, _silent = "", False, False


@contextmanager
def job(name: str, shared: bool) -> Iterator[None]:
    """Put a name before every line about progress, warning and error inside the block.

    Args:
        name: of the job; "" where there is only one.
        shared: whether jobs of other processes may write to the same terminal; then there is no bar, because bars of
            several processes would overwrite each other.
    """
    global _name, _shared
    before = _name, _shared
    _name, _shared = name, shared
    try:
        yield
    finally:
        _name, _shared = before


def be_silent() -> None:
    """Say nothing from here on but errors: another process of the same run speaks."""
    global _silent
    _silent = True
    sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115


@contextmanager
def speaking_after() -> Iterator[None]:
    """After the block let this process speak as before, whether or not it fell silent inside."""
    global _silent
    before = _silent, sys.stdout
    try:
        yield
    finally:
        _silent, sys.stdout = before


def call_job(name: str) -> None:
    """Give the job another name, once a better one is known."""
    global _name
    _name = name


def named(text: str) -> str:
    """Return a text behind the name of the job it is about, if there are several."""
    return f"{_name}: {text}" if _name else text


def has_bar() -> bool:
    """Tell whether progress is a bar: in a notebook, and on a terminal that no other job writes to."""
    return (sys.stderr.isatty() or in_notebook()) and not _shared and not _silent


def in_notebook() -> bool:
    """Tell whether this process answers a notebook."""
    shell = sys.modules.get("IPython")
    return shell is not None and type(shell.get_ipython()).__name__ == "ZMQInteractiveShell"


def bars() -> Any:
    """Return tqdm, imported late, so that --help is quick; in a notebook the one that suits it."""
    if not in_notebook():
        from tqdm import tqdm

        return tqdm
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that ipywidgets is not there, without which the bar is text
        from tqdm.auto import tqdm as of_a_notebook

    return of_a_notebook


class Progress:
    """How many of ``total`` steps are done: a bar on a terminal, else a line for every note.

    Args:
        total: the steps; may be set anew on the way.
        done: those that were done before.
    """

    def __init__(self, total: int, done: int = 0) -> None:
        self.total = total
        self._done = self._first = done
        self._bar: tqdm[Any] | None = None

    def __enter__(self) -> Progress:
        self._began = time.monotonic()
        if has_bar():
            label = f"{shortened(_name, shutil.get_terminal_size().columns // 2)}: " if _name else ""
            self._bar = bars()(
                desc=label, total=self.total, initial=self._done, bar_format=BAR, dynamic_ncols=True, mininterval=0.2
            )
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()

    def update(self) -> None:
        """Count a step."""
        self._done += 1
        if self._bar is not None:
            self._bar.total = self.total
            self._bar.update()

    def note(self, text: str) -> None:
        """Show a text beside the steps: its place in the bar, or a line of its own."""
        if self._bar is not None:
            rest = len(f"{self._bar.desc}100%|bar| {self.total}/{self.total}, 0:00:00 left, ") + 1
            self._bar.set_postfix_str(fitting(text, shutil.get_terminal_size().columns - rest), refresh=False)
            return
        if _silent:
            return
        seconds = (time.monotonic() - self._began) / max(self._done - self._first, 1) * (self.total - self._done)
        line = f"step {self._done:,} of {self.total:,}, {clock(seconds)} left, {text}"
        print(folded(named(line), sys.stderr), file=sys.stderr, flush=True)


def shortened(path: str, room: int) -> str:
    """Return a path without as many of its first folders as it takes to need no more than ``room`` columns."""
    left = path
    while len(left) + 2 * (left != path) > room and "/" in left:
        left = left.partition("/")[2]
    return path if left == path else f"…/{left}"


def fitting(text: str, room: int) -> str:
    """Return as many of a text's parts, which commas divide, as ``room`` columns hold."""
    parts = text.split(", ")
    while parts and len(", ".join(parts)) > room:
        parts.pop()
    return ", ".join(parts)


def clock(seconds: float) -> str:
    """Return a time like 02:45 or 1:02:45."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


def each(things: Iterable[T], what: str, unit: str, total: int | None = None) -> Iterator[T]:
    """Yield things, telling how many are done if that takes long: a bar for the time being, or now and then a line."""
    if total is None:
        assert isinstance(things, Collection)
        total = len(things)
    if has_bar():
        yield from bars()(things, named(what), total, unit=unit, leave=False, delay=1, dynamic_ncols=True)
        return
    last = time.monotonic()
    for k, thing in enumerate(things):
        if time.monotonic() - last >= SECONDS and not _silent:
            last = time.monotonic()
            print(folded(named(f"{what}: {unit} {k:,} of {total:,}"), sys.stderr), file=sys.stderr, flush=True)
        yield thing


def folded(text: str, stream: TextIO | None = None) -> str:
    """Return a text to be printed: everything in it ``visible``, its lines broken at spaces where the terminal ends.

    The terminal is that behind a stream, stdout by default. Where there is none the lines stay as they are, and so does
    a word that is wider than the terminal.
    """
    text = visible_lines(text)
    if not (stream or sys.stdout).isatty():
        return text
    columns = shutil.get_terminal_size().columns
    return "\n".join(fold(line, columns) for line in text.split("\n"))


def fold(line: str, columns: int) -> str:
    """Return a line in several, what follows indented below the text behind a label like ``loss          hinge``."""
    if len(line) <= columns:
        return line
    label = re.match(r" *\S+(?: \S+)*? {2,}(?=\S)", line)
    indent = len(line) - len(line.lstrip()) + 2
    if label is not None and label.end() <= WIDEST_LABEL:
        indent = label.end()
    options: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False, "replace_whitespace": False}
    return "\n".join(textwrap.wrap(line, columns, subsequent_indent=" " * indent, **options))


UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
"""What moves a terminal's cursor, breaks a line, turns the direction of writing round, or is not to be seen at all."""


def visible(text: object) -> str:
    r"""Return a text from a file, from a file's name or from an error in one line in which everything can be seen.

    Control characters, line ends, marks of the direction of writing and the like become escapes as in Python:
    ``\x1b``, ``\n``, ``\u202e``. A stranger's text could otherwise rewrite what stands on the terminal. The password of
    a URL becomes ``***``.
    """
    return UNSEEN.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode(), masked(str(text)))


def visible_lines(text: str) -> str:
    """Return the lines of a text, each as ``visible`` gives it."""
    return "\n".join(visible(line) for line in text.split("\n"))


class Unbreakable:
    """A stream whose reader may go away: its output is then dropped, and the program goes on.

    Args:
        stream: the stream.
        folds: whether it breaks lines that are too long for the terminal, as ``folded`` does.
    """

    def __init__(self, stream: TextIO, folds: bool = False) -> None:
        self.stream, self.folds = stream, folds
        self.failure: OSError | None = None
        """The first error by which output was lost, but for a reader that had read enough, as in ``| head``."""

    def write(self, text: str) -> int:
        """Write; ignore the error if the reader is gone."""
        with self._tolerant():
            self.stream.write(folded(text, self.stream) if self.folds else text)
        return len(text)

    def flush(self) -> None:
        """Flush; ignore the error if the reader is gone."""
        with self._tolerant():
            self.stream.flush()

    @contextmanager
    def _tolerant(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if not isinstance(error, BrokenPipeError):
                self.failure = self.failure or error
            # The stream still holds the text, and would fail again when the interpreter ends.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


LOOKALIKES = {"×": "x", "–": "-", "—": "-", "…": "...", "→": "->", "↓": "v", "↑": "^", "±": "+-", "≤": "<=", "·": "."}
"""What stands for a character on a terminal that cannot show it; for all others an escape does, as in Python."""


def plainly(error: UnicodeError) -> tuple[str, int]:
    """Return what to write in place of characters that a stream cannot encode, and where to go on; for ``codecs``."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found = error.object[error.start : error.end]
    return "".join(LOOKALIKES.get(c) or c.encode("ascii", "backslashreplace").decode() for c in found), error.end


codecs.register_error("gantrain.plainly", plainly)


def bear_every_character() -> None:
    """Let stdout and stderr write a character that their encoding lacks (``LC_ALL=C``, latin-1) by a stand-in."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not those that a program has put in their place
            stream.reconfigure(errors="gantrain.plainly")


@contextmanager
def unbreakable(folds: bool = False) -> Iterator[None]:
    """Make stdout and stderr unbreakable inside the block: in ``gantrain | tee``, a Ctrl-C ends tee as well.

    Streams that the process was started without (``>&-``) write to nowhere, and characters that the terminal lacks are
    written by stand-ins.
    """
    open_streams()
    bear_every_character()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = Unbreakable(before[0], folds), Unbreakable(before[1])
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before


def open_streams() -> None:
    """Give the process the streams that it was started without; else the next file would get the number of one.

    Whatever writes to descriptor 2, as the handler of signals does, would write into that file.
    """
    for number, name, flags in ((0, "stdin", os.O_RDONLY), (1, "stdout", os.O_WRONLY), (2, "stderr", os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            if (nowhere := os.open(os.devnull, flags)) != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if number == 0 else "w"))  # noqa: PTH123, SIM115


def answered(work: Callable[[], int | None]) -> int:
    """Do the work of a command that prints what it finds, and return its exit code; an error becomes one line.

    A reader that had read enough, as in ``| head``, is no error.
    """
    with unbreakable():
        try:
            try:
                code = work() or 0
            except SystemExit as leaving:  # argparse, after its help or a mistake
                code = leaving.code if isinstance(leaving.code, int) else 1
            check_delivered(sys.stdout)
        except (GantrainError, OSError, RuntimeError) as error:
            said = error if isinstance(error, GantrainError) else of_a_path(error)
            if said is None:
                raise
            print(folded(f"gantrain: error: {visible(said)}", sys.stderr), file=sys.stderr)
            return said.exit_code
        return code


def check_delivered(stream: object) -> None:
    """Raise DiskError if a stream has lost output other than by a reader that had read enough."""
    if isinstance(stream, Unbreakable):
        stream.flush()
        if stream.failure is not None:
            failure, stream.failure = stream.failure, None
            raise DiskError(f"the output could not be written ({first_line(failure)})")


def say(text: str) -> None:
    """Print a warning on stderr, above the bar if one is shown."""
    if _silent:
        return
    from tqdm import tqdm

    tqdm.write(folded(f"gantrain: warning: {named(visible(text))}", sys.stderr), file=sys.stderr)


def tell(text: str) -> None:
    """Print on stderr what is being done, above the bar if one is shown."""
    from tqdm import tqdm

    tqdm.write(folded(named(visible(text)), sys.stderr), file=sys.stderr)
