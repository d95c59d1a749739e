"""Start the ranks of a run as processes on this machine, and see them to their end.

torchrun does the same for people who type it. It is not used here because it ends every rank 30 seconds after a signal,
in the middle of a save if need be, and reports a failed rank by a page of its own.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from gantrain.cli import own_files, sweep
from gantrain.cli.summary import in_sweep
from gantrain.errors import ElsewhereError, RankLostError, StoppedError
from gantrain.run.directory import RunDirectory
from gantrain.run.signals import StopSignal

if TYPE_CHECKING:
    from torch._C._distributed_c10d import TCPStore

STARTED = "GANTRAIN_STARTED"
"""In the environment of a rank that was started here: this process speaks of signals."""
PR_SET_PDEATHSIG = 1
LOOK = 0.2
"""Seconds between two looks at the processes."""
GRACE, SHORT = 15.0, 4.0
"""Seconds that the other ranks have to end once one has failed, and once one has found that another does not answer."""


def start(cfg: DictConfig, run: RunDirectory, stop: StopSignal) -> sweep.Result | None:
    """Start the ranks, wait until all have ended, and return a sweep's result.

    The ranks' store is kept by this process, so that a rank that dies takes nothing with it.

    Raises:
        ElsewhereError: with the exit code of a rank that failed, which has said why.
        RankLostError: if a rank was killed and none could say so.
    """
    from torch._C._distributed_c10d import TCPStore

    from gantrain.distributed import pulse

    store = TCPStore("127.0.0.1", 0, None, True, timedelta(seconds=cfg.distributed.timeout), wait_for_workers=False)
    command = [sys.executable, "-m", "gantrain", *words(cfg)]
    ranks = [
        subprocess.Popen(command, env=environment(rank, cfg.ranks, store), process_group=0, preexec_fn=die_with_parent)
        for rank in range(cfg.ranks)
    ]
    stop.patient = True
    StopSignal.at_exit.append(lambda: kill(ranks))  # a second Ctrl-C leaves at once
    try:
        codes = awaited(ranks, stop)
    finally:
        StopSignal.at_exit.pop()
        kill(ranks)
    if stop:  # before a rank could listen, the signal that was handed on ended it
        codes = [StoppedError.exit_code if code == -signal.SIGTERM else code for code in codes]
    report(codes, pulse.said(store, cfg.ranks) or str(run.status().get("reason") or "a rank failed"))
    return sweep.outcome(cfg, False) if in_sweep() else None


def kill(ranks: list[subprocess.Popen[bytes]]) -> None:
    """End ranks at once."""
    for process in ranks:
        with suppress(OSError):
            process.kill()


def die_with_parent() -> None:
    """Ask Linux to tell this process by SIGTERM when its parent is gone, however that ended."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def words(cfg: DictConfig) -> list[str]:
    """Return the arguments of a rank's command: those of this one; of a sweep's job, its own overrides.

    A job does not look at ``sys.argv``: in a launcher's worker that is the worker's.
    """
    if not in_sweep():
        return sys.argv[1:]
    hydra = HydraConfig.get()
    named = [f"--config-name={hydra.job.config_name}"]
    return [
        *named,
        *(line for line in hydra.overrides.task if not line.startswith("run.dir=")),
        f"run.dir={cfg.run.dir}",
    ]


def environment(rank: int, world: int, store: TCPStore) -> dict[str, str]:
    """Return the environment of a rank, with torchrun's names, and the user's folders of settings for a sweep's job."""
    # Several ranks on one machine would each take all cores.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = os.environ.get("OMP_NUM_THREADS", str(max(1, cores // world)))
    place = {
        "RANK": rank,
        "LOCAL_RANK": rank,
        "WORLD_SIZE": world,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": store.port,
    }
    quiet = os.environ.get("TORCH_CPP_LOG_LEVEL", "ERROR")  # else torch prints its own stacks where a rank is gone
    told = {
        STARTED: "1",
        "TORCH_CPP_LOG_LEVEL": quiet,
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "OMP_NUM_THREADS": threads,
    }
    if in_sweep():
        told[own_files.VARIABLE] = json.dumps(own_files.named_to_hydra())
    return os.environ | {name: str(value) for name, value in place.items()} | told


def awaited(ranks: list[subprocess.Popen[bytes]], stop: StopSignal) -> list[int | None]:
    """Wait for all ranks; hand a signal on to them, and end those that are left a while after one has failed.

    Returns their exit codes, negative for a signal that ended one, None for a rank that was ended here.
    """
    handed_on, left, ended_here = False, GRACE, set[int]()
    while alive := [rank for rank, process in enumerate(ranks) if process.poll() is None]:  # each is asked
        if stop and not handed_on:
            handed_on = True
            for process in ranks:
                with suppress(OSError):
                    process.send_signal(signal.SIGTERM)
        failed = any(process.returncode for process in ranks)
        with suppress(subprocess.TimeoutExpired):
            ranks[alive[0]].wait(LOOK)
        if any(process.returncode == RankLostError.exit_code for process in ranks):
            left = min(left, SHORT)
        left -= LOOK * failed
        if left <= 0:
            ended_here |= {rank for rank in alive if ranks[rank].poll() is None}
            kill(ranks)
    return [None if rank in ended_here else process.returncode for rank, process in enumerate(ranks)]


def report(codes: list[int | None], text: str) -> None:
    """Raise what the exit codes of the ranks say, if they say anything but success; a text says why one failed."""
    failed = [code for code in codes if code is not None and code > 0]
    killed = [(rank, code) for rank, code in enumerate(codes) if code is not None and code < 0]
    if failed:
        code = next((code for code in failed if code != RankLostError.exit_code), failed[0])
        raise StoppedError(text) if code == StoppedError.exit_code and in_sweep() else ElsewhereError(text, code)
    if killed:
        rank, code = killed[0]
        raise RankLostError(f"rank {rank} was ended by {signal.Signals(-code).name}; the same command goes on")
