"""A run on several ranks: started here, or met where torchrun or srun has started them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from gantrain import terminal
from gantrain.cli import launch
from gantrain.cli.summary import in_sweep
from gantrain.errors import ALIKE, ConfigError, ElsewhereError, GantrainError, RankLostError
from gantrain.run.identity import compared, plain
from gantrain.run.signals import StopSignal

if TYPE_CHECKING:
    from gantrain.distributed import Alone

start = launch.start


def starts_them(cfg: DictConfig) -> bool:
    """Tell whether this process is to start the ranks: several are wanted, and nobody else has started them.

    Raises:
        ConfigError: if several ranks are to be profiled.
    """
    if cfg.profile and (cfg.ranks > 1 or is_started()):
        raise ConfigError("profile=true is for one process; leave ranks out")
    return bool(cfg.ranks > 1 and not is_started() and os.environ.get("SLURM_STEP_NUM_TASKS", "1") == "1")


def is_started() -> bool:
    """Tell whether torchrun, or something like it, has started this process."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


@contextmanager
def together(cfg: DictConfig) -> Iterator[Alone]:
    """Meet the other ranks, if there are any, for the block; an error that ends one ends all, and is said once.

    Raises:
        ConfigError: if this process cannot be one of them, or was started with other settings than the first.
        RankLostError: if one does not come, or is gone.
        ElsewhereError: where another rank says what went wrong.
    """
    if cfg.ranks == 1 and not is_started():
        from gantrain.distributed.ranks import ALONE

        yield ALONE
        return
    ranks = met(cfg)
    if not ranks.is_first:
        terminal.be_silent()
    StopSignal.of_a_rank = True
    StopSignal.silent = not ranks.is_first or launch.STARTED in os.environ
    try:
        with answered(ranks):
            refuse_others(cfg, ranks)
            yield ranks
    except ALIKE as error:
        ranks.leave()
        if ranks.is_first:
            raise
        raise ElsewhereError(str(error), error.exit_code) from error
    except ElsewhereError:
        raise
    except Exception as error:
        ranks.leave_word(error)
        if not ranks.speaks():
            raise ElsewhereError(str(error), getattr(error, "exit_code", 1)) from error
        if ranks.rank and isinstance(error, GantrainError) and not isinstance(error, RankLostError):
            error.args = (f"rank {ranks.rank}: {error}",)
        raise
    ranks.leave()


def met(cfg: DictConfig) -> Alone:
    """Return the ranks of this process's place, ``ALONE`` where torchrun has started one."""
    from gantrain.build import pick_device
    from gantrain.distributed import ALONE
    from gantrain.distributed.joining import join
    from gantrain.distributed.place import place_of

    place = place_of(os.environ, cfg.ranks)
    if place is None:
        return ALONE
    if in_sweep():
        raise ConfigError("a sweep starts its own ranks, for each of its jobs: gantrain -m ranks=2 …, without torchrun")
    on_gpu = cfg.device != "cpu" and pick_device("auto").type == "cuda"
    return join(place, on_gpu, cfg.distributed.timeout)


def refuse_others(cfg: DictConfig, ranks: Alone) -> None:
    """Raise ConfigError if a rank was started with other settings than the first."""
    own = {**compared(plain(cfg)), "run.dir": str(cfg.run.dir)}
    for rank, settings in enumerate(ranks.all(own)):
        first = ranks.from_first(own)
        for key in sorted(first.keys() | settings.keys()):
            if first.get(key) != settings.get(key):
                raise_once(
                    ranks,
                    f"rank {rank} was started with {key}={settings.get(key)}, rank 0 with "
                    f"{key}={first.get(key)}; give all ranks the same command",
                )


def raise_once(ranks: Alone, text: str) -> None:
    """Raise a ConfigError that all ranks have found, as one that the first says."""
    error = ConfigError(text)
    if ranks.is_first:
        raise error
    raise ElsewhereError(text, error.exit_code)


@contextmanager
def answered(ranks: Alone) -> Iterator[None]:
    """Name the rank that is gone where torch finds that one does not answer.

    Raises:
        RankLostError: on one of the ranks that are left, ElsewhereError on the others.
    """
    try:
        yield
    except RuntimeError as error:
        if not ranks.is_of_group(error):
            raise
        raise ranks.lost(error) from error
