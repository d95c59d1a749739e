"""Which run it is: the folder that its choices name, the settings that two runs must share, and digests of them."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from gantrain.errors import ConfigError
from gantrain.run.directory import RunDirectory

GROUPS = (
    *("data", "architecture", "loss", "optimizer", "schedule", "ratio", "precision", "augment"),
    *("performance", "evaluation", "budget"),
)
"""Config groups whose options are a run's choices."""
IN_THE_PATH = ("data", "architecture", "loss")
CARRYING_OUT = (
    *("run.", "hydra", "resume", "device", "deterministic", "profile", "performance.keep_memory", "trusted_modules"),
    *("log.", "samples.", "evaluation", "checkpoint.", "nonfinite.", "search."),
    *("data.in_memory", "data.on_bad", "data.timeout"),
)
"""Settings of where and how a run is carried out and recorded, not of which run it is."""
HOW_LONG = ("total_steps", "budget.")
AS_BEFORE: dict[str, Any] = {"batch_size_g": None, "ratio.simultaneous": False, "precision.tf32": False}
"""Settings that runs of before do not have, and the value at which they are the same runs."""
GONE = ("loss.objective.unit_slope",)
"""Settings that only runs of before have, and that changed no weight."""
RENAMED = {"loss.regularizers.gradient_penalty.": "loss.regularizers.gp."}
"""Beginnings of keys, as runs of before have them, and their names now."""


@dataclass(frozen=True)
class Identity:
    """Which run it is.

    Args:
        text: its config.yaml, everything resolved.
        compared: by dotted key, the settings in which two runs must agree for one to go on from the other.
        choices: the option of each config group.
        overrides: all else that was chosen, as it was written.
        command: the whole command, as a shell takes it.
    """

    text: str
    compared: dict[str, Any]
    choices: dict[str, str]
    overrides: list[str]
    command: str

    @classmethod
    def of(cls, cfg: DictConfig, lines: Iterable[str]) -> Identity:
        """Return the identity of a validated configuration that a command line, ``lines``, asked for."""
        lines = list(lines)
        others = distinguishing(lines, (*GROUPS, "seed"))
        command = shlex.join(["gantrain", *lines])
        return cls(OmegaConf.to_yaml(cfg, resolve=True), compared(plain(cfg)), choices(), others, command)

    @property
    def config(self) -> str:
        """A digest of all settings."""
        return digest(self.text)

    @property
    def settings(self) -> str:
        """A digest of the settings in which two runs must agree."""
        return settings_digest(self.compared)

    @property
    def variant(self) -> str:
        """A digest of the same but the seed: runs that share it differ by chance alone."""
        but_seed = {key: value for key, value in self.compared.items() if key != "seed"}
        return digest(json.dumps(but_seed, sort_keys=True))[:8]


def digest(text: str) -> str:
    """Return the sha256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def settings_digest(settings: Mapping[str, Any]) -> str:
    """Return the digest of settings by dotted key."""
    return digest(json.dumps(settings, sort_keys=True))


def choices() -> dict[str, str]:
    """Return the option of each config group, as the command line chose it."""
    chosen: dict[str, str] = dict(HydraConfig.get().runtime.choices)
    return {group: chosen[group] for group in GROUPS}


def parsed(lines: Iterable[str]) -> list[Override]:
    """Return the overrides among command-line arguments; those that cannot be parsed are left for hydra to refuse."""
    overrides = []
    for line in lines:
        try:
            overrides.append(OverridesParser.create().parse_override(line))
        except HydraException:
            continue
    return overrides


def run_directory(cfg: DictConfig, lines: Iterable[str], groups: tuple[str, ...] = IN_THE_PATH) -> Path:
    """Return the run's directory: named by its choices, never by a counter, so the same command finds it again.

    ``run.dir`` if that is set, else ``<run.root>/<choice of each group>/seed<k>``, plus a short hash of the other
    overrides, whose order does not matter.
    """
    if cfg.run.dir is not None:
        return Path(cfg.run.dir)
    others = distinguishing(lines, (*groups, "seed"))
    name = f"seed{cfg.seed}"
    if others:
        name += "-" + digest("\n".join(others))[:8]
    chosen: dict[str, str] = dict(HydraConfig.get().runtime.choices)
    return Path(cfg.run.root, *(chosen[group] for group in groups), name)


def distinguishing(lines: Iterable[str], but: tuple[str, ...]) -> list[str]:
    """Return the overrides that make it this run and no other, in order, without those of the keys ``but``."""
    return sorted(
        str(o.input_line)
        for o in parsed(lines)
        if o.key_or_group not in but and not o.key_or_group.startswith(CARRYING_OUT)
    )


def plain(cfg: DictConfig) -> dict[str, Any]:
    """Return a configuration without hydra's own part, as nested dicts, all interpolations resolved."""
    cfg = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    OmegaConf.resolve(cfg)
    content = OmegaConf.to_container(cfg)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) of every leaf; a list is one leaf."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def recorded(content: dict[str, Any]) -> dict[str, Any]:
    """Return, by dotted key, the settings of a configuration that its checkpoints are bound to, by its own names.

    A switch of speed, or a setting of a loss, that is null is left out, so that runs from before it existed go on.
    """
    settings = {key: value for key, value in flat(content) if not key.startswith(HOW_LONG + CARRYING_OUT)}
    optional = ("performance.", "compile", "loss.")
    return {key: value for key, value in settings.items() if value is not None or not key.startswith(optional)}


def compared(content: dict[str, Any]) -> dict[str, Any]:
    """Return, by dotted key, the settings in which two runs must agree for one to go on from the other.

    They are those of ``recorded`` under the names and without the settings that differ between versions of gantrain.
    """
    settings = {renamed(key): value for key, value in recorded(content).items() if key not in GONE}
    return {k: v for k, v in settings.items() if k not in AS_BEFORE or v != AS_BEFORE[k]}


def renamed(key: str) -> str:
    """Return the present name of a setting."""
    for before, now in RENAMED.items():
        if key.startswith(before):
            return now + key.removeprefix(before)
    return key


def check_same_run(cfg: DictConfig, run: RunDirectory) -> None:
    """Raise ConfigError if the directory holds a run of another configuration; some settings may change."""
    text = run.read_config()
    if text is None:
        return
    before, after = compared(run.settings()), compared(plain(cfg))
    differing = [
        f"{key}: {before.get(key)} → {after.get(key)}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]
    if differing:
        raise ConfigError(f"{run.path} holds another run ({'; '.join(differing)}); choose another run.dir")
