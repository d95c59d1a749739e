"""A run's directory: one process at a time, its configuration, and how it stands."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from gantrain import storage
from gantrain.errors import ConfigError, DivergedError, GantrainError, RunInUseError, StoppedError


class RunDirectory:
    """``outputs/…/seed0``: made on ``open``, locked while this process lives.

    Args:
        path: the directory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def open(self) -> Iterator[None]:
        """Make the directory and hold its lock inside the block.

        Raises:
            RunInUseError: if another process trains here.
            ConfigError: if the directory cannot be made or written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            # lockf, not flock: the lock must not live on in child processes when this one is killed.
            lock = (self.path / "run.lock").open("a+")
        except OSError as error:
            raise ConfigError(f"run.dir={self.path} cannot be written ({error.strerror}); choose another") from error
        with lock:
            try:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                lock.seek(0)
                raise RunInUseError(f"{self.path} is in use by {lock.read().strip() or 'another process'}") from error
            lock.truncate(0)
            lock.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            lock.flush()
            yield

    def status(self) -> dict[str, Any]:
        """Return the last recorded status, {} if there is none."""
        try:
            content = json.loads((self.path / "status.json").read_text())
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def write_status(self, state: str, step: int, exit_code: int | None = None, reason: str = "") -> None:
        """Replace status.json. ``state`` is running, finished, stopped, diverged or failed."""
        content = {"state": state, "step": step, "exit_code": exit_code, "reason": reason}
        storage.write_durably(self.path / "status.json", json.dumps(content) + "\n")

    @contextmanager
    def recording(self, step: Callable[[], int]) -> Iterator[None]:
        """Record in status.json that the work inside runs, and how it ended; ``step()`` tells how far it came."""
        self.write_status("running", step())
        try:
            yield
        except Exception as error:
            code = error.exit_code if isinstance(error, GantrainError) else 1
            state = {DivergedError.exit_code: "diverged", StoppedError.exit_code: "stopped"}.get(code, "failed")
            self.write_status(state, step(), code, str(error))
            raise
        self.write_status("finished", step(), 0)

    def write_config(self, text: str) -> None:
        """Store the resolved configuration (YAML)."""
        storage.write_durably(self.path / "config.yaml", text)

    def read_config(self) -> str | None:
        """Return the stored configuration (YAML), None for a new run."""
        path = self.path / "config.yaml"
        return path.read_text() if path.exists() else None


def digest(text: str) -> str:
    """Return the sha256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


class StopSignal:
    """Ctrl-C, SIGTERM and SIGUSR1 set a flag that training reads between steps; a second Ctrl-C exits at once."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)

    def __init__(self) -> None:
        self.name: str | None = None

    def __bool__(self) -> bool:
        return self.name is not None

    def _set(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self:
            os._exit(130)
        self.name = signal.Signals(number).name
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
