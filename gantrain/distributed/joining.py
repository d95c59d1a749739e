"""How a process joins the other ranks."""

from __future__ import annotations

from datetime import timedelta

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import PrefixStore, TCPStore  # torch.distributed has them without types

from gantrain.distributed.interface import INTERFACE, name_interface
from gantrain.distributed.place import Place
from gantrain.distributed.pulse import Pulse
from gantrain.distributed.ranks import Ranks
from gantrain.errors import ConfigError, RankLostError

WAITS = 0.8
"""Share of the time limit that a call waits for the other ranks; what is left is for saying which one is missing."""


def join(place: Place, on_gpu: bool, seconds: float) -> Ranks:
    """Meet the other ranks.

    Args:
        place: this process's.
        on_gpu: whether the networks are on a GPU.
        seconds: after which a rank that does not answer ends the job.

    Raises:
        ConfigError: if there is no GPU for this process.
        RankLostError: if they do not come.
    """
    if dist.is_initialized():  # by an earlier job of this process
        dist.destroy_process_group()
    if on_gpu and place.local >= (gpus := torch.cuda.device_count()):
        raise ConfigError(
            f"PyTorch sees {gpus} GPU(s) here, and this machine has {place.local + 1} ranks or more; use as many ranks "
            "as GPUs, or device=cpu"
        )
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
