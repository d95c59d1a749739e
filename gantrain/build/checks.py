"""What cannot work together, found before the first step."""

from __future__ import annotations

import torch
from omegaconf import DictConfig
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from gantrain.errors import ConfigError, first_line, is_memory_full
from gantrain.training.player import Player


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


def check_pairs(ratio: DictConfig, g: Player, d: Player) -> None:
    """Raise ConfigError where a solver that looks ahead on every second turn would fall out of step."""
    solvers = {type(p.optimizer).__name__ for p in (g, d) if getattr(p.optimizer, "turns_in_pairs", False)}
    if solvers and (ratio.d_steps, ratio.g_steps) != (1, 1):
        raise ConfigError(f"{solvers.pop()} needs both players to look ahead at once; use ratio=1to1")
    if solvers and g.scaler.is_enabled():
        raise ConfigError(f"{solvers.pop()} cannot skip a step, as float16 at times must; use precision=bf16 or fp32")


def check_batch_norm(nets: list[nn.Module], batch_size: int) -> None:
    """Raise ConfigError where batch norm would have a single sample to take its statistics from."""
    if batch_size == 1 and any(isinstance(m, _BatchNorm) for net in nets for m in net.modules()):
        raise ConfigError("batch_size=1 cannot be used with norm=batch; use batch_size=2 or more, or norm=layer")
