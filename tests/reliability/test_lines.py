"""Command lines as people type them, paths of any letters, terminals that lack some: they work, or get a sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gantrain.checkpoint import Checkpoints
from gantrain.run.files import temporary_name
from gantrain.version import VERSION
from tests.commands.conftest import Command, gantrain_eval, gantrain_export, gantrain_sample, run, trained_run  # noqa: F401
from tests.conftest import REPOSITORY

pytestmark = pytest.mark.thorough

Figure = Callable[[str], None]
QUICK = ("data=ring", "batch_size=16", "architecture.generator.width=8", "architecture.discriminator.width=8",
         "evaluation=none", "samples.count=4", "device=cpu")  # fmt: skip
SHORT = (*QUICK, "total_steps=2")

REFUSED = {
    "evaluation=false": "evaluation=none for none",
    "evaluation=nan": "name of one option",
    "loss=true": "name of one option",
    "loss=-1": "name of one option",
    "budget=1e3": "name of one option",
    "loss=": "name of one option",
    "architecture.discriminator._target_=3": "is no dotted name of a class",
    "optimizer.g._target_=[a]": "must be a word, like torch.optim.Adam",
    "~optimizer.g._target_": "optimizer.g has no _target_",
    "samples.count=9223372036854775807": "must be below 2^31",
    "batch_size=1e18": "batch_size must be a whole number",
    "total_steps=1.5": "a whole number",
    "total_steps=1e30": "total_steps",
    "resume=false": "resume takes auto, never",
    "loss=WGAN_GP": "did you mean loss=wgan_gp?",
    "loss=wgan-gp": "did you mean loss=wgan_gp?",
    "loss=vanilla,hinge": "add -m",
    "seed=0,1": "add -m",
    "conditioning=none,acgan": "add -m",
    "data=../../configs/data/ring": "name of one option",
    "loss=hinge.yaml": "name of one option",
    "schedule.reference_steps=0": "a whole number, 1 or more",
    "schedule.reference_steps=true": "a whole number, 1 or more",
    "schedule.reference_steps=[1]": "a whole number, 1 or more",
    f"init_from={'n' * 300}": "File name too long",
    "hinge": "write loss=hinge",
    "nonsense": "write key=value",
    "": "an argument is empty",
    "--experimental-rerun=x": "would run code",
}


@pytest.mark.row("F53", "odd values, options without names, lists without -m, words that are no settings")
@pytest.mark.parametrize("argument", list(REFUSED))
def test_what_cannot_be_meant_gets_one_sentence_and_leaves_nothing(
    argument: str, gantrain: Command, tmp_path: Path, figure: Figure
) -> None:
    before = sorted(tmp_path.rglob("*"))
    outcome = gantrain(*SHORT, argument)
    assert outcome.exit_code == 2 and "Traceback" not in outcome.err, outcome.err
    assert REFUSED[argument] in outcome.err.replace("\n", " ") and "internal error" not in outcome.err, outcome.err
    assert sorted(tmp_path.rglob("*")) == before
    figure(f"`{argument[:60] or ' '}`: one sentence, exit 2, nothing written")


@pytest.mark.row("F53", "total_steps=1e1 and =10.0 beside =10")
def test_a_whole_number_may_be_written_as_a_float_and_is_the_same_run(
    gantrain: Command, tmp_path: Path, figure: Figure
) -> None:
    for written in ("10", "1e1", "10.0"):
        outcome = gantrain(*QUICK, f"total_steps={written}", "log.every=1e1", "loss=hinge")
        assert outcome.exit_code == 0, outcome.err
    folders = [path.parent for path in tmp_path.rglob("config.yaml")]
    assert len(folders) == 1 and "total_steps: 10\n" in (folders[0] / "config.yaml").read_text()
    figure("one folder, one run")


@pytest.mark.row("F53", "a run as a bare path, for the commands that read runs; --version of all eight")
def test_commands_that_read_runs_take_a_bare_path(
    gantrain_eval: Command,  # noqa: F811
    gantrain_sample: Command,  # noqa: F811
    gantrain_export: Command,  # noqa: F811
    run: Path,  # noqa: F811
    tmp_path: Path,
    figure: Figure,
) -> None:
    spaced = run.rename(tmp_path / "a run, of mine")
    assert gantrain_eval(str(spaced), "json=true").exit_code == 0
    assert gantrain_sample(str(spaced), "n=4", "save=[npz]").exit_code == 0
    assert gantrain_export(f"{spaced}/").exit_code == 0
    twice = gantrain_export(str(spaced), f"run={spaced}")
    assert twice.exit_code == 2 and "both name the run" in twice.err
    figure("eval, sample and export take it as status and report do")


@pytest.mark.parametrize("name", ["train", "theory", "eval", "sample", "export", "status", "report", "recipe"])
def test_every_command_says_its_version(name: str) -> None:
    found = subprocess.run([sys.executable, "-m", f"gantrain.cli.{name}", "--version"], capture_output=True, text=True)
    code = f"from gantrain.cli import {name} as m; import sys; sys.argv = ['x', '--version']; m.main()"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY)
    assert found.returncode == 0 and VERSION in found.stdout and "torch" in found.stdout, found.stderr


ODD = ("two words", "a,b", "k=v", "[x]", "{y}", "a#b", "quote\"s", "it's", "$HOME and $x", "Bäume", "猫と犬",
       "back\\slash", "(p)", "a:b", "100%", "semi;colon", "true", "12", "-dash",
       "x y=[z],{w} '$q' \"r\" #s")  # fmt: skip


@pytest.mark.row("F54", "folders of images whose names have spaces, commas, =, brackets, quotes, $, umlauts, Chinese")
@pytest.mark.parametrize("name", ODD)
def test_paths_of_any_letters_just_work(name: str, gantrain: Command, tmp_path: Path, figure: Figure) -> None:
    folder = tmp_path / name
    folder.mkdir()
    for k in range(4):
        Image.fromarray(np.full((8, 8, 3), 60 * k, dtype=np.uint8)).save(folder / f"{k}.png")
    images = ("data=image_folder", "data.size=8", "batch_size=2", "total_steps=2", "evaluation=none", "device=cpu",
              "architecture.generator.width=4", "architecture.discriminator.width=4", "samples.count=4")  # fmt: skip
    outcome = gantrain(*images, f"data.root={name}", f"run.dir=runs/{name}")
    assert outcome.exit_code == 0, outcome.err
    assert (tmp_path / "runs" / name / "status.json").exists()
    again = gantrain(*images, f"data.root={tmp_path}/{name}/", f"run.dir=runs/{name}/")
    assert again.exit_code == 0 and "is finished" in again.out, again.err
    figure(f"{name}: trained, and found again by an absolute name with a slash")


def images_at(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for k in range(4):
        Image.fromarray(np.full((8, 8), 60 * k, dtype=np.uint8)).save(folder / f"{k}.png")
    return folder


IMAGES = ("data=image_folder", "data.size=8", "batch_size=2", "total_steps=2", "evaluation=none", "device=cpu",
          "architecture.generator.width=4", "architecture.discriminator.width=4", "samples.count=4")  # fmt: skip


@pytest.mark.row("F54", "~, pics and pics/ and an absolute name, data that were moved, data that are others")
def test_one_folder_is_one_run_by_all_its_names_and_moved_data_can_be_named(
    gantrain: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figure: Figure
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    pics = images_at(tmp_path / "pics")
    assert gantrain(*IMAGES, "data.root=pics").exit_code == 0
    for name in ("pics/", "./pics", "~/pics", str(pics), f"{pics}/"):
        outcome = gantrain(*IMAGES, f"data.root={name}")
        assert outcome.exit_code == 0 and "is finished" in outcome.out, (name, outcome.err)
    (folder,) = (path.parent for path in tmp_path.rglob("config.yaml"))
    pics.rename(tmp_path / "moved")
    longer = (*IMAGES, "total_steps=3", f"run.dir={folder}")
    moved = gantrain(*longer, "data.root=moved")
    assert moved.exit_code == 0, moved.err
    assert Checkpoints(folder / "checkpoints").latest()[0]["step"] == 3
    for k in range(4):
        Image.fromarray(np.full((8, 8), 7, dtype=np.uint8)).save(images_at(tmp_path / f"o{k}") / "9.png")
    other = gantrain(*longer, "total_steps=4", "data.root=o1")
    assert other.exit_code == 2 and "holds another run" in other.err and "the data there are others" in other.err
    figure("one run by six names; goes on with moved data; refuses others")


@pytest.mark.row("F54", "gantrain-eval from another folder, of a run with relative data")
def test_a_run_is_measured_from_another_folder(
    gantrain: Command,
    gantrain_eval: Command,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    figure: Figure,
) -> None:
    images_at(tmp_path / "pics")
    assert gantrain(*IMAGES, "data.root=pics", "run.dir=run").exit_code == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    protocol = ("evaluation=pixels", "evaluation.n_fake=100", "evaluation.n_real=100", "json=true")
    found = gantrain_eval(f"run={tmp_path / 'run'}", *protocol)
    assert "neither a folder" not in found.err, found.err
    (tmp_path / "pics").rename(tmp_path / "other")
    moved = gantrain_eval(f"run={tmp_path / 'run'}", *protocol, f"data.root={tmp_path / 'other'}")
    assert "neither a folder" not in moved.err, moved.err
    figure("relative data are found where the run began, and named where they were moved")


def spoken(code: str, folder: Path, encoding: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """A command in a process whose streams have an encoding."""
    environment = os.environ | {"PYTHONIOENCODING": encoding, "LC_ALL": "C", "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", f"from gantrain.cli import {code} as m; m.main()", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True)


@pytest.mark.row("F62", "gantrain, gantrain-eval, -status, --help on terminals that speak ascii, latin-1 or koi8-r")
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "koi8-r"])
def test_no_command_dies_of_a_character_that_the_terminal_lacks(encoding: str, tmp_path: Path, figure: Figure) -> None:
    digits = ("data=digits", "total_steps=2", "batch_size=8", "samples.count=4", "device=cpu", "run.dir=run",
              "architecture.generator.width=4", "architecture.discriminator.width=4", "evaluation=none")  # fmt: skip
    for code, arguments in (
        ("train", digits),
        ("eval", ("run=run", "evaluation=pixels", "evaluation.n_fake=100", "evaluation.n_real=100")),
        ("status", ("run",)),
        ("train", ("--help",)),
        ("train", ("loss=vänilla",)),
    ):
        found = spoken(code, tmp_path, encoding, *arguments)
        wanted = 2 if "loss=vänilla" in arguments else 0
        assert found.returncode == wanted and b"Traceback" not in found.stderr, found.stderr.decode(errors="replace")
    figure(f"{encoding}: every command ends as on any terminal")


BROKEN = {
    "a list": ("- 1\n- 2\n", "holds a list"),
    "text": ("just words\n", "holds text"),
    "nothing": ("", "holds nothing"),
    "a number": ("3\n", "holds one value"),
    "tabs": ("a:\n\tb: 1\n", "is no YAML"),
    "a brace": ("a: {b: 1\n", "is no YAML"),
    "latin-1": ("a: B\udce4ume\n", "is not text in UTF-8"),
}


@pytest.mark.row("F62", "a list, text, nothing, a number, tabs, latin-1 in a YAML file of one's own")
@pytest.mark.parametrize("kind", list(BROKEN))
@pytest.mark.parametrize("way", ["--config-dir", "GANTRAIN_CONFIGS"])
def test_a_file_of_ones_own_that_holds_no_settings_is_named(
    kind: str, way: str, gantrain: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figure: Figure
) -> None:
    text, said = BROKEN[kind]
    path = tmp_path / "own" / "loss" / "mine.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    if way != "--config-dir":
        monkeypatch.setenv(way, "own")
    outcome = gantrain(*(["--config-dir=own"] if way == "--config-dir" else []), *SHORT, "loss=mine")
    assert outcome.exit_code == 2 and "Traceback" not in outcome.err, outcome.err
    assert "mine.yaml" in outcome.err and said in outcome.err.replace("\n", " "), outcome.err
    figure(f"{kind} by {way}: one sentence with the file's name")


def test_folders_of_ones_own_may_be_plain_paths(
    gantrain: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seed in (("one", 5), ("two", 6)):
        folder = tmp_path / name / "experiment"
        folder.mkdir(parents=True)
        (folder / f"{name}.yaml").write_text(f"# @package _global_\nseed: {seed}\n")
    monkeypatch.setenv("GANTRAIN_CONFIGS", f"one:{tmp_path / 'two'}")
    for name, seed in (("one", 5), ("two", 6)):
        outcome = gantrain(*SHORT, f"experiment={name}", f"run.dir=run-{name}")
        assert outcome.exit_code == 0, outcome.err
        assert f"seed: {seed}\n" in (tmp_path / f"run-{name}" / "config.yaml").read_text()
    monkeypatch.setenv("GANTRAIN_CONFIGS", "nowhere")
    refused = gantrain(*SHORT)
    assert refused.exit_code == 2 and "nowhere is not a folder" in refused.err


@pytest.mark.row("F62", "GANTRAIN_CONFIGS that begins a list, names no package, or no folder")
@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("[", "begins like a list and is none"),
        ("[" * 5000, "begins like a list and is none"),
        ("[1]", "begins like a list and is none"),
        ("pkg://nothing.here", "there is no package nothing.here"),
        ("pkg://", "there is no package"),
        ("file://nowhere", "nowhere is not a folder"),
        ('["nowhere"]', "nowhere is not a folder"),
    ],
)
def test_folders_of_ones_own_that_are_none_are_named(
    value: str, said: str, gantrain: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figure: Figure
) -> None:
    monkeypatch.setenv("GANTRAIN_CONFIGS", value)
    refused = gantrain(*SHORT)
    assert refused.exit_code == 2 and "GANTRAIN_CONFIGS" in refused.err and "Traceback" not in refused.err
    assert said in refused.err.replace("\n", " "), refused.err[-300:]
    figure(f"`GANTRAIN_CONFIGS={value[:9]}`: one sentence")


def test_a_runs_folder_may_begin_with_a_tilde(
    gantrain_eval: Command,  # noqa: F811
    gantrain_sample: Command,  # noqa: F811
    run: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run.rename(tmp_path / "~a")
    monkeypatch.chdir(tmp_path)
    assert gantrain_eval("run=~a", "json=true").exit_code == 0
    assert gantrain_sample("~a", "n=4", "save=[npz]").exit_code == 0


@pytest.mark.row("F49", "kill -9 of a sweep, then another sweep: what the first left in TMPDIR")
def test_what_a_killed_sweep_left_is_removed_by_the_next(
    gantrain: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figure: Figure
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    name = temporary_name(tmp_path / "gantrain-sweep").replace(f".{os.getpid()}-", f".{dead.pid}-")
    (tmp_path / name / "inside").mkdir(parents=True)
    assert gantrain("-m", *SHORT, "seed=0,1").exit_code == 0
    assert not [path for path in tmp_path.iterdir() if "gantrain-sweep" in path.name]
    figure("gone")


def test_status_keeps_the_folder_in_which_a_run_began(gantrain: Command, tmp_path: Path) -> None:
    assert gantrain(*SHORT, "run.dir=run").exit_code == 0
    assert json.loads((tmp_path / "run" / "status.json").read_text())["folder"] == str(tmp_path)


@pytest.mark.row("F54", "a link that leads to itself, as data.root, resume and --config-dir; a name of 300 letters")
@pytest.mark.parametrize(
    "argument", ["data.root=loop", "resume=loop", "--config-dir=loop", f"--config-dir={'n' * 300}"]
)
def test_paths_that_no_file_system_takes_get_one_sentence(
    argument: str, gantrain: Command, tmp_path: Path, figure: Figure
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    data = IMAGES if argument.startswith("data") else SHORT
    outcome = gantrain(*data, argument, "run.dir=run")
    assert outcome.exit_code in (2, 3) and "Traceback" not in outcome.err and outcome.err.strip(), outcome.err
    assert "internal error" not in outcome.err and not (tmp_path / "run").exists()
    figure("one sentence")


@pytest.mark.row("F54", "a run's folder whose name is no UTF-8: gone on with, and sampled from")
def test_a_folder_whose_name_is_no_text_is_refused_and_its_checkpoints_stay(
    gantrain: Command,
    gantrain_sample: Command,  # noqa: F811
    tmp_path: Path,
    figure: Figure,
) -> None:
    name = "caf\udce9"
    assert gantrain(*SHORT, "run.dir=run").exit_code == 0
    (tmp_path / "run").rename(tmp_path / name)
    before = sorted((tmp_path / name / "checkpoints").rglob("*"))
    longer = gantrain(*SHORT, "total_steps=4", f"run.dir={name}")
    drawn = gantrain_sample(f"run={name}", "n=4")
    assert longer.exit_code == 2 and "is not UTF-8" in longer.err
    assert drawn.exit_code == 5 and "is not UTF-8" in drawn.err.replace("\n", " ")
    assert sorted((tmp_path / name / "checkpoints").rglob("*")) == before
    figure("refused by name; no checkpoint is set aside")


@pytest.mark.row("F33", "labels replaced between a stop and a resume")
def test_other_labels_are_a_departure(gantrain: Command, tmp_path: Path, figure: Figure) -> None:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", rng.uniform(-1, 1, (40, 16)).astype(np.float32))
    np.save(tmp_path / "y.npy", np.arange(40) % 4)
    signals = ("data=signals", "data.root=x.npy", "data.labels=y.npy", "conditioning=projection", "batch_size=8",
               "evaluation=none", "device=cpu", "samples.count=4", "run.dir=run")  # fmt: skip
    assert gantrain(*signals, "total_steps=4").exit_code == 0
    assert gantrain(*signals, "total_steps=6").exit_code == 0
    assert json.loads((tmp_path / "run" / "status.json").read_text())["departures"] == []
    np.save(tmp_path / "y.npy", (np.arange(40) + 1) % 4)
    outcome = gantrain(*signals, "total_steps=8")
    assert outcome.exit_code == 0 and "labels of the data are others" in outcome.err.replace("\n", " ")
    told = json.loads((tmp_path / "run" / "status.json").read_text())["departures"]
    assert [entry["step"] for entry in told] == [6]
    figure("said, and kept in status.json and the manifests")


def test_a_change_that_never_took_effect_is_forgotten(gantrain: Command, tmp_path: Path) -> None:
    ring = (*SHORT, "run.dir=run", "optimizer=adam")
    lines = tmp_path / "run" / "changes.jsonl"

    def changes() -> list[dict]:
        return [json.loads(line) for line in lines.read_text().splitlines()]

    assert gantrain(*ring).exit_code == 0
    other = gantrain(*ring, "total_steps=4", "optimizer.g.lr=1e-5", "optimizer.d.lr=2e-4", "allow_changes=[optimizer]")
    assert other.exit_code == 0
    begun_with = changes()[0]["settings"]
    back = gantrain(*ring, "total_steps=6", "allow_changes=[optimizer]")
    assert back.exit_code == 0 and len(changes()) == 2
    # As kill -9 leaves it between the writing of changes.jsonl and of config.yaml.
    killed = [*changes(), {"step": 6, "changed": "optimizer.g.lr: 0.0002 → 1e-05", "settings": begun_with}]
    lines.write_text("".join(json.dumps(change) + "\n" for change in killed))
    assert gantrain(*ring, "total_steps=8").exit_code == 0
    assert len(changes()) == 2
