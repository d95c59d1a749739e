"""A configuration from Python's values, by Hydra, as the command composes it from a command line."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gantrain.cli import arguments, own_files
from gantrain.cli.overrides import explained
from gantrain.cli.train import settled
from gantrain.errors import ConfigError, of_a_path
from gantrain.schema import one_line


def lines_of(overrides: Sequence[str], settings: Mapping[str, Any]) -> list[str]:
    """Return Python's values as a command line has them: ``seed=3``, ``regularizer=[r1]``, ``ema.rampup=null``.

    Raises:
        ConfigError: for an override that is no text, or a value of a type that no setting has.
    """
    lines = []
    for override in overrides:
        if not isinstance(override, str):
            raise ConfigError(f"{override!r} is no override; write it as text, 'loss=hinge', or by name, loss='hinge'")
        lines.append(override)
    for key, value in settings.items():
        if isinstance(value, Mapping):  # ema={"rampup": None}
            lines += [line for name, inner in value.items() for line in lines_of((), {f"{key}.{name}": inner})]
        else:
            lines.append(f"{key}={written(key, value)}")
    return lines


def written(key: str, value: Any) -> str:
    """Return a value in Hydra's grammar, at whose top a text stands as it is typed in a shell, a path as it is."""
    if isinstance(value, str):
        return value
    return literal(key, value)


def literal(key: str, value: Any) -> str:
    """Return a value in Hydra's grammar, a text in quotes; raise ConfigError for a type that no setting has."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Integral | Real):  # numpy's too
        return repr(int(value) if isinstance(value, Integral) else float(value))
    if isinstance(value, str | Path):
        is_word = re.fullmatch(r"[A-Za-z_][\w./]*", str(value)) and str(value).lower() not in WORDS
        return str(value) if is_word else arguments.quoted(str(value))
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{name}:{literal(key, inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ",".join(literal(key, inner) for inner in value) + "]"
    raise ConfigError(
        f"{key} is of type {type(value).__name__}; a setting is text, a number, true or false, None, or a list or dict "
        "of these"
    )


@contextmanager
def composing(lines: Sequence[str], command: str = "train") -> Iterator[DictConfig]:
    """Compose a command's configuration, with Hydra's own part, which stands for the process's inside the block.

    A program that uses Hydra itself finds its own configuration again afterwards.

    Raises:
        ConfigError: for what the command would refuse.
    """
    before = GlobalHydra.instance().hydra, HydraConfig.instance().cfg
    GlobalHydra.instance().clear()
    own_files.prepare()
    try:
        with initialize_config_module("gantrain.configs", version_base="1.3"):
            ready = arguments.prepared([line for line in lines if not is_for_many(line)], command, "")
            if many := [line for line in lines if is_for_many(line)]:
                raise ConfigError(f"{many[0]} asks for several runs, one for each value; use gantrain.sweep")
            if options := [line for line in ready if line.startswith("-")]:
                raise ConfigError(f"{options[0]} is an option of the command; settings are key=value")
            try:
                cfg = hydra_compose(command, ready, return_hydra_config=True)
            except (*own_files.UNREADABLE, HydraException, OmegaConfBaseException) as error:
                if isinstance(error, ConfigError):
                    raise
                raise ConfigError(said(error, ready, command)) from error
            HydraConfig.instance().set_config(cfg)
            yield cfg
    finally:
        GlobalHydra.instance().hydra, HydraConfig.instance().cfg = before


def said(error: Exception, lines: Sequence[str], command: str) -> str:
    """Return in a sentence why a configuration cannot be composed."""
    if found := of_a_path(error):
        return str(found)
    if wrong := own_files.wrong(list(lines)):
        return wrong
    if isinstance(error, OmegaConfBaseException):
        return one_line(error)
    return explained(error, list(lines), command).replace("--cfg job lists all", "gantrain.compose() has all")


def is_for_many(line: str) -> bool:
    """Tell whether an override names several values with commas between them, one for each of many runs."""
    read = arguments.as_read(line)
    return read is not None and bool(read.is_sweep_override())


WORDS = ("null", "true", "false", "inf", "nan")
"""Texts that Hydra reads as something else unless they are quoted."""


def without_hydra(composed: DictConfig) -> DictConfig:
    """Return a copy without Hydra's own part."""
    cfg = copy.deepcopy(composed)
    OmegaConf.set_readonly(cfg, False)
    OmegaConf.set_struct(cfg, False)
    del cfg["hydra"]
    OmegaConf.set_struct(cfg, True)
    return cfg


def compose(*overrides: str, **settings: Any) -> DictConfig:
    """Return the configuration of a training, checked, as ``gantrain --cfg job`` prints it. Nothing is built.

        cfg = gantrain.compose("loss=wgan_gp", data="ring", seed=3)
        cfg.loss.regularizers.gp.weight  # 10.0

    Args:
        overrides: as on the command line: ``"loss=hinge"``, ``"optimizer.g.lr=1e-4"``.
        settings: the same by name; a dict holds settings of a group: ``ema={"halflife_images": 500}``.

    Raises:
        ConfigError: for a key that does not exist, or a value of the wrong type or range.
    """
    with composing(lines_of(overrides, settings)) as composed:
        return settled(without_hydra(composed))[0]
