"""The values that a command line overrides: whether they are of the right kind, and suggestions for misspelt keys."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from types import UnionType
from typing import Any, get_args, get_origin

from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from gantrain.cli.arguments import remedy
from gantrain.cli.own_files import own_folders
from gantrain.errors import ConfigError
from gantrain.run.identity import GROUPS, flat, parsed, plain
from gantrain.schema import is_count, is_whole, settings


def options(group: str) -> list[str]:
    """Return the options of a config group."""
    return GlobalHydra.instance().config_loader().get_group_options(group, ObjectType.CONFIG)


def before_overrides(overrides: Iterable[Override], config_name: str) -> dict[str, Any]:
    """Return the configuration of the chosen groups alone, as plain data: each value before it was overridden."""
    loader = GlobalHydra.instance().config_loader()
    groups = loader.list_groups("")
    chosen = [o.input_line for o in overrides if o.key_or_group in groups and not o.is_sweep_override()]
    try:
        return plain(loader.load_configuration(config_name, [line for line in chosen if line], RunMode.RUN))
    except HydraException:  # one of the choices does not exist; the error in hand is about another
        return plain(loader.load_configuration(config_name, [], RunMode.RUN))


def suggestion(key: str, lines: Iterable[str], config_name: str) -> str:
    """Return ``did you mean …?`` for a key that does not exist, or where to find all keys if none comes near it."""
    known = [key for key, _ in flat(before_overrides(parsed(lines), config_name))]
    if config_name != "train" and key in GROUPS:
        return f"{key} is a choice of a training, gantrain {key}=…"
    groups = GlobalHydra.instance().config_loader().list_groups("")
    near = difflib.get_close_matches(key.lower(), [*known, *groups], n=1)
    same_end = [k for k in known if k.split(".")[-1] == key.split(".")[-1]]
    return f"did you mean {(near or same_end)[0]}?" if near or same_end else "--cfg job lists all"


def check_added(lines: Iterable[str], config_name: str) -> None:
    """Raise ConfigError where ``regularizer=[…]`` names a term that the loss has already.

    Hydra would lay the one over the other without a word, so that its weight would silently be another.
    """
    overrides = parsed(lines)
    added = [option for o in overrides if o.key_or_group == "regularizer" for option in as_list(o.value())]
    if not added:
        return
    has = terms(before_overrides((o for o in overrides if o.key_or_group != "regularizer"), config_name))
    loader = GlobalHydra.instance().config_loader()
    for option in added:
        try:
            brings = terms(plain(loader.load_configuration(f"regularizer/{option}", [], RunMode.RUN)))
        except HydraException:
            continue  # there is none of this name, which hydra has reported
        for name in sorted(brings.keys() & has.keys()):
            raise ConfigError(
                f"regularizer={option}: the loss has the term {name} already; leave it out, and change that one with "
                f"loss.regularizers.{name}.…, for example {example(name, has[name])}"
            )


def terms(content: dict[str, Any]) -> dict[str, Any]:
    """Return the terms of a configuration's loss, by name."""
    return (content.get("loss") or {}).get("regularizers") or {}


def example(name: str, settings: dict[str, Any]) -> str:
    """Return an override of a term's first setting, as it stands."""
    first = next((key for key in settings if key != "_target_"), "weight")
    return f"loss.regularizers.{name}.{first}={settings.get(first)}"


def as_list(value: Any) -> list[Any]:
    """Return the options that an override of a group chooses."""
    return value if isinstance(value, list) else [] if value is None else [value]


KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a word", list: "a list"}
"""Kinds of values, in words."""


def check_kinds(lines: Iterable[str], cfg: DictConfig, config_name: str, schema: type) -> list[str]:
    """Raise ConfigError where the command line gives text for a number, a fraction for a count, and the like.

    A whole number may be written as ``1e5``; it is made one in ``cfg`` and in the lines that are returned.

    The value in the YAML file is the example of what is meant. To see it, the configuration is composed once more,
    without the overrides. That takes longer than all other checks, so it is done only for settings that the schema does
    not know, and for values that do not look right.
    """
    lines = list(lines)
    keys = [o.key_or_group for o in parsed(lines) if not o.is_delete()]
    groups = set(GlobalHydra.instance().config_loader().list_groups(""))
    types = {key: kind for key, kind, _ in settings(schema) if kind is not Any}
    after = dict(flat(plain(cfg)))
    counts = {key for key in keys if is_count(types.get(key)) and is_whole(after.get(key))}
    right = {key for key in keys if key in types and key in after and looks_right(types[key], after[key])}
    if any(key not in groups | counts | right for key in keys):
        before = dict(flat(before_overrides(parsed(lines), config_name)))
        for key in keys:
            if any(name.startswith(f"{key}.") for name in before) and not any(k.startswith(f"{key}.") for k in after):
                raise ConfigError(f"{key} holds several settings, not one value; --cfg job lists them")
            example = before.get(key)
            if isinstance(example, int) and not isinstance(example, bool) and is_whole(after.get(key)):
                counts.add(key)
            elif key in before and key in after and (wanted := wrong_kind(example, after[key], key.endswith("betas"))):
                raise ConfigError(f"{key} must be {wanted}, like {example}; got {after[key]}")
    for key in counts:
        OmegaConf.update(cfg, key, int(after[key]))
    return [in_digits(line, counts) for line in lines]


def in_digits(line: str, counts: set[str]) -> str:
    """Return an override, its value written out if it is one of the whole numbers ``counts``: ``1e5`` as 100000."""
    key = line.partition("=")[0]
    number = parsed([line])[0].value() if key.lstrip("+") in counts else None
    return f"{key}={int(number)}" if isinstance(number, float) and is_whole(number) else line


def looks_right(kind: Any, value: Any) -> bool:
    """Tell whether a value is certainly of a type, null aside; a list's elements are not looked at."""
    kinds = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    exact = any(type(value) is (get_origin(k) or k) for k in kinds)
    return value is None or exact or (float in kinds and type(value) is int)


def wrong_kind(example: Any, value: Any, fixed_length: bool = False) -> str:
    """Return the kind that ``value`` should have, in words; "" if it is of ``example``'s kind or that is unknown."""
    if example is None or value is None or example == "???":
        return ""
    if isinstance(example, str) and isinstance(value, int | float) and not isinstance(value, bool):
        return ""  # a folder may be named 2024
    if isinstance(example, bool) or isinstance(value, bool):
        return "" if type(example) is type(value) else KINDS[type(example)]
    if isinstance(example, float) and isinstance(value, int):
        return ""
    if isinstance(example, list) and isinstance(value, list):
        return f"a list of {len(example)} numbers" if fixed_length and len(example) != len(value) else ""
    return "" if isinstance(value, type(example)) else KINDS[type(example)]


def explained(error: Exception, arguments: list[str], config_name: str) -> str:
    """Return hydra's complaint about the command line in one sentence, with a suggestion if there is a likely one."""
    lines = [line for e in (error, error.__cause__) if e is not None for line in str(e).splitlines() if line]
    first = lines[0] if lines else type(error).__name__
    if match := re.search(r"Could not (?:find|load) '(.+)/(.+?)'", first):
        group, option = match.groups()
        own = (path.stem for folder in own_folders(arguments) for path in (folder / group).glob("*.yaml"))
        known = sorted({*options(group), *own})
        near = difflib.get_close_matches(option.lower().replace("-", "_"), known, n=3)
        near.sort(key=lambda name: sorted(name) != sorted(option))  # two letters swapped before one replaced
        hint = f"did you mean {group}={near[0]}? There" if near else "there"
        return f"{group}={option} does not exist; {hint} is {', '.join(known)}"
    if match := re.match(r"Could not override '([^'@]+)", first):
        return f"{match[1]} is not a setting; {suggestion(match[1], arguments, config_name)}"
    if isinstance(error, OverrideParseException):
        return f"{error.override} cannot be read; {remedy(error.override)}"
    if match := re.match(r"Error merging override (.+)", first):
        return f"{match[1]}: {lines[1]}" if len(lines) > 1 else first
    return first if len(lines) < 2 else f"{first} ({lines[1]})"
