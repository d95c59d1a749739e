"""The runs that a command reads, and the folder that it writes its results into."""

from __future__ import annotations

import glob
import itertools
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from gantrain.cli.entry import reported
from gantrain.cli.overrides import check_kinds
from gantrain.cli.own_files import check_own_files
from gantrain.errors import ConfigError, DiskError, first_line, memory_errors
from gantrain.run import files
from gantrain.run.find import trained
from gantrain.run.signals import StopSignal
from gantrain.schema import ReadRun, is_whole, validated
from gantrain.terminal import check_delivered


def command(cfg: DictConfig, name: str, schema: type[ReadRun], work: Callable[[DictConfig], None]) -> None:
    """Check the settings of a command that looks at runs, and do its work; a signal ends it at once."""

    def checked() -> None:
        check_own_files()
        check_kinds(list(HydraConfig.get().overrides.task), cfg, name, schema)
        if is_whole(cfg.step):
            cfg.step = int(cfg.step)
        typed = validated(cfg, schema)
        if typed.step not in ("last", "best") and not typed.step.isdecimal():
            raise ConfigError(f"step must be last, best or the step of a checkpoint, got {typed.step!r}")
        with memory_errors("A smaller n, evaluation.n_fake, or device=cpu needs less"):
            work(typed)
        check_delivered(sys.stdout)

    with StopSignal("it was done").listening():
        reported(checked)


def matching(patterns: Any) -> list[Path]:
    """Return the folders of runs, in order: those named, those under them, or those that a pattern matches.

    A folder whose name looks like a pattern is that folder.

    Raises:
        ConfigError: if there is none.
    """
    listed = patterns if isinstance(patterns, Sequence) and not isinstance(patterns, str) else [patterns]
    return sorted({path for pattern in listed for path in matching_one(str(pattern))})


def matching_one(pattern: str) -> set[Path]:
    """Return the folders of runs that one name or pattern stands for.

    Raises:
        ConfigError: if there is none.
    """
    whole = str(files.at_home(pattern))
    is_pattern = glob.has_magic(whole) and not os.path.lexists(whole)
    # Path.glob refuses absolute patterns.
    starts = glob.glob(whole, recursive=True) if is_pattern else [whole]  # noqa: PTH207
    found = {path for start in starts for path in trained(Path(start))}
    if not found:
        what = "matches no run" if is_pattern else "is not a folder"
        if Path(whole).is_dir():
            what = "holds no run"
        raise ConfigError(f"run={pattern} {what}")
    return found


def the_one(pattern: Any) -> Path:
    """Return the one run that is meant.

    Raises:
        ConfigError: if there are more, or none.
    """
    found = matching(pattern)
    if len(found) > 1:
        raise ConfigError(f"run={pattern} holds {len(found)} runs; name one, like run={found[0]}")
    return found[0]


def new_file(out: str, ending: str) -> Path:
    """Return the path of a result; raise ConfigError for one that is there already, or ends otherwise."""
    path = files.at_home(out)
    if path.suffix.lower() != ending:
        raise ConfigError(f"out={out} must end in {ending}")
    if os.path.lexists(path):
        raise ConfigError(f"out={out} exists; choose another, or remove it")
    return path


@contextmanager
def made_whole(out: str | None, default: Path, within: Path) -> Iterator[tuple[Path, Path]]:
    """Give a folder to write into, and the place where it will be once the block is done; nothing is ever replaced.

    If ``default``, which lies in the run's folder ``within``, is taken, the place is the next one that is free:
    ``default-2``, ``default-3``, ….

    Raises:
        ConfigError: if ``out`` is there and not an empty folder, or a link would lead out of ``within``.
        DiskError: if the disk does not take it.
    """
    target = free_place(default) if out is None else files.at_home(out).absolute()
    temporary = target.with_name(files.temporary_name(target))
    try:
        if out is None:
            refuse_strange(default.parent, within)
        if out is not None and target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise ConfigError(f"out={out} exists and is not an empty folder; choose another")
        files.clear_debris(target.parent, target.name)
        files.make_folder(target.parent)
        temporary.mkdir()
        yield temporary, target
        temporary.rename(target)  # the system refuses this if the place has been taken meanwhile
    except OSError as error:
        raise DiskError(f"{target} cannot be written ({first_line(error)}); choose another out=") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def free_place(default: Path) -> Path:
    """Return ``default`` if nothing is there, else with the first number that makes it free."""
    places = (default.with_name(f"{default.name}-{k}") if k > 1 else default for k in itertools.count(1))
    return next(place.absolute() for place in places if not os.path.lexists(place))


def refuse_strange(folder: Path, within: Path) -> None:
    """Raise ConfigError if a folder at or under a run's folder is a link, or lies in one, and so may lie elsewhere."""
    try:
        for inner in [folder, *folder.parents][: len(folder.relative_to(within).parts)]:
            files.check_own(inner, folder=True)
    except files.StrangeFileError as error:
        raise ConfigError(f"{error}; remove it, or choose another place with out=") from error
