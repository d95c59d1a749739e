"""A run's directory: one process at a time, its configuration, and how it stands."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import yaml

from gantrain.errors import (
    ConfigError,
    DiskError,
    DivergedError,
    GantrainError,
    PrunedError,
    RunInUseError,
    StoppedError,
    first_line,
)
from gantrain.run import files, read
from gantrain.terminal import say

SWEEP_FILE = "sweep.jsonl"
"""In a folder of runs: a line for every job of a sweep that has ended."""


class RunDirectory:
    """``outputs/…/seed0``: made on ``open``, locked while this process lives.

    Args:
        path: the directory.
    """

    _held: ClassVar[set[Path]] = set()  # closing any descriptor of a file gives up this process's lock on it

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.lost_records = 0  # that the disk did not take

    @contextmanager
    def open(self) -> Iterator[None]:
        """Make the directory and hold its lock inside the block.

        Raises:
            RunInUseError: if another process trains here, or this one already does.
            ConfigError: if the directory cannot be made or written.
        """
        self.refuse_if_in_use()
        try:
            files.make_folder(self.path)
            # lockf, not flock: the lock must not live on in child processes when this one is killed.
            lock = (self.path / "run.lock").open("a+")
        except OSError as error:
            raise ConfigError(f"run.dir={self.path} cannot be written ({error.strerror}); choose another") from error
        with lock:
            if not acquired(lock.fileno(), fcntl.LOCK_EX):
                raise self._in_use()
            now = datetime.now(UTC).isoformat(timespec="seconds")
            with self.disk_errors():
                lock.truncate(0)
                lock.write(f"process {os.getpid()} on {socket.gethostname()} since {now}\n")
                lock.flush()
            self._held.add(self.path.resolve())
            try:
                yield
            finally:
                self._held.discard(self.path.resolve())

    def is_in_use(self) -> bool:
        """Tell whether a process holds the lock."""
        if self.path.resolve() in self._held:
            return True
        try:
            with (self.path / "run.lock").open() as lock:
                return not acquired(lock.fileno(), fcntl.LOCK_SH)
        except OSError:
            return False

    def refuse_if_in_use(self) -> None:
        """Raise RunInUseError if a process trains here."""
        if self.is_in_use():
            raise self._in_use()

    def _in_use(self) -> RunInUseError:
        mine = self.path.resolve() in self._held
        owner = f"this process, {os.getpid()}" if mine else (self.path / "run.lock").read_text().strip()
        return RunInUseError(f"{self.path} is in use by {owner or 'another process'}")

    def status(self) -> dict[str, Any]:
        """Return the last recorded status, {} if there is none."""
        return read.json_object(self.path / "status.json")

    def state(self) -> str:
        """Return how the run stands: ``killed`` where it calls itself running and no process holds its lock."""
        recorded = str(self.status().get("state", "unknown"))
        return "running" if self.is_in_use() else "killed" if recorded == "running" else recorded

    def write_status(self, state: str, facts: dict[str, Any], exit_code: int | None = None, reason: str = "") -> None:
        """Replace status.json. ``state`` is running, finished, stopped, pruned, diverged or failed.

        Raises:
            DiskError: if the disk does not take it.
        """
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
            ends: dict[type[Exception], str] = {
                DivergedError: "diverged",
                StoppedError: "stopped",
                PrunedError: "pruned",
            }
            state = ends.get(type(error), "failed")
            try:
                if state in ("diverged", "failed"):
                    (self.path / "error.log").write_text("".join(traceback.format_exception(error)))
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
        """Yield the lines of metrics.jsonl in their order, only those that hold a text; a torn one is passed over."""
        return read.lines(self.path, holding)

    def lost_a_record(self, error: OSError) -> None:
        """Count a record that the disk did not take, and warn once: training is worth more."""
        self.lost_records += 1
        if self.lost_records == 1:
            say(f"records in {self.path} are being lost ({first_line(error)}); training goes on")

    def settings(self) -> dict[str, Any]:
        """Return the stored configuration as plain data; interpolations, which may be a stranger's, stay text.

        Raises:
            ConfigError: if there is none, or it is damaged.
        """
        path = self.path / "config.yaml"
        if (text := self.read_config()) is None:
            raise ConfigError(f"{self.path} is no run's folder: it has no config.yaml")
        try:
            if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
                raise ValueError("it has YAML aliases, which gantrain never writes")  # a few lines of them fill memory
            content = yaml.safe_load(text)
            if not isinstance(content, dict):
                raise ValueError("it holds no settings")
        except (ValueError, TypeError, RecursionError, OverflowError, yaml.YAMLError) as error:
            raise ConfigError(
                f"{path} is damaged ({first_line(error)}); remove it to go on with these settings"
            ) from error
        return {str(key): value for key, value in content.items()}

    def read_config(self) -> str | None:
        """Return the stored configuration (YAML), None for a new run."""
        path = self.path / "config.yaml"
        return path.read_text(errors="replace") if path.exists() else None


def acquired(descriptor: int, kind: int) -> bool:
    """Take a POSIX lock, and tell whether that worked; tried for a moment, because somebody may only be looking."""
    for _ in range(5):
        try:
            fcntl.lockf(descriptor, kind | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise
            time.sleep(0.02)
        else:
            return True
    return False


def digest(text: str) -> str:
    """Return the sha256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()
