"""What a process has but once, kept for the caller: random numbers, torch's switches, memory."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from gantrain.errors import RunInUseError

_training = threading.RLock()  # a callback may train, in the thread of its own training


@contextmanager
def alone() -> Iterator[None]:
    """Let one thread at a time train, and free what a training leaves to Python's search for cycles.

    Raises:
        RunInUseError: if another thread does: both would draw from the same random numbers.
    """
    if not _training.acquire(blocking=False):
        raise RunInUseError(
            "another thread of this process trains, and random numbers are the process's; wait for it, or start "
            "another process"
        )
    try:
        yield
    finally:
        _training.release()
        gc.collect()  # networks and their gradients, perhaps a GPU's memory


@contextmanager
def unchanged() -> Iterator[None]:
    """Keep random numbers and torch's switches as the caller has them; inside, the switches are torch's own."""
    import torch

    from gantrain.checkpoint.rng import Rng
    from gantrain.losses import arithmetic

    exact, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    dtype, numbers = torch.get_default_dtype(), Rng(torch.device("cpu"))
    drawn = numbers.state_dict()
    with ExitStack() as inside:
        inside.enter_context(torch.random.fork_rng())  # a GPU's too
        inside.enter_context(arithmetic.kept())
        inside.enter_context(torch.inference_mode(False))
        inside.enter_context(torch.enable_grad())
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                inside.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":
            inside.enter_context(torch.device("cpu"))
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
            torch.use_deterministic_algorithms(exact, warn_only=warns)
            numbers.load_state_dict(drawn)
