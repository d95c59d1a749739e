"""What a run has made: its settings, its checkpoints, and its generator as one of them has it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from gantrain.build import build_data, build_generator
from gantrain.checkpoint import Checkpoints, read
from gantrain.data import Data
from gantrain.errors import CheckpointError, ConfigError, DamagedError, UnreadableError, first_line
from gantrain.progress import say
from gantrain.run import RunDirectory

NETS = {"ema": ("ema", "net"), "raw": ("g", "net")}  # where a checkpoint keeps the weights


@dataclass
class Trained:
    """One checkpoint of a run, read and verified; nothing is moved, changed or locked."""

    run: RunDirectory
    cfg: DictConfig
    manifest: dict[str, Any]
    state: dict[str, Any]

    @classmethod
    def open(cls, path: str | Path, step: str | int = "last", trusted_modules: tuple[str, ...] = ()) -> Trained:
        """Read a checkpoint.

        Args:
            path: the run's folder.
            step: ``last``, ``best`` (by the run's own evaluation), or the step of a checkpoint that was kept.
            trusted_modules: the caller's; those that the run's file names count for nothing, it may be a stranger's.

        Raises:
            ConfigError: if the folder is no run, or has no such checkpoint.
            CheckpointError: if the checkpoint cannot be used.
        """
        run = RunDirectory(path)
        cfg = OmegaConf.create(run.settings())
        cfg.trusted_modules = list(trusted_modules)
        manifest, state = find(run, step)
        return cls(run, cfg, manifest, state)

    @property
    def step(self) -> int:
        """Of the checkpoint."""
        return int(self.manifest["step"])

    @property
    def latent_dim(self) -> int:
        """Length of z."""
        return int(self.cfg.architecture.latent_dim)

    def data(self) -> Data:
        """Read what it was trained on."""
        return build_data(self.cfg)

    def samples_are(self) -> tuple[tuple[int, ...], int]:
        """Return the shape of a sample and the number of classes; the data are read only if the checkpoint is old."""
        facts = self.manifest.get("generator")
        if isinstance(facts, dict):
            return tuple(facts["shape"]), int(facts["classes"])
        data = self.data()
        return data.shape, data.classes

    def weights(self, which: str) -> dict[str, Tensor]:
        """Return the weights of the averaged generator (``ema``) or of the one that plays (``raw``)."""
        part, net = NETS[which]
        weights: dict[str, Tensor] = self.state[part][net]
        return weights

    def generator(self, which: str, device: torch.device) -> nn.Module:
        """Return the generator in evaluation mode.

        Raises:
            CheckpointError: if the weights do not fit the settings.
        """
        net = build_generator(self.cfg, *self.samples_are(), device)
        try:
            net.load_state_dict(self.weights(which))
        except (RuntimeError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"{self.run.path}: the checkpoint of step {self.step} does not fit its config.yaml: {first_line(error)}"
            ) from error
        return net.eval().requires_grad_(False)


def find(run: RunDirectory, step: str | int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (manifest, state) of the checkpoint asked for; of ``last``, the newest that is whole."""
    checkpoints = Checkpoints(run.path / "checkpoints")
    steps = checkpoints.steps()
    if not steps:
        raise ConfigError(f"{run.path} has no checkpoint yet")
    if step != "last":
        wanted = best_step(run) if step == "best" else int(step)
        if wanted not in steps:
            kept = ", ".join(map(str, steps))
            raise ConfigError(f"{run.path} keeps no checkpoint of step {wanted}; there are {kept}")
        return read(checkpoints.path(wanted))
    for candidate in reversed(steps):
        try:
            return read(checkpoints.path(candidate))
        except (DamagedError, UnreadableError) as error:
            say(f"{error}; the one before it is used")
    raise CheckpointError(f"no usable checkpoint is left in {checkpoints.folder}")


def best_step(run: RunDirectory) -> int:
    """Return the step that was the best by the run's own evaluation.

    Raises:
        ConfigError: if it was not evaluated.
    """
    try:
        best = json.loads((run.path / "evaluation.json").read_text())["best"]["step"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        best = None
    if not isinstance(best, int):
        raise ConfigError(f"step=best: {run.path} was not evaluated while it trained; use step=last or a number")
    return best
