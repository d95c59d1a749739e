"""Warm start: where ``init_from`` leads, and what a new run takes from there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from gantrain.errors import CheckpointError, ConfigError
from gantrain.run import files
from gantrain.run.directory import RunDirectory
from gantrain.terminal import folded

if TYPE_CHECKING:
    from torch import Tensor

    from gantrain.checkpoint import Checkpoints
    from gantrain.training.trainer import Trainer


def start(cfg: DictConfig, trainer: Trainer, checkpoints: Checkpoints) -> None:
    """Give a run that has no checkpoint yet the weights that ``init_from`` names, and say what was taken.

    Raises:
        ConfigError: if nothing there fits, or there is neither a run nor an export.
        CheckpointError: if what is there is damaged.
    """
    if cfg.init_from is None or checkpoints.steps():
        return
    from gantrain.training.warm_start import take

    found = weights_of(files.at_home(cfg.init_from))
    nets = {"g": ("G", trainer.g.net), "d": ("D", trainer.d.net), "ema": ("G's average", trainer.ema.net)}
    taken = [take(nets[part][1], weights, nets[part][0]) for part, weights in found.items()]
    if "ema" in found:
        trainer.ema.end_rampup()
    print(folded(f"init_from     {cfg.init_from} gives {'; '.join(taken)}"))


def weights_of(folder: Path) -> Mapping[str, Mapping[str, Tensor]]:
    """Return the weights of a run's newest checkpoint (g, d and ema) or of an export (g and ema), by player.

    Raises:
        ConfigError: if the folder is neither.
        CheckpointError: if its files are damaged.
    """
    import torch

    from gantrain.export import CONFIG, verified
    from gantrain.trained import find

    if (folder / CONFIG).is_file():
        _, weights = verified(folder)
        return {"g": weights, "ema": weights}
    if not (folder / "checkpoints").is_dir():
        raise ConfigError(f"init_from={folder} is neither a run with checkpoints nor an export of gantrain-export")
    _, state = find(RunDirectory(folder), "last")
    try:
        found = {player: dict(state[player]["net"]) for player in ("g", "d", "ema")}
        if not all(isinstance(value, torch.Tensor) for net in found.values() for value in net.values()):
            raise TypeError
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"init_from={folder}: its newest checkpoint has no networks") from error
    return found
