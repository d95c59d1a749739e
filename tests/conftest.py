"""Helpers that several test files share."""

from __future__ import annotations

import copy
import json
import os
import random
import shutil
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

os.environ["OMP_NUM_THREADS"] = (
    "1"  # before numpy and torch: its networks are tiny here, and threads would wait for each other
)

import numpy as np
import torch

from gantrain.build import Built, build
from gantrain.loggers import TensorBoard, guarded
from gantrain.run.directory import RunDirectory
from gantrain.run.records import Records
from gantrain.schema import validated

REPOSITORY = Path(__file__).parent.parent
CONFIGS = REPOSITORY / "configs"
SHARED_IMAGES = REPOSITORY.parent / "shared" / "data" / "cifar10-jpeg.tar.xz"

GUARD = 300
"""Seconds after which a test that waits is taken for hung. No test measures by it, so it is long for any machine."""

FAMILIES = ("vanilla", "wgan_gp", "r3gan", "cramer", "began", "fisher", "unrolled")
"""A loss of each family: f-divergences, Wasserstein distance, relativistic, integral probability metrics over feature
vectors, energies, an objective with a multiplier of its own, and a G that looks ahead."""


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # the processes share what it sets up
        os.environ["GANTRAIN_CACHE"] = tempfile.mkdtemp(prefix="gantrain-cache-")


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ["GANTRAIN_CACHE"], ignore_errors=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--row", help="run only the tests of this row of the fault matrix, like F1")
    parser.addoption(
        "--rows", help="write what the tests marked with a row of the fault matrix found to this JSON file"
    )


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or report.outcome != "passed":
        FOUND.append(report)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if row := config.getoption("--row"):
        items[:] = [item for item in items if any(mark.args[0] == row for mark in item.iter_markers("row"))]
    for item in items:
        item.user_properties += [("row", mark.args) for mark in item.iter_markers("row")]


def pytest_sessionfinish(session: pytest.Session) -> None:
    path = session.config.getoption("--rows")
    if path and not hasattr(session.config, "workerinput"):
        found = [{"test": r.nodeid, "outcome": r.outcome, "properties": r.user_properties} for r in FOUND]
        Path(path).write_text(json.dumps([f for f in found if any(k == "row" for k, _ in f["properties"])], indent=1))


FOUND: list[pytest.TestReport] = []


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Begin each test with the same random numbers, whichever tests this process ran before."""
    random.seed(0), np.random.seed(0), torch.manual_seed(0)


@cache
def composed(*overrides: str) -> DictConfig:
    with initialize_config_module("gantrain.configs", version_base="1.3"):
        return validated(compose("train", list(overrides)))


def config(*overrides: str) -> DictConfig:
    """The configuration that the command line would compose."""
    return copy.deepcopy(composed(*overrides))


def built(*overrides: str) -> Built:
    """A trainer and its data, small unless told otherwise."""
    return build(config("total_steps=4", "batch_size=16", "device=cpu", *overrides))


def option_names(group: str) -> list[str]:
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def only(chosen: Collection[Any], cases: Iterable[Any], mark: pytest.MarkDecorator = pytest.mark.thorough) -> list[Any]:
    """All ``cases`` for parametrize: the chosen ones in make test, the others, which get the mark, in make test-all."""
    every = list(cases)
    assert set(chosen) <= set(every)
    values = [case if isinstance(case, tuple) else (case,) for case in every]
    return [
        pytest.param(*value, marks=() if case in chosen else mark) for case, value in zip(every, values, strict=True)
    ]


def loss_names() -> list[Any]:
    """Every loss for parametrize: one of each family in make test, the others in make test-all."""
    return only(FAMILIES, option_names("loss"), pytest.mark.every_loss)


def until(condition: Callable[[], object], facts: Callable[[], object] = lambda: "", patience: float = GUARD) -> None:
    """Wait for an event, however long it takes on this machine; fail with ``facts()`` if the program hangs."""
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, facts()
        time.sleep(0.005)


def write_mnist(root: Path, **splits: tuple[torch.Tensor, torch.Tensor]) -> None:
    """Write images (n, 1, 28, 28) uint8 and labels (n,) of train and test as the idx files that LeCun's site serves."""
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for split, (images, labels) in splits.items():
        name, n = {"train": "train", "test": "t10k"}[split], len(images)
        content = images.numpy().astype(np.uint8).tobytes()
        (raw / f"{name}-images-idx3-ubyte").write_bytes(struct.pack(">4i", 2051, n, 28, 28) + content)
        content = labels.numpy().astype(np.uint8).tobytes()
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 2049, n) + content)


@dataclass
class Outcome:
    exit_code: int
    out: str
    err: str


@pytest.fixture
def gantrain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Outcome]]:
    """Run the command inside this process, in an empty folder."""
    from gantrain.cli.train import main

    yield from command(main, "gantrain", tmp_path, monkeypatch, capsys)


def command(
    main: Callable[[], None],
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Callable[..., Outcome]]:
    """Lend a function that runs ``main`` with arguments, as the command ``name``, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    path = list(sys.path)

    def run(*arguments: str) -> Outcome:
        GlobalHydra.instance().clear()
        if name == "gantrain" and not any(a.startswith(("evaluation", "-", "experiment")) for a in arguments):
            arguments = (*arguments, "evaluation=none")  # it takes longer than the runs of most tests
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        exit_code = 0
        capsys.readouterr()
        try:
            main()
        except SystemExit as leaving:
            exit_code = leaving.code or 0
        captured = capsys.readouterr()
        return Outcome(exit_code, captured.out, captured.err)

    yield run
    sys.path[:] = path


def run_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def with_board(run: RunDirectory, step: int = 0) -> Records:
    """A run's records, shown by TensorBoard, as a training has them by default."""
    return Records(run, step, outlets=guarded({"tensorboard": TensorBoard()}, run))
