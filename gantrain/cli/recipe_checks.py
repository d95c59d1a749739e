"""What is wrong with a recipe, as far as that can be told without data, without torch, and without running its code."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gantrain.cli import own_files, targets
from gantrain.cli.overrides import wrong_kind
from gantrain.cli.recipe_files import Recipe, composed, composing
from gantrain.errors import ConfigError
from gantrain.run.identity import flat, plain
from gantrain.schema import TrainConfig, as_text, one_line, settings, validated

FREE = ("schedule", "gradient_clip_norm", "hydra")
"""Settings that may hold keys which no file has."""
Nodes = Sequence[tuple[str, dict[str, Any]]]
"""Those with a ``_target_``, by their dotted keys."""


def faults(recipe: Recipe, folders: Sequence[Path]) -> tuple[list[str], list[str]]:
    """Return what is wrong with a recipe, a sentence each, and the settings that its user still has to give."""
    if wrong := own_files.fault(recipe.path):
        return [wrong.removeprefix(str(recipe.path)).lstrip(", ")], []
    with composing(recipe, folders) as line:
        try:
            cfg, chosen = composed([line])
            without = plain(composed([override(group, option) for group, option in chosen.items()])[0])
        except ConfigError as error:
            return [str(error)], []
        if "experiment" in cfg:
            return ["its first line must be # @package _global_, or all of it is a setting called experiment"], []
        try:
            content = plain(cfg)
        except OmegaConfBaseException as error:
            return [one_line(error)], []
        missing = sorted(key for key, value in flat(content) if value == "???")
        found = list(of_content(content, without, following(cfg)))
        return found or schema_s(content, missing), missing


def following(cfg: DictConfig) -> set[str]:
    """Return the settings that are written as another's value, and so are wrong only where that one is."""
    raw = OmegaConf.to_container(OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"]))
    assert isinstance(raw, dict)
    content = {str(key): value for key, value in raw.items()}
    return {key for key, value in flat(content) if isinstance(value, str) and "${" in value}


def override(group: str, option: Any) -> str:
    """Return the override of a group."""
    listed = option if isinstance(option, str) or option is None else f"[{','.join(option)}]"
    return f"{group}={'null' if listed is None else listed}"


def of_content(content: dict[str, Any], without: dict[str, Any], following: set[str]) -> Iterator[str]:
    """Yield what is wrong with settings, given those without the recipe's own, and those that follow another."""
    nodes = list(with_targets(content))
    own = content.get("trusted_modules") or []
    for key, node in nodes:
        if said := targets.fault(node["_target_"], own):
            yield f"{key}: {said}"
    yield from unknown(content, without, nodes)
    yield from schedules(content, nodes)
    before = dict(flat(without))
    for key, value in flat(content):
        if key in before and key not in following and (wanted := wrong_kind(before[key], value, key.endswith("betas"))):
            yield f"{key} must be {wanted}, like {before[key]}; got {value}"


def with_targets(node: Any, key: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every node that has a ``_target_``, with its dotted key; in a list by its number."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield key, node
        for name, inner in node.items():
            yield from with_targets(inner, f"{key}.{name}" if key else str(name))
    if isinstance(node, list):
        for k, inner in enumerate(node):
            yield from with_targets(inner, f"{key}.{k}")


def unknown(content: dict[str, Any], without: dict[str, Any], nodes: Nodes) -> Iterator[str]:
    """Yield the settings that nothing takes, each with one that may have been meant."""
    for key, node in nodes:
        takes = targets.taken(node["_target_"]) if isinstance(node["_target_"], str) else None
        if takes is None:
            continue
        for name in sorted(node.keys() - takes - {*targets.OF_HYDRA}):
            yield f"{key}.{name} is not a setting of {node['_target_']}; {near(name, takes, key)}"
    known = {key for key, _ in flat(without)} | {key for key, _, _ in settings(TrainConfig)}
    inside = {f"{key}." for key, _ in nodes}
    for key, _ in flat(content):
        if key not in known and not key.startswith((*FREE, *inside)):
            yield f"{key} is not a setting; {near(key, known)}"


def schedules(content: dict[str, Any], nodes: Nodes) -> Iterator[str]:
    """Yield the schedules that move no setting; ``betas.1`` is the second number of one."""
    known = {key for key, _ in flat(content)}
    for key, _ in nodes:
        name = key.removeprefix("schedule.")
        if key.startswith("schedule.") and name not in ("g", "d"):
            head, _, last = name.rpartition(".")
            if name not in known and not (last.isdecimal() and head in known):
                yield f"{key} moves nothing: {name} is not a setting; {near(name, known)}"


def near(name: str, known: set[str], key: str = "") -> str:
    """Return ``did you mean …?`` for a name, or what there is if nothing comes near it; in a node it is a ``key``'s."""
    found = difflib.get_close_matches(name, sorted(known), n=1)
    if found:
        return f"did you mean {key}.{found[0]}?" if key else f"did you mean {found[0]}?"
    return f"it takes {', '.join(sorted(known)) or 'none'}" if key else "gantrain --cfg job lists all"


def schema_s(content: dict[str, Any], missing: Sequence[str]) -> list[str]:
    """Return the first value that is not of its type or range, [] if all are; what is missing is for the user."""
    cfg = OmegaConf.create(as_text(content))
    for key in missing:
        OmegaConf.update(cfg, key, "given later")
    assert isinstance(cfg, DictConfig)
    try:
        validated(cfg)
    except ConfigError as error:
        return [str(error)]
    return []
