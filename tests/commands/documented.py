"""The commands that README and the documents show, as a shell would read them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from gantrain.reference import Catalogue
from tests.conftest import REPOSITORY

DOCUMENTS = [
    *(REPOSITORY / f"{name}.md" for name in ("README", "CONTRIBUTING")),
    *sorted((REPOSITORY / "docs").rglob("*.md")),
]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"(?<!`)`((?:gantrain(?:-\w+)?|make|torchrun|srun) [^`]+)`(?!`)")


@dataclass(frozen=True)
class Shown:
    """A command of a document, its words without placeholders, which stand for what a reader fills in."""

    document: str
    line: str
    words: tuple[str, ...]


@cache
def catalogue() -> Catalogue:
    return Catalogue()


def named(document: Path) -> str:
    return str(document.relative_to(REPOSITORY))


def shown(document: Path) -> list[Shown]:
    """Every command of a document: the lines of its bash blocks, and what stands in its text as `gantrain …`."""
    text = document.read_text()
    lines = [line for language, block in BLOCK.findall(text) if language == "bash" for line in commands(block)]
    lines += [" ".join(found.split()) for found in INLINE.findall(BLOCK.sub("", text))]
    return [Shown(named(document), line, tuple(words)) for line in lines for words in pieces(line)]


def commands(block: str) -> Iterator[str]:
    """The commands of a block, one a line unless a backslash continues it; comments are none."""
    for line in block.replace("\\\n", " ").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield line.strip()


def pieces(line: str) -> Iterator[list[str]]:
    """The words of each command that a line chains with && or ;, without settings of the environment before it."""
    rest = shlex.split(re.sub(r"<[^>]+>", "FOLDER", line), comments=True)
    while rest:
        ends = [k for k, word in enumerate(rest) if word in ("&&", ";", "|")] + [len(rest)]
        words, rest = rest[: ends[0]], rest[ends[0] + 1 :]
        while words and re.match(r"[A-Z_]+=", words[0]):
            words = words[1:]
        if words:
            yield [filled(word) for word in words if not left_open(word)]


def left_open(word: str) -> bool:
    """Tell whether a word is a placeholder for settings of the reader's choice."""
    key, _, value = word.partition("=")
    return word == "…" or (value == "…" and key in catalogue().groups)


def filled(word: str) -> str:
    """A word with something for each placeholder."""
    return {"seed=k": "seed=0", "KEY": "seed"}.get(word, word.replace("…", "something").replace("NAME", "hinge"))


@cache
def files() -> dict[str, str]:
    """The files that the documents show, by name: blocks whose first line is a comment with the file's name."""
    found = {}
    for document in DOCUMENTS:
        for _, block in BLOCK.findall(document.read_text()):
            if match := re.match(r"# ([\w/]+\.(?:py|yaml))\n", block):
                assert found.setdefault(match[1], block) == block, f"two files {match[1]}"
    return found
