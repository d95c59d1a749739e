"""Signals that ask a run to stop, noted for the moment when it can."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, ClassVar

from gantrain.errors import StoppedError


class StopSignal:
    """Signals set a flag that training reads between steps; a second Ctrl-C exits at once.

    They are Ctrl-C, SIGTERM, SIGUSR1, SIGUSR2, SIGHUP (the terminal is gone, as when an SSH session is lost) and
    SIGXCPU (the limit on CPU time is reached).

    Until ``patient`` is set there is nothing to save, so the first signal ends the process at once, with the same exit
    code. (An exception would not do: the code of another library might catch it, for example during an import.)
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU, signal.SIGUSR1, signal.SIGUSR2)
    at_exit: ClassVar[list[Callable[[], object]]] = []
    """What is to be done before the process is ended at once."""
    silent: ClassVar[bool] = False
    """Whether another process of the same run says that a signal has come."""
    of_a_rank: ClassVar[bool] = False
    """Whether a signal comes twice, from whoever sent it and from the process that started this one."""
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
            self.leave(130)
        if number == signal.SIGXCPU and self:
            return  # it comes every second from now on
        self.name = StopSignal.received = signal.Signals(number).name
        then = (
            "stopping after this step; Ctrl-C again leaves at once" if self.patient else f"stopped before {self.before}"
        )
        if not self.silent:
            with suppress(OSError):  # the terminal may be gone
                os.write(2, f"\n{self.name}: {then}\n".encode())
        if not self.patient:
            self.leave(StoppedError.exit_code)

    @classmethod
    def leave(cls, code: int) -> None:
        """End the process at once."""
        for act in cls.at_exit:
            with suppress(OSError):
                act()
        os._exit(code)

    @classmethod
    def remember(cls, number: int, frame: FrameType | None) -> None:
        """Note a signal and do nothing else: the handler of a process that has nothing to stop."""
        cls.received = signal.Signals(number).name

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Catch the signals inside the block. Only a main thread can; elsewhere this does nothing."""
        try:
            self.displaced = {number: signal.signal(number, self._set) for number in heeded()}
        except ValueError:
            self.displaced = {}
        try:
            yield
        finally:
            for number, handler in self.displaced.items():
                over = self.of_a_rank and StopSignal.received is not None and handler == signal.SIG_DFL
                signal.signal(number, signal.SIG_IGN if over else handler)  # else the second would end it, state saved


def heeded() -> list[signal.Signals]:
    """Return the signals that ask this process to stop; not SIGHUP if it is ignored, as in a process under nohup."""
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [number for number in StopSignal.SIGNALS if not (ignored and number == signal.SIGHUP)]
