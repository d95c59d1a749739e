"""What the command line changed: is it of the right kind, what was probably meant, and what the run is called."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore  # noqa: F401  (loads hydra's core in the order it expects)
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from gantrain.errors import ConfigError

IN_THE_PATH = ("data", "architecture", "loss", "seed")
NOT_THE_RUN = ("run.", "hydra.", "resume", "device", "trusted_modules", "log.", "checkpoint.")
"""Overrides that change where or how a run is carried out, not which run it is."""


def parse(lines: Iterable[str]) -> list[Override]:
    """Return the parsed overrides, those left out that cannot be parsed (hydra itself reports them)."""
    return [override for line in lines if (override := _parse_one(line)) is not None]


def _parse_one(line: str) -> Override | None:
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_override(line)
    except HydraException:
        return None


def groups() -> list[str]:
    """Return the names of the config groups."""
    loader = GlobalHydra.instance().config_loader()
    return [name for name in loader.list_groups("") if name != "hydra"]


def options(group: str) -> list[str]:
    """Return the options of a config group."""
    return GlobalHydra.instance().config_loader().get_group_options(group, ObjectType.CONFIG)


def reference(overrides: list[Override], config_name: str) -> DictConfig:
    """Return the configuration that the chosen groups alone compose: what each value was before it was overridden."""
    known = groups()
    lines = [o.input_line for o in overrides if o.key_or_group in known and "," not in (o.input_line or "")]
    loader = GlobalHydra.instance().config_loader()
    return loader.load_configuration(config_name, [line for line in lines if line], RunMode.RUN)


def leaves(node: Any, prefix: str = "") -> Iterator[str]:
    """Yield the dotted key of every node of a configuration, inner ones too."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield f"{prefix}{key}"
            yield from leaves(value, f"{prefix}{key}.")


def nearest(key: str, lines: Iterable[str], config_name: str) -> str:
    """Return ``; did you mean …?`` for a key that does not exist, as far as something comes near it."""
    cfg = reference(parse(lines), config_name)
    keys = [k for k in leaves(OmegaConf.to_container(cfg)) if not k.startswith("hydra")]
    found = difflib.get_close_matches(key, keys, n=1) or [k for k in keys if k.split(".")[-1] == key.split(".")[-1]]
    return f"; did you mean {found[0]}?" if found else ""


def check_kinds(lines: Iterable[str], cfg: DictConfig, config_name: str) -> None:
    """Raise ConfigError where the command line gives text for a number, a fraction for a count, and the like.

    The schema does this for the keys it knows. Here the value in the YAML file is the example of what is meant, so
    that the open parts (data, architecture, loss, optimizer) are held to the same rule.
    """
    if not GlobalHydra.instance().is_initialized():
        return
    overrides = [o for o in parse(lines) if "." in o.key_or_group and o.is_delete() is False and not o.is_add()]
    before = reference(parse(lines), config_name)
    for override in overrides:
        key = override.key_or_group
        example, value = OmegaConf.select(before, key), OmegaConf.select(cfg, key)
        wanted = wrong_kind(example, value)
        if wanted and not key.startswith("hydra"):
            raise ConfigError(f"{key} must be {wanted}, like {example}; got {value}")


def wrong_kind(example: Any, value: Any) -> str:
    """Return in words what ``value`` should have been, "" if it is of ``example``'s kind or that is unknown."""
    if example is None or value is None:
        return ""
    if isinstance(example, bool):
        return "" if isinstance(value, bool) else "true or false"
    if isinstance(example, int):
        return "" if isinstance(value, int) and not isinstance(value, bool) else "a whole number"
    if isinstance(example, float):
        return "" if isinstance(value, int | float) and not isinstance(value, bool) else "a number"
    for kind, name in ((list, "a list"), (dict, "a mapping"), (str, "a word")):
        plain = OmegaConf.to_container(example) if OmegaConf.is_config(example) else example
        given = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
        if isinstance(plain, kind):
            same_length = kind is not list or len(plain) == len(given)
            return "" if isinstance(given, kind) and same_length else f"{name} of {len(plain)}" if kind is list else name
    return ""


def run_directory(cfg: DictConfig, lines: Iterable[str]) -> Path:
    """Return the run's directory: named by its choices, never by a counter, so the same command finds it again.

    ``run.dir`` wins, then ``hydra.run.dir``; else ``<sweep dir or outputs>/<data>/<architecture>/<loss>/seed<k>``,
    plus a short hash of the other overrides, whose order does not matter.
    """
    hydra = HydraConfig.get()
    if cfg.run.dir is not None:
        return Path(cfg.run.dir)
    if hydra.mode == RunMode.RUN and hydra.run.dir != ".":
        return Path(hydra.run.dir)
    chosen = hydra.runtime.choices
    others = [
        line
        for override, line in ((_parse_one(line), line) for line in lines)
        if override is None
        or not (override.key_or_group in IN_THE_PATH or override.key_or_group.startswith(NOT_THE_RUN))
    ]
    name = f"seed{cfg.seed}"
    if others:
        name += "-" + hashlib.sha256("\n".join(sorted(others)).encode()).hexdigest()[:8]
    return Path(hydra.sweep.dir) / chosen.data / chosen.architecture / chosen.loss / name
