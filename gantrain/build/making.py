"""One object from a ``_target_`` and its arguments."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf

from gantrain.errors import ConfigError, GantrainError, first_line, is_memory_full
from gantrain.schema import as_text


def make(node: DictConfig, key: str, **facts: Any) -> Any:
    """Instantiate ``node``, adding the arguments that are not in the configuration (shape, classes, parameters).

    Raises:
        ConfigError: if the constructor refuses its arguments; an error of our own passes through as it is.
    """
    plain = OmegaConf.to_container(node, resolve=True) if isinstance(node, DictConfig) else node
    if not isinstance(plain, dict) or "_target_" not in plain:
        raise ConfigError(f"{key} has no _target_: the dotted name of the class that it is made of")
    if any("${" in text for text in texts(plain)):  # Hydra resolves a node, and then reads it: twice
        node = OmegaConf.create(as_text(as_text(plain)))
    try:
        return instantiate(node, **facts, _convert_="all")
    except InstantiationException as error:
        if isinstance(error.__cause__, GantrainError) or is_memory_full(error.__cause__):
            raise error.__cause__ from None  # type: ignore[misc]
        reason = first_line(error.__cause__ or error)
        if "unexpected keyword" in reason and (unknown := unknown_keys(node, reason)):
            reason += "; remove what it does not take: " + " ".join(f"~{key}.{name}" for name in unknown)
        if key.startswith("architecture") and "unexpected keyword" in reason:
            reason += "; if the loss brought it, this architecture does not suit that loss"
        raise ConfigError(f"{key}: {node.get('_target_')} cannot be built: {reason}") from error


def texts(node: Any) -> Iterator[str]:
    """Yield every text in nested dicts and lists."""
    if isinstance(node, str):
        yield node
    for item in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from texts(item)


def unknown_keys(node: DictConfig, reason: str) -> list[str]:
    """Return the settings of a node that its target takes no argument for: all by its signature, or the first."""
    try:
        taken = inspect.signature(get_object(node._target_)).parameters
    except (TypeError, ValueError):
        return []
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in taken.values()):  # what it passes on was refused there
        return [name for name in re.findall(r"unexpected keyword argument '(\w+)'", reason) if name in node]
    return [str(name) for name in node if name != "_target_" and name not in taken]
