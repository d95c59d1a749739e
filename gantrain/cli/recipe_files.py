"""Recipes: options of the group ``experiment``, where they lie, what their files say, and what they come to."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from gantrain.cli import own_files
from gantrain.cli.overrides import explained
from gantrain.errors import ConfigError
from gantrain.run import files
from gantrain.run.identity import GROUPS
from gantrain.schema import one_line

GROUP = "experiment"
"""The folder, in one of settings, that recipes lie in."""
NAME = re.compile(r"\w[\w.-]*")
"""Names of options that Hydra takes as they are."""
CHOICE = re.compile(r"override /(\w+)(@|$)")
COST = re.compile(r"# Cost: (.+)")
"""What a recipe's header says of its cost."""


@dataclass(frozen=True)
class Recipe:
    """A recipe's file.

    Args:
        name: what ``experiment=`` calls it.
        path: the file.
        folder: the user's folder of settings that it lies in; None: it is gantrain's own.
    """

    name: str
    path: Path
    folder: Path | None

    def text(self) -> str:
        """Return what stands in the file; raise ConfigError if that is no settings."""
        if wrong := own_files.fault(self.path):
            raise ConfigError(wrong)
        try:
            return files.whole(self.path, own_files.MOST, linked=True).decode()
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be read ({error.strerror or error})") from error


def own_folders(named: Sequence[str]) -> list[Path]:
    """Return the user's folders of settings: those named on the command line, then those of GANTRAIN_CONFIGS.

    Raises:
        ConfigError: for one that is not there.
    """
    for folder in named:
        if not files.at_home(folder).is_dir():
            raise ConfigError(f"--config-dir={folder} is not a folder")
    own_files.prepare()
    return [*(files.at_home(folder) for folder in named), *own_files.own_folders([])]


def recipes(folders: Sequence[Path]) -> dict[str, Recipe]:
    """Return all recipes by name, gantrain's own first: of two by one name the first is used, as by Hydra."""
    own = Path(str(resources.files("gantrain.configs")))
    found: dict[str, Recipe] = {}
    for folder in (own, *folders):
        for path in sorted((folder / GROUP).glob("*.yaml")):
            found.setdefault(path.stem, Recipe(path.stem, path, None if folder == own else folder))
    return found


def recipe(given: str, folders: Sequence[Path]) -> Recipe:
    """Return the recipe of a name, or of a file.

    Raises:
        ConfigError: if there is none.
    """
    if "/" in given or given.endswith((".yaml", ".yml")):
        path = files.at_home(given)
        if not path.is_file():
            raise ConfigError(f"{given} is not a file; gantrain-recipe ls lists the recipes that have a name")
        if path.suffix != ".yaml" or NAME.fullmatch(path.stem) is None:
            raise ConfigError(
                f"{given}: the file of a recipe is called NAME.yaml, the name of letters, digits, _ and -"
            )
        return Recipe(path.stem, path, path.absolute().parent.parent if is_in_its_place(path) else None)
    known = recipes(folders)
    if given not in known:
        from difflib import get_close_matches

        near = [name for name in known if given in name] or get_close_matches(given, known, n=1)
        hint = f"did you mean {' or '.join(near[:3])}? " if near else ""
        raise ConfigError(f"there is no recipe {given}; {hint}gantrain-recipe ls lists all")
    return known[given]


def is_in_its_place(path: Path) -> bool:
    """Tell whether a file lies where ``experiment=`` finds it, once the folder above is named."""
    return path.absolute().parent.name == GROUP


def first_comment(text: str) -> str:
    """Return the first line of a file that says something, without its mark: Hydra's own lines say nothing."""
    lines = (line.lstrip("#").strip() for line in text.splitlines() if line.startswith("#"))
    return next((line for line in lines if line and not line.startswith("@package")), "")


def choices(text: str, known: dict[str, Recipe], seen: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Return what a recipe's file chooses by group, with the length and batch size, those of its parents too."""
    content = yaml.safe_load(text)
    found: dict[str, Any] = {}
    for entry in content.get("defaults") or []:
        if isinstance(entry, str) and entry in known and entry not in seen:
            found |= choices(known[entry].text(), known, seen | {entry})
        for key, value in entry.items() if isinstance(entry, dict) else ():
            if match := CHOICE.match(str(key)):
                found[match[1]] = value
    return found | {key: content[key] for key in ("total_steps", "batch_size") if isinstance(content.get(key), int)}


def cost(text: str, chosen: dict[str, Any]) -> str:
    """Return what a recipe costs, as its header states it, else how long it is."""
    if stated := COST.search(text):
        return stated[1].rstrip(".")
    steps, batch = chosen.get("total_steps"), chosen.get("batch_size")
    parts = [f"{steps:,} steps" if steps else "", f"of {batch:,}" if steps and batch else ""]
    return " ".join(part for part in parts if part)


@contextmanager
def composing(recipe: Recipe, folders: Sequence[Path]) -> Iterator[str]:
    """Let Hydra find a recipe and the user's folders inside the block; yield the override that chooses it.

    Raises:
        ConfigError: if gantrain has a recipe of its own by that name, which Hydra would take.
    """
    ours = recipes(()).get(recipe.name)
    if ours is not None and not ours.path.samefile(recipe.path):
        raise ConfigError(f"{recipe.path} would not be used: {GROUP}={recipe.name} is gantrain's own; rename it")
    before = os.environ.get(own_files.VARIABLE)
    named = [url_of(folder) for folder in (*folders, *([recipe.folder] if recipe.folder else []))]
    with tempfile.TemporaryDirectory(prefix="gantrain-recipe-") as scratch:
        if ours is None and recipe.folder is None:  # a file that lies elsewhere
            (Path(scratch) / GROUP).symlink_to(recipe.path.absolute().parent, target_is_directory=True)
            named.append(url_of(Path(scratch)))
        every = dict.fromkeys([*named, *json.loads(before or "[]")])
        os.environ[own_files.VARIABLE] = json.dumps([*every])
        GlobalHydra.instance().clear()
        try:
            with initialize_config_module("gantrain.configs", version_base="1.3"):
                yield f"{GROUP}={recipe.name}"
        finally:
            del os.environ[own_files.VARIABLE]
            if before is not None:
                os.environ[own_files.VARIABLE] = before


def url_of(folder: Path) -> str:
    """Return a folder as Hydra's search path has it."""
    return f"file://{folder.absolute()}"


def composed(lines: Sequence[str]) -> tuple[DictConfig, dict[str, Any]]:
    """Return the settings of a training by a command line, and the option of each group, inside ``composing``.

    Raises:
        ConfigError: if Hydra cannot compose them.
    """
    try:
        cfg = compose("train", list(lines), return_hydra_config=True)
        chosen = dict(cfg.hydra.runtime.choices)
    except (HydraException, OmegaConfBaseException, *own_files.UNREADABLE) as error:
        said = one_line(error) if isinstance(error, OmegaConfBaseException) else explained(error, list(lines), "train")
        raise ConfigError(said) from error
    return cfg, {group: chosen[group] for group in (*GROUPS, "regularizer") if group in chosen}
