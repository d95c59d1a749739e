"""A finished run whose data have changed says so, and stays as it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gantrain.cli import changed
from tests.commands.conftest import Command
from tests.commands.test_signals import SMALL
from tests.conftest import until

TEXT = "a,b\n" + "".join(f"{k % 7},{k % 5}\n" for k in range(40))
TABLE = ("data=table", "data.root=mine.csv", *SMALL, "evaluation=none", "total_steps=2", "run.dir=run")


@pytest.fixture
def finished(gantrain: Command, tmp_path: Path) -> Path:
    """The folder of a finished run, whose data were written before it and lie in mine.csv."""
    (tmp_path / "mine.csv").write_text(TEXT)
    assert gantrain(*TABLE).exit_code == 0
    return tmp_path / "run"


def content(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Everything in a folder, and when it was written."""
    return {str(p): (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file()}


def test_changed_data_are_told_in_one_sentence_and_the_run_stays(finished: Path, gantrain: Command) -> None:
    before = content(finished)
    Path("mine.csv").write_text(TEXT.replace("3,4", "3,9"))
    for command in (TABLE, ("-m", *TABLE)):
        again = gantrain(*command)
        said = again.err.replace("\n", " ")
        assert again.exit_code == 0 and said.count("have changed since it was trained") == 1, again.err
        assert "remove it or choose another run.dir" in said and "40 rows of 2 columns" in said
    assert content(finished) == before


def test_the_same_numbers_written_anew_are_no_other_data(finished: Path, gantrain: Command) -> None:
    Path("mine.csv").write_text(TEXT)
    again = gantrain(*TABLE)
    assert again.exit_code == 0 and "is finished" in again.out and not again.err


def test_data_that_nobody_has_written_to_are_not_read_again(
    finished: Path, gantrain: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changed, "data_of", lambda cfg: pytest.fail("they were read"))
    assert gantrain(*TABLE).exit_code == 0
    Path("mine.csv").unlink()
    again = gantrain(*TABLE)
    assert again.exit_code == 0 and not again.err


def test_data_that_were_damaged_are_told_and_harm_nothing(finished: Path, gantrain: Command) -> None:
    Path("mine.csv").write_text("a,b\n1,2\nx,3\n")
    again = gantrain(*TABLE)
    said = again.err.replace("\n", " ")
    assert again.exit_code == 0 and "cannot be read now" in said and "has the text 'x'" in said


def test_what_is_written_deep_in_a_folder_or_moved_there_is_seen_and_links_end(tmp_path: Path) -> None:
    assert not list(changed.times(tmp_path / "top"))
    deep = tmp_path / "top" / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "round").symlink_to(tmp_path / "top")
    (deep / "nowhere").symlink_to("gone")
    for name in ("other", "clock.txt"):
        (tmp_path / name).write_text("x")
    os.utime(tmp_path / "other", (0, 0))  # what is moved keeps the time of its content
    before = max(changed.times(tmp_path / "top"))
    until(lambda: os.utime(tmp_path / "clock.txt") or (tmp_path / "clock.txt").stat().st_mtime > before)
    (tmp_path / "other").rename(deep / "other")
    assert (deep / "other").stat().st_mtime == 0 and max(changed.times(tmp_path / "top")) > before
