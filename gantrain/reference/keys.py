"""Every group, option and key of a command: its default, type, range, meaning, source, and where it is set."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from gantrain import schema
from gantrain.reference import targets
from gantrain.reference.files import Brought, Line, Option, read

COMMANDS = {
    "train": ("gantrain", schema.TrainConfig),
    "theory": ("gantrain-theory", schema.TheoryConfig),
    "eval": ("gantrain-eval", schema.EvalConfig),
    "sample": ("gantrain-sample", schema.SampleConfig),
    "export": ("gantrain-export", schema.ExportConfig),
    "inspect": ("gantrain-data", schema.InspectConfig),
}
"""By the name of a command's file of settings: what it is called, and its schema."""
OF_HYDRA = {
    "hydra/launcher": "where the jobs of a sweep run, with -m; without it one after another",
    "hydra/sweeper": "which jobs a sweep has, with -m; without it all combinations of the values",
    "hydra/sweeper/space": "what a search tries: settings, and ranges of their values",
}
"""Groups that no defaults list of gantrain's names, and what they are."""
NO_GROUPS = ("hydra/help",)
WORDS = {
    **{"int": "whole number", "float": "number", "bool": "true | false", "str": "text", "None": "null"},
    **{
        "list": "list",
        "tuple": "list",
        "Sequence": "list",
        "Iterable": "list",
        "dict": "mapping",
        "Mapping": "mapping",
    },
}
"""Types of Python in the words of a YAML file."""


@dataclass(frozen=True)
class Setter:
    """A file that sets a key, and the line that does."""

    option: Option
    line: Line


@dataclass(frozen=True)
class Key:
    """A setting of a command.

    Args:
        name: dotted.
        command: as it is typed.
        default: as the command has it if nothing else is chosen; None if only some options have the key.
        kind: its type, in words; "" if only its meaning says it.
        range: of its values, in words; "" if the type says it all.
        meaning: what it does; "" if that depends on the option that has it.
        section: what is said of the settings that it stands among.
        source: the file whose value is the default, or the only one that sets it; else None.
        setters: every file that sets it.
    """

    name: str
    command: str
    default: str | None
    kind: str
    range: str
    meaning: str
    section: str
    source: Option | None
    setters: list[Setter] = field(default_factory=list)


class Catalogue:
    """The settings of all commands.

    Args:
        own: folders with the user's own groups.

    Raises:
        ConfigError: for a file that is no YAML.
    """

    def __init__(self, own: Iterable[Path] = ()) -> None:
        root = Path(str(resources.files("gantrain.configs")))
        self.known: dict[str, dict[str, Key]] = {}
        self.tops = {name: read(root / f"{name}.yaml", "") for name in COMMANDS}
        self.groups: dict[str, dict[str, Option]] = {}
        for folder in (root, *own):
            for path in sorted(folder.glob("*/**/*.yaml")):
                group = path.parent.relative_to(folder).as_posix()
                if group not in NO_GROUPS:
                    self.groups.setdefault(group, {}).setdefault(path.stem, read(path, group))

    def choices(self, command: str) -> dict[str, Brought]:
        """Return the groups of a command, each with the option that it has by default."""
        own = {entry.group: entry for entry in self.tops[command].chosen if entry.group in self.groups}
        hydras = {name: Brought(name, "null", said) for name, said in OF_HYDRA.items()} if command == "train" else {}
        return own | hydras

    def meaning_of(self, group: str) -> Brought | None:
        """Return a group's default and meaning in the first command that has it."""
        return next((found for name in COMMANDS if (found := self.choices(name).get(group))), None)

    def whole(self, option: Option) -> dict[str, Setter]:
        """Return the lines of an option by key, each with the file that it stands in: those it starts from first.

        What a line does not say is what the line says that it replaces.
        """
        found: dict[str, Setter] = {}
        for name in option.base:
            if inner := self.groups.get(option.group, {}).get(name):
                found |= self.whole(inner)
        for key, line in option.lines.items():
            before = found[key].line.comment if key in found else ""
            found[key] = Setter(option, replace(line, comment=line.comment or before))
        return found

    def targets_of(self, option: Option) -> dict[str, str]:
        """Return the classes that an option names by the key that they stand under, those it starts from first."""
        found: dict[str, str] = {}
        for name in option.base:
            if inner := self.groups.get(option.group, {}).get(name):
                found |= self.targets_of(inner)
        return found | option.targets

    def defaults(self, command: str) -> dict[str, Setter]:
        """Return every key that a command has if nothing is chosen, with the file that decides its value."""
        top = self.tops[command]
        chosen = {entry.group: entry.option for entry in top.chosen if entry.group in self.groups}
        options = [self.groups[group].get(name) for group, name in chosen.items()]
        for option in options:
            chosen |= {b.group: b.option for b in (option.brings if option else ()) if b.group in chosen}
        found: dict[str, Setter] = {}
        for group, name in chosen.items():
            if option := self.groups[group].get(name):
                found |= self.whole(option)
        own = {key: Setter(top, line) for key, line in top.lines.items()}
        return found | own if top.self_last else own | found

    def keys(self, command: str) -> dict[str, Key]:
        """Return every key of a command, by name in the order of the files."""
        if command not in self.known:
            self.known[command] = self.made(command)
        return self.known[command]

    def made(self, command: str) -> dict[str, Key]:
        """Return what ``keys`` returns, anew."""
        by_default = self.defaults(command)
        rules = {key: (kind, rest) for key, kind, rest in schema.settings(COMMANDS[command][1])}
        setters: dict[str, list[Setter]] = {
            key: [Setter(self.tops[command], line)] for key, line in self.tops[command].lines.items()
        }
        for group in self.choices(command):
            for option in () if group == "hydra/sweeper/space" else self.groups[group].values():
                for key, line in option.lines.items():
                    setters.setdefault(key, []).append(Setter(option, line))
        found = {key: self.key(command, key, by_default.get(key), lines, rules) for key, lines in setters.items()}
        for key in rules:
            if (key not in found or found[key].default is None) and (said := self.borrowed(command, key)):
                found[key] = replace(said, setters=found[key].setters if key in found else [])
        return found

    def borrowed(self, command: str, key: str) -> Key | None:
        """Return a key that a command lays over that of a run, so that it is null there until an option sets it."""
        if command == "train" or key in self.choices("train") or key not in (known := self.keys("train")):
            return None
        one = known[key]
        return replace(one, command=COMMANDS[command][0], default="null", section="null: as the run has it")

    def key(self, command: str, name: str, default: Setter | None, setters: list[Setter], rules: dict[str, Any]) -> Key:
        """Return a key of a command, from the files that set it and what the schema says of it."""
        first = default or setters[0]
        top = self.tops[command].lines.get(name)
        meaning = (first.line.comment if default else "") or (top.comment if top else "")
        if not meaning:  # what most of the files say
            spoken = [setter.line.comment for setter in setters if setter.line.comment]
            most = max(spoken, key=spoken.count, default="")
            meaning = most if 2 * spoken.count(most) > len(spoken) else ""
        kind, allowed = rules.get(name, (None, {}))
        words = type_in_words(type_text(kind)) if kind not in (None, Any) else self.kind_by_class(name, setters)
        values = [s.line.value for s in (first, *setters)]
        value = None if default is None else in_words(default.line.value, name)
        sections = [option.sections for option in (self.tops[command], first.option)]
        parents = [name.rsplit(".", k)[0] for k in range(1, name.count(".") + 1)]
        section = next((said[p] for p in parents for said in sections if p in said), "")
        return Key(
            name,
            COMMANDS[command][0],
            value,
            words or next(filter(None, map(kind_of, values)), ""),
            range_in_words(allowed),
            meaning or of_another(first.line.value, name),
            section,
            first.option if default or len(setters) == 1 else None,
            setters,
        )

    def kind_by_class(self, name: str, setters: list[Setter]) -> str:
        """Return the type of an argument of a class of gantrain's that one of the files names, "" if none does."""
        place, _, argument = name.rpartition(".")
        for setter in setters:
            target = setter.line.target or self.targets_of(setter.option).get(place, "")
            found = targets.described(target) if target else None
            if found is not None and argument in found.arguments:
                return type_in_words(found.arguments[argument])
        return ""

    def find(self, name: str) -> list[Key]:
        """Return a key in each command that has it with another default or meaning, ``gantrain`` first."""
        found: list[Key] = []
        for command in COMMANDS:
            key = self.keys(command).get(name)
            if key and not any((key.default, key.meaning) == (known.default, known.meaning) for known in found):
                found.append(key)
        return found

    def names(self) -> Iterator[str]:
        """Yield every group and key of every command."""
        for command in COMMANDS:
            yield from self.choices(command)
            yield from self.keys(command)


def type_text(kind: Any) -> str:
    """Return a type as Python's source has it: ``int | None``."""
    return kind.__name__ if isinstance(kind, type) and not hasattr(kind, "__args__") else str(kind)


def type_in_words(text: str) -> str:
    """Return an annotation in the words of a YAML file; "" for a type that has none there, as a class of gantrain's."""
    parts = [part.strip() for part in re.sub(r"\[[^\[\]]*(\[[^\]]*\][^\[\]]*)*\]", "", text).split("|")]
    words = [WORDS.get(part.rpartition(".")[2], "") for part in parts]
    return ", or ".join(dict.fromkeys(words)) if all(words) else ""


def kind_of(value: str) -> str:
    """Return the type of a value that stands in a file, in words; "" where it does not tell."""
    try:
        read_value = yaml.safe_load(value)
    except yaml.YAMLError:
        return ""
    if read_value is None or value == "???" or value.startswith("${"):
        return ""
    if isinstance(read_value, str) and re.fullmatch(r"[\d.]+e-?\d+", read_value):
        return "number"
    return WORDS.get(type(read_value).__name__, "")


def range_in_words(rules: dict[str, Any]) -> str:
    """Return what a schema's rules allow; "" where they allow all values of the type."""
    if words := rules.get("one_of"):
        return " | ".join(words)
    if rules.get("positive"):
        return "above 0 and finite"
    said = [f"{rules['at_least']} or more"] if "at_least" in rules else []
    below = rules.get("below", math.inf)
    return ", ".join(said + ([f"below 2^{below.bit_length() - 1}"] if below < 2**53 else []))


def of_another(value: str, key: str) -> str:
    """Return what to say of a value that is another key's and has no comment; "" for any other."""
    said = in_words(value, key)
    return f"the same as {said.removeprefix('that of ')}" if said.startswith("that of ") else ""


def in_words(value: str, key: str) -> str:
    """Return a value as a reader sees it: what refers to another key names that key."""
    if value == "???":
        return "to be given"
    if found := re.fullmatch(r"\$\{(\.+)([\w.]+)\}", value):
        place = key.split(".")
        return f"that of {'.'.join([*place[: len(place) - len(found[1])], found[2]])}"
    if found := re.fullmatch(r"\$\{([\w.]+)\}", value):
        return f"that of {found[1]}"
    if found := re.fullmatch(r"\$\{oc\.env:(\w+), *\"?(.*?)\"?\}", value):
        return f"{found[2]}, or ${found[1]}"
    if found := re.fullmatch(r"\$\{oc\.select:([\w.]+), *\"?(.*?)\"?\}", value):
        return f"that of {found[1]}, else {found[2]}"
    return value
