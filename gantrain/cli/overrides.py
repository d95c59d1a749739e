"""The values that a command line overrides: whether they are of the right kind, and suggestions for misspelt keys."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig

from gantrain.errors import ConfigError
from gantrain.run.identity import flat, parsed, plain
from gantrain.schema import KINDS, settings, wrong_kind


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
    groups = GlobalHydra.instance().config_loader().list_groups("")
    near = difflib.get_close_matches(key, [*known, *groups], n=1)
    same_end = [k for k in known if k.split(".")[-1] == key.split(".")[-1]]
    return f"did you mean {(near or same_end)[0]}?" if near or same_end else "--cfg job lists all"


def check_kinds(lines: Iterable[str], cfg: DictConfig, config_name: str, schema: type) -> None:
    """Raise ConfigError where the command line gives a value of the wrong kind for a setting that no schema knows.

    Of data, architecture, loss and optimizer the value in the YAML file is the example of what is meant. To see it, the
    configuration is composed once more, without these overrides; that takes longer than all other checks, so it is done
    only if there are any.
    """
    overrides = [o for o in parsed(lines) if not o.is_delete()]
    known = {key for key, kind, _ in settings(schema) if kind is not None}
    known |= set(GlobalHydra.instance().config_loader().list_groups(""))
    keys = [o.key_or_group for o in overrides if o.key_or_group not in known]
    if not keys:
        return
    before, after = dict(flat(before_overrides(overrides, config_name))), dict(flat(plain(cfg)))
    for key in keys:
        if any(name.startswith(f"{key}.") for name in before) and not any(k.startswith(f"{key}.") for k in after):
            raise ConfigError(f"{key} holds several settings, not one value; --cfg job lists them")
        if key in before and key in after and (wanted := unlike(before[key], after[key], key.endswith("betas"))):
            raise ConfigError(f"{key} must be {wanted}, like {before[key]}; got {after[key]}")


def unlike(example: Any, value: Any, fixed_length: bool) -> str:
    """Return the kind that ``value`` should have, in words; "" if it is of ``example``'s kind or that is unknown."""
    if value is None or type(example) not in KINDS or example == "???":
        return ""
    if isinstance(example, list) and isinstance(value, list):
        return f"a list of {len(example)} numbers" if fixed_length and len(example) != len(value) else ""
    return wrong_kind(type(example), value)
