"""Folders with the user's own YAML groups (``--config-dir``, ``GANTRAIN_CONFIGS``), and files there that are none."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import yaml
from hydra.core.hydra_config import HydraConfig

from gantrain.errors import ConfigError, first_line
from gantrain.run import files
from gantrain.run.identity import parsed

VARIABLE = "GANTRAIN_CONFIGS"
URL = re.compile(r"(file|pkg)://")
UNREADABLE = (yaml.YAMLError, UnicodeDecodeError, OSError, AttributeError, TypeError, ValueError, RecursionError)
"""What Hydra raises for a file that it cannot read, or that holds something else than settings."""
MOST = 2**20
"""Bytes of a file of settings; real ones have some hundred."""


def prepare() -> None:
    """Write ``GANTRAIN_CONFIGS`` as Hydra's search path has it: plain paths, with ``:`` between, are taken too.

    Raises:
        ConfigError: for a folder or package that is not there, or a list that is none.
    """
    given = os.environ.get(VARIABLE, "").strip()
    if not given:
        os.environ.pop(VARIABLE, None)
        return
    os.environ[VARIABLE] = json.dumps([found(place, given) for place in places(given)])


def places(given: str) -> list[str]:
    """Return the folders and packages that the variable names; raise ConfigError if it begins a list and is none."""
    if given.startswith("["):
        try:
            listed = yaml.safe_load(given)
        except (yaml.YAMLError, RecursionError):
            listed = None
        if not isinstance(listed, list) or not all(isinstance(place, str) for place in listed):
            raise ConfigError(f"{VARIABLE}={given} begins like a list and is none; write folders with a : between them")
        return listed
    return [given] if URL.match(given) else [part for part in given.split(":") if part]


def found(place: str, given: str) -> str:
    """Return a folder or package as Hydra's search path has it; raise ConfigError if there is none."""
    scheme, _, name = place.partition("://") if URL.match(place) else ("file", "", place)
    if scheme == "pkg":
        try:
            there = find_spec(name) is not None
        except (ImportError, ValueError, AttributeError):
            there = False
        if not there:
            raise ConfigError(f"{VARIABLE}={given}: there is no package {name}; write the path of a folder")
        return place
    if not files.at_home(name).is_dir():
        raise ConfigError(f"{VARIABLE}={given}: {name} is not a folder")
    return f"file://{files.at_home(name).absolute()}"


@contextmanager
def named(arguments: Iterable[str]) -> Iterator[None]:
    """Let Hydra, started anew inside the block, find what a command line's ``--config-dir`` holds."""
    before = os.environ.get(VARIABLE)
    given = [value for name, _, value in (a.partition("=") for a in arguments) if name == "--config-dir"]
    os.environ[VARIABLE] = json.dumps([*json.loads(before or "[]"), *(found(place, place) for place in given)])
    try:
        yield
    finally:
        os.environ.pop(VARIABLE)
        if before is not None:
            os.environ[VARIABLE] = before


def named_to_hydra() -> list[str]:
    """Return the user's folders and packages of settings of which this job was composed, for the variable."""
    sources = HydraConfig.get().runtime.config_sources
    own = [source for source in sources if source.provider.startswith(("command-line", "hydra.searchpath"))]
    return [f"{source.schema}://{source.path}" for source in own]


def check_own_files() -> None:
    """Raise ConfigError if an option that was chosen is a file of the user's that holds no settings.

    Hydra reads text as the whole value of a group, without a word.
    """
    runtime = HydraConfig.get().runtime
    own = [Path(source.path) for source in runtime.config_sources if source.schema == "file" and source.path]
    for group, chosen in runtime.choices.items():
        for option in chosen if isinstance(chosen, Iterable) and not isinstance(chosen, str) else [chosen]:
            for folder in own:
                if wrong := fault(folder / str(group).partition("@")[0] / f"{option}.yaml"):
                    raise ConfigError(wrong)


def wrong(arguments: Iterable[str]) -> str:
    """Return what is wrong with a file in the user's own folders, those chosen on the command line first; "" if none.

    For when Hydra could not compose the configuration, and its own error speaks of its inside.
    """
    arguments = list(arguments)
    folders = list(own_folders(arguments))
    chosen = [
        folder / override.key_or_group / f"{option}.yaml"
        for override in parsed(a for a in arguments if not a.startswith("-"))
        for option in options_of(override.value() if not override.is_sweep_override() else None)
        for folder in folders
    ]
    others = (path for folder in folders for path in sorted(folder.glob("**/*.yaml"))[:1000])
    return next((said for path in (*chosen, *others) if (said := fault(path))), "")


def options_of(value: Any) -> list[str]:
    """Return the options that the value of an override names."""
    return [str(one) for one in value] if isinstance(value, list) else [] if value is None else [str(value)]


def own_folders(arguments: Iterable[str]) -> Iterator[Path]:
    """Yield the user's folders of settings that a command line and the environment name."""
    urls = re.findall(r"file://([^\"',\]]+)", os.environ.get(VARIABLE, ""))
    for argument in arguments:
        name, _, value = argument.partition("=")
        if name == "--config-dir":
            yield Path(value)
        if name.lstrip("+") == "hydra.searchpath":
            urls += re.findall(r"file://([^\"',\]]+)", value)
    yield from (Path(unquote(url)) for url in urls)


def fault(path: Path) -> str:
    """Return in a sentence why a file holds no settings, "" if it does or is not there."""
    try:
        text = files.content(path.resolve(), MOST + 1)
    except FileNotFoundError:
        return ""
    except RuntimeError:  # before Python 3.13
        return f"{path} is a link that leads to itself"
    except OSError as error:
        return f"{path} cannot be read ({error.strerror or first_line(error)})"
    if len(text) > MOST:
        return f"{path} has more than {MOST:,} bytes, and should hold settings"
    try:
        found = yaml.safe_load(text.decode())
    except UnicodeDecodeError:
        return f"{path} is not text in UTF-8, and should hold settings, as key: value"
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        reason = getattr(error, "problem", None) or first_line(error)
        return f"{path}{where} is no YAML: {reason}" + ("; indent by spaces, not tabs" if "\\t" in reason else "")
    if isinstance(found, dict):
        return ""
    kind = {list: "a list", str: "text", type(None): "nothing"}.get(type(found), "one value")
    return f"{path} holds {kind}, and should hold settings, as key: value"
