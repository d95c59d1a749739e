"""What there is to choose, and what it means."""

from __future__ import annotations

from importlib import resources

from gantrain.cli import help as explaining
from gantrain.errors import ConfigError
from gantrain.reference import Catalogue
from gantrain.run.identity import GROUPS

CHOICES = (*GROUPS, "regularizer", "callbacks", "logger", "experiment")


def options(group: str) -> list[str]:
    """Return the names of a group's options: ``gantrain.list("loss")``.

    Raises:
        ConfigError: if there is no such group.
    """
    if group not in CHOICES:
        raise ConfigError(f"{group} is no group; there are {', '.join(CHOICES)}")
    folder = resources.files("gantrain.configs") / group
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def describe(word: str) -> str:
    """Return what a group, an option or a key means, with defaults, ranges and sources, as ``gantrain help`` prints it.

        print(gantrain.describe("loss=wgan_gp"))
        print(gantrain.describe("ema.halflife_images"))

    Raises:
        ConfigError: if there is no such thing.
    """
    return explaining.text(word, Catalogue())
