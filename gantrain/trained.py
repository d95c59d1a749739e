"""A trained run: its settings, its checkpoints, and the generator of one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from gantrain.build import build_data, build_generator, build_inputs
from gantrain.checkpoint import Checkpoints, read
from gantrain.data import Data
from gantrain.data.names import plain
from gantrain.errors import CheckpointError, ConfigError, DamagedError, UnreadableError, first_line, record_errors
from gantrain.inputs import Inputs
from gantrain.kinds import Kind, Units, kind_of
from gantrain.run import files
from gantrain.run.directory import RunDirectory
from gantrain.run.identity import flat
from gantrain.run.places import DATA, ROOTS
from gantrain.run.read import evaluation
from gantrain.schema import as_text
from gantrain.terminal import say

NETS = {"ema": ("ema", "net"), "raw": ("g", "net")}  # where a checkpoint keeps the weights


@dataclass
class Trained:
    """One checkpoint of a run, read and verified; nothing is moved, changed or locked.

    Its ``settings`` are the stored ones, as plain data. ``cfg`` is the same for what builds from a configuration; they
    may be a stranger's, so nothing in it interpolates.
    """

    run: RunDirectory
    settings: dict[str, Any]
    cfg: DictConfig
    manifest: dict[str, Any]
    state: dict[str, Any]
    moved: bool = False  # whether the caller has named the folder of the data

    @classmethod
    def open(
        cls,
        path: str | Path,
        step: str | int = "last",
        trusted_modules: tuple[str, ...] = (),
        data_root: str | None = None,
    ) -> Trained:
        """Read a checkpoint.

        Args:
            path: the run's folder.
            step: ``last``, ``best`` (by the run's own evaluation), or the step of a checkpoint that was kept.
            trusted_modules: the caller's; those that the run's file names count for nothing, it may be a stranger's.
            data_root: where its data lie now; None: where they lay when it was trained.

        Raises:
            ConfigError: if the folder is no run, or has no such checkpoint, or its data have no folder to be named.
            CheckpointError: if the checkpoint cannot be used.
        """
        run = RunDirectory(path)
        with record_errors("put back the one that the run wrote, or name another run"):
            settings = run.settings()
        if not is_whole(settings):
            raise ConfigError(f"{run.path / 'config.yaml'} is no configuration of a training")
        cfg = OmegaConf.create(as_text(settings) | {"trusted_modules": list(trusted_modules)})
        for key, root in roots(run, settings, data_root).items():
            OmegaConf.update(cfg, key, as_text(root))
        manifest, state = find(run, step)
        return cls(run, settings, cfg, manifest, state, data_root is not None)

    @property
    def step(self) -> int:
        """Of the checkpoint."""
        return int(self.manifest["step"])

    @property
    def latent_dim(self) -> int:
        """Length of z."""
        return int(self.cfg.architecture.latent_dim)

    def data(self) -> Data:
        """Read the data that it was trained on; a caller who has named others is warned."""
        data = build_data(self.cfg)
        if self.moved and self.manifest.get("data") not in (None, data.fingerprint()):
            say(f"{self.run.path} was trained on other data ({self.manifest['data']}) than lie there ({data})")
        return data

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

    @property
    def kind(self) -> Kind:
        """What a sample is: what the checkpoint says, or what its shape says if the checkpoint is old."""
        name = (self.manifest.get("generator") or {}).get("kind")
        return kind_of(self.samples_are()[0], name if isinstance(name, str) else None)

    @property
    def inputs(self) -> Inputs:
        """What the generator gets.

        Raises:
            CheckpointError: if the settings or the manifest, perhaps a stranger's, do not say.
        """
        try:
            facts = self.manifest.get("generator") or {}
            return build_inputs(self.cfg, self.samples_are()[1], facts.get("shares"))
        except (ValueError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{self.run.path}: latents or classes are damaged: {first_line(error)}") from error

    def class_names(self) -> Sequence[str] | None:
        """Return the name of each class, None if the checkpoint, perhaps an old one, has none."""
        facts = self.manifest.get("generator")
        names = facts.get("class_names") if isinstance(facts, dict) else None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            return None
        return [plain(name) for name in names]  # they may be a stranger's

    def units(self) -> Units | None:
        """Return what the numbers of a sample stand for, None if the checkpoint says nothing of it.

        Raises:
            CheckpointError: if what it says, perhaps a stranger's, does not fit its samples.
        """
        try:
            return Units.of((self.manifest.get("generator") or {}).get("units"), self.samples_are()[0])
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CheckpointError(f"{self.run.path}: units are damaged: {first_line(error)}") from error

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
            labels = torch.zeros(2, dtype=torch.int64, device=device) if classes else None
            made = net(torch.zeros(2, self.latent_dim, device=device), labels)
            if tuple(made.shape) != (2, *shape):
                raise ValueError(f"it makes samples of {tuple(made.shape[1:])} instead of {shape}")
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"{self.run.path}: the checkpoint of step {self.step} does not fit its config.yaml: {first_line(error)}"
            ) from error
        return net


def roots(run: RunDirectory, settings: dict[str, Any], named: str | None) -> dict[str, str]:
    """Return, by key, the folders of a run's data, if they are not those that its settings name as seen from here.

    A relative name starts where the run was, if the folder is still there, else here.

    Raises:
        ConfigError: if ``named`` names a folder, and the data have none.
    """
    known = {key: value for key, value in flat(settings) if key in DATA and value is not None}
    moved = dict.fromkeys((key for key in known if key in ROOTS), named) if named is not None else {}
    if named is not None and not moved:
        raise ConfigError(f"data.root={named}: the data of {run.path} do not lie in a folder; leave it out")
    begun = run.begun_in() or Path.cwd()
    there = {key: begun / files.at_home(str(value)) for key, value in known.items()}
    return {key: str(path) for key, path in there.items() if path.exists()} | moved


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


def best_step(run: RunDirectory) -> int:
    """Return the step that was the best by the run's own evaluation.

    Raises:
        ConfigError: if it was not evaluated.
    """
    recorded = evaluation(run.path)
    best = recorded.best_step
    if best is None and recorded.damaged:
        raise ConfigError(f"step=best: {recorded.damaged}; use step=last or a number")
    if best is None:
        raise ConfigError(f"step=best: {run.path} was not evaluated while it trained; use step=last or a number")
    return best
