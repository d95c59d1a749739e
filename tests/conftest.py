"""Helpers that several test files share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from gantrain.build import Built, build
from gantrain.schema import validated

REPOSITORY = Path(__file__).parent.parent
CONFIGS = REPOSITORY / "configs"
SHARED_IMAGES = REPOSITORY.parent / "shared" / "data" / "cifar10-jpeg.tar.xz"


def config(*overrides: str) -> DictConfig:
    """The configuration that the command line would compose."""
    with initialize_config_module("gantrain.configs", version_base="1.3"):
        return validated(compose("train", list(overrides)))


def built(*overrides: str) -> Built:
    """A trainer and its data, small unless told otherwise."""
    return build(config("total_steps=4", "batch_size=16", "device=cpu", *overrides))


def option_names(group: str) -> list[str]:
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


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
