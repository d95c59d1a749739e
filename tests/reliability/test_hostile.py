"""Folders and files from a stranger: links that lead out, code in the current folder, texts with a second meaning."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import yaml

import gantrain as package
from gantrain.checkpoint import Checkpoints, Retention
from gantrain.cli import report as report_command
from gantrain.cli import runs
from gantrain.cli import status as status_command
from gantrain.errors import ConfigError, GantrainError
from gantrain.reports.text import begun, escaped, in_a_cell, latex
from gantrain.run import files
from gantrain.run.directory import FILES, FOLDERS, RunDirectory
from gantrain.run.records import Records
from gantrain.schema import as_text
from gantrain.terminal import folded, visible
from gantrain.trained import Trained
from tests.commands.conftest import gantrain_eval, gantrain_export, gantrain_sample  # noqa: F401  (fixtures)
from tests.commands.test_status import left
from tests.conftest import Outcome, command
from tests.evaluation.test_live import QUICK, play
from tests.reports.conftest import left as of_report

pytestmark = pytest.mark.thorough

Command = Callable[..., Outcome]
Figure = Callable[[str], None]
RING = ("data=ring", "batch_size=16", "total_steps=4", "device=cpu", "run.dir=dl")
MARK = "precious\n"


@pytest.fixture(scope="module")
def trained_points(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run on points with evaluation, made once."""
    folder = tmp_path_factory.mktemp("points")
    settings = ("data=ring", "evaluation=points", "evaluation.n_fake=100", "evaluation.n_real=100", *QUICK)
    play(folder / "run", *settings, "evaluation.every=10")
    return folder / "run"


@pytest.fixture
def dl(trained_points: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained_points, tmp_path / "dl")
    return tmp_path / "dl"


@pytest.fixture
def status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    yield from command(status_command.main, "gantrain-status", tmp_path, monkeypatch, capsys)


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    yield from command(report_command.main, "gantrain-report", tmp_path, monkeypatch, capsys)


def outside(tmp_path: Path) -> tuple[Path, Path]:
    """A file and a folder with a file, which nothing may change."""
    file, folder = tmp_path / "outside" / "profile", tmp_path / "outside" / "folder"
    folder.mkdir(parents=True)
    file.write_text(MARK)
    (folder / "kept").write_text(MARK)
    return file, folder


def untouched(file: Path, folder: Path) -> bool:
    return file.read_text() == MARK and [p.name for p in folder.iterdir()] == ["kept"]


def plant(place: Path, target: Path) -> None:
    """Put a link where a file or folder is or was to be."""
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)


@pytest.mark.row("F41", "a link in place of each file and folder of a run; the run begun, gone on with, and evaluated")
def test_no_link_in_a_run_s_folder_is_written_through(gantrain: Command, tmp_path: Path, figure: Figure) -> None:
    file, folder = outside(tmp_path)
    refused = 0
    for name in (*FILES, *FOLDERS):
        place = tmp_path / "dl" / name
        plant(place, folder if name in FOLDERS else file)
        outcome = gantrain(*RING)
        assert outcome.exit_code == 2 and len(outcome.err.splitlines()) == 1, (name, outcome.err)
        assert str(place.relative_to(tmp_path)) in outcome.err and "a link to" in outcome.err, outcome.err
        assert place.is_symlink() and untouched(file, folder)
        refused += 1
        shutil.rmtree(tmp_path / "dl")
    figure(f"{refused}/{len(FILES) + len(FOLDERS)} refused by name, exit 2, nothing outside changed")


@pytest.mark.row("F41", "a pipe, a device and a folder in place of a run's files, a link as a checkpoint")
def test_odd_files_in_a_run_s_folder_are_refused_and_nothing_waits_for_them(
    gantrain: Command, tmp_path: Path, figure: Figure
) -> None:
    for name in FILES:
        (tmp_path / "dl").mkdir()
        os.mkfifo(tmp_path / "dl" / name)
        outcome = gantrain(*RING)
        assert outcome.exit_code == 2 and "Traceback" not in outcome.err, (name, outcome.err)
        shutil.rmtree(tmp_path / "dl")
    (tmp_path / "dl" / "metrics.jsonl").mkdir(parents=True)
    outcome = gantrain(*RING)
    assert outcome.exit_code == 2 and "metrics.jsonl is a folder" in outcome.err
    shutil.rmtree(tmp_path / "dl")
    plant(tmp_path / "dl" / "checkpoints" / "step-000000002", outside(tmp_path)[1])
    outcome = gantrain(*RING)
    assert outcome.exit_code == 2 and "step-000000002 is a link" in outcome.err
    figure(f"{len(FILES)} pipes, a folder, a linked checkpoint: refused by name, exit 2")


@pytest.mark.row("F41", "links by the names that temporary files had before, and at the pictures")
def test_links_at_temporary_names_and_at_pictures_lead_nowhere(
    gantrain: Command, tmp_path: Path, figure: Figure
) -> None:
    file, folder = outside(tmp_path)
    for name in FILES:
        plant(tmp_path / "dl" / f".{name}.tmp", file)
    for name in ("real.png", *(f"step-{step:09d}.png" for step in range(5))):
        plant(tmp_path / "dl" / "samples" / name, file)
    plant(tmp_path / "dl" / "checkpoints" / ".tmp-step-notes", file)
    outcome = gantrain(*RING)
    assert outcome.exit_code == 2 and ".tmp-step-notes is a link" in outcome.err  # a name that clearing up removes
    (tmp_path / "dl" / "checkpoints" / ".tmp-step-notes").unlink()
    outcome = gantrain(*RING)
    assert outcome.exit_code == 0, outcome.err
    assert untouched(file, folder)
    assert not (tmp_path / "dl" / "samples" / "real.png").is_symlink()  # the link itself was replaced
    figure(f"{len(FILES)} temporary names and 6 pictures: nothing outside changed, the run finished")


def test_a_run_s_own_folder_may_be_a_link_that_the_user_made(gantrain: Command, tmp_path: Path) -> None:
    (tmp_path / "big" / "disk").mkdir(parents=True)
    (tmp_path / "outputs").symlink_to(tmp_path / "big" / "disk")
    (tmp_path / "big" / "one").mkdir()
    (tmp_path / "one").symlink_to(tmp_path / "big" / "one")
    assert gantrain(*RING[:-1]).exit_code == 0 and list((tmp_path / "big" / "disk").rglob("status.json"))
    assert gantrain(*RING[:-1], "run.dir=one").exit_code == 0 and (tmp_path / "big" / "one" / "status.json").is_file()


@pytest.mark.row("F41", "links that gantrain-eval, -sample, -export and -report would write through or embed")
def test_the_other_commands_write_through_no_link_and_embed_none(
    gantrain_eval: Command,  # noqa: F811
    gantrain_sample: Command,  # noqa: F811
    gantrain_export: Command,  # noqa: F811
    report: Command,
    dl: Path,
    tmp_path: Path,
    figure: Figure,
) -> None:
    file, folder = outside(tmp_path)
    plant(dl / "evaluations.jsonl", file)
    outcome = gantrain_eval("run=dl")
    assert outcome.exit_code == 0 and "evaluations.jsonl is a link" in outcome.err
    plant(dl / "generated", folder)
    outcome = gantrain_sample("run=dl")
    assert outcome.exit_code == 2 and "generated is a link" in outcome.err
    plant(dl / "export", folder / "new")
    assert gantrain_export("run=dl").exit_code == 0 and (dl / "export-2" / "config.json").is_file()
    run = of_report(tmp_path / "all", "vanilla", 0, 10.0)
    for suffix in ("html", "md", "csv"):
        plant(tmp_path / "all" / f".report.{suffix}.tmp", file)
    plant(run / "samples" / "step-000000040.png", file)
    (run / "samples" / "real.png").write_text("no picture")
    outcome = report("all")
    assert outcome.exit_code == 0, outcome.err
    page = (tmp_path / "all" / "report.html").read_text()
    assert "data:image/png;base64,iVBOR" in page  # those of other steps
    assert "cHJlY2lvdXM" not in page and "bm8gcGljdHVyZQ" not in page  # their contents, as pages embed them
    plant(tmp_path / "all" / "report.md", file)
    assert report("all").exit_code == 2
    os.mkfifo(tmp_path / "r.html")
    assert report("dl", "out=r.html").exit_code == 2
    assert untouched(file, folder)
    figure("eval, sample, export and report: nothing outside changed, nothing of it embedded")


@pytest.mark.row("F41", "a folder of a run becomes a link while the run goes on")
def test_a_link_that_appears_while_a_run_goes_on_is_not_followed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], figure: Figure
) -> None:
    file, folder = outside(tmp_path)
    run = RunDirectory(tmp_path / "run")
    with run.open(), Records(run, 0) as records:
        shutil.move(run.path / "samples", tmp_path / "moved")
        plant(run.path / "samples", folder)
        records.picture("samples/ema", 1, torch.zeros(4, 1, 8, 8), "1.png")
        assert run.lost_records == 1 and "samples is a link" in capsys.readouterr().err
        warnings: list[str] = []
        checkpoints = Checkpoints(run.path / "checkpoints", Retention(2), warn=warnings.append)
        checkpoints.save(1, {"x": torch.zeros(3)})
        shutil.move(run.path / "checkpoints", tmp_path / "saved")
        plant(run.path / "checkpoints", folder)
        checkpoints.save(2, {"x": torch.zeros(3)})
        assert len(warnings) == 1 and "checkpoints is a link" in warnings[0]
        with pytest.raises(OSError, match="is a link"):
            checkpoints.clear_debris()
    assert untouched(file, folder)
    figure("samples, checkpoints: a warning each, nothing outside changed")


def test_another_run_s_checkpoints_behind_a_link_stay(gantrain: Command, tmp_path: Path) -> None:
    assert gantrain(*RING[:-1], "run.dir=a", "checkpoint.every=1", "checkpoint.keep_last=4").exit_code == 0
    before = sorted(p.name for p in (tmp_path / "a" / "checkpoints").iterdir())
    plant(tmp_path / "dl" / "checkpoints", tmp_path / "a" / "checkpoints")
    assert gantrain(*RING, "checkpoint.every=1", "checkpoint.keep_last=2").exit_code == 2
    assert sorted(p.name for p in (tmp_path / "a" / "checkpoints").iterdir()) == before


def test_temporary_files_have_names_that_differ_each_time_and_killed_ones_are_cleared_away(tmp_path: Path) -> None:
    assert len({files.temporary_name(tmp_path / "status.json") for _ in range(100)}) == 100
    with pytest.raises(RuntimeError), files.replacing(tmp_path / "x") as file:
        file.write(b"half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    run = RunDirectory(tmp_path / "run")
    (run.path / "samples").mkdir(parents=True)
    for folder in (run.path, run.path / "samples"):
        (folder / files.temporary_name(Path("status.json"))).touch()
        (folder / ".notes.tmp").touch()
    with run.open():
        pass
    left_over = [p.name for p in run.path.rglob("*.tmp")]
    assert left_over == [".notes.tmp", ".notes.tmp"]


def test_debris_of_running_processes_stays_and_links_to_folders_are_not_emptied(tmp_path: Path) -> None:
    _, folder = outside(tmp_path)
    mine = tmp_path / files.temporary_name(Path("report.html"))
    mine.touch()
    dead = tmp_path / f".export.{2**22 + 1}-{'0' * 16}.tmp"
    dead.symlink_to(folder)
    files.clear_debris(tmp_path)
    assert mine.exists() and not os.path.lexists(dead) and (folder / "kept").exists()
    with runs.made_whole(None, tmp_path / "export", tmp_path) as (temporary, place):
        assert files.DEBRIS.fullmatch(temporary.name) and place == tmp_path / "export"
    with pytest.raises(ConfigError, match="is a link"), runs.made_whole(None, dl_link(tmp_path, folder), tmp_path):
        pass


def dl_link(tmp_path: Path, folder: Path) -> Path:
    plant(tmp_path / "generated", folder)
    return tmp_path / "generated" / "a" / "b"


PLANTED = ("dill", "pynvml", "yaml", "torch", "numpy", "psutil", "onnx", "sitecustomize")


@pytest.mark.row("F42", "hydra_plugins/ and modules that libraries look for, in the current folder of every command")
def test_no_command_runs_code_that_lies_in_the_current_folder(tmp_path: Path, figure: Figure) -> None:
    (tmp_path / "hydra_plugins").mkdir()
    for path in (tmp_path / "hydra_plugins" / "evil.py", *(tmp_path / f"{name}.py" for name in PLANTED)):
        path.write_text(f"open({str(tmp_path / 'MARK')!r}, 'a').write({path.name!r})\n")
    (tmp_path / "empty").mkdir()
    folder = Path(sys.executable).parent
    train = ("data=ring", "total_steps=1", "batch_size=16", "device=cpu", "evaluation=none", "run.dir=run")
    commands = [
        (str(folder / "gantrain"), *train),
        (str(folder / "gantrain-export"), "run=run"),
        *((str(folder / f"gantrain-{name}"), "--cfg", "job") for name in ("eval", "sample", "theory")),
        (str(folder / "gantrain-status"), "."),
        (str(folder / "gantrain-report"), "empty"),
        (sys.executable, "-m", "gantrain", "--cfg", "job"),
        (sys.executable, "-P", "-m", "gantrain", "--cfg", "job"),
    ]
    codes = [subprocess.run(each, cwd=tmp_path, capture_output=True).returncode for each in commands]
    assert codes == [0, 0, 0, 0, 0, 0, 2, 0, 0]
    assert not (tmp_path / "MARK").exists(), (tmp_path / "MARK").read_text()
    figure(f"{len(commands)} commands beside {len(PLANTED) + 1} planted files: none was run")


@pytest.mark.row("F42", "trusted_modules names one module in the current folder; others lie beside it")
def test_only_the_modules_that_are_trusted_are_found_in_the_current_folder(
    gantrain: Command, tmp_path: Path, figure: Figure
) -> None:
    (tmp_path / "trusted_here.py").write_text("from gantrain.losses import Hinge\nclass Mine(Hinge): pass\n")
    (tmp_path / "beside_it.py").write_text("from gantrain.losses import Hinge\nclass Mine(Hinge): pass\n")
    (tmp_path / "needs_it.py").write_text("import beside_it\nMine = beside_it.Mine\n")
    loss = "loss.objective._target_={}.Mine"
    outcome = gantrain(*RING, loss.format("trusted_here"), "trusted_modules=[trusted_here]")
    assert outcome.exit_code == 0, outcome.err
    outcome = gantrain(*RING[:-1], "run.dir=two", loss.format("needs_it"), "trusted_modules=[needs_it]")
    assert outcome.exit_code == 2 and "beside_it.py lies in the current folder: name it in" in outcome.err
    for name in ("needs_it", "beside_it"):
        sys.modules.pop(name, None)
    assert str(tmp_path) not in sys.path and "" not in sys.path
    with pytest.raises(ModuleNotFoundError):
        __import__("beside_it")
    outcome = gantrain(*RING[:-1], "run.dir=two", loss.format("needs_it"), "trusted_modules=[needs_it,beside_it]")
    assert outcome.exit_code == 0, outcome.err
    figure("found where trusted_modules names it; a module beside it only if named too")


TEXTS = (
    "${oc.env:SECRET}",
    r"\${oc.env:SECRET}",
    r"\\${oc.env:SECRET}",
    r"a\\\${oc.env:SECRET}b",
    "${oc.decode:${oc.env:SECRET}}",
    "${seed}",
    "${",
    "a${b",
    "$${oc.env:SECRET}",
    "${${oc.env:SECRET}}",
    "${hydra:runtime.cwd}",
)


@pytest.mark.row("F43", "interpolations, escaped or not, in a stored config.yaml and in an export's config.json")
@pytest.mark.parametrize("text", TEXTS)
def test_a_stored_text_stays_the_text_that_it_is(
    gantrain_export: Command,  # noqa: F811
    gantrain_eval: Command,  # noqa: F811
    dl: Path,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    figure: Figure,
) -> None:
    monkeypatch.setenv("SECRET", "hidden")
    settings = yaml.safe_load((dl / "config.yaml").read_text())
    settings["seed"] = text
    settings["data"]["std"] = text
    settings["evaluation"]["features"] = text
    settings["architecture"]["generator"]["activation"] = text
    (dl / "config.yaml").write_text(yaml.safe_dump(settings))
    trained = Trained.open(dl)
    assert trained.cfg.seed == text and trained.cfg.data.std == text and trained.settings["seed"] == text
    outcome = gantrain_eval("run=dl")
    assert outcome.exit_code and "hidden" not in outcome.err + outcome.out, outcome.err

    settings["architecture"]["generator"].pop("activation")
    (dl / "config.yaml").write_text(yaml.safe_dump(settings))
    assert gantrain_export("run=dl", "out=ex").exit_code == 0
    told = json.loads(Path("ex/config.json").read_text())
    assert told["seed"] == text and "hidden" not in Path("ex/config.json").read_text()
    told["architecture"]["width"] = text
    Path("ex/config.json").write_text(json.dumps(told))
    with pytest.raises(GantrainError) as refused:
        package.load("ex")
    assert "hidden" not in str(refused.value)
    figure("it stayed text: not in an export, an evaluation or an error")


def test_a_class_gets_the_text_and_not_what_it_might_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    from omegaconf import OmegaConf

    from gantrain.build.building import make

    monkeypatch.setenv("SECRET", "hidden")
    for text in TEXTS:
        plain = {"_target_": "builtins.dict", "a": text, "b": [text, {"c": text}]}
        made = make(OmegaConf.create(as_text(plain)), "x")
        assert made == {"a": text, "b": [text, {"c": text}]}, text


@pytest.mark.row("F43", "interpolations in the config.yaml of a run that is gone on with")
def test_a_run_that_goes_on_does_not_interpolate_what_its_folder_holds(
    gantrain: Command, dl: Path, monkeypatch: pytest.MonkeyPatch, figure: Figure
) -> None:
    monkeypatch.setenv("SECRET", "hidden")
    settings = yaml.safe_load((dl / "config.yaml").read_text())
    settings["precision"]["forward"] = settings["total_steps"] = "${oc.env:SECRET}"
    (dl / "config.yaml").write_text(yaml.safe_dump(settings))
    outcome = gantrain("data=ring", "precision=auto", "run.dir=dl", "budget=seconds", "budget.amount=1")
    assert outcome.exit_code == 2 and "hidden" not in outcome.out + outcome.err
    assert "Traceback" not in outcome.err and len(outcome.err.splitlines()) == 1, outcome.err
    figure("refused, nothing looked up")


HOSTILE = "\x1b]0;title\x07\x1b[2J\x9b31m\rgantrain: done\nsecond line\u202egnp.exe\u2028third\u200b\x00\udcff"


@pytest.mark.row("F44", "escape sequences, line ends, bidirectional overrides in names and records, shown by status")
def test_text_from_files_moves_no_cursor_and_begins_no_line(status: Command, tmp_path: Path, figure: Figure) -> None:
    reason = HOSTILE.replace("\udcff", "")
    facts = {"counters": {reason: 3}, "departures": [{"step": 1, "changed": reason}]}
    run = left(tmp_path / "outputs" / "a\x1b[2J\nb\u202e", "failed", 10, exit_code=3, reason=reason, **facts)
    run.metrics_file.write_text(json.dumps({"step": 1, f"eval_x/{reason}": 1.0}) + "\n")
    (tmp_path / "outputs" / os.fsdecode(b"caf\xe9")).mkdir()
    left(tmp_path / "outputs" / os.fsdecode(b"caf\xe9") / "run", f"\x1b[31m{reason}", 1, exit_code=4)
    outcome = status()
    assert outcome.exit_code == 3 and len(outcome.out.splitlines()) == 3
    assert re.sub(r"[\n -~]", "", outcome.out) == ""  # what is left is printable ASCII in lines
    assert r"\x1b[2J" in outcome.out and r"\u202e" in outcome.out and r"\udce9" in outcome.out
    outcome = status("outputs", "--json")
    assert re.sub(r"[\n -~]", "", outcome.out) == "" and len(outcome.out.splitlines()) == 2
    outcome = status("no\x1b[2J\nsuch")
    assert outcome.exit_code == 2 and len(outcome.err.splitlines()) == 1 and "\x1b" not in outcome.err
    figure("everything escaped, one line a run")


def test_every_unseen_character_is_escaped_and_the_others_stay() -> None:
    unseen = [*range(0x20), *range(0x7F, 0xA0), 0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)]
    for code in (*unseen, 0xD800, 0xDFFF):
        assert visible(f"a{chr(code)}b") == f"a{chr(code).encode('unicode_escape', 'surrogatepass').decode()}b"
    kept = "größe × 画像 ↓ ≤ é ‑ – “” 🙂"
    assert visible(kept) == kept and folded(f"{kept}\n{kept}") == f"{kept}\n{kept}"


@pytest.mark.row("F44", "exit codes in status.json that no process can have")
@pytest.mark.parametrize("code", [256, 512, -256, 0, True, False, None, "0", 0.0, 2.5, [], {}, 2**70])
def test_no_record_makes_a_failed_run_look_well(status: Command, tmp_path: Path, code: object, figure: Figure) -> None:
    left(tmp_path / "outputs" / "a", "failed", 10, exit_code=code)
    assert status().exit_code == 1
    left(tmp_path / "more" / "a", "made up", 10, exit_code=code)
    assert status("more").exit_code == 1
    figure("256, 512, -256, 0, true, null, texts, fractions, lists: exit code 1")


@pytest.mark.row("F44", "HTML, remote pictures, headings, links and formulas in every name of a run that is reported")
def test_text_from_files_is_nothing_but_text_in_a_report(report: Command, tmp_path: Path, figure: Figure) -> None:
    evil = "# <script>alert(1)</script> ![x](http://evil/x.png) [y](http://evil) | `z` \n## heading\n=1+1\x1b[2J"
    one, two = (of_report(tmp_path / name, "vanilla", 0, fid) for name, fid in (("dl", 10.0), ("dl2", None)))
    settings = json.loads((one / "status.json").read_text())
    for name in ("loss", "architecture", "data"):
        settings["choices"][name] = evil
    settings |= {"data": evil, "reason": evil, "variant": "=cmd", "overrides": ["=HYPERLINK(1)", "+1", "-1+2"]}
    (one / "status.json").write_text(json.dumps(settings))
    (two / "status.json").write_text(json.dumps(settings | {"state": "failed"}))
    outcome = report("dl", "dl2", "out=r.html")
    assert outcome.exit_code == 0, outcome.err
    assert "\x1b" not in outcome.out and not any(line.startswith("##") for line in outcome.out.splitlines())
    page, text = Path("r.html").read_text(), Path("r.md").read_text()
    assert page.count("<script>") == 1 and "alert(1)</script>" not in page and "\x1b" not in page
    assert "default-src 'none'" in page
    assert not re.search(r"(?<!\\)<script|\]\(http|(?<!\\)`", text) and "\x1b" not in text
    own = {line for line in text.splitlines() if line.startswith("#")}
    assert not any(line.startswith("## heading") for line in own)
    rows = list(csv.reader(io.StringIO(Path("r.csv").read_text())))
    for cell in (cell for row in rows for cell in row):
        assert not cell.startswith(("=", "@", "\t", "\r", "+")), cell
        assert not cell.startswith("-") or float(cell) < 0, cell
    figure("HTML, Markdown, CSV and the terminal: escaped, no cell is a formula, no remote picture")


def test_cells_lines_and_latex_keep_numbers_and_escape_the_rest() -> None:
    for text in ("=1", "+x", "-x", "@x", "＝1", "-1+2", "+1-cmd", "-", "-inf"):
        assert in_a_cell(text) == f"'{text}"
    for value in ("-0.5", "+3", "-1e-3", "12", "a=b", -0.5, 3, None, True, "2-1"):
        assert in_a_cell(value) == value and type(in_a_cell(value)) is type(value)
    assert in_a_cell("\t=1") == r"\t=1" and in_a_cell("\r=1") == r"\r=1"
    assert escaped("a<b|c`d\\e") == r"a\<b\|c\`d\\e" and escaped("95% CI [1, 2]") == "95% CI [1, 2]"
    assert escaped("![a](b) [c][d] http://x www.x") == r"![a]\(b) [c]\[d] http:\//x www\.x"
    assert [begun(t) for t in ("# a", "- a", "1. a", "> a", "a #")] == [r"\# a", r"\- a", r"1\. a", r"\> a", "a #"]
    assert latex("a\n\x1b_%\\input{x}") == r"a \textbackslash{}x1b\_\%\textbackslash{}input\{x\}"


@pytest.mark.row("F45", "a run, an export, samples and a report under the umasks 022, 027 and 077")
@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_every_file_has_the_mode_that_the_umask_gives(
    gantrain: Command,
    gantrain_export: Command,  # noqa: F811
    gantrain_sample: Command,  # noqa: F811
    tmp_path: Path,
    umask: int,
    figure: Figure,
) -> None:
    from gantrain.evaluation.cache import Cache

    before = os.umask(umask)
    try:
        assert gantrain(*RING).exit_code == 0
        assert gantrain_export("run=dl").exit_code == 0 and gantrain_sample("run=dl").exit_code == 0
        Cache(str(tmp_path / "dl" / "cache")).fetch("kind", {}, lambda: ({"x": torch.zeros(2)}, {}))
    finally:
        os.umask(before)
    made = [path for path in (tmp_path / "dl").rglob("*") if path.is_file()]
    assert {"state.safetensors", "generator.safetensors", "status.json"} <= {path.name for path in made}
    modes = {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in made}
    assert set(modes.values()) == {oct(0o666 & ~umask)}, modes
    figure(f"umask {umask:03o}: {len(made)} files, all of mode {0o666 & ~umask:o}")
