"""A run's directory: one process at a time, its configuration, and how it stands."""

from __future__ import annotations

import hashlib
import json
import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from gantrain.errors import (
    ConfigError,
    DiskError,
    DivergedError,
    GantrainError,
    PrunedError,
    RecordError,
    StoppedError,
    first_line,
)
from gantrain.run import files, lock, read
from gantrain.terminal import say

SWEEP_FILE = "sweep.jsonl"
"""In a folder of runs: a line for every job of a sweep that has ended."""


FILES = (
    *("run.lock", "config.yaml", "status.json", "metrics.jsonl", "error.log", "skipped_images.txt", "passed_over.txt"),
    *("evaluation.json", "evaluations.jsonl", "changes.jsonl", "metrics.csv"),
)
"""The files of a run."""
FOLDERS = ("checkpoints", "checkpoints/damaged", "samples", "tb", "loggers", "wandb", "generated", "export")
"""Its folders, those first that others lie in."""


BROKEN = (
    *(ValueError, TypeError, AttributeError, LookupError, RecursionError, OverflowError),
    yaml.YAMLError,
)
"""Raised by YAML of the wrong form."""


class Plain(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
    """Reads YAML as gantrain writes it: without aliases, a few lines of which fill memory, of limited depth."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Read a node.

        Raises:
            ValueError: if it is an alias, or lies too deep.
        """
        if self.check_event(yaml.AliasEvent):
            raise ValueError("it has YAML aliases, which gantrain never writes")
        self.depth += 1
        if self.depth > read.DEEPEST:
            raise ValueError("it is nested too deep")
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


Plain.add_constructor("tag:yaml.org,2002:timestamp", Plain.construct_scalar)  # no setting is a date
PLAIN = (str, int, float, bool, type(None))


def check_plain(node: Any) -> None:
    """Raise ValueError for what YAML can say and no setting is: bytes, sets, keys that are lists."""
    if isinstance(node, dict):
        if strange := [key for key in node if not isinstance(key, str | int | float)]:
            raise ValueError(f"it has the key {strange[0]!r}")
        node = list(node.values())
    if isinstance(node, list):
        for entry in node:
            check_plain(entry)
    elif not isinstance(node, PLAIN):
        raise ValueError(f"it has a value of type {type(node).__name__}")


class RunDirectory:
    """``outputs/…/seed0``: made on ``open``, locked while this process lives.

    The folder itself may be a link that the user has made. What lies in it may not: it may come from a stranger, and
    lead out of the folder.

    Args:
        path: the directory.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.lost_records = 0  # that the disk did not take
        self.lock: lock.Lock | None = None  # while it is open

    @contextmanager
    def open(self) -> Iterator[None]:
        """Make the directory and hold its lock inside the block.

        Raises:
            RunInUseError: if another process trains here, or this one already does.
            ConfigError: if the directory cannot be made or written, has no locks, or holds links.
        """
        self.refuse_if_in_use()
        try:
            files.make_folder(self.path)
            self.refuse_strange()
            taken = lock.Lock(self.path)
        except OSError as error:
            raise ConfigError(
                f"run.dir={self.path} cannot be written ({error.strerror or error}); choose another"
            ) from error
        try:
            with self.disk_errors():
                taken.sign()
                for folder in (self.path, self.path / "samples"):
                    files.clear_debris(folder, all_dead=True)
            self.lock = taken
            yield
        finally:
            self.lock = None
            taken.release()

    def refuse_strange(self) -> None:
        """Raise ConfigError if a file or folder that a run writes to or deletes from is a link, a pipe or a device.

        So it is if the folder's name is no text: checkpoints and TensorBoard's files could not be written there.
        """
        if not files.is_text(self.path):
            raise ConfigError(f"run.dir={self.path}: the name is not UTF-8; give the folder another")
        try:
            saved = [f"checkpoints/{name}" for name in names_in(self.path / "checkpoints")]
            for name in (*FOLDERS, *(name for name in saved if files.is_checkpoint_s(Path(name)))):
                files.check_own(self.path / name, folder=True)
            for name in FILES:
                files.check_own(self.path / name)
        except files.StrangeFileError as error:
            raise ConfigError(
                f"{error}; a run writes and deletes only inside of its folder, so remove it, or choose another run.dir"
            ) from error
        except OSError as error:
            raise ConfigError(f"run.dir={self.path} cannot be read ({error.strerror}); choose another") from error

    def check_place(self) -> None:
        """Raise if this process's run no longer stands where it began, see ``Lock.check``."""
        if self.lock is not None:
            self.lock.check()

    def is_in_use(self) -> bool:
        """Tell whether a process holds the lock."""
        return lock.is_taken(self.path / lock.NAME)

    def refuse_if_in_use(self) -> None:
        """Raise RunInUseError if a process trains here."""
        if self.is_in_use():
            raise lock.in_use(self.path / lock.NAME)

    def status(self) -> dict[str, Any]:
        """Return the last recorded status, {} if there is none; an entry that is damaged is left out."""
        return read.status(self.path)[0]

    def begun_in(self) -> Path | None:
        """Return the folder where the command was last given and relative names start, None if it is not recorded."""
        folder = self.status().get("folder")
        try:
            return (
                Path(folder) if isinstance(folder, str) and folder.startswith("/") and Path(folder).is_dir() else None
            )
        except (OSError, ValueError):  # of a name that no folder has
            return None

    def state(self) -> str:
        """Return how the run stands: ``killed`` where it calls itself running and no process holds its lock."""
        recorded = str(self.status().get("state", "unknown"))
        return "running" if self.is_in_use() else "killed" if recorded == "running" else recorded

    def write_status(self, state: str, facts: dict[str, Any], exit_code: int | None = None, reason: str = "") -> None:
        """Replace status.json. ``state`` is running, finished, stopped, pruned, diverged or failed.

        Raises:
            DiskError: if the disk does not take it.
            RunInUseError, DiskError: if the folder is no longer this run's.
        """
        self.check_place()
        content = {"state": state, "exit_code": exit_code, "reason": reason} | facts
        with self.disk_errors():
            files.write_durably(self.path / "status.json", json.dumps(content) + "\n")

    @contextmanager
    def disk_errors(self) -> Iterator[None]:
        """Turn an error of the disk inside the block into DiskError."""
        try:
            yield
        except OSError as error:
            raise DiskError(
                f"{self.path} cannot be used ({first_line(error)}); free some space, or choose another run.dir"
            ) from error

    @contextmanager
    def recording(self, facts: Callable[[], dict[str, Any]]) -> Iterator[None]:
        """Record in status.json that the block runs, and how it ended, each time with the current ``facts()``.

        The traceback of an error goes to ``error.log``.
        """
        self.write_status("running", facts())
        (self.path / "error.log").unlink(missing_ok=True)
        try:
            with self.disk_errors():
                yield
        except Exception as error:
            code = error.exit_code if isinstance(error, GantrainError) else 1
            state = state_after(error)
            if self.lock is not None and not self.lock.owns():
                raise  # what stands there now is somebody else's
            try:
                if state in ("diverged", "failed"):
                    files.write_durably(self.path / "error.log", "".join(traceback.format_exception(error)))
                self.write_status(state, facts(), code, str(error))
            except Exception as unwritten:  # a full disk; or a GPU that answers nothing more, not even for the facts
                say(f"how it ended is not recorded: {first_line(unwritten)}")
            raise
        self.write_status("finished", facts(), 0)

    def write_config(self, text: str) -> None:
        """Store the resolved configuration (YAML)."""
        with self.disk_errors():
            files.write_durably(self.path / "config.yaml", text)

    @property
    def metrics_file(self) -> Path:
        """Where the scalars are recorded, a line of JSON per logged step."""
        return self.path / "metrics.jsonl"

    def metrics(self, holding: str = "") -> Iterator[dict[str, Any]]:
        """Yield the lines of metrics.jsonl, as ``read.lines`` does."""
        return read.lines(self.path, holding)

    def lost_a_record(self, error: OSError) -> None:
        """Count a record that the disk did not take, and warn once: training is worth more."""
        self.lost_records += 1
        if self.lost_records == 1:
            say(f"records in {self.path} are being lost ({first_line(error)}); training goes on")

    def settings(self) -> dict[str, Any]:
        """Return the stored configuration as plain data; interpolations, which may be a stranger's, stay text.

        Raises:
            ConfigError: if there is none.
            RecordError: if it is damaged.
        """
        path = self.path / "config.yaml"
        if (text := self.read_config()) is None:
            raise ConfigError(f"{self.path} is no run's folder: it has no config.yaml")
        try:
            content = yaml.load(text, Plain)
            if not isinstance(content, dict):
                raise ValueError("it holds no settings")
            check_plain(content)
        except BROKEN as error:
            raise RecordError(f"{path} is damaged ({first_line(error)})") from error
        return {str(key): value for key, value in content.items()}

    def read_config(self) -> str | None:
        """Return the stored configuration (YAML), None for a new run.

        Raises:
            RecordError: if it is no file, or larger than any that a run writes.
        """
        text = read.content(self.path / "config.yaml")
        return None if text is None else text.decode(errors="replace")


def state_after(error: BaseException | None) -> str:
    """Return the state of a run that has ended by an error, None for none, as status.json calls it."""
    if error is None:
        return "finished"
    ends = {DivergedError: "diverged", StoppedError: "stopped", PrunedError: "pruned"}
    return next((state for kind, state in ends.items() if isinstance(error, kind)), "failed")


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder, none if it is not there or a link."""
    return os.listdir(folder) if folder.is_dir() and not folder.is_symlink() else []  # noqa: PTH208


def digest(text: str) -> str:
    """Return the sha256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()
