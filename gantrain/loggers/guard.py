"""What stands between a logger and the run: it may raise, hang or be slow, and costs one warning."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from gantrain.errors import first_line
from gantrain.loggers.interface import Facts, Logger
from gantrain.loggers.remembered import remember, remembered
from gantrain.run.directory import RunDirectory
from gantrain.terminal import say

WAITING = 200
"""Calls that may wait for a logger in its thread before the run waits; pictures among them take a megabyte or more."""
Call = Callable[[], object] | threading.Event | None
"""What a logger's thread is given: something to do, somebody who waits to be told that it is done, or its end."""
SHARE = 0.01
"""Of a run's time: what it may wait for a logger beyond the logger's ``timeout``."""


class Guard:
    """A logger as Records sees it: it raises nothing. One that writes into the run's folder is called at once.

    If it raises, the run warns once and goes on without it. A disk that does not take its files is no such failure:
    records are lost and counted, and the logger is asked again.

    Args:
        name: of the logger in the configuration, for the warning.
        logger: the logger.
        run: the run's folder; it is told of records that are lost.
        facts: of the run; step and id are set when it begins.
    """

    def __init__(self, name: str, logger: Logger, run: RunDirectory, facts: Facts) -> None:
        self.name, self.logger, self.run, self.facts = name, logger, run, facts
        self.weights, self.off = bool(logger.weights), False

    def begin(self, step: int) -> None:
        """Begin, or go on, under the id that the folder remembers."""
        folder = self.run.path
        facts = replace(self.facts, step=step, remember=lambda id: remember(folder, self.name, id))
        self._do(lambda: self.logger.begin(replace(facts, id=remembered(folder, self.name))))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Pass values on."""
        self._do(lambda: self.logger.scalars(step, values))

    def image(self, tag: str, step: int, drawn: Tensor) -> None:
        """Pass a picture on."""
        self._do(lambda: self.logger.image(tag, step, drawn))

    def text(self, tag: str, step: int, text: str) -> None:
        """Pass a text on."""
        self._do(lambda: self.logger.text(tag, step, text))

    def hyperparameters(self, choices: Mapping[str, str | int | float | bool]) -> None:
        """Pass choices on."""
        self._do(lambda: self.logger.hyperparameters(choices))

    def artifact(self, path: Path) -> None:
        """Pass a file or folder on, if it is there."""
        if path.exists():
            self._do(lambda: self.logger.artifact(path))

    def flush(self) -> None:
        """Let the logger hand on what it holds."""
        self._do(lambda: self.logger.flush())

    def finish(self, state: str, reason: str) -> None:
        """End as the run has ended."""
        self._do(lambda: self.logger.finish(state, reason))

    def _do(self, act: Callable[[], object]) -> None:
        if not self.off:
            self._try(act)

    def _try(self, act: Callable[[], object]) -> None:
        try:
            act()
        except OSError as error:
            if self.logger.in_folder:
                self.run.lost_a_record(error)
            else:
                self._give_up(first_line(error))
        except Exception as error:  # of any package, or of a user's class
            self._give_up(first_line(error))

    def _give_up(self, reason: str) -> None:
        if not self.off:
            self.off = True
            say(f"logger {self.name} is off from here on ({reason[:300]}); training goes on")


class ThreadGuard(Guard):
    """A guard that calls its logger in a thread, and waits for it only so long.

    The run waits where too many calls wait for the logger, at a checkpoint, so that a tracker has everything up to that
    even if the run is killed then, and at the end. All this together may take the logger's ``timeout`` and a hundredth
    of the run's time; at the end once more the ``timeout``.
    """

    def begin(self, step: int) -> None:
        """Start the thread."""
        if self.off:  # before the run was rolled back
            return
        self.calls: queue.Queue[Call] = queue.Queue(WAITING)
        self.began, self.waited, self.ending = time.monotonic(), 0.0, False
        self.thread = threading.Thread(target=self._work, name=f"logger {self.name}", daemon=True)
        self.thread.start()
        super().begin(step)

    def flush(self) -> None:
        """Wait until the logger has taken and handed on everything."""
        done = threading.Event()
        super().flush()
        if not self.off:
            self._put(done)
        if not self.off:
            self._wait(done.wait, self._allowed())

    def finish(self, state: str, reason: str) -> None:
        """Wait until the logger has ended."""
        self.ending = True
        super().flush()
        super().finish(state, reason)
        if self.off:
            return
        self._put(None)

        def ended(seconds: float) -> bool:
            self.thread.join(seconds)
            return not self.thread.is_alive()

        self._wait(ended, self.logger.timeout)

    def _do(self, act: Callable[[], object]) -> None:
        if not self.off:
            self._put(act)

    def _put(self, act: Call) -> None:
        try:
            self.calls.put_nowait(act)
        except queue.Full:
            self._wait(lambda seconds: self._placed(act, seconds), self._allowed())

    def _placed(self, act: Call, seconds: float) -> bool:
        try:
            self.calls.put(act, timeout=seconds)
        except queue.Full:
            return False
        return True

    def _allowed(self) -> float:
        elapsed = time.monotonic() - self.began
        return max(self.logger.timeout + SHARE * elapsed - self.waited, 0.0)

    def _wait(self, until: Callable[[float], bool], seconds: float) -> None:
        began = time.monotonic()
        if not until(seconds):
            self._give_up(f"it did not keep up: nothing came of it in {seconds:.0f} s, see its setting timeout")
        self.waited += time.monotonic() - began

    def _work(self) -> None:
        calls = self.calls
        while (act := calls.get()) is not None:
            if isinstance(act, threading.Event):
                act.set()
            elif not self.off:
                self._try(act)
                if calls.empty() and not (self.off or self.ending):
                    self._try(self.logger.flush)
            if self.off and calls.empty():  # nobody waits any more, and nothing will come
                return


def guarded(loggers: Mapping[str, Logger], run: RunDirectory, facts: Facts | None = None) -> list[Guard]:
    """Return the loggers of a run, by their names in the configuration, each behind its guard."""
    facts = facts or Facts(run.path, run.path.name, run.path.parent)
    guards: dict[bool, type[Guard]] = {True: Guard, False: ThreadGuard}
    return [guards[logger.in_folder](name, logger, run, facts) for name, logger in loggers.items()]
