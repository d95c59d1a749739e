"""A run's directory: one process at a time, its configuration, and how it stands."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import signal
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar

from gantrain import storage
from gantrain.errors import (
    ConfigError,
    DiskError,
    DivergedError,
    GantrainError,
    RunInUseError,
    StoppedError,
    first_line,
)
from gantrain.progress import say


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
            self.path.mkdir(parents=True, exist_ok=True)
            # lockf, not flock: the lock must not live on in child processes when this one is killed.
            lock = (self.path / "run.lock").open("a+")
        except OSError as error:
            raise ConfigError(f"run.dir={self.path} cannot be written ({error.strerror}); choose another") from error
        with lock:
            if not acquired(lock.fileno(), fcntl.LOCK_EX):
                raise self._in_use()
            lock.truncate(0)
            now = datetime.now(UTC).isoformat(timespec="seconds")
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
        owner = (self.path / "run.lock").read_text().strip() if self.path.resolve() not in self._held else ""
        return RunInUseError(f"{self.path} is in use by {owner or f'process {os.getpid()}'}")

    def status(self) -> dict[str, Any]:
        """Return the last recorded status, {} if there is none."""
        try:
            content = json.loads((self.path / "status.json").read_text())
        except (OSError, ValueError, RecursionError):
            return {}
        return content if isinstance(content, dict) else {}

    def write_status(self, state: str, facts: dict[str, Any], exit_code: int | None = None, reason: str = "") -> None:
        """Replace status.json. ``state`` is running, finished, stopped, diverged or failed.

        Raises:
            DiskError: if the disk does not take it.
        """
        content = {"state": state, "exit_code": exit_code, "reason": reason} | facts
        try:
            storage.write_durably(self.path / "status.json", json.dumps(content) + "\n")
        except OSError as error:
            raise DiskError(f"{self.path / 'status.json'} cannot be written ({first_line(error)})") from error

    @contextmanager
    def recording(self, facts: Callable[[], dict[str, Any]]) -> Iterator[None]:
        """Record in status.json that the work inside runs, and how it ended, with what ``facts()`` says then.

        The traceback of an error goes to ``error.log``. What the disk refused becomes a DiskError.
        """
        self.write_status("running", facts())
        (self.path / "error.log").unlink(missing_ok=True)
        try:
            yield
        except Exception as error:
            failure = error
            if isinstance(error, OSError) and not isinstance(error, GantrainError):
                failure = DiskError(f"{self.path} cannot be written ({first_line(error)})")
            code = failure.exit_code if isinstance(failure, GantrainError) else 1
            state = {DivergedError.exit_code: "diverged", StoppedError.exit_code: "stopped"}.get(code, "failed")
            try:
                self.write_status(state, facts(), code, str(failure))
                if state != "stopped":
                    (self.path / "error.log").write_text("".join(traceback.format_exception(error)))
            except (DiskError, OSError) as unwritten:
                say(f"how it ended is not recorded: {first_line(unwritten)}")
            if failure is error:
                raise
            raise failure from error
        self.write_status("finished", facts(), 0)

    def write_config(self, text: str) -> None:
        """Store the resolved configuration (YAML)."""
        try:
            storage.write_durably(self.path / "config.yaml", text)
        except OSError as error:
            raise DiskError(f"{self.path / 'config.yaml'} cannot be written ({first_line(error)})") from error

    @property
    def metrics_file(self) -> Path:
        """Where the scalars are recorded, a line of JSON per logged step."""
        return self.path / "metrics.jsonl"

    def metrics(self) -> Iterator[dict[str, Any]]:
        """Yield the lines of metrics.jsonl in their order; a torn one is passed over."""
        if not self.metrics_file.exists():
            return
        with self.metrics_file.open(errors="replace") as file:
            for line in file:
                try:
                    values = json.loads(line)
                except ValueError:
                    continue
                if line.endswith("}\n") and isinstance(values, dict) and isinstance(values.get("step"), int):
                    yield values

    def lost_a_record(self, error: OSError) -> None:
        """Count a record that the disk did not take, and warn once: training is worth more."""
        self.lost_records += 1
        if self.lost_records == 1:
            say(f"records in {self.path} are being lost ({first_line(error)}); training goes on")

    def read_config(self) -> str | None:
        """Return the stored configuration (YAML), None for a new run."""
        path = self.path / "config.yaml"
        return path.read_text(errors="replace") if path.exists() else None


def acquired(descriptor: int, kind: int) -> bool:
    """Take a POSIX lock, and tell whether that worked; tried for a moment, because somebody may only be looking."""
    for _ in range(5):
        try:
            fcntl.lockf(descriptor, kind | fcntl.LOCK_NB)
        except OSError:
            time.sleep(0.02)
        else:
            return True
    return False


def digest(text: str) -> str:
    """Return the sha256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


class StopSignal:
    """Ctrl-C, SIGTERM and SIGUSR1 set a flag that training reads between steps; a second Ctrl-C exits at once.

    Before training there is nothing to save, and until ``patient`` is set the first signal ends the work at once.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)

    def __init__(self) -> None:
        self.name: str | None = None
        self.patient = False

    def __bool__(self) -> bool:
        return self.name is not None

    def check(self) -> None:
        """Raise StoppedError if a signal has come."""
        if self:
            raise StoppedError(f"stopped by {self.name} before the first step; run the same command again to start")

    def _set(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self:
            os._exit(130)
        self.name = signal.Signals(number).name
        if not self.patient:
            self.check()
        os.write(2, f"\n{self.name}: stopping after this step; Ctrl-C again leaves at once\n".encode())

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Catch the signals inside the block. Only a main thread can; elsewhere this does nothing."""
        try:
            before = {number: signal.signal(number, self._set) for number in self.SIGNALS}
        except ValueError:
            before = {}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
