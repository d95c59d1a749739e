"""Whether the data of a finished run have changed since it was trained."""

from __future__ import annotations

import copy
import stat
from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from gantrain.cli.session import data_of
from gantrain.errors import ConfigError, DataError
from gantrain.run import files
from gantrain.run.directory import RunDirectory
from gantrain.run.identity import flat, plain
from gantrain.terminal import say, visible

OWN = "gantrain.build.own.Own"
"""What stands for an object of Python's in the settings; its module imports torch, which takes seconds."""


def say_if_changed(cfg: DictConfig, run: RunDirectory) -> None:
    """Say in a sentence that the data of a finished run are others than it was trained on; the run stays as it is.

    They are read only if they are an object of Python's, or if something where they lie was written since the run read
    them: a sweep finds many finished runs in a row. Nothing is downloaded, and data that were removed are nobody's
    mistake.
    """
    before = run.status().get("data")
    if before is None or not (is_lent(cfg) or written_since(cfg, read_at(run))):
        return
    cfg = copy.deepcopy(cfg)
    for key in [key for key, _ in flat(plain(cfg)) if key.startswith("data.") and key.endswith(".download")]:
        OmegaConf.update(cfg, key, False)
    try:
        now = data_of(cfg)
    except (ConfigError, DataError) as error:
        say(f"the data of {run.path} have changed since it was trained, and cannot be read now: {error}")
        return
    if now != before:
        said = f"the data of {run.path} have changed since it was trained ({visible(before)} → {visible(now)})"
        say(f"{said}; it stays as it is. To train on those of now, remove it or choose another run.dir")


def read_at(run: RunDirectory) -> float:
    """Return when the run last read its data: right before it wrote its settings, in seconds since 1970."""
    return (run.path / "config.yaml").stat().st_mtime


def is_lent(cfg: DictConfig) -> bool:
    """Tell whether Python code gives the data as an object: its class may be all that names the run."""
    return any(key.startswith("data.") and value == OWN for key, value in flat(plain(cfg)))


def written_since(cfg: DictConfig, moment: float) -> bool:
    """Tell whether anything that the settings of the data name, files and folders, was written after a moment."""
    named = [value for key, value in flat(plain(cfg)) if key.startswith("data.") and isinstance(value, str)]
    return any(when > moment for name in named for when in times(files.at_home(name)))


def times(top: Path) -> Iterator[float]:
    """Yield when each file and folder at a path was written, moved there or given other rights; none if it is gone.

    Links are followed, each folder once. What is copied or moved may keep the time of its content, but not that of its
    entry.
    """
    ahead, seen = [top], set[tuple[int, int]]()
    while ahead:
        try:
            at = (path := ahead.pop()).stat()
            yield max(at.st_mtime, at.st_ctime)
            if stat.S_ISDIR(at.st_mode) and (at.st_dev, at.st_ino) not in seen:
                seen.add((at.st_dev, at.st_ino))
                ahead += path.iterdir()
        except (OSError, ValueError):  # a link that leads nowhere, or a text that no path can be
            continue
