"""One YAML file of settings with its comments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from gantrain.errors import ConfigError, first_line

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
COMMENT = re.compile(r"[\s\]},]*\s#\s*(.*)")
"""What may stand between a value and the comment on its line."""
PACKAGE = re.compile(r"# @package (\S+)")
OVERRIDE = re.compile(r"override /?([\w/]+)(?:@\S+)?")


@dataclass(frozen=True)
class Line:
    """A value that a file sets.

    Args:
        key: dotted, as the command line has it.
        value: as it is written.
        comment: what the file says of it; "" if nothing.
        target: the class whose argument it is, as a dotted name; "" if none.
    """

    key: str
    value: str
    comment: str
    target: str


@dataclass(frozen=True)
class Brought:
    """An option of a group that a file's defaults choose, and what the file says of it."""

    group: str
    option: str
    comment: str


@dataclass
class Option:
    """A file of settings: one option of a group, or the top file of a command, whose ``group`` is "".

    Args:
        group: as ``hydra/launcher``.
        name: of the option.
        heading: the comment at the top of the file: what it is, and its source.
        base: options of the same group whose values it starts from.
        chosen: the options that its defaults name, in order, for a top file.
        brings: the options of other groups that it chooses.
        self_last: whether its own values win over those of its defaults.
        lines: its values by key.
        targets: the classes that it names, by the key that they stand under.
        sections: what it says of keys that hold others.
    """

    group: str
    name: str
    heading: list[str] = field(default_factory=list)
    base: list[str] = field(default_factory=list)
    chosen: list[Brought] = field(default_factory=list)
    brings: list[Brought] = field(default_factory=list)
    self_last: bool = False
    lines: dict[str, Line] = field(default_factory=dict)
    targets: dict[str, str] = field(default_factory=dict)
    sections: dict[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """How the command line chooses it; for the top file of a command, where it lies."""
        if not self.group:
            return f"configs/{self.name}.yaml"
        return f"regularizer=[{self.name}]" if self.group == "regularizer" else f"{self.group}={self.name}"


def read(path: Path, group: str) -> Option:
    """Return what a file sets and says.

    Raises:
        ConfigError: if it is no YAML.
    """
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=LOADER)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = getattr(error, "problem", None) or first_line(error)
        raise ConfigError(f"{path} is no YAML ({reason})") from error
    lines = text.split("\n")
    option = Option(group, path.stem, heading(lines))
    package = found[1] if (found := PACKAGE.match(lines[0])) else group.replace("/", ".") or "_global_"
    prefix = "" if package == "_global_" else f"{package}."
    try:
        for key, node in root.value if isinstance(root, MappingNode) else ():
            if key.value == "defaults" and isinstance(node, SequenceNode):
                read_defaults(node, lines, option)
            elif key.value != "hydra":
                walk(prefix, "", key, node, lines, option)
    except RecursionError:
        raise ConfigError(f"{path} holds a value that holds itself") from None
    return option


def heading(lines: list[str]) -> list[str]:
    """Return the lines of the comment at the top, without the one for Hydra."""
    found = []
    for line in lines:
        if not line.startswith("#"):
            break
        if not PACKAGE.match(line):
            found.append(line.removeprefix("#").removeprefix(" ").rstrip())
    return found


def read_defaults(node: SequenceNode, lines: list[str], option: Option) -> None:
    """Enter what a defaults list chooses into ``option``."""
    order = []
    for entry in node.value:
        if isinstance(entry, ScalarNode):
            option.base += [entry.value] if entry.value != "_self_" else []
            order.append(entry.value)
        for key, value in entry.value if isinstance(entry, MappingNode) else ():
            names = [one.value for one in value.value] if isinstance(value, SequenceNode) else [value.value]
            found = OVERRIDE.match(key.value)
            brought = Brought(found[1] if found else key.value, ",".join(map(str, names)), comment(value, lines))
            (option.brings if found else option.chosen).append(brought)
            order += [] if found else [key.value]
    option.self_last = len(order) > 1 and order[-1] == "_self_"


def walk(prefix: str, target: str, key: Node, node: Node, lines: list[str], option: Option) -> None:
    """Enter a key and all keys below it into ``option``."""
    name = f"{prefix}{key.value}"
    if not isinstance(node, MappingNode) or not node.value:
        if key.value == "_target_":
            option.targets[prefix.rstrip(".")] = str(node.value)
        else:
            option.lines[name] = Line(name, written(node, lines), comment(node, lines, key), target)
        return
    if said := comment(key, lines):
        option.sections[name] = said
    inner = next((str(value.value) for word, value in node.value if word.value == "_target_"), "")
    for word, value in node.value:
        walk(f"{name}.", inner, word, value, lines, option)


def written(node: Node, lines: list[str]) -> str:
    """Return a value as it stands in the file, in one line."""
    first, last = node.start_mark, node.end_mark
    if first.line == last.line:
        return str(lines[first.line][first.column : last.column])
    parts = [lines[first.line][first.column :], *lines[first.line + 1 : last.line], lines[last.line][: last.column]]
    return " ".join(part.strip() for part in parts if part.strip())


def comment(node: Node, lines: list[str], key: Node | None = None) -> str:
    """Return what stands behind a value on its line, else, of a key, in the comment lines above it."""
    end = node.end_mark
    behind = lines[end.line][end.column :] if end.line < len(lines) else ""
    if found := COMMENT.match(behind.removeprefix(":") if key is None else behind):
        return found[1].strip()
    return " ".join(reversed(list(above(key, lines)))) if key is not None else ""


def above(key: Node, lines: list[str]) -> Iterator[str]:
    """Yield the comment lines that stand directly above a key, indented as it is, from the last."""
    for line in reversed(lines[: key.start_mark.line]):
        if not line.startswith(f"{' ' * key.start_mark.column}#") or key.start_mark.column == 0:
            return
        yield line.strip().removeprefix("#").strip()
