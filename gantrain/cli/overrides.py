"""What the command line changed: is it of the right kind, what was probably meant, and what the run is called."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from gantrain.errors import ConfigError
from gantrain.run.directory import RunDirectory

IN_THE_PATH = ("data", "architecture", "loss")
CARRYING_OUT = (
    *("run.", "hydra", "resume", "device", "deterministic", "profile", "performance.keep_memory", "trusted_modules"),
    *("log.", "samples.", "evaluation", "checkpoint.", "nonfinite.", "search."),
    *("data.in_memory", "data.on_bad", "data.timeout"),
)
"""Settings of where and how a run is carried out and recorded, not of which run it is."""
HOW_LONG = ("total_steps", "budget.")


def parsed(lines: Iterable[str]) -> list[Override]:
    """Return the overrides among command-line arguments; what cannot be parsed is left for hydra to refuse."""
    overrides = []
    for line in lines:
        try:
            overrides.append(OverridesParser.create().parse_override(line))
        except HydraException:
            continue
    return overrides


def options(group: str) -> list[str]:
    """Return the options of a config group."""
    return GlobalHydra.instance().config_loader().get_group_options(group, ObjectType.CONFIG)


def before_overrides(overrides: Iterable[Override], config_name: str) -> dict[str, Any]:
    """Return, as plain data, what the chosen groups alone compose: each value before it was overridden."""
    loader = GlobalHydra.instance().config_loader()
    groups = loader.list_groups("")
    chosen = [o.input_line for o in overrides if o.key_or_group in groups and not o.is_sweep_override()]
    try:
        return plain(loader.load_configuration(config_name, [line for line in chosen if line], RunMode.RUN))
    except HydraException:  # one of the choices does not exist; the error in hand is about another
        return plain(loader.load_configuration(config_name, [], RunMode.RUN))


def plain(cfg: DictConfig) -> dict[str, Any]:
    """Return a configuration, hydra's own part left out, as nested dicts with what interpolates resolved."""
    cfg = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    OmegaConf.resolve(cfg)
    content = OmegaConf.to_container(cfg)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def flat(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) of every leaf; a list is one leaf."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def suggestion(key: str, lines: Iterable[str], config_name: str) -> str:
    """Return ``did you mean …?`` for a key that does not exist, or where to find all keys if none comes near it."""
    known = [key for key, _ in flat(before_overrides(parsed(lines), config_name))]
    groups = GlobalHydra.instance().config_loader().list_groups("")
    near = difflib.get_close_matches(key, [*known, *groups], n=1)
    same_end = [k for k in known if k.split(".")[-1] == key.split(".")[-1]]
    return f"did you mean {(near or same_end)[0]}?" if near or same_end else "--cfg job lists all"


def check_kinds(lines: Iterable[str], cfg: DictConfig, config_name: str) -> None:
    """Raise ConfigError where the command line gives text for a number, a fraction for a count, and the like.

    The schema does this for the keys it knows. Here the value in the YAML file is the example of what is meant, so
    that the open parts (data, architecture, loss, optimizer) are held to the same rule.
    """
    overrides = parsed(lines)
    before, after = dict(flat(before_overrides(overrides, config_name))), dict(flat(plain(cfg)))
    for key in (o.key_or_group for o in overrides if not o.is_delete()):
        if any(known.startswith(f"{key}.") for known in before) and not any(k.startswith(f"{key}.") for k in after):
            raise ConfigError(f"{key} holds several settings, not one value; --cfg job lists them")
        if key in before and key in after and (wanted := wrong_kind(before[key], after[key], key.endswith("betas"))):
            raise ConfigError(f"{key} must be {wanted}, like {before[key]}; got {after[key]}")


def wrong_kind(example: Any, value: Any, fixed_length: bool = False) -> str:
    """Return in words what ``value`` should have been, "" if it is of ``example``'s kind or that is unknown."""
    if example is None or value is None or example == "???":
        return ""
    if isinstance(example, str) and isinstance(value, int | float):
        return ""  # a folder may be named 2024
    if isinstance(example, bool) or isinstance(value, bool):
        return "" if type(example) is type(value) else KINDS[type(example)]
    if isinstance(example, float) and isinstance(value, int):
        return ""
    if isinstance(example, list) and isinstance(value, list):
        return f"a list of {len(example)} numbers" if fixed_length and len(example) != len(value) else ""
    return "" if isinstance(value, type(example)) else KINDS[type(example)]


KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a word", list: "a list"}


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
        name += "-" + hashlib.sha256("\n".join(others).encode()).hexdigest()[:8]
    choices: dict[str, str] = dict(HydraConfig.get().runtime.choices)
    return Path(cfg.run.root, *(choices[group] for group in groups), name)


def distinguishing(lines: Iterable[str], but: tuple[str, ...]) -> list[str]:
    """Return the overrides that make it this run and no other, in order, without those of the keys ``but``."""
    return sorted(
        str(o.input_line)
        for o in parsed(lines)
        if o.key_or_group not in but and not o.key_or_group.startswith(CARRYING_OUT)
    )


def compared(content: dict[str, Any]) -> dict[str, Any]:
    """Return, by dotted key, the settings in which two runs must agree for one to go on from the other.

    A switch of speed that is null is left out, so that runs from before it existed go on.
    """
    settings = {key: value for key, value in flat(content) if not key.startswith(HOW_LONG + CARRYING_OUT)}
    return {k: v for k, v in settings.items() if v is not None or not k.startswith(("performance.", "compile"))}


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
