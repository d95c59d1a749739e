"""Signals that ask a run to stop, noted for the moment when it can."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, ClassVar

from gantrain.errors import StoppedError


class StopSignal:
    """Ctrl-C, SIGTERM, SIGUSR1 and SIGUSR2 set a flag that training reads between steps; a second Ctrl-C exits at once.

    Until ``patient`` is set there is nothing to save, so the first signal ends the process at once, with the same exit
    code. (An exception would not do: the code of another library might catch it, for example during an import.)
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
    received: ClassVar[str | None] = None
    """Name of the last signal that this process got; once there is one, later jobs of a sweep are not started."""

    def __init__(self, before: str = "training") -> None:
        self.name: str | None = None
        self.patient, self.before = False, before
        self.displaced: dict[int, Any] = {}  # the handlers in force outside the block, by signal

    def __bool__(self) -> bool:
        return self.name is not None

    def _set(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self:
            os._exit(130)
        self.name = StopSignal.received = signal.Signals(number).name
        then = (
            "stopping after this step; Ctrl-C again leaves at once" if self.patient else f"stopped before {self.before}"
        )
        with suppress(OSError):  # the terminal may be gone
            os.write(2, f"\n{self.name}: {then}\n".encode())
        if not self.patient:
            os._exit(StoppedError.exit_code)

    @classmethod
    def remember(cls, number: int, frame: FrameType | None) -> None:
        """Note a signal and do nothing else: the handler of a process that has nothing to stop."""
        cls.received = signal.Signals(number).name

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Catch the signals inside the block. Only a main thread can; elsewhere this does nothing."""
        try:
            self.displaced = {number: signal.signal(number, self._set) for number in self.SIGNALS}
        except ValueError:
            self.displaced = {}
        try:
            yield
        finally:
            for number, handler in self.displaced.items():
                signal.signal(number, handler)
