"""Every command in README and the documents: each is one that exists, and its settings compose as they stand."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import wave
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from omegaconf import OmegaConf
from PIL import Image

from gantrain.cli import arguments, data, eval, export, help, recipe, report, sample, status, theory, train
from gantrain.reference.keys import COMMANDS
from gantrain.schema import validated
from tests.commands.documented import DOCUMENTS, Shown, catalogue, files, named, pieces, shown
from tests.conftest import GUARD, REPOSITORY, Outcome, command

CONFIG_OF = {command: name for name, (command, _) in COMMANDS.items()}
ENTRIES = {
    **{"gantrain": train, "gantrain-theory": theory, "gantrain-data": data, "gantrain-eval": eval},
    **{"gantrain-sample": sample, "gantrain-export": export, "gantrain-status": status, "gantrain-report": report},
}
SHELL = ("git", "cd", "source", "export", "eval", "head", "tensorboard", "wandb", "mlflow", "aim", "hf")
"""Words of the shell and programs of others, which are taken as right."""
STARTERS = ("torchrun", "srun")
"""Programs that start gantrain; what follows it is looked at."""


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_command_exists_and_composes(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in files().items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)
    for one in dict.fromkeys(shown(document)):
        try:
            check(one.words)
        except Exception as error:
            raise AssertionError(f"{one.document}: {one.line}\n{type(error).__name__}: {error}") from error


def check(words: Sequence[str]) -> None:
    """Raise an error unless a command exists and takes its arguments."""
    first, *rest = words
    if first in STARTERS:
        start = next(k for k, word in enumerate(rest) if word == "gantrain")
        check(rest[start:])
    elif first == "gantrain" and rest[:1] == ["help"]:
        help.show(rest[1:])
    elif first in CONFIG_OF:
        check_settings(first, rest)
    elif first == "gantrain-recipe":  # as it is: it costs nothing, and what it copies is a recipe of the next lines
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", list(words))
            assert not recipe.work(), "it fails"
    elif first == "make":
        assert re.search(rf"^{rest[0]}:", (REPOSITORY / "Makefile").read_text(), re.MULTILINE), "no target"
    elif first == "pip":
        known = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        assert all(extra in known for found in re.findall(r"\[(.*?)\]", rest[-1]) for extra in found.split(","))
    elif first == "python":
        program = rest[1].replace(".", "/") + ".py" if rest[0] == "-m" else rest[0]
        assert rest[0] == "-c" or (REPOSITORY / program).exists() or Path(program).exists(), "no file"
    else:
        assert first in ENTRIES or first in SHELL, "no command"


def check_settings(command: str, words: Sequence[str]) -> None:
    """Raise an error unless a command's settings compose and are in their ranges."""
    name = CONFIG_OF[command]
    options, settings = arguments.divided(list(words))
    if {"--help", "-sc", "--version"} & {*options}:
        return
    many = arguments.is_sweep(options)
    lines = [arguments.ready(word, name, many) for word in settings if not arguments.is_bare(word, name)]
    assert name in arguments.READERS or len(lines) == len(settings), "a word is no setting"
    parsed = OverridesParser.create().parse_overrides([line for line in lines if line])
    folders = [f"file://{Path(o.removeprefix('--config-dir=')).resolve()}" for o in options if "config-dir" in o]
    keys, groups = catalogue().keys("train"), catalogue().groups
    for override in parsed:
        if (key := override.key_or_group).startswith("hydra"):
            assert key in keys or override.value() in groups[key], f"{key} is no setting of Hydra's"
    ours = [override for override in parsed if not override.key_or_group.startswith("hydra")]
    if name == "eval":
        ours = [o for o in ours if not o.key_or_group.startswith("evaluation.")]  # of the run that is there
    GlobalHydra.instance().clear()
    with initialize_config_module("gantrain.configs", version_base="1.3"):
        for job in jobs(ours):
            search = [f"hydra.searchpath={folders}"] if folders else []
            composed = compose(name, [*job, *search])
            if name in ("train", "theory"):
                OmegaConf.resolve(composed)
                validated(composed, COMMANDS[name][1])


def jobs(overrides: list[Override]) -> list[list[str]]:
    """The overrides of some jobs of a sweep, in which each value occurs, without all combinations."""
    values = [[str(o.input_line)] if not o.is_sweep_override() else listed(o) for o in overrides]
    return [[given[k % len(given)] for given in values] for k in range(max(map(len, values), default=1))]


def listed(override: Override) -> list[str]:
    """The overrides that a sweep makes of one, of an interval its beginning."""
    value = override.value()
    if isinstance(value, IntervalSweep):
        return [f"{override.key_or_group}={value.start}"]
    return [f"{override.key_or_group}={text}" for text in override.sweep_string_iterator()]


@pytest.mark.parametrize(
    "line",
    [
        "gantrain loss=hinch",
        "gantrain total_stepz=4",
        "gantrain total_steps=0",
        "gantrain loss=hinge,vanilla",
        "gantrain -m hydra/launcher=joblob",
        "gantrain-theory generated=nothing",
        "gantrain-sample run=x frame=3",
        "gantrain help losss",
        "gantrain-trian loss=hinge",
        "make nothing",
        "pip install 'gantrain[nothing]'",
        "python scripts/nothing.py",
        "torchrun --nproc-per-node 4 -m gantrain data=nothing",
    ],
)
def test_a_command_that_does_not_exist_is_noticed(line: str) -> None:
    with pytest.raises(Exception):  # noqa: B017  (whatever finds it)
        check(next(pieces(line)))


NOT_RUN = {
    r"^(git|cd|source|export|eval|pip|head|make|tensorboard) ?": "of the shell, or runs other commands",
    r"^python (-m )?scripts|^python -c": "measures for minutes, or needs weights that were published elsewhere",
    r"^(torchrun|srun) |\branks=": "several processes, GPUs or machines: tests/distributed and tests/launchers",
    r"hydra/launcher=": "a cluster, or processes: tests/launchers",
    r"hydra\.sweeper\.storage=": "a database: tests/sweeps/test_shared_study.py",
    r"\bdata=(cifar10|cifar100|mnist|fashion_mnist|stacked_mnist|celeba|lsun|imagenet|huggingface)\b": "a download",
    r"\bexperiment=\w*(cifar10|mnist)\w*": "a download, or hours on a GPU",
    r"evaluation=inception|FOLDER|\brun=run\b|something": "a download, or what the reader fills in",
    r"my_metrics|brightness": "tests/evaluation/test_metric.py runs it",
    r"vanilla/seed0 .*classes=": "a classifier picks the classes, from a generator that has learned them",
    r"^gantrain help": "runs in make test, above",
    r"mine\.Mine": "tests/data/test_dataset.py runs one",
    r"wine\.csv": "a file that scripts/bench/table.py writes",
    r"my_networks": "tests/commands/test_conditional.py runs it",
    r"data\.limit=1000": "more images than the stand-ins are: tests/data/test_subset.py",
}
"""Commands that the slow test does not run, by a pattern, and why."""
SHORT = ("total_steps=6", "batch_size=16", "log.every=1", "samples.count=4", "device=cpu", "evaluation.n_fake=500")
"""Laid over a documented training, so that it takes seconds; a search makes two trials (``hydra.sweeper.n_trials``)."""


def runnable(document: Path) -> list[Shown]:
    """The commands of a document that need nothing but this machine, each once."""
    found = dict.fromkeys(shown(document))
    return [one for one in found if not any(re.search(pattern, " ".join(one.words)) for pattern in NOT_RUN)]


def stand_ins(folder: Path) -> None:
    """Small files under the names that the documents give to a reader's own."""
    generator = np.random.default_rng(0)
    for k in range(80):
        place = folder / "photos" / ("cat" if k % 2 else "dog") / f"{k}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 255, (40, 40, 3), np.uint8)).save(place)
    for copy in ("pictures", "cifar/train"):
        shutil.copytree(folder / "photos", folder / copy)
    (folder / "sounds").mkdir()
    for k in range(80):
        with wave.open(str(folder / "sounds" / f"{k}.wav"), "wb") as file:
            file.setparams((1, 2, 16000, 0, "NONE", ""))
            file.writeframes(generator.integers(-9000, 9000, 16384).astype(np.int16).tobytes())
    shutil.copytree(folder / "photos", folder / "zipped" / "train")
    shutil.make_archive(str(folder / "pets"), "zip", folder / "zipped")
    images, labels = generator.integers(0, 255, (80, 32, 32), np.uint8), np.arange(80) % 2
    np.save(folder / "x.npy", images)
    np.save(folder / "y.npy", labels)
    np.savez(folder / "x.npz", x=images, y=labels)
    np.save(folder / "ct.npy", generator.integers(-1000, 400, (80, 32, 32)).astype(np.int16))
    rows = [f"{generator.normal()},{generator.normal()},{'ab'[k % 2]}" for k in range(200)]
    (folder / "mine.csv").write_text("\n".join(["one,two,kind", *rows]))
    for name, text in files().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.mark.slow
@pytest.mark.parametrize("document", [d for d in DOCUMENTS if runnable(d)], ids=named)
def test_every_command_that_needs_no_more_than_this_machine_runs(
    document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Runs of the commands themselves, shortened by ``SHORT``, in a folder with the files that they name."""
    stand_ins(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("vanilla", "projection"):
        conditioning = "none" if name == "vanilla" else name
        place = f"run.dir=outputs/digits/dcgan/{name}/seed0"
        ran("gantrain", ["data=digits", f"conditioning={conditioning}", place, *SHORT], tmp_path, monkeypatch, capsys)
    for one in runnable(document):
        first, *words = map(os.path.expandvars, one.words)
        if first == "gantrain" and "help" not in words[:1] and not {"--help", "--cfg"} & {*words}:
            own = {word.partition("=")[0] for word in words}
            words += [word for word in SHORT if word.partition("=")[0] not in own or word.startswith("total_steps")]
            words += ["hydra.sweeper.n_trials=2"] if any(w.startswith("hydra/sweeper=") for w in words) else []
        words += ["total_steps=60"] if first == "gantrain-theory" and "--help" not in words else []
        outcome = ran(first, words, tmp_path, monkeypatch, capsys)
        assert outcome.exit_code == 0, f"{one.line}\n{outcome.out[-1500:]}\n{outcome.err[-3000:]}"


def ran(name: str, words: Sequence[str], folder: Path, *fixtures: Any) -> Outcome:
    """Run a command in this process, as the conftest's fixtures do; a program of the reader's in another."""
    if name == "python":
        done = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, timeout=GUARD)
        return Outcome(done.returncode, done.stdout, done.stderr)
    with closing(command(ENTRIES[name].main, name, folder, *fixtures)) as lent:
        return next(lent)(*words)
