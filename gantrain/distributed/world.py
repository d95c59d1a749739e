"""Where a process finds itself among the ranks, and how it joins them."""

from __future__ import annotations

import fcntl
import ipaddress
import os
import socket
import struct
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import PrefixStore, TCPStore  # torch.distributed has them without types

from gantrain.distributed.pulse import Pulse
from gantrain.distributed.ranks import Ranks
from gantrain.errors import ConfigError, RankLostError

WAITS = 0.8
"""Share of the time limit that a call waits for the other ranks; what is left is for saying which one is missing."""
FIRST_PORT, PORTS = 20_000, 10_000
"""Ports of which a Slurm job gets one by its number."""
INTERFACE = "GLOO_SOCKET_IFNAME"
"""The variable by which gloo is told on which interface the other ranks reach this one."""
ADDRESS_OF = 0x8915
"""Linux's SIOCGIFADDR: asks for the address of an interface."""


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


def interface_to(host: str, port: int) -> str | None:
    """Return the interface by which this machine reaches a host, None where that is this machine or cannot be told."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.connect((host, port))  # sends nothing
        address = asking.getsockname()[0]
        if ipaddress.ip_address(address).is_loopback:
            return None
        for _, name in socket.if_nameindex():
            with suppress(OSError):  # an interface without an address
                found = fcntl.ioctl(asking, ADDRESS_OF, struct.pack("256s", name.encode()))
                if socket.inet_ntoa(found[20:24]) == address:
                    return name
    return None


def name_interface(place: Place) -> None:
    """Tell gloo by which interface the ranks' store is reached, unless the environment says it.

    It would take the address that the machine's own name has, which in many an ``/etc/hosts`` is the loopback's.
    """
    if INTERFACE not in os.environ and (name := interface_to(place.host, place.port)) is not None:
        os.environ[INTERFACE] = name


def join(place: Place, on_gpu: bool, seconds: float) -> Ranks:
    """Meet the other ranks.

    Args:
        place: this process's.
        on_gpu: whether the networks are on a GPU.
        seconds: after which a rank that does not answer ends the job.

    Raises:
        RankLostError: if they do not come.
    """
    if dist.is_initialized():  # by an earlier job of this process
        dist.destroy_process_group()
    timeout = timedelta(seconds=seconds)
    try:
        store = TCPStore(
            place.host, place.port, None, place.rank == 0 and not place.hosted, timeout, wait_for_workers=False
        )
        pulse = Pulse(TCPStore(place.host, place.port, None, False, timeout), place, seconds)
        pulse.start()
        name_interface(place)
        own = PrefixStore(f"group/{place.attempt}", store)
        backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
        device = torch.device("cuda", place.local) if on_gpu else None
        dist.init_process_group(
            backend,
            store=own,
            rank=place.rank,
            world_size=place.world,
            timeout=WAITS * timeout,
            device_id=device,
        )
    except (RuntimeError, ValueError) as error:  # DistNetworkError, DistStoreError and gloo's own are the former
        raise RankLostError(
            f"rank {place.rank} has not met all {place.world} ranks at {place.host}:{place.port} within "
            f"{seconds:g} s ({str(error).splitlines()[0][:200]}). If they are on several machines: can each reach that "
            f"address, and is {INTERFACE} the interface between them (`ip address`)?"
        ) from error
    assert dist.group.WORLD is not None
    return Ranks(dist.group.WORLD, place.local, pulse)
