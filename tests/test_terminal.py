"""What is printed while something lasts, whose line it is, and that no line breaks in the middle of a word."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import pytest

from gantrain import terminal
from gantrain.terminal import Progress, each, fitting, fold, folded, job, named, say
from tests.conftest import GUARD


class Screen(io.StringIO):
    """A terminal as far as a program asks."""

    def isatty(self) -> bool:
        return True


@contextmanager
def screen() -> Iterator[Screen]:
    """A terminal of 80 columns in place of both streams."""
    shown = Screen()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(shown), redirect_stderr(shown):
        patch.setenv("COLUMNS", "80")
        yield shown


def played(total: int = 3, done: int = 1) -> None:
    with Progress(total, done) as progress:
        for step in range(done, total):
            progress.update()
            progress.note(f"d={step}.500")


def test_without_a_terminal_progress_is_a_plain_line_for_every_note(capsys: pytest.CaptureFixture[str]) -> None:
    played(total=1200, done=1198)
    err = capsys.readouterr().err
    assert "\r" not in err
    first, second = err.splitlines()
    assert re.fullmatch(r"step 1,199 of 1,200, \d\d:\d\d left, d=1198\.500", first), first
    assert second == "step 1,200 of 1,200, 00:00 left, d=1199.500"


def test_on_a_terminal_progress_is_one_bar() -> None:
    with screen() as shown:
        played()
    text = shown.getvalue()
    assert "3/3" in text and "d=2.500" in text and " of 3" not in text
    assert text.count("\n") == 1  # where it ends


def test_the_time_left_is_that_of_the_steps_left_at_the_speed_since_this_process_began(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter([100.0, 110.0])
    monkeypatch.setattr(terminal.time, "monotonic", lambda: next(moments))
    with Progress(1000, 500) as progress:
        for _ in range(5):
            progress.update()
        progress.note("")
    # 5 steps in 10 s; 495 are left: 990 s
    assert "16:30 left" in capsys.readouterr().err


@pytest.mark.parametrize(("seconds", "text"), [(0, "00:00"), (59.6, "01:00"), (3599, "59:59"), (36_065, "10:01:05")])
def test_a_time_is_written_as_on_a_clock(seconds: float, text: str) -> None:
    assert terminal.clock(seconds) == text


def test_every_line_of_a_job_says_whose_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    with job("seed=3", shared=False):
        terminal.call_job("ring/mlp/hinge/seed3")
        played()
        say("something")
        assert named("an error") == "ring/mlp/hinge/seed3: an error"
    *lines, warning = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and all(line.startswith("ring/mlp/hinge/seed3: step ") for line in lines)
    assert warning == "gantrain: warning: ring/mlp/hinge/seed3: something"
    assert named("an error") == "an error"  # after the job


def test_the_bar_of_a_job_bears_its_name() -> None:
    with screen() as shown, job("ring/mlp/hinge/seed3", shared=False):
        played()
    assert shown.getvalue().lstrip("\r").startswith("ring/mlp/hinge/seed3: ")


@pytest.mark.parametrize(
    "name", ["hinge/seed3", "ring/mlp/hinge/seed3-0123abcd", f"ring/mlp/{30 * 'x'}/seed3-0123abcd"]
)
def test_a_bar_ends_with_a_whole_word(name: str) -> None:
    with screen() as shown, job(name, shared=False), Progress(10_000, 9_999) as progress:
        progress.update()
        progress.note("d=1.234 g=-5.678, 62,345 images/s")
    last = shown.getvalue().rstrip("\n").split("\r")[-1]
    assert len(last) <= 80 and re.search(r" left(, d=1\.234 g=-5\.678(, 62,345 images/s)?)?$", last), last
    assert re.match(r"(hinge/seed3|ring/mlp/hinge/seed3-0123abcd|…/seed3-0123abcd): ", last), last


def test_parts_of_a_note_that_do_not_fit_are_left_out() -> None:
    assert [fitting("d=1 g=2, 62,345 images/s", room) for room in (24, 23, 7, 6)] == [
        *("d=1 g=2, 62,345 images/s", "d=1 g=2", "d=1 g=2", ""),
    ]


def test_jobs_of_several_processes_on_one_terminal_write_lines_and_no_bars() -> None:
    with screen() as shown, job("ring/mlp/hinge/seed3", shared=True):
        played()
        assert list(each("ab", "reading", "letter")) == ["a", "b"]
    assert "\r" not in shown.getvalue()
    assert [line.split(", ")[0] for line in shown.getvalue().splitlines()] == [
        "ring/mlp/hinge/seed3: step 2 of 3",
        "ring/mlp/hinge/seed3: step 3 of 3",
    ]


def test_what_lasts_long_without_a_terminal_tells_how_far_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "SECONDS", 0.0)
    assert list(each(iter("abc"), "reading images", "image", 1200)) == ["a", "b", "c"]
    assert capsys.readouterr().err.splitlines() == [f"reading images: image {k} of 1,200" for k in range(3)]


ROW = f"performance   channels last off (no convolutions), {'one forward on, ' * 8}cuda graphs off (needs a GPU)"


def test_a_row_that_is_too_long_goes_on_below_its_text() -> None:
    with screen():
        first, *others = folded(ROW).split("\n")
    assert first.startswith("performance   channels") and others
    assert all(line.startswith(" " * 14) and line[14] != " " for line in others)
    assert all(len(line) <= 80 for line in (first, *others))
    assert " ".join([first, *(line.strip() for line in others)]) == ROW  # no word is broken or lost


def test_lines_that_fit_and_lines_for_a_file_stay_as_they_are() -> None:
    with screen():
        assert folded(f"{ROW[:80]}\n\n  b") == f"{ROW[:80]}\n\n  b"
        assert folded(ROW, io.StringIO()) == ROW


def test_a_word_wider_than_the_terminal_stays_whole() -> None:
    path = "outputs/" + 100 * "a"
    assert fold(f"samples       {path}", 80).split("\n")[-1].strip() == path


COMMANDS = ("train", "eval", "sample", "export", "theory", "status", "report", "recipe")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_fits_into_80_columns(command: str) -> None:
    ours, theirs = pty.openpty()
    done = subprocess.Popen(
        [sys.executable, "-c", f"from gantrain.cli.{command} import main; main()", "--help"],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"COLUMNS": "80"},
    )
    os.close(theirs)
    text = b""
    while part := read(ours):
        text += part
    os.close(ours)
    assert done.wait(GUARD) == 0, text
    lines = text.decode().splitlines()
    assert len(lines) > 8 and [line for line in lines if len(line) > 80] == []


def read(terminal: int) -> bytes:
    """Return what comes next; nothing once the other end is closed, which Linux reports as an error."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""
