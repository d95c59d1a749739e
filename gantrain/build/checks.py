"""What cannot work together, found before the first step."""

from __future__ import annotations

import copy
import inspect

import torch
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.lr_scheduler import LRScheduler

from gantrain.errors import ConfigError, first_line, is_memory_full
from gantrain.losses import Loss
from gantrain.training.player import Player

ROUNDING = 1e-4
"""Largest change of a score, relative to the size of scores, that other rows of a matrix product may cause."""


@torch.no_grad()
def check_shapes(g: nn.Module, d: nn.Module, latent_dim: int, shape: tuple[int, ...], device: torch.device) -> None:
    """Raise ConfigError unless G makes samples of ``shape`` and D gives each a score; one tiny forward of both."""
    try:
        fake = g.eval()(torch.zeros(2, latent_dim, device=device), None)
        scores = d.eval()(fake, None)
    except RuntimeError as error:
        if is_memory_full(error):
            raise
        raise ConfigError(f"architecture: the networks do not fit together: {first_line(error)}") from error
    g.train(), d.train()
    if tuple(fake.shape[1:]) != tuple(shape):
        raise ConfigError(f"architecture.generator makes samples of {tuple(fake.shape[1:])}, data has {tuple(shape)}")
    if len(scores) != 2:
        raise ConfigError(f"architecture.discriminator gives scores of {tuple(scores.shape)} for 2 samples")


def check_ratio(ratio: DictConfig, g: Player, d: Player) -> None:
    """Raise ConfigError where players cannot move at once, or one that looks ahead would fall out of step."""
    if ratio.simultaneous and (ratio.d_steps, ratio.g_steps) != (1, 1):
        raise ConfigError("ratio.simultaneous=true needs one turn of each player in a step; use ratio=1to1")
    solvers = {type(p.optimizer).__name__ for p in (g, d) if getattr(p.optimizer, "turns_in_pairs", False)}
    if solvers and (ratio.d_steps, ratio.g_steps) != (1, 1):
        raise ConfigError(f"{solvers.pop()} needs both players to look ahead at once; use ratio=1to1")
    if solvers and g.scaler.is_enabled():
        raise ConfigError(f"{solvers.pop()} cannot skip a step, as float16 at times must; use precision=bf16 or fp32")


def check_batch_norm(nets: list[nn.Module], batch_size: int) -> None:
    """Raise ConfigError where batch norm would have a single sample to take its statistics from."""
    if batch_size == 1 and any(isinstance(m, _BatchNorm) for net in nets for m in net.modules()):
        raise ConfigError("batch_size=1 cannot be used with norm=batch; use batch_size=2 or more, or norm=layer")


def check_optimizer(optimizer: torch.optim.Optimizer, key: str) -> None:
    """Raise ConfigError for an optimizer whose step evaluates the loss again; a turn computes it once."""
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise ConfigError(
            f"{key}: {type(optimizer).__name__} evaluates the loss several times in a step, which an alternating game "
            "does not offer; use an optimizer that steps by one gradient, like torch.optim.Adam"
        )


def check_schedule(schedule: LRScheduler, optimizer: torch.optim.Optimizer, total_steps: int, key: str) -> None:
    """Play a schedule to the end of the run, on an optimizer that is thrown away.

    Raises:
        ConfigError: if it ends before the run does.
    """
    optimizer.step()  # torch warns of a schedule that moves first
    for step in range(1, total_steps + 1):
        try:
            schedule.step()
        except Exception as error:  # a class of the user's may raise anything
            raise ConfigError(
                f"{key} ends at step {step:,} of {total_steps:,}: {first_line(error)}; "
                "give it the run's length as ${total_steps}"
            ) from error


@torch.no_grad()
def check_each_alone(d: nn.Module, loss: Loss, shape: tuple[int, ...], device: torch.device) -> None:
    """Raise ConfigError if a term needs D to score each sample by itself, and D does not.

    What a class says of itself is checked elsewhere. Here the other samples of a batch are changed, on a copy of D and
    with the same random numbers: then the score of the first one must stay.
    """
    terms = [r for r in loss.regularizers.values() if getattr(r, "differentiates_twice", False)]
    if not terms:
        return
    d = copy.deepcopy(d).train()
    state = copy.deepcopy(d.state_dict())
    numbers = torch.Generator().manual_seed(0)
    batch = torch.rand(4, *shape, generator=numbers) * 2 - 1
    other = torch.cat([batch[:1], 0.1 * torch.randn(3, *shape, generator=numbers)])

    def first_score(x: Tensor) -> Tensor:
        d.load_state_dict(state)  # spectral norms and the like move with each pass
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(0)
            scores: Tensor = d(x.to(device), None)
        return scores.double().reshape(4, -1)

    scores, changed = first_score(batch), first_score(other)
    size = max(float(scores.abs().max()), float((scores - scores.mean(0)).abs().max()))
    if float((scores[0] - changed[0]).abs().max()) > ROUNDING * size:
        raise ConfigError(
            f"{type(d).__name__} cannot be used with {type(terms[0]).__name__}: the score of a sample changes with the "
            "other samples of its batch, so its gradient is not that of one score. Remove the layer that compares "
            "samples, or choose a loss without this term"
        )
