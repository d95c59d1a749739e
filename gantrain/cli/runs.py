"""The runs that a command reads, and the folder that it writes its results into."""

from __future__ import annotations

import glob
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from gantrain.cli.entry import reported
from gantrain.cli.overrides import check_kinds
from gantrain.errors import ConfigError, DiskError, first_line, memory_errors
from gantrain.run import files
from gantrain.run.find import trained
from gantrain.run.signals import StopSignal
from gantrain.schema import ReadRun, validated


def command(cfg: DictConfig, name: str, schema: type[ReadRun], work: Callable[[DictConfig], None]) -> None:
    """Check the settings of a command that looks at runs, and do its work; a signal ends it at once."""

    def checked() -> None:
        check_kinds(list(HydraConfig.get().overrides.task), cfg, name, schema)
        typed = validated(cfg, schema)
        if typed.step not in ("last", "best") and not typed.step.isdecimal():
            raise ConfigError(f"step must be last, best or the step of a checkpoint, got {typed.step!r}")
        with memory_errors("A smaller n, evaluation.n_fake, or device=cpu needs less"):
            work(typed)

    with StopSignal("it was done").listening():
        reported(checked)


def matching(pattern: str) -> list[Path]:
    """Return the folders of runs, in order: the one named, those under it, or those that a pattern matches.

    Raises:
        ConfigError: if there is none.
    """
    whole = str(Path(pattern).expanduser())
    # Path.glob refuses absolute patterns.
    starts = glob.glob(whole, recursive=True) if glob.has_magic(whole) else [whole]  # noqa: PTH207
    found = {path for start in starts for path in trained(Path(start))}
    if not found:
        what = "matches no run" if glob.has_magic(pattern) else "is not a folder"
        if Path(pattern).is_dir():
            what = "holds no run"
        raise ConfigError(f"run={pattern} {what}")
    return sorted(found)


def the_one(pattern: str) -> Path:
    """Return the one run that is meant.

    Raises:
        ConfigError: if there are more, or none.
    """
    found = matching(pattern)
    if len(found) > 1:
        raise ConfigError(f"run={pattern} holds {len(found)} runs; name one, like run={found[0]}")
    return found[0]


@contextmanager
def made_whole(out: str | None, default: Path) -> Iterator[tuple[Path, Path]]:
    """Give a folder to write into, and the place where it will be once the block is done; nothing is ever replaced.

    If ``default`` is taken, the place is the next one that is free: ``default-2``, ``default-3``, ….

    Raises:
        ConfigError: if ``out`` is there and not an empty folder.
        DiskError: if the disk does not take it.
    """
    target = free_place(default) if out is None else Path(out).expanduser().absolute()
    temporary = target.with_name(f".{target.name[:80]}.{os.getpid()}.tmp")
    try:
        if out is not None and target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise ConfigError(f"out={out} exists and is not an empty folder; choose another")
        clear_debris(target)
        files.make_folder(temporary)
        yield temporary, target
        temporary.rename(target)  # the system refuses this if the place has been taken meanwhile
    except OSError as error:
        raise DiskError(f"{target} cannot be written ({first_line(error)}); choose another out=") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def free_place(default: Path) -> Path:
    """Return ``default`` if nothing is there, else with the first number that makes it free."""
    places = (default.with_name(f"{default.name}-{k}") if k > 1 else default for k in itertools.count(1))
    return next(place.absolute() for place in places if not place.exists())


def clear_debris(target: Path) -> None:
    """Remove the remains of killed processes that tried to write at the same place."""
    for left in target.parent.glob(f".{glob.escape(target.name[:80])}.*.tmp"):
        process = left.name.split(".")[-2]
        if process.isdecimal() and not Path(f"/proc/{process}").exists():
            shutil.rmtree(left, ignore_errors=True)
