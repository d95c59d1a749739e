"""A trained run: its settings, its checkpoints, and the generator of one of them."""

from __future__ import annotations

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
from gantrain.run.directory import RunDirectory
from gantrain.run.read import evaluation
from gantrain.terminal import say

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
        settings = as_text(run.settings())
        if not is_whole(settings):
            raise ConfigError(f"{run.path / 'config.yaml'} is no configuration of a training")
        cfg = OmegaConf.create(settings | {"trusted_modules": list(trusted_modules)})
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
        """Read the data that it was trained on."""
        return build_data(self.cfg)

    def samples_are(self) -> tuple[tuple[int, ...], int]:
        """Return the shape of a sample and the number of classes; the data are read only if the checkpoint is old."""
        facts = self.manifest.get("generator")
        if isinstance(facts, dict):
            try:
                return tuple(map(int, facts["shape"])), int(facts["classes"])
            except (KeyError, TypeError, ValueError) as error:
                raise CheckpointError(f"{self.run.path}: the manifest of step {self.step} is damaged") from error
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
        shape, classes = self.samples_are()
        net = build_generator(self.cfg, shape, classes, device).eval().requires_grad_(False)
        try:
            net.load_state_dict(self.weights(which))
            made = net(torch.zeros(2, self.latent_dim, device=device), None)
            if tuple(made.shape) != (2, *shape):
                raise ValueError(f"it makes samples of {tuple(made.shape[1:])} instead of {shape}")
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"{self.run.path}: the checkpoint of step {self.step} does not fit its config.yaml: {first_line(error)}"
            ) from error
        return net


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


def is_whole(settings: dict[str, Any]) -> bool:
    """Tell whether settings, perhaps a stranger's, have the entries that are looked up in them."""
    architecture = settings.get("architecture")
    if not isinstance(settings.get("data"), dict) or not isinstance(architecture, dict):
        return False
    latent_dim = architecture.get("latent_dim")
    return isinstance(architecture.get("generator"), dict) and isinstance(latent_dim, int) and 0 < latent_dim < 2**20


def as_text(node: Any) -> Any:
    """Return plain data in which nothing interpolates: a stranger's ``${oc.env:…}`` stays text."""
    if isinstance(node, dict):
        return {key: as_text(value) for key, value in node.items()}
    if isinstance(node, list):
        return [as_text(value) for value in node]
    return node.replace("${", "\\${") if isinstance(node, str) else node


def best_step(run: RunDirectory) -> int:
    """Return the step that was the best by the run's own evaluation.

    Raises:
        ConfigError: if it was not evaluated.
    """
    best = evaluation(run.path).best_step
    if best is None:
        raise ConfigError(f"step=best: {run.path} was not evaluated while it trained; use step=last or a number")
    return best
