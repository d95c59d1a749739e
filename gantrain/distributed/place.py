"""Where a process finds itself among the ranks: under torchrun, srun, or gantrain's own start."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from gantrain.errors import ConfigError

FIRST_PORT, PORTS = 20_000, 10_000
"""Ports of which a Slurm job gets one by its number."""


@dataclass(frozen=True)
class Place:
    """A process's place among the ranks.

    Args:
        rank: its number.
        world: how many there are.
        local: its number among those on its machine.
        host, port: where the ranks' store is.
        hosted: whether whoever started the ranks keeps the store; else the first rank does.
        attempt: how often the ranks have been started anew; each time they begin with an empty store.
    """

    rank: int
    world: int
    local: int
    host: str
    port: int
    hosted: bool = False
    attempt: int = 0


def place_of(environ: Mapping[str, str], wanted: int) -> Place | None:
    """Return this process's place, None if it is alone.

    Under torchrun its own number of ranks counts. Under ``srun`` as many tasks as ``ranks`` says play one game; other
    tasks each play their own.

    Args:
        environ: the process's environment.
        wanted: the setting ``ranks``.

    Raises:
        ConfigError: if the setting contradicts torchrun, or an environment of ranks is incomplete.
    """
    if "RANK" in environ and "WORLD_SIZE" in environ:
        return under_torchrun(environ, wanted)
    tasks = number(environ, "SLURM_STEP_NUM_TASKS", 1)
    if wanted > 1 and tasks > 1:
        if tasks != wanted:
            raise ConfigError(f"ranks={wanted}, but srun has started {tasks} tasks; use srun --ntasks={wanted}")
        return under_srun(environ, wanted)
    return None


def under_torchrun(environ: Mapping[str, str], wanted: int) -> Place | None:
    """Return the place that torchrun's environment gives, None for a world of one."""
    world = number(environ, "WORLD_SIZE")
    if wanted not in (1, world):
        raise ConfigError(f"ranks={wanted}, but torchrun has started {world}; leave ranks out")
    if world == 1:
        return None
    missing = [name for name in ("MASTER_ADDR", "MASTER_PORT") if name not in environ]
    if missing:
        raise ConfigError(f"RANK and WORLD_SIZE are set, but not {missing[0]}; start the ranks by torchrun or ranks=…")
    return Place(
        number(environ, "RANK"),
        world,
        number(environ, "LOCAL_RANK", 0),
        environ["MASTER_ADDR"],
        number(environ, "MASTER_PORT"),
        environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
        number(environ, "TORCHELASTIC_RESTART_COUNT", 0),
    )


def under_srun(environ: Mapping[str, str], world: int) -> Place:
    """Return the place that Slurm's environment gives; the first rank is on the first of the step's machines."""
    names = environ.get("SLURM_STEP_NODELIST") or environ.get("SLURM_JOB_NODELIST") or "127.0.0.1"
    host = names
    if "[" in names or "," in names:
        found = subprocess.run(["scontrol", "show", "hostnames", names], capture_output=True, text=True, check=False)
        host = (found.stdout.split() or [names])[0]
    if number(environ, "SLURM_STEP_NUM_NODES", number(environ, "SLURM_NNODES", 1)) == 1:
        host = "127.0.0.1"
    job = number(environ, "SLURM_JOB_ID", 0) * 31 + number(environ, "SLURM_STEP_ID", 0)
    port = FIRST_PORT + job % PORTS
    return Place(number(environ, "SLURM_PROCID"), world, number(environ, "SLURM_LOCALID", 0), host, port)


def number(environ: Mapping[str, str], name: str, default: int | None = None) -> int:
    """Return a whole number of the environment.

    Raises:
        ConfigError: if it is none.
    """
    text = environ.get(name)
    if text is None and default is not None:
        return default
    try:
        return int(text or "")
    except ValueError:
        raise ConfigError(
            f"{name}={text!r} in the environment is no number; start the ranks by torchrun or ranks=…"
        ) from None
