"""What runs remember of where they come from, and how they are found by what was said of them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gantrain.cli import origin
from gantrain.cli import report as report_command
from gantrain.cli import status as status_command
from gantrain.cli.picking import Picking
from gantrain.errors import ConfigError
from gantrain.run import git
from tests.conftest import Outcome, command
from tests.reports.conftest import left
from tests.run.test_git import WHO

Command = Callable[..., Outcome]
TINY = ("data=ring", "batch_size=8", "samples.every=0", "samples.count=4", "run.dir=run")


@pytest.fixture
def status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    yield from command(status_command.main, "gantrain-status", tmp_path, monkeypatch, capsys)


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    yield from command(report_command.main, "gantrain-report", tmp_path, monkeypatch, capsys)


def recorded(run: Path = Path("run")) -> dict:
    return json.loads((run / "status.json").read_text())


def commit(message: str) -> str:
    for arguments in (("init", "-q"), ("commit", "--allow-empty", "-qm", message)):
        subprocess.run(["git", *WHO, *arguments], check=True)
    found = git.commit(Path.cwd())
    assert found is not None
    return found


def test_a_run_remembers_commit_host_notes_and_tags_and_says_what_changes(gantrain: Command, status: Command) -> None:
    first = commit("first")
    notes = 'half the rate, "as in" ${oc.env:HOME}; 5 = 5'
    assert gantrain(*TINY, "total_steps=4", f"notes={notes}", "tags=[base,v2]").exit_code == 0
    found = recorded()
    assert found["commits"] == [{"step": 0, "commit": first, "dirty": False}] and found["host"]
    assert (found["notes"], found["tags"]) == (notes, ["base", "v2"])

    again = gantrain(*TINY, "total_steps=4", "tags=paper")  # finished: it is labelled, and nothing else changes
    assert again.exit_code == 0 and "run: tags were [base,v2] and are [paper] now" in again.err
    assert recorded() == found | {"tags": ["paper"]}

    second = commit("second")
    on = gantrain(*TINY, "total_steps=8", "notes=")
    said = f"went on at commit {second[:10]} from step 4; it was commit {first[:10]} before"
    assert on.exit_code == 0 and said in on.err and f'notes were "{notes}" and are "" now' in on.err
    found = recorded()
    assert [(entry["step"], entry["commit"]) for entry in found["commits"]] == [(0, first), (4, second)]
    assert (found["step"], found["notes"], found["tags"], found["departures"]) == (8, "", ["paper"], [])
    line = status("run").out
    assert f"commit {first[:10]}, went on at commit {second[:10]} from step 4, on {found['host']}, [paper]" in line

    quiet = gantrain(*TINY, "total_steps=8")
    assert quiet.exit_code == 0 and not quiet.err and recorded() == found


def test_a_commit_whose_steps_are_in_no_checkpoint_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = [{"step": step, "commit": letter * 40, "dirty": None} for step, letter in ((0, "a"), (20, "b"))]
    monkeypatch.setattr(git, "state", lambda folder: ("c" * 40, True))
    last = {"commit": "c" * 40, "dirty": True}
    assert origin.went_on(before, 30) == [*before, {"step": 30, **last}]
    assert origin.went_on(before, 20) == [before[0], {"step": 20, **last}]
    assert origin.went_on(before, 0) == origin.went_on([], 0) == [{"step": 0, **last}]
    monkeypatch.setattr(git, "state", lambda folder: ("b" * 40, None))
    assert origin.went_on(before, 30) == before


def test_notes_and_tags_of_a_wrong_form_are_refused_before_anything_is_written(gantrain: Command) -> None:
    for wrong, words in (
        ("tags=[a b]", "must be words without spaces, commas or brackets"),
        ("tags=a,b", "write tags=[a,b]"),
        (f"notes={'x' * 10_001}", "at most 10,000 characters"),
    ):
        outcome = gantrain(*TINY, "total_steps=4", wrong)
        assert outcome.exit_code == 2 and words in outcome.err and len(outcome.err.splitlines()) == 1, wrong
    assert not Path("run").exists()


def labelled(folder: Path, loss: str, seed: int, **labels: object) -> None:
    run = left(folder, loss, seed, 2.0 + seed)
    commits = [{"step": 0, "commit": "ab" * 20, "dirty": True}]
    (run / "status.json").write_text(json.dumps(recorded(run) | {"commits": commits, "host": "here"} | labels))


def test_status_shows_the_runs_that_have_all_tags_and_the_text_in_their_notes(status: Command, tmp_path: Path) -> None:
    labelled(tmp_path / "outputs", "hinge", 0, tags=["a", "b"], notes="Half the rate")
    labelled(tmp_path / "outputs", "hinge", 1, tags=["a"])
    left(tmp_path / "outputs", "hinge", 2, 2.0)  # of before
    for asked, seeds in ((("tags=[a]",), "01"), (("tags=[a,b]",), "0"), (("notes=half",), "0"), ((), "012")):
        outcome = status(*asked)
        assert outcome.exit_code == 0
        assert [line.split()[0][-1] for line in outcome.out.splitlines() if "finished" in line] == [*seeds], asked
    assert "   Half the rate" in status("outputs", "tags=b").out
    assert [json.loads(line)["host"] for line in status("--json", "tags=a", "notes=rate").out.splitlines()] == ["here"]
    for wrong, words in (
        ("tags=c", "none of 3 runs has tags=[c]"),
        ("tags=[]", "names no word"),
        ("host=here", "host is not a setting; there are tags and notes"),
    ):
        outcome = status(wrong)
        assert outcome.exit_code == 2 and words in outcome.err and len(outcome.err.splitlines()) == 1


def test_a_report_shows_and_picks_by_what_runs_remember(report: Command, tmp_path: Path) -> None:
    for seed in (0, 1):
        labelled(tmp_path / "outputs", "hinge", seed, tags=["a"], notes="<b>half</b> the rate")
        left(tmp_path / "outputs", "vanilla", seed, 3.0)
    assert report("outputs").exit_code == 0
    text = (tmp_path / "outputs" / "report.md").read_text()
    (row,) = [line for line in text.splitlines() if line.startswith("| hinge | commit")]
    assert row == "| hinge | commit ababababab with changes | here | a | \\<b>half\\</b> the rate |"
    assert "| vanilla | – | – | – | – |" in text and "&lt;b&gt;half" in (tmp_path / "outputs/report.html").read_text()
    assert report("outputs", "tags=[a]", "notes=HALF").exit_code == 0
    lines = (tmp_path / "outputs" / "report.csv").read_text().splitlines()
    assert len(lines) == 3 and all(",hinge," in line and "abab" in line for line in lines[1:])
    outcome = report("outputs", "tags=gone")
    assert outcome.exit_code == 2 and "none of 4 runs has tags=[gone]" in outcome.err


def test_damaged_origins_are_named_and_left_out(status: Command, tmp_path: Path) -> None:
    for k, wrong in enumerate(
        (
            {"commits": [{"step": 0, "commit": 5, "dirty": False}]},
            {"commits": [{"step": 0}]},
            {"tags": "abc"},
            {"notes": ["a"]},
            {"host": None},
        )
    ):
        labelled(tmp_path / f"outputs{k}", "hinge", 0, **wrong)
        outcome = status(f"outputs{k}")
        assert outcome.exit_code == 0 and f"is damaged ({next(iter(wrong))}" in outcome.out
    labelled(tmp_path / "evil", "hinge", 0, tags=["\x1b[2J"], notes="a\nb", host="\u202e")
    outcome = status("evil")
    assert "\\x1b[2J" in outcome.out and "a\\nb" in outcome.out and "on \\u202e" in outcome.out


def test_a_list_of_tags_may_be_written_without_brackets() -> None:
    assert Picking.of({"tags": "[a, 'b']"}) == Picking.of({"tags": "a,b"}) == Picking(("a", "b"))
    assert not Picking.of({}) and Picking.of({"notes": "x"})
    with pytest.raises(ConfigError, match="names no word"):
        Picking.of({"tags": ""})
