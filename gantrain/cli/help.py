"""``gantrain help WORD``: what a group, an option or a key means, from the same files as the site's reference."""

from __future__ import annotations

import difflib
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from gantrain.cli import own_files
from gantrain.errors import ConfigError
from gantrain.reference import Brought, Catalogue, Key, Option, Setter
from gantrain.reference.keys import in_words
from gantrain.run import files
from gantrain.terminal import answered, visible

USAGE = """usage: gantrain help WORD [--config-dir DIR]

What a setting means, with its default, type, range and source:

  gantrain help ema.halflife_images   a key
  gantrain help ema                   the keys that begin so
  gantrain help loss                  a group and its options
  gantrain help loss=wgan_gp          an option and what it sets

gantrain --help lists the groups with their options."""
COLUMNS = 80
"""Width of what is printed where there is no terminal to ask."""
LABEL = 9
"""Width of what stands before a fact."""
HOW: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}


def asked(arguments: Sequence[str]) -> bool:
    """Tell whether a command line of ``gantrain`` asks for help on a word."""
    return list(arguments[:1]) == ["help"]


def main() -> None:
    """Print what ``gantrain help`` is asked for, and leave."""
    sys.exit(answered(lambda: show(sys.argv[2:])))


def show(arguments: Sequence[str]) -> int:
    """Print the help on the one word of the arguments, and return the exit code.

    Raises:
        ConfigError: if there is no such word, or more than one is given.
    """
    words, folders = divided(arguments)
    if not words or {"-h", "--help"} & {*words}:
        print(USAGE)
        return 0
    if len(words) > 1:
        raise ConfigError(f"gantrain help takes one word, got {' '.join(words)}")
    own_files.prepare()
    own = own_files.own_folders([f"--config-dir={folder}" for folder in folders])
    print(text(words[0], Catalogue(own)))
    return 0


def divided(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the words and the folders of ``--config-dir`` of a command line.

    Raises:
        ConfigError: for a folder that is none.
    """
    left, words, folders = list(arguments), [], []
    while left:
        argument = left.pop(0)
        name, equals, value = argument.partition("=")
        if name != "--config-dir":
            words.append(argument)
            continue
        value = value if equals else left.pop(0) if left else ""
        if not files.at_home(value).is_dir():
            raise ConfigError(f"--config-dir={value[:200]} is not a folder")
        folders.append(str(files.at_home(value)))
    return words, folders


def row(label: str, said: str) -> str:
    """Return a fact behind its label, in as many lines as it takes."""
    return paragraph(visible(said), f"  {label:<{LABEL}}", " " * (LABEL + 2))


def paragraph(said: str, first: str, then: str) -> str:
    """Return a text in lines that begin so and end where the terminal does, after 80 characters if there is none."""
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else COLUMNS
    return textwrap.fill(said, columns, initial_indent=first, subsequent_indent=then, **HOW) or first.rstrip()


def text(word: str, catalogue: Catalogue) -> str:
    """Return what there is to say of a word.

    Raises:
        ConfigError: if it is neither group nor option nor key.
    """
    group, equals, option = word.lstrip("+").removeprefix("/").partition("=")
    if found := catalogue.meaning_of(group):
        if not equals:
            return of_group(found, catalogue)
        if known := catalogue.groups[group].get(option.strip("[]")):
            return of_option(known, catalogue)
        near = difflib.get_close_matches(option.lower().replace("-", "_"), catalogue.groups[group], n=1)
        hint = f"did you mean {group}={near[0]}?" if near else f"gantrain help {group} lists the options"
        raise ConfigError(f"{group}={option} does not exist; {hint}")
    if keys := catalogue.find(group):
        return "\n\n".join(of_key(key) for key in keys)
    if inside := [key for key in catalogue.keys("train").values() if key.name.startswith(f"{group}.")]:
        return of_section(group, inside, catalogue)
    raise ConfigError(f"{group} is no group and no key; {suggestion(group, catalogue)}")


def suggestion(word: str, catalogue: Catalogue) -> str:
    """Return what may have been meant by a word that is nothing."""
    names = list(dict.fromkeys(catalogue.names()))
    for group, options in sorted(catalogue.groups.items(), key=lambda item: item[0].startswith("hydra")):
        if word in options:
            return f"did you mean {group}={word}?"
    same_end = [name for name in names if name.split(".")[-1] == word.split(".")[-1]]
    near = difflib.get_close_matches(word.lower(), names, n=3)
    found = [*same_end[:3], *near][:3] if same_end else near
    if not found:  # "learning rate" and "gpu" are no names, but keys are explained with them
        said = re.compile(rf"\b{re.escape(word)}\b", re.IGNORECASE)
        found = [key.name for key in catalogue.keys("train").values() if said.search(key.meaning)][:3]
    return f"did you mean {' or '.join(dict.fromkeys(found))}?" if found else "gantrain --help lists all"


def of_key(key: Key) -> str:
    """Return what a key means, a fact a line."""
    rows = [
        ("command", key.command if key.command != "gantrain" else ""),
        ("default", key.default if key.default is not None else "each its own: only the options below have it"),
        ("type", ", ".join(part for part in (key.kind, key.range) if part)),
        ("meaning", key.meaning),
        ("among", key.section),
        ("source", f"{key.source.label}: {' '.join(key.source.heading)}" if key.source and key.source.group else ""),
    ]
    lines = [visible(key.name), *(row(name, value) for name, value in rows if value)]
    for k, (names, told) in enumerate(set_in(key)):
        first = f"  {'' if k else 'set in':<{LABEL}}"
        lines.append(paragraph(visible(f"{names}  {told}"), first, " " * (LABEL + 4)))
    return "\n".join(lines)


def set_in(key: Key) -> Iterator[tuple[str, str]]:
    """Yield the files that set a key, those of a group with one value together, and that value.

    Behind the value stands what they say of it beside the key's meaning.
    """
    together: dict[tuple[str, str], list[Setter]] = {}
    for setter in key.setters:
        said = setter.line.comment if setter.line.comment != key.meaning else ""
        told = in_words(setter.line.value, key.name) + (f"  ({said})" if said else "")
        together.setdefault((setter.option.group, told), []).append(setter)
    for (group, told), setters in together.items():
        label = setters[0].option.label
        names = [setter.option.name for setter in setters]
        yield label if len(setters) == 1 else f"{group}={', '.join(names)}", told


def of_group(found: Brought, catalogue: Catalogue) -> str:
    """Return a group with its options, a line each."""
    options = catalogue.groups[found.group]
    width = max(map(len, options))
    default = "" if found.option == "null" else f" (default: {found.option or '[], none'})"
    lines = [paragraph(f"{found.group}: {found.comment}{default}", "", "  "), ""]
    for name, option in options.items():
        lines.append(f"  {name:<{width}}  {shortened(visible(' '.join(option.heading)), COLUMNS - width - 4)}")
    return "\n".join([*lines, "", f"gantrain help {found.group}=NAME tells what one sets, and its source."])


def shortened(line: str, room: int) -> str:
    """Return a line cut at a word so that it has room."""
    return line if len(line) <= room else f"{line[: room - 1].rpartition(' ')[0].rstrip(',;:')}…"


def of_option(option: Option, catalogue: Catalogue) -> str:
    """Return an option: its source, what it brings, and what it sets."""
    said = re.sub(r"\n(?! )", " ", "\n".join(option.heading)).split("\n")  # indented lines are commands
    lines = [visible(option.label), *(paragraph(visible(line), "  ", "  ") for line in said), ""]
    lines += [row("brings", f"{b.group}={b.option}" + f"  ({b.comment})" * bool(b.comment)) for b in option.brings]
    lines += [row("class", target) for target in dict.fromkeys(catalogue.targets_of(option).values())]
    if lines[-1]:
        lines.append("")
    for key, setter in catalogue.whole(option).items():
        lines += entry(key, in_words(setter.line.value, key), setter.line.comment)
    return "\n".join(lines).rstrip()


def of_section(name: str, keys: Sequence[Key], catalogue: Catalogue) -> str:
    """Return the keys that begin with a name, each with its default and meaning."""
    said = catalogue.tops["train"].sections.get(name, "")
    lines = [f"{name}: {said}" if said else name, ""]
    for key in keys:
        lines += entry(key.name, "…" if key.default is None else key.default, key.meaning)
    return "\n".join(lines)


def entry(key: str, value: str, said: str) -> list[str]:
    """Return a key with its value, and below it what is said of it."""
    return [
        paragraph(visible(f"{key}={value}"), "  ", "    "),
        *([paragraph(visible(said), *["      "] * 2)] if said else []),
    ]
