"""``gantrain-recipe``: recipes listed, printed, copied, checked and compared, without torch."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gantrain.cli.recipe_checks import faults
from gantrain.cli.recipe_files import (
    GROUP,
    NAME,
    choices,
    composed,
    composing,
    cost,
    first_comment,
    is_in_its_place,
    own_folders,
    recipe,
    recipes,
)
from gantrain.errors import ConfigError, DiskError, first_line
from gantrain.run import files
from gantrain.run.directory import RunDirectory
from gantrain.run.identity import CARRYING_OUT, flat, plain
from gantrain.terminal import answered, folded, visible, visible_lines
from gantrain.version import versions

ANY = "any"
"""What stands for a choice that a recipe leaves to its user."""
ABSENT = "(not there)"


def main() -> None:
    """Start the ``gantrain-recipe`` command."""
    sys.exit(answered(work))


def work() -> int:
    """Read the command line, do what it asks for, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="gantrain-recipe",
        description="List, print, copy, check and compare recipes: the options of experiment=.",
        epilog="A recipe is named by its NAME, or by the path of its FILE; diff takes a run's folder too.",
    )
    parser.add_argument("--version", action="version", version=versions(), help="print the versions and stop")
    own = argparse.ArgumentParser(add_help=False)
    said = "a folder with groups of your own"
    own.add_argument("--config-dir", action="append", default=argparse.SUPPRESS, metavar="DIR", help=said)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="ls | cat | cp | validate | diff")
    verbs.add_parser("ls", parents=[own], help="list all, with data, loss and cost")
    verbs.add_parser("cat", parents=[own], help="print one").add_argument("name", metavar="NAME")
    copying = verbs.add_parser("cp", parents=[own], help="copy one into a new file, to be changed")
    copying.add_argument("name", metavar="NAME")
    copying.add_argument("file", metavar="FILE")
    checking = verbs.add_parser("validate", parents=[own], help="check some without data")
    checking.add_argument("names", nargs="+", metavar="FILE")
    said = "list the settings that differ between two recipes or runs"
    comparing = verbs.add_parser("diff", parents=[own], help=said)
    comparing.add_argument("a", metavar="A")
    comparing.add_argument("b", metavar="B")
    asked = parser.parse_args()
    folders = own_folders(getattr(asked, "config_dir", []))
    if asked.verb == "ls":
        print(folded(listed(folders)))
    elif asked.verb == "cat":
        print(shown(recipe(asked.name, folders).text()), end="")
    elif asked.verb == "cp":
        print(folded(copied(asked.name, asked.file, folders)))
    elif asked.verb == "validate":
        return checked(asked.names, folders)
    else:
        print(folded(compared(asked.a, asked.b, folders)))
    return 0


def listed(folders: Sequence[Path]) -> str:
    """Return a line for each recipe: its name, data, loss and cost, and how its header begins."""
    known = recipes(folders)
    rows = [("recipe", "data", "loss", "cost", "")]
    for name, found in known.items():
        try:
            text = found.text()
            chosen = choices(text, known)
        except ConfigError as error:
            rows.append((name, "", "", "", str(error)))
            continue
        group = [str(chosen.get(key, ANY)) for key in ("data", "loss")]
        rows.append((name, group[0], group[1], cost(text, chosen), first_comment(text)))
    widths = [max(len(visible(row[k])) for row in rows) for k in range(4)] + [0]
    lines = ["  ".join(f"{visible(cell):<{w}}" for cell, w in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def shown(text: str) -> str:
    """Return a file's text for the terminal, where what cannot be seen is escaped; into a file or pipe as it is."""
    return visible_lines(text) if sys.stdout.isatty() else text


def copied(name: str, file: str, folders: Sequence[Path]) -> str:
    """Copy a recipe into a new file, and return what to do with it.

    Raises:
        ConfigError: if the file is there, or would not be found or not be used.
        DiskError: if the disk does not take it.
    """
    found, path = recipe(name, folders), files.at_home(file)
    if path.is_dir():
        path = path / f"{found.name}.yaml"
    if path.suffix != ".yaml" or NAME.fullmatch(path.stem) is None:
        raise ConfigError(f"{file} must be called NAME.yaml, the name of letters, digits, _ and -")
    if not is_in_its_place(path):
        better = path.parent / GROUP / path.name
        raise ConfigError(f"{file} would not be found: recipes lie in a folder called {GROUP}; write {better}")
    if path.stem in recipes(()):
        raise ConfigError(f"{file} would not be used: {GROUP}={path.stem} is gantrain's own; choose another name")
    try:
        files.make_folder(path.parent)
        files.write_new(path, found.text())
    except FileExistsError as error:
        raise ConfigError(f"{path} is there already; choose another name") from error
    except OSError as error:
        raise DiskError(f"{path} cannot be written ({first_line(error)}); choose another place") from error
    home = path.parent.parent
    use = f"{GROUP}={path.stem}"
    where = "" if home.absolute() in [folder.absolute() for folder in folders] else f" --config-dir {quoted(home)}"
    return f"copied to     {path}\nchange it, then\ncheck it      gantrain-recipe validate {quoted(path)}\n" + (
        f"use it        gantrain{where} {use}"
    )


def quoted(path: Path) -> str:
    """Return a path as a shell takes it."""
    return shlex.quote(str(path))


def checked(names: Sequence[str], folders: Sequence[Path]) -> int:
    """Print of each recipe what is wrong with it, and return 0 if nothing is with any, else 2."""
    code = 0
    for name in names:
        try:
            wrong, missing = faults(recipe(name, folders), folders)
        except ConfigError as error:
            wrong, missing = [str(error).removeprefix(f"{name} ")], []
        for said in wrong:
            print(folded(f"gantrain: error: {name}: {visible(said)}", sys.stderr), file=sys.stderr)
        code = ConfigError.exit_code if wrong else code
        if not wrong:
            needs = f"; give {' '.join(f'{key}=…' for key in missing)} to the command" if missing else ""
            print(folded(f"{name} can be used{needs}"))
    return code


def compared(a: str, b: str, folders: Sequence[Path]) -> str:
    """Return the settings that differ between two recipes or runs, a line each: ``key: first → second``."""
    of_run = [is_run(name) for name in (a, b)]
    first, second = (settings_of(name, folders) for name in (a, b))
    keys = sorted(first.keys() | second.keys())
    if any(of_run):  # how a run is carried out is filled in when it begins
        keys = [key for key in keys if not key.startswith(CARRYING_OUT)]
    pairs = [(key, first.get(key, ABSENT), second.get(key, ABSENT)) for key in keys]
    lines = [visible(f"{key}: {told(before)} → {told(after)}") for key, before, after in pairs if before != after]
    return "\n".join(lines) if lines else "no setting differs"


def told(value: Any) -> str:
    """Return a value as YAML has it."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def is_run(name: str) -> bool:
    """Tell whether a name is that of a run's folder."""
    return (files.at_home(name) / "config.yaml").is_file()


def settings_of(name: str, folders: Sequence[Path]) -> dict[str, Any]:
    """Return the settings of a recipe, composed, or of a run, by their dotted keys."""
    if is_run(name):
        return dict(flat(RunDirectory(files.at_home(name)).settings()))
    found = recipe(name, folders)
    found.text()
    with composing(found, folders) as line:
        return dict(flat(plain(composed([line])[0])))
