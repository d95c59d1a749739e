"""What there is to choose."""

from __future__ import annotations

from importlib import resources

from gantrain.errors import ConfigError
from gantrain.run.identity import GROUPS

CHOICES = (*GROUPS, "regularizer", "callbacks", "experiment")


def options(group: str) -> list[str]:
    """Return the names of a group's options: ``gantrain.list("loss")``.

    Raises:
        ConfigError: if there is no such group.
    """
    if group not in CHOICES:
        raise ConfigError(f"{group} is no group; there are {', '.join(CHOICES)}")
    folder = resources.files("gantrain.configs") / group
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def describe(option: str) -> str:
    """Return an option's file: what it is and its source, each setting with its default and meaning.

        print(gantrain.describe("loss=wgan_gp"))

    Raises:
        ConfigError: if there is no such option.
    """
    group, _, name = option.partition("=")
    if name not in options(group):
        raise ConfigError(f"{option} does not exist; there is {', '.join(options(group))}")
    return (resources.files("gantrain.configs") / group / f"{name}.yaml").read_text()
