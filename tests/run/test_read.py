"""The reader of records: what is left out, what is named, and where it stops."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gantrain.errors import ConfigError, RecordError
from gantrain.run import files, forms, read
from gantrain.run.directory import RunDirectory
from gantrain.run.find import runs, trained


def test_values_that_are_no_finite_numbers_are_left_out_of_a_line(tmp_path: Path) -> None:
    text = ['{"step": 1, "a": null, "b": "x", "c": 1e999, "d": 2.5, "e": 3, "f": true, "g": [1]}', '{"step": -1}']
    (tmp_path / "metrics.jsonl").write_text("\n".join(text) + "\n")
    assert list(read.lines(tmp_path)) == [{"step": 1, "d": 2.5, "e": 3}]


def test_an_entry_of_the_wrong_form_is_named_and_the_others_stand(tmp_path: Path) -> None:
    (tmp_path / "status.json").write_text('{"state": "finished", "total_steps": "many", "step": 4}')
    values, damaged = read.status(tmp_path)
    assert values == {"state": "finished", "step": 4}
    assert damaged == f"{tmp_path}/status.json is damaged (total_steps is 'many', not a whole number)"


def test_settings_with_aliases_or_beyond_the_limits_are_refused(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    for text, said in (
        ("a: &x [1]\nb: *x\n", "aliases"),
        ("a: " + "[" * 40 + "]" * 40, "nested too deep"),
        ("a: !!set {1}\n", "type set"),
        ("? [1]\n: 2\n", "damaged"),
        ("a: !!int ''\n", "damaged"),
        ("a: !!bool maybe\n", "damaged"),
        ("x" * 2**19, "more than"),
    ):
        (tmp_path / "config.yaml").write_text(text)
        with pytest.raises(ConfigError, match=said):
            run.settings()
    (tmp_path / "config.yaml").write_text("a: 2020-01-01\nb: {1: [x, null, 0.5, true]}\n")
    assert run.settings() == {"a": "2020-01-01", "b": {1: ["x", None, 0.5, True]}}


def test_the_last_lines_are_found_at_the_end_and_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "TAIL", 100)
    trained = [{"step": k, "d/loss": 0.5} for k in range(1, 100)]
    measured = [{"step": k, "eval_x/fid": 2.0} for k in range(1, 100)]
    for lines, last in (
        ([*trained, measured[-1]], (trained[-1], measured[-1])),
        ([measured[3], *trained], (trained[-1], measured[3])),
        ([trained[3], *measured], (trained[3], measured[-1])),
        (trained, (trained[-1], {})),
        (measured, ({}, measured[-1])),
        ([], ({}, {})),
    ):
        (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in lines))
        assert read.last_lines(tmp_path) == last


def test_a_pipe_a_folder_a_link_and_what_is_too_large_are_named(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    plants = {
        "a pipe": lambda: os.mkfifo(path),
        "a folder": path.mkdir,
        "a link to nowhere": lambda: path.symlink_to("nowhere"),
        "more than 1,048,576 bytes": lambda: path.write_bytes(b" " * (2**20 + 1)),
    }
    for said, plant in plants.items():
        plant()
        with pytest.raises(RecordError, match=said):
            read.json_object(path)
        assert said in read.evaluation(tmp_path).damaged
        path.rmdir() if path.is_dir() else path.unlink()
    assert read.json_object(path) == {} and read.evaluation(tmp_path) == read.Evaluation()


def test_lists_and_objects_may_lie_in_each_other_only_so_deep() -> None:
    forms.check_depth({"a": [{"b": [1]}]}, 4)
    with pytest.raises(forms.Misfit, match="at most 3 deep"):
        forms.check_depth({"a": [{"b": [1]}]}, 3)
    for text in ('{"a": ' * 10 + "1" + "}" * 10, '{"a": {}}'):
        assert read.parsed(text)
    for text in ('{"a": ' * 99 + "1" + "}" * 99, "[" * 10**6, "[]", "1", '{"a": ' + "9" * 5000 + "}"):
        with pytest.raises(ValueError):
            read.parsed(text)


@pytest.mark.parametrize(
    ("form", "good", "bad"),
    [
        (forms.whole, (0, 2**62), (True, -1, 2**63, 1.0, "1", None)),
        (forms.number, (0, -1.5, 10**90), (True, float("nan"), float("inf"), 1e101, 10**400, "1", None)),
        (forms.reading, (0, float("inf")), (True, "1", None)),
        (forms.text, ("", "a"), (1, None, ["a"], "a" * 2**17)),
        (forms.scalar, (None, True, 1.5, "a"), ([], {})),
        (forms.list_of(forms.whole), ([], [1, 2]), ("ab", {}, [1, "a"])),
        (forms.by_name(forms.whole), ({}, {"a": 1}), ([], {"a": None}, {"a" * 300: 1})),
        (forms.maybe(forms.text), (None, "a"), (1,)),
        (forms.BUDGET, ({"of": "steps", "amount": None},), ({"of": "steps"}, {"of": 1, "amount": 2}, [])),
    ],
)
def test_a_form_takes_what_a_run_writes_and_nothing_else(form: forms.Form, good: tuple, bad: tuple) -> None:
    assert [form(value) for value in good] == list(good)
    for value in bad:
        with pytest.raises(forms.Misfit):
            form(value)


def test_a_misfit_says_where_it_is() -> None:
    found = {"cost": {"training_seconds": 1.0, "peak_memory_bytes": "all"}, "departures": [{"step": 1, "changed": 2}]}
    assert forms.fitted(found, forms.STATUS)[1] == "departures.0.changed is 2, not a text"
    assert forms.fitted({"cost": found["cost"]}, forms.STATUS) == (
        {},
        "cost.peak_memory_bytes is 'all', not a whole number",
    )
    assert forms.fitted({"budget": {"of": "steps"}}, forms.STATUS)[1] == "budget.amount is missing"
    assert forms.fitted({"step": {"a": "b" * 999}}, forms.STATUS)[1] == "step is an object, not a whole number"


def test_a_run_with_a_pipe_or_a_folder_in_a_file_s_place_is_found(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name / "checkpoints").mkdir(parents=True)
    os.mkfifo(tmp_path / "a" / "config.yaml")
    (tmp_path / "b" / "config.yaml").mkdir()
    (tmp_path / "c" / "status.json").mkdir()
    assert [path.name for path in runs(tmp_path)] == ["a", "b", "c"]
    assert [path.name for path in trained(tmp_path)] == ["a", "b"]


def test_a_linked_file_is_opened_only_where_links_are_allowed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "device").symlink_to("/dev/zero")
    assert files.whole(tmp_path / "link", 4, linked=True) == b"text"
    for call in (
        lambda: files.whole(tmp_path / "link", 4),
        lambda: files.whole(tmp_path / "file", 3),
        lambda: files.whole(tmp_path / "device", 4, linked=True),
    ):
        with pytest.raises(files.StrangeFileError):
            call()
