"""One rule of what a run is, for every command that looks for runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from gantrain.run import find
from tests.conftest import Outcome, command

Command = Callable[..., Outcome]


def made(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


def test_runs_are_found_in_order_whatever_they_lack_but_one_sign(tmp_path: Path) -> None:
    killed_early = made(tmp_path / "b" / "killed", status_json="{}")
    without_status = made(tmp_path / "a" / "copied", config_yaml="seed: 0\n")
    (without_status / "checkpoints").mkdir()
    made(tmp_path / "c" / "notes", config_yaml="seed: 0\n")  # settings alone are no run
    assert list(find.runs(tmp_path)) == [without_status, killed_early]
    assert list(find.runs(killed_early)) == [killed_early]
    assert list(find.trained(tmp_path)) == [without_status]


def test_what_lies_in_a_run_is_no_run_of_its_own(tmp_path: Path) -> None:
    run = made(tmp_path / "run", status_json="{}", config_yaml="seed: 0\n")
    (run / "checkpoints").mkdir()
    made(run / "export", status_json="{}")
    assert list(find.runs(tmp_path)) == [run]


def test_a_run_below_a_folder_with_a_status_alone_is_found(tmp_path: Path) -> None:
    outer = made(tmp_path / "outer", status_json="{}")
    inner = made(outer / "inner", status_json="{}", config_yaml="seed: 0\n")
    (inner / "checkpoints").mkdir()
    assert list(find.runs(tmp_path)) == [outer, inner] and list(find.trained(tmp_path)) == [inner]


@pytest.mark.thorough
def test_a_study_of_theory_is_passed_over_by_every_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], gantrain: Command
) -> None:
    from gantrain.cli.eval import main as gantrain_eval
    from gantrain.cli.report import main as gantrain_report
    from gantrain.cli.status import main as gantrain_status
    from gantrain.cli.theory import main as gantrain_theory

    def run(main: Callable[[], None], name: str, *arguments: str) -> Outcome:
        (lent,) = [*command(main, name, tmp_path, monkeypatch, capsys)][:1] or [None]
        return lent(*arguments)

    small = ("total_steps=4", "device=cpu")
    assert run(gantrain_theory, "gantrain-theory", *small, "data=ring", "log.every=4").exit_code == 0
    tiny = (*small, "data=ring", "batch_size=16", "architecture.generator.width=4")
    assert gantrain(*tiny, "evaluation=points", "evaluation.n_fake=100").exit_code == 0
    (study,) = tmp_path.glob("outputs/theory/**/status.json")
    assert json.loads(study.read_text())["state"] == "finished"
    status = run(gantrain_status, "gantrain-status", "outputs")
    assert status.exit_code == 0 and len(status.out.splitlines()) == 1 and "theory" not in status.out
    report = run(gantrain_report, "gantrain-report", "outputs", "out=r.html")
    assert report.exit_code == 0 and "damaged" not in (tmp_path / "r.md").read_text(), report.err
    measured = run(gantrain_eval, "gantrain-eval", "run=outputs", "json=true")
    assert measured.exit_code == 0 and len(measured.out.splitlines()) == 1
    alone = run(gantrain_status, "gantrain-status", "outputs/theory")
    assert alone.exit_code == 2 and "holds no run" in alone.err
