"""The report: what stands in one table, what is told, and what is refused."""

from __future__ import annotations

import csv
import io
import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gantrain.reports.runs import find
from tests.conftest import GUARD
from tests.reports.conftest import Command, left, sweep


def rows_of(markdown: str, title: str) -> list[list[str]]:
    block = markdown.split(f"### {title}")[1].split("###")[0]
    lines = [line for line in block.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "---" not in line]


def test_losses_are_ranked_with_their_spread_and_differences(report: Command, tmp_path: Path) -> None:
    sweep(tmp_path / "outputs")
    outcome = report("outputs", "out=r.html")
    assert outcome.exit_code == 0 and "hinge" in outcome.out.splitlines()[1], outcome.err
    text = (tmp_path / "r.md").read_text()
    head, *rows = rows_of(text, "Ranking by fid, final")
    assert head[1:3] == ["rank", "n"]
    assert [" ".join(row[:4]) for row in rows] == [
        "hinge 1 3 2.233 ± 0.25",
        "vanilla 2 3 3.1 ± 0.26",
        "wgan_gp 3 3 4.8 ± 2.3",
    ]
    pairs = {row[0]: row[1:] for row in rows_of(text, "Differences, paired by seed")[1:]}
    assert pairs["hinge − vanilla"] == ["3", "-0.8667", "[-1.246, -0.4872]", "3 of 3"]
    assert pairs["vanilla − wgan_gp"][3] == "2 of 3"
    chances = {row[0]: row[1:] for row in rows_of(text, "Probability that the row beats the column")[1:]}
    assert chances["hinge"][1].startswith("1.00") and chances["wgan_gp"][0].startswith("0.11")
    best = {row[0]: row[1:] for row in rows_of(text, "Best, final and last 5")[1:]}
    assert best["hinge"][0].startswith("2.01 ±") and best["hinge"][2].startswith("4.467 ±")
    cost = {row[0]: row[1:] for row in rows_of(text, "What it cost, a run")[1:]}
    assert cost["hinge"] == ["400", "25,600", "11 ± 1", "1 ± 0", "0.4", "1 ± 0"]
    assert "400 updates of D each" in text and "classifier aaaa1111: 1,797 of the averaged generator" in text


def test_the_best_is_marked_where_it_is_separated_and_else_it_is_said_how_many_seeds_it_takes(
    report: Command, tmp_path: Path
) -> None:
    for loss, fids in {"near": (3.0, 3.4, 2.9), "best": (2.0, 2.5, 2.2), "far": (5.0, 5.4, 4.8)}.items():
        for seed, fid in enumerate(fids):
            left(tmp_path / "clear", loss, seed, fid)
            left(tmp_path / "one", loss, seed, fid) if seed == 0 else None
    outcome = report("clear", "out=clear.html")
    said = "best is best by fid: its difference from every other, paired by seed, leaves out 0."
    assert said in outcome.out and said in (tmp_path / "clear.md").read_text()
    page = (tmp_path / "clear.html").read_text()
    assert f'<p class="verdict">{said}</p>' in page and page.count('<td class="first"') == 2  # in two tables
    sweep(tmp_path / "outputs")  # wgan_gp is sometimes far, sometimes near
    report("outputs", "out=r.html")
    said = "By fid, hinge ranks first but is not separable from wgan_gp with 3 seeds: the difference is "
    text = (tmp_path / "r.md").read_text()
    # Differences of -3, 0.1 and -4.8: 2.567 ± 2.479. With 7 seeds 2.447 · 2.479 / √7 = 2.293 < 2.567, with 6 2.602.
    assert said in text and "; about 7 would be needed" in text
    assert 'class="first"' not in (tmp_path / "r.html").read_text()
    report("one", "out=one.html")
    one = (tmp_path / "one.html").read_text()
    assert "with 1 seed in common; two or more are needed" in one and 'class="first"' not in one and ">IQM<" not in one
    left(tmp_path / "outputs", "hinge", 3, 2.1)
    report("outputs", "out=r.html")
    head, first, *_ = rows_of((tmp_path / "r.md").read_text(), "Ranking")
    assert head[5] == "IQM" and first[5] == "2.15"  # of 2, 2.1, 2.2 and 2.5 the middle two


def test_in_a_terminal_of_80_columns_no_word_of_a_report_is_broken(
    report: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed, fid in enumerate((2.0, 2.5, 2.2)):
        left(tmp_path / "outputs", "a_loss_with_a_very_long_name", seed, fid)
        left(tmp_path / "outputs", "hinge", seed, fid + 0.1 * seed)
    plain = report("outputs").out
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda self: True)
    folded = report("outputs").out
    assert max(map(len, plain.splitlines())) > 120 and max(map(len, folded.splitlines())) <= 80
    assert folded.split() == plain.split()


def test_the_terminal_says_of_how_many_it_lists_ten(report: Command, tmp_path: Path) -> None:
    for k in range(12):
        left(tmp_path / "outputs", f"loss{k}", 0, 1.0 + k)
    outcome = report("outputs")
    assert "(10 of 12)" in outcome.out and "loss9" in outcome.out and "loss10" not in outcome.out


def test_the_metric_and_what_it_is_taken_of_can_be_chosen(report: Command, tmp_path: Path) -> None:
    sweep(tmp_path / "outputs")
    assert report("outputs", "out=r.html", "metric=recall", "of=best").exit_code == 0
    assert "### Ranking by recall, best checkpoint" in (tmp_path / "r.md").read_text()
    assert report("outputs", "metric=w2").exit_code == 2


@pytest.mark.parametrize(
    "other",
    [
        {"data": "60,000 images 3×32×32 (def)"},
        {"protocol": "bbbb2222"},
        {"budget": {"of": "d_updates", "amount": 800.0}},
        {"budget": {"of": "steps", "amount": 400.0}},
    ],
)
def test_runs_of_another_kind_never_stand_in_the_same_table(report: Command, tmp_path: Path, other: dict) -> None:
    sweep(tmp_path / "outputs")
    left(tmp_path / "outputs", "lsgan", 0, 0.1, **other)
    assert report("outputs", "out=r.html").exit_code == 0
    parts = (tmp_path / "r.md").read_text().split("### Ranking")[1:]
    tables = [rows_of(f"### Ranking{part}", "Ranking")[1:] for part in parts]
    assert sorted([row[0] for row in rows] for rows in tables) == [["hinge", "vanilla", "wgan_gp"], ["lsgan"]]
    assert "2 kinds" in (tmp_path / "r.html").read_text()


def test_settings_tell_variants_apart_and_seeds_do_not(report: Command, tmp_path: Path) -> None:
    for seed, lr in itertools.product((0, 1), ("1e-3", "1e-4")):
        left(tmp_path / lr, "hinge", seed, 2.0 + seed, overrides=[f"optimizer.g.lr={lr}"], variant=f"v{lr}")
    assert report("1e-3", "1e-4", "out=r.html").exit_code == 0
    rows = rows_of((tmp_path / "r.md").read_text(), "Ranking")[1:]
    assert {(row[0], row[2]) for row in rows} == {("optimizer.g.lr=1e-3", "2"), ("optimizer.g.lr=1e-4", "2")}


def test_divergence_collapse_and_what_did_not_finish_are_counted_and_told(report: Command, tmp_path: Path) -> None:
    sweep(tmp_path / "outputs")
    left(tmp_path / "outputs", "hinge", 3, 9.0, coverage=0.05)
    left(tmp_path / "outputs", "hinge", 4, None, state="diverged", reason="g/adversarial is nan at step 37", step=37)
    left(tmp_path / "outputs", "hinge", 5, 4.0, state="running")  # and no process holds its lock
    refused = {"sweep": "s", "job": 3, "overrides": ["loss=r1", "seed=0"], "run": None, "state": "refused"}
    line = json.dumps(refused | {"reason": "norm=batch"})
    (tmp_path / "outputs" / "sweep.jsonl").write_text(line + "\n{torn")
    assert report("outputs", "out=r.html").exit_code == 0
    text = (tmp_path / "r.md").read_text()
    hinge = next(row for row in rows_of(text, "Ranking")[1:] if row[0] == "hinge")
    assert hinge[2] == "4"
    assert hinge[-3:] == [
        "1 of 4",
        "1 of 5",
        "1 of 6",
    ]  # collapsed of the finished, diverged of the ended, killed of all
    states = {row[1]: row[3] for row in rows_of(text, "Runs that did not finish")[1:]}
    assert states == {"diverged": "g/adversarial is nan at step 37", "killed": "–"}
    assert "loss=r1 seed=0: norm=batch" in text and "loss=r1 seed=0: norm=batch" in (tmp_path / "r.html").read_text()


def test_a_seed_that_was_trained_twice_counts_once_and_is_told(report: Command, tmp_path: Path) -> None:
    sweep(tmp_path / "outputs")
    left(tmp_path / "again", "hinge", 1, 2.5)
    assert report("outputs", "again", "out=r.html").exit_code == 0
    text = (tmp_path / "r.md").read_text()
    assert rows_of(text, "Ranking")[1][:4] == ["hinge", "1", "3", "2.233 ± 0.25"]
    assert "hinge: seed 1 finished more than once" in text


def test_a_copy_of_a_run_counts_nowhere_twice_and_seeds_measured_at_other_steps_still_make_a_curve(
    tmp_path: Path,
) -> None:
    from gantrain.reports.comparison import Variant

    runs = []
    for seed, steps in enumerate(((100, 200, 400), (110, 220, 400), (100, 190, 400))):
        folder = left(tmp_path / "outputs", "hinge", seed, 2.0, budget={"of": "seconds", "amount": 10.0})
        lines = [json.dumps({"step": s, "eval_classifier_aaaa1111/fid": 400.0 / s + seed}) for s in steps[:2]]
        (folder / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines))
    shutil.copytree(tmp_path / "outputs", tmp_path / "copy")
    runs, _ = find([str(tmp_path / "outputs"), str(tmp_path / "copy")])
    variant = Variant("hinge", tuple(runs))
    assert len(runs) == 6 and len(variant.finished) == 3 and variant.repeated == [0, 1, 2]
    assert variant.rate("diverged") == (0, 3) and variant.collapses() == (0, 3)
    points = variant.curve("fid", "seconds")
    assert len(points) == 2 and all(low <= mean <= high for _, mean, low, high in points)
    assert points[0][0] == pytest.approx(110 / 400 * 11) and points[-1][1] < points[0][1]


def test_a_metric_that_some_runs_lack_leaves_them_out_by_name(report: Command, tmp_path: Path) -> None:
    sweep(tmp_path / "outputs")
    lacking = left(tmp_path / "outputs", "lsgan", 0, 0.1, protocol="bbbb2222")
    evaluation = json.loads((lacking / "evaluation.json").read_text())
    for part in ("best", "final", "median_of_last_5"):
        del evaluation[part]["recall"]
    (lacking / "evaluation.json").write_text(json.dumps(evaluation))
    assert report("outputs", "out=r.html", "metric=recall").exit_code == 0
    assert "lsgan/seed0: finished, not measured by recall" in (tmp_path / "r.md").read_text()


def test_files_that_are_no_report_are_not_replaced(report: Command, tmp_path: Path) -> None:
    sweep(tmp_path / "outputs")
    (tmp_path / "notes.md").write_text("mine")
    outcome = report("outputs", "out=notes.html")
    assert outcome.exit_code == 2 and "notes.md is there and no report" in outcome.err
    assert (tmp_path / "notes.md").read_text() == "mine" and not (tmp_path / "notes.html").exists()
    assert report("outputs", "out=r.html").exit_code == report("outputs", "out=r.html").exit_code == 0


@pytest.mark.parametrize(
    ("file", "change", "named"),
    [
        ("evaluation.json", lambda found: found["protocol"].pop("hash"), "evaluation.json is damaged (protocol.hash"),
        ("evaluation.json", lambda found: found.update(final=[1]), "evaluation.json is damaged"),
        ("status.json", lambda found: found["budget"].update(of="epochs"), "status.json is damaged"),
        ("status.json", lambda found: found.update(cost={"flops": "many"}), "status.json is damaged"),
    ],
)
def test_a_damaged_file_is_named(report: Command, tmp_path: Path, file: str, change: Callable, named: str) -> None:
    sweep(tmp_path / "outputs")
    path = left(tmp_path / "outputs", "lsgan", 0, 1.0) / file
    found = json.loads(path.read_text())
    change(found)
    path.write_text(json.dumps(found))
    assert report("outputs", "out=r.html").exit_code == 0
    assert f"lsgan/seed0: {named}" in (tmp_path / "r.md").read_text()


def test_the_csv_has_a_row_per_run_with_every_value(report: Command, tmp_path: Path) -> None:
    sweep(tmp_path / "outputs")
    left(tmp_path / "outputs", "lsgan", 0, None, state="failed", reason="a bug")
    assert report("outputs", "out=deep/r.html").exit_code == 0
    rows = list(csv.DictReader(io.StringIO((tmp_path / "deep" / "r.csv").read_text())))
    assert len(rows) == 10
    first = next(row for row in rows if row["loss"] == "hinge" and row["seed"] == "1")
    assert (first["data"], first["architecture"], first["status"]) == ("digits", "dcgan", "finished")
    assert (float(first["final_fid"]), float(first["best_fid"]), float(first["median_of_last_5_fid"])) == (2.5, 2.25, 5)
    assert float(first["seconds"]) == 12 and first["images"] == "25600" and float(first["flops"]) == 4e11
    assert first["protocol"] == "aaaa1111" and first["budget"] == "400 updates of D"
    assert next(row for row in rows if row["loss"] == "lsgan")["final_fid"] == ""


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["nowhere"], "nowhere is not a folder"),
        (["empty"], "no run is there"),
        (["outputs", "output=x"], "output is not a setting"),
        (["outputs", "out=r.pdf"], "must end in .html"),
        (["outputs", "metric=beauty"], "metric=beauty"),
        (["outputs", "of=worst"], "of must be one of"),
        (["out=r.html"], "name a folder"),
        (["unmeasured"], "no run has been measured"),
        (["outputs", "out=/proc/none/r.html"], "cannot be written"),
    ],
)
def test_a_wrong_request_gets_one_line(report: Command, tmp_path: Path, arguments: list[str], named: str) -> None:
    (tmp_path / "empty").mkdir()
    left(tmp_path / "outputs", "hinge", 0, 2.0)
    left(tmp_path / "unmeasured", "hinge", 0, None, state="failed", reason="a bug")
    outcome = report(*arguments)
    assert outcome.exit_code != 0 and named in outcome.err and outcome.err.count("\n") == 1


def test_damaged_and_old_runs_are_named_and_left_out(report: Command, tmp_path: Path) -> None:
    sweep(tmp_path / "outputs")
    old, torn = left(tmp_path / "outputs", "old", 0, 1.0), left(tmp_path / "outputs", "torn", 0, 1.0)
    (old / "status.json").write_text('{"state": "finished", "step": 5}')
    (torn / "status.json").write_text('{"state": "fin')
    (left(tmp_path / "outputs", "half", 0, 1.0) / "evaluation.json").write_text("{")
    assert report("outputs", "out=r.html").exit_code == 0
    text = (tmp_path / "r.md").read_text()
    assert "old/seed0" in text and "torn/seed0" in text and "half/seed0" in text.split("## Left out")[1]
    assert [row[0] for row in rows_of(text, "Ranking")[1:]] == ["hinge", "vanilla", "wgan_gp"]


def test_the_same_runs_give_the_same_files(report: Command, tmp_path: Path) -> None:
    sweep(tmp_path / "outputs")
    for name in ("a", "b"):
        assert report("outputs", f"out={name}.html").exit_code == 0
    for kind in ("html", "md", "csv"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


def test_the_work_of_a_report_grows_no_faster_than_its_runs(report: Command, tmp_path: Path) -> None:
    def calls(losses: int) -> int:
        """Count the calls of functions, not the seconds, which are the machine's."""
        counted, rng = itertools.count(), np.random.default_rng(0)
        for k in range(losses):
            for seed in range(5):
                left(tmp_path / str(losses), f"loss{k}", seed, float(rng.gamma(4)), variant=f"v{k}")
        sys.setprofile(lambda frame, event, _: next(counted) if event.endswith("call") else None)
        try:
            assert report(str(losses), f"out={losses}.html").exit_code == 0
        finally:
            sys.setprofile(None)
        assert len((tmp_path / f"{losses}.csv").read_text().splitlines()) == 5 * losses + 1
        return next(counted)

    calls(3)  # what is imported and compiled at the first time
    few, many = calls(10), calls(40)
    assert many < 5 * few, (few, many)  # four times the runs, and some room


def test_reading_runs_needs_neither_torch_nor_hydra(tmp_path: Path) -> None:
    sweep(tmp_path / "outputs")
    code = (
        "import sys; sys.argv = ['gantrain-report', 'outputs']; from gantrain.cli.report import main; main(); "
        "assert not {'torch', 'matplotlib', 'scipy', 'hydra._internal.hydra'} & sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=GUARD)
    assert done.returncode == 0, done.stderr
    runs, unreadable = find([str(tmp_path / "outputs")])
    assert len(runs) == 9 and not unreadable and runs[0].curve[400]["fid"] == 2.0
