"""A command line made ready for Hydra: the run that is named, paths of any letters, and what Hydra cannot take."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, Quote, QuotedString
from hydra.errors import HydraException

from gantrain.errors import ConfigError
from gantrain.run import files, identity
from gantrain.run.places import PLACES
from gantrain.schema import (
    EvalConfig,
    ExportConfig,
    InspectConfig,
    SampleConfig,
    TheoryConfig,
    TrainConfig,
    as_text,
    settings,
)

SCHEMAS = {
    "train": TrainConfig,
    "theory": TheoryConfig,
    "eval": EvalConfig,
    "sample": SampleConfig,
    "export": ExportConfig,
    "inspect": InspectConfig,
}
READERS = ("eval", "sample", "export")
"""Commands that look at a run, which they take as a bare path too."""
GROUPS = (*identity.GROUPS, "generated", "experiment")
LISTS = {"regularizer": "[r1,lecam]", "callbacks": "[stop_at]", "logger": "[tensorboard,csv]"}
"""Groups of which any number of options may be chosen, and an example."""
NO_OPTION = re.compile(r"|null|[\d.]*|[\[{].*", re.IGNORECASE)
"""Values of a group for which Hydra would print a traceback."""
A_PATH = re.compile(r"(^|,)\s*[./]|\.\.|\.ya?ml\b")
"""What of a path no option's name has: the run's folder is named by its options, and would lie elsewhere."""
OURS = {"hydra.run.dir": "run.dir", "hydra.sweep.dir": "run.root"}
LONG = ("--cfg", "--package", "--config-path", "--config-name", "--config-dir", "--experimental-rerun")
SHORT = ("-c", "-p", "-cp", "-cn", "-cd")
"""Hydra's options that take a value."""
SHOWN = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
"""What ``--info`` can be asked for."""


def is_sweep(arguments: Iterable[str]) -> bool:
    """Tell whether a command line asks for many jobs."""
    options = ("-m", *("--multirun"[:k] for k in range(4, 11)))  # argparse takes any beginning of a name
    return any(a in options or a.startswith("hydra.mode=") for a in arguments)


def asks_for(arguments: Iterable[str], option: str) -> bool:
    """Tell whether a command line has an option or a beginning of its name that is as good: ``--vers``."""
    return any(len(a) > 3 and option.startswith(a) for a in arguments)


def prepared(arguments: Sequence[str], command: str, scratch: str) -> list[str]:
    """Return the arguments for Hydra, options before overrides: argparse takes the overrides in one row only.

    Hydra makes its run and sweep directories before any check of ours. So ``hydra.run.dir`` and ``hydra.sweep.dir`` are
    passed on as ``run.dir`` and ``run.root``, and Hydra writes into the empty folder ``scratch``.

    Args:
        arguments: as they were typed.
        command: the name of the command's configuration, one of ``SCHEMAS``.
        scratch: used only if they ask for many jobs.

    Raises:
        ConfigError: for arguments that cannot be meant.
    """
    if any(a == "-sc" or (len(a) > 3 and "--shell-completion".startswith(a)) for a in arguments):
        return list(arguments)  # what follows is for Hydra's completion
    many = is_sweep(arguments)
    options, words = divided(arguments)
    runs, overrides = [], []
    for word in words:
        if not is_bare(word, command):
            overrides.append(ready(word, command, many))
        elif command in READERS:
            runs.append(str(files.at_home(word)))
        else:
            raise ConfigError(misplaced(word, command))
    if runs:
        overrides.append(named(runs, overrides))
    if alone := [a for a in overrides if a.startswith(("hydra/sweeper=", "hydra/launcher=")) and not many]:
        raise ConfigError(f"{alone[0]} is for many jobs; add -m")
    overrides = [a for a in overrides if a]
    return [*options, *([f"hydra.sweep.dir={scratch}"] if many else []), *overrides]


def divided(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return Hydra's options, each before its value, and all else.

    Raises:
        ConfigError: for an option that reads a pickle.
    """
    options: list[str] = []
    left = list(arguments)
    words: list[str] = []
    while left:
        argument = left.pop(0)
        if argument == "--":
            return options, words + left
        if not argument.startswith("-") or argument == "-":
            words.append(argument)
            continue
        name, equals, value = argument.partition("=")
        if len(name) > 4 and "--experimental-rerun".startswith(name):
            raise ConfigError(f"{name} would run code from a file; to go on with a run, give its command again")
        takes = name in SHORT or (name.startswith("--") and any(long.startswith(name) for long in LONG))
        if name in ("-i", "--info", "--inf", "--in") and not equals:
            options.append(f"--info={left.pop(0) if left and left[0] in SHOWN else 'all'}")
        elif name in ("--config-dir", "-cd", "--config-d", "--config-di"):
            value = value if equals else left.pop(0) if left else ""
            if not os.path.isdir(files.at_home(value)):  # noqa: PTH112  (pathlib raises for a name that is too long)
                raise ConfigError(f"--config-dir={value[:200]} is not a folder")
            options.append(f"--config-dir={files.at_home(value)}")
        else:
            options += [argument, *left[:1]] if takes and not equals else [argument]
            del left[: takes and not equals]
    return options, words


def is_bare(word: str, command: str) -> bool:
    """Tell whether an argument is no override but a word by itself: for the commands that read runs, a path."""
    key, equals, _ = word.partition("=")
    if command in READERS and ("/" in key.removeprefix("hydra/") or word in ("~", ".", "..") or Path(word).is_dir()):
        return True
    return not equals and not re.fullmatch(r"~[\w@$][\w./@$-]*", word)


def misplaced(word: str, command: str = "train") -> str:
    """Return what to do about a word that a command takes for nothing, in one sentence."""
    if not word.strip():
        return "an argument is empty; does it come from a variable that is not set?"
    folder = resources.files("gantrain.configs")
    for group in GROUPS:
        if re.fullmatch(r"\w+", word) and (folder / group / f"{word.lower()}.yaml").is_file():
            return f"{word} is an option of {group}; write {group}={word.lower()}"
    if command == "inspect" and files.at_home(word).exists():
        return f"{word} is no setting; for images in it, write data=image_folder data.root={shlex.quote(word)}"
    if files.at_home(word).is_dir():
        return (
            f"{word} is a folder, and settings are written key=value; a run goes on if its command is given again, and "
            f"gantrain-status {shlex.quote(word)} tells how it stands"
        )
    return f"{word} is no setting; write key=value, as loss=hinge, and see --help for the keys"


def named(runs: list[str], overrides: Sequence[str]) -> str:
    """Return the override of the runs that were named by bare paths.

    Raises:
        ConfigError: if run=… stands there too.
    """
    if twice := [a for a in overrides if a.startswith("run=")]:
        raise ConfigError(f"{runs[0]} and {twice[0]} both name the run; leave one out")
    return f"run={as_typed(runs[0])}" if len(runs) == 1 else f"run=[{','.join(map(as_typed, runs))}]"


def ready(argument: str, command: str, many: bool) -> str:
    """Return an override as Hydra takes it; "" for one that changes nothing.

    Raises:
        ConfigError: if it cannot be meant.
    """
    found = re.fullmatch(r"(?P<sign>\+{0,2}|~)(?P<key>[^=+~][^=]*)=(?P<value>.*)", argument, re.DOTALL)
    key = found["key"] if found else argument.lstrip("~")
    if key == "experiment" and found and found["value"].lower() in ("", "null"):
        return ""  # none is chosen by default
    if key in LISTS or key in GROUPS or key in ("hydra/launcher", "hydra/sweeper"):
        check_options(argument, key, found["value"] if found and found["sign"] != "~" else None)
    if found is None or found["sign"] == "~":
        return argument
    sign, key, value = found["sign"], OURS.get(key, key), found["value"]
    if key == "resume" and value.lower() in ("true", "false", "null", ""):
        raise ConfigError(f"{argument}: resume takes auto, never (start anew) or the folder of a checkpoint")
    if key in paths_of(command):
        return f"{sign}{key}={path_value(value, many)}"
    rules = rules_of(command).get(key, {})
    if "longest" in rules:
        return f"{sign}{key}={remark_value(value)}"
    if "words" in rules and rules["words"].fullmatch(value) and value.lower() != "null":
        return f"{sign}{key}=[{value}]"
    override = as_read(f"{key}={value}")
    if override is not None and override.is_sweep_override() and not many:
        as_list = "" if key in GROUPS else f"; for a list, write {key}=[{value}]" if "(" not in value else ""
        raise ConfigError(f"{argument} asks for several runs, one for each value; add -m{as_list}")
    return f"{sign}{key}={value}"


def check_options(argument: str, group: str, value: str | None) -> None:
    """Raise ConfigError for a group that is given something else than names of its options, None for its removal."""
    override = None if value is None else as_read(f"{group}={value}")
    if group in LISTS:
        chosen = [] if override is None else elements(override)
        if value is None or not all(
            isinstance(name, str) for one in chosen for name in (one if isinstance(one, list) else [one])
        ):
            raise ConfigError(f"{argument}: {group} takes a list of options, as {group}={LISTS[group]}; [] for none")
        return
    wrong = value is None or NO_OPTION.fullmatch(value) or A_PATH.search(value)
    if wrong or (override is not None and not all(isinstance(one, str) for one in elements(override))):
        has_none = (resources.files("gantrain.configs") / group / "none.yaml").is_file()
        hint = f"; {group}=none for none" if has_none else ""
        raise ConfigError(f"{argument}: {group} takes the name of one option, as --help lists them{hint}")


def elements(override: Override) -> list[Any]:
    """Return the values of an override that lists them; none of a function as ``range``."""
    value = override._value
    if isinstance(value, ChoiceSweep):
        return list(value.list)
    return [] if override.is_sweep_override() else [value.text if isinstance(value, QuotedString) else value]


def paths_of(command: str) -> set[str]:
    """Return the settings of a command that name a file or a folder."""
    return {key for key, _, rules in settings(SCHEMAS[command]) if rules.get("path")} | set(PLACES)


def rules_of(command: str) -> dict[str, dict[str, Any]]:
    """Return the rules of each setting of a command."""
    return {key: rules for key, _, rules in settings(SCHEMAS[command])}


def remark_value(text: str) -> str:
    """Return the value of a sentence so that Hydra reads the text that was typed, unless it is quoted for Hydra."""
    override = as_read(f"remark={text}")
    is_quoted = override is not None and isinstance(override._value, QuotedString)
    return text if is_quoted or text.lower() in ("", "null") else as_typed(text)


def path_value(text: str, many: bool) -> str:
    """Return the value of a path so that Hydra reads the text that was typed, ``~`` at its beginning for the home.

    It stays as it is if Hydra reads it so, if it interpolates (``${…}``), if it is quoted or escaped for Hydra and no
    such file exists, and if it is a list of values for many jobs.
    """
    if "${" in text or text.lower() in ("", "null"):
        return text
    override = as_read(f"path={text}")
    is_there = os.path.lexists(text)
    if many and override is not None and override.is_sweep_override():
        return text
    if many and override is None and "," in text and not is_there and not re.search(r"[\"'\[({]", text):
        return ",".join(path_value(part.strip(), many) for part in text.split(","))
    read = None if override is None or override.is_sweep_override() else override._value
    if not is_there and (isinstance(read, QuotedString) or (isinstance(read, str) and "\\" in text)):
        return text
    whole = str(files.at_home(text)) if text.startswith("~") else text
    is_plain = isinstance(read, str | int) and not isinstance(read, bool) and str(read) == whole
    return whole if is_plain else quoted(whole)


def as_read(argument: str) -> Override | None:
    """Return an override as Hydra reads it, None if it cannot."""
    try:
        return OverridesParser.create().parse_override(argument)
    except (HydraException, RecursionError, ValueError):
        return None


def quoted(text: str) -> str:
    """Return a text in quotes, as Hydra's grammar has them."""
    return str(QuotedString(text=text, quote=Quote.double).with_quotes())


def as_typed(text: str) -> str:
    """Return a text in quotes in which nothing is interpolated."""
    return quoted(str(as_text(text)))


def remedy(argument: str) -> str:
    """Return how to write an override that Hydra cannot read, so that it can."""
    key, equals, value = argument.partition("=")
    better = f"{key}={quoted(value)}"
    if equals and value and as_read(better) is not None:
        return f"quote the value: {shlex.quote(better)}"
    return "write key=value"


def prepare(command: str, scratch: str) -> None:
    """Make this process's own command line ready."""
    sys.argv[1:] = prepared(sys.argv[1:], command, scratch)
