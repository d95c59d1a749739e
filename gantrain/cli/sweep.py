"""One job of a sweep, in whatever process a launcher puts it: it never ends the process, and leaves one line."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from gantrain import terminal
from gantrain.cli import entry
from gantrain.cli.summary import in_sweep
from gantrain.errors import ConfigError, EndedError, Reported, StoppedError, first_line
from gantrain.run import files, read
from gantrain.run.directory import SWEEP_FILE, RunDirectory
from gantrain.run.identity import distinguishing
from gantrain.run.signals import StopSignal, heeded
from gantrain.sweeps import follow
from gantrain.terminal import say

Result = dict[str, Any]
ORPHANED = "orphaned"
"""The name of the thread that looks after the parent process."""


def job(cfg: DictConfig, work: Callable[[], Result | None]) -> Result | None:
    """Do a job's work and record how it ended, in a line of ``<run.root>/sweep.jsonl``.

    Raises:
        Reported: if it failed or was stopped; the reason has been printed.
    """
    if StopSignal.received is not None:
        raise Reported(StoppedError.exit_code)
    with terminal.job(" ".join(overrides()), shared=not entry.STARTED):
        return carried_out(cfg, work)


def carried_out(cfg: DictConfig, work: Callable[[], Result | None]) -> Result | None:
    """Do a job's work, and leave its line."""
    try:
        arrive()
        result = work()
    except Exception as error:
        code = entry.fail(error)
        status = RunDirectory(str(cfg.run.dir)).status() if cfg.run.dir else {}
        known: Result = {"run": None, "state": "refused" if code in (2, 3, 6) else "failed"}
        if status.get("exit_code") == code and status.get("reason") == str(error):  # it is about this error
            known = {"run": str(cfg.run.dir), "state": status["state"], "step": status.get("step")}
        leave(cfg, known | {"exit_code": code, "reason": first_line(error)})
        raise Reported(code) from error
    if result is not None:
        leave(cfg, {key: value for key, value in result.items() if key not in ("history", "total_steps")})
    return result


def arrive() -> None:
    """Prepare a worker: same folder, same signal handling as the process that started the sweep."""
    if entry.STARTED:  # it is that one
        return
    terminal.bear_every_character()
    if threads := HydraConfig.get().launcher.get("cpus_per_task"):
        os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # torch, not imported yet, would take all cores
    folder = HydraConfig.get().runtime.cwd
    try:
        os.chdir(folder)  # a worker of a cluster begins elsewhere
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot be entered on this machine ({error.strerror}); a sweep over machines needs a shared disk"
        ) from error
    with suppress(ValueError):  # not in a main thread
        for number in heeded():
            if number != signal.SIGUSR2:  # submitit has a handler of its own for it
                signal.signal(number, StopSignal.remember)
    if not any(thread.name == ORPHANED for thread in threading.enumerate()):
        threading.Thread(target=end_with, args=(os.getppid(),), name=ORPHANED, daemon=True).start()


def end_with(parent: int) -> None:
    """Stop this process's job, state saved, once its parent is gone: nobody would take the result."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)


def overrides() -> list[str]:
    """Return what this job was asked for, without the settings of how it is carried out."""
    return distinguishing([str(o) for o in HydraConfig.get().overrides.task], ())


def leave(cfg: DictConfig, facts: Result) -> None:
    """Add a job's line to the sweep's file; a disk that does not take it costs a warning."""
    own = {"sweep": str(HydraConfig.get().sweep.dir), "job": HydraConfig.get().job.num}
    own |= {"overrides": overrides()}
    root = Path(str(cfg.run.root))
    try:
        files.make_folder(root)
        lines = files.Lines(root / SWEEP_FILE)
        lines.append(json.dumps(own | facts))
        lines.close()
    except OSError as error:
        say(f"{root / SWEEP_FILE} cannot be written ({first_line(error)})")


@contextmanager
def handed_over(stop: StopSignal) -> Iterator[None]:
    """Let a sweep's scheduler hear of a run that was stopped inside the block."""
    try:
        yield
    except StoppedError as error:
        if in_sweep() and not isinstance(error, EndedError):
            hand_over(stop)
        raise


def hand_over(stop: StopSignal) -> None:
    """Let the scheduler have the last word on a job that a signal stopped; its state has been saved.

    submitit's own handler for its signal (time is almost up, or another job needs the place) puts the job back into the
    queue and ends the process. Slurm itself sends SIGTERM when it requeues or cancels a job; then nothing may be
    returned, because a job that has returned something is over for submitit.
    """
    handler: Any = stop.displaced.get(signal.SIGUSR2)
    if not type(getattr(handler, "__self__", None)).__module__.startswith("submitit."):
        return
    if stop.name == "SIGUSR2":
        handler(signal.SIGUSR2, None)
    elif "SLURM_JOB_ID" in os.environ:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(StoppedError.exit_code)


def outcome(cfg: DictConfig, skipped: bool) -> Result:
    """Return a job's result, which its line prints too, read from the run's records."""
    from gantrain.sweeps.search import of_metric

    run, status = Path(cfg.run.dir), RunDirectory(cfg.run.dir).status()
    measured = read.evaluation(run)
    history = read.history(run, measured.tag, status.get("step", 0))
    return {
        "run": cfg.run.dir,
        "state": "skipped" if skipped and status.get("state") == "finished" else status.get("state", "unknown"),
        "step": status.get("step", 0),
        "exit_code": status.get("exit_code", 0),
        "reason": status.get("reason", ""),
        "seconds": status.get("cost", {}).get("training_seconds"),
        "values": follow.shown(run),
        "evaluation": {part: measured.parts.get(part) or None for part in ("best", "final", read.MEDIAN)},
        "total_steps": status.get("total_steps"),
        "history": of_metric(history, str(cfg.search.metric)),
    }
