"""The lines that a sweep prints as its jobs end, wherever they run."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from gantrain.errors import GantrainError
from gantrain.run import files
from gantrain.run.directions import ranked
from gantrain.run.directory import SWEEP_FILE
from gantrain.run.read import evaluation, last_lines, parsed, sweep_line
from gantrain.run.signals import StopSignal
from gantrain.sweeps.cluster import Watch
from gantrain.terminal import folded, visible

SECONDS = 0.3  # between two looks


class Lines(Callback):
    """Hydra's callback: begins to follow when a sweep begins. Jobs that run elsewhere unpickle it and do nothing."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Follow the file that the jobs write to, from where it ends now."""
        _followers.append(_Follower(Path(str(config.run.root)) / SWEEP_FILE, str(config.hydra.sweep.dir)))


class _Follower:
    """Prints the new lines of a file that are of this sweep."""

    def __init__(self, path: Path, sweep: str) -> None:
        self.path, self.sweep = path, sweep
        self.position = path.stat().st_size if path.exists() else 0
        self.done, self.lock = threading.Event(), threading.Lock()
        self.thread = threading.Thread(target=self._follow, daemon=True)
        self.thread.start()

    def _follow(self) -> None:
        watch = Watch()
        while not self.done.wait(SECONDS):
            self.print_new()
            if watch.is_lost():  # and the main thread waits for it
                say_and_leave()

    def print_new(self) -> None:
        """Print the lines that were added."""
        with self.lock:
            for entry in self._new():
                if entry.get("sweep") == self.sweep:
                    print(folded(line(entry)), flush=True)

    def _new(self) -> Iterator[dict[str, Any]]:
        try:
            file = os.fdopen(files.opened(self.path), "rb")
        except OSError:  # there is none yet, or the jobs have said that they cannot write it
            return
        with file:
            file.seek(self.position)
            for text in file:
                if not text.endswith(b"\n"):
                    return  # it is being written
                self.position += len(text)
                with suppress(ValueError):  # two machines wrote at once to a disk that cannot keep that apart
                    if (entry := sweep_line(parsed(text))) is not None:
                        yield entry


def say_and_leave() -> None:
    """End a sweep whose cluster has died, as Ray ends a process, which no exception could do from this thread."""
    error = GantrainError(
        "the Ray cluster that did the jobs has died or was started again; the same command goes on with what is left"
    )
    print(folded(f"gantrain: error: {error}", sys.stderr), file=sys.stderr, flush=True)
    StopSignal.leave(error.exit_code)


_followers: list[_Follower] = []


def catch_up() -> None:
    """Print the lines of all jobs that have ended by now."""
    for follower in _followers:
        follower.print_new()


@contextmanager
def until_the_end() -> Iterator[None]:
    """Stop following when the block ends, once every line has been printed."""
    try:
        yield
    finally:
        while _followers:
            follower = _followers.pop()
            follower.done.set()
            follower.thread.join()
            follower.print_new()


def line(entry: dict[str, Any]) -> str:
    """Return one line about a job: how it ended, its folder, its values or the reason it failed, and its time."""
    parts = [" ".join(entry.get("overrides", [])) if entry.get("run") is None else entry["run"]]
    if entry["state"] == "skipped":
        parts.append("is finished, remove it to train again:")
    parts += [f"{name}={value:.4g}" for name, value in entry.get("values", {}).items()]
    if seconds := entry.get("seconds"):
        parts.append(f"({entry['step']:,} steps, {seconds:,.0f} s)")
    if entry.get("reason"):
        parts.append(f"(exit code {entry['exit_code']}) {entry['reason']}")
    return visible(f"{entry['state']:<9} {' '.join(parts)}")


def shown(run: Path) -> dict[str, float]:
    """Return the values of a job's line: of its last evaluation, the one that chooses the best first; or its losses."""
    measured = evaluation(run)
    final, first = measured.parts.get("final", {}), measured.best_by
    found = {name: final[name] for name in (first, *ranked(measured.better)) if name in final}
    metrics = last_lines(run)[0]
    return found or {name: metrics[name] for name in ("d/loss", "g/loss") if name in metrics}
