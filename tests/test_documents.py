"""The documents: wrapped at 120 characters, naming what exists, and with examples that run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

WIDTH = 120
DOCUMENTS = [
    *(REPOSITORY / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG")),
    *sorted((REPOSITORY / "docs").rglob("*.md")),
]
each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))


def prose(text: str) -> list[tuple[int, str]]:
    """The numbered lines of a document that are neither code, table, picture nor comment."""
    lines, code = [], False
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            code = not code
        elif not code and not line.startswith(("|", "![", "<!--")):
            lines.append((number, line))
    return lines


def too_long(text: str) -> list[int]:
    """The numbers of the lines of prose that are too long, but could have been broken at a space."""
    return [number for number, line in prose(text) if len(line) > WIDTH and " " in line.strip().removeprefix("- ")]


@each_document
def test_prose_is_wrapped_at_120_characters(document: Path) -> None:
    assert not too_long(document.read_text())


def test_only_lines_of_prose_count_as_too_long() -> None:
    words = "long " * 30
    assert too_long(f"# short\n\n{words}\n- {words}\n") == [3, 4]
    assert not too_long(f"```\n{words}\n```\n| {words} |\n![{words}](a.png)\n<!-- {words} -->\n- {'x' * 150}\n")


@each_document
def test_every_code_block_is_closed(document: Path) -> None:
    assert document.read_text().count("\n```") % 2 == 0


@each_document
def test_every_path_that_is_named_exists(document: Path) -> None:
    """In running text and in commands; ``<…>`` and ``*`` stand for any name, and CHANGELOG may name what is gone."""
    for path in re.findall(r"(?<![\w/.-])(?:gantrain|tests|scripts|configs|docs)/[\w./<>*-]*", document.read_text()):
        pattern = re.sub(r"<\w+>", "*", path).rstrip("./")
        assert list(REPOSITORY.glob(pattern)), f"{document.name}: {path}"


@each_document
def test_every_make_target_that_is_named_exists(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), flags=re.MULTILINE))
    for command in re.findall(r"`make ([a-z -]+)|^make ([a-z-]+)", document.read_text(), flags=re.MULTILINE):
        assert set(" ".join(command).split()) <= targets, f"{document.name}: make {' '.join(command)}"


def test_the_map_of_the_tree_names_every_package_and_module() -> None:
    (tree,) = re.findall(r"```\n(gantrain/\n.*?)```", (REPOSITORY / "CONTRIBUTING.md").read_text(), flags=re.DOTALL)
    named = re.findall(r"^  (\S+)  ", tree, flags=re.MULTILINE)
    there = {
        f"{path.name}/" if path.is_dir() else path.name
        for path in (REPOSITORY / "gantrain").iterdir()
        if (path / "__init__.py").exists() or path.suffix == ".py"
    }
    assert len(named) == len(set(named))
    assert set(named) == there - {"__init__.py"}
    for folder in re.findall(r"^(\w+/)", tree, flags=re.MULTILINE):
        assert (REPOSITORY / folder).is_dir(), folder


def test_the_readme_is_short() -> None:
    assert len((REPOSITORY / "README.md").read_text().split()) < 900


def test_the_readme_s_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (REPOSITORY / "README.md").read_text(), flags=re.DOTALL)
    shorter = example.replace("total_steps=500", "total_steps=4, batch_size=8, evaluation='none'")
    shorter = shorter.replace("total_steps=1000", "total_steps=6")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(shorter + "\nlast = run.resume(total_steps=8)", names)
    assert (names["run"].step, names["last"].step) == (8, 8)  # type: ignore[attr-defined]


def test_the_first_example_of_python_md_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs" / "python.md").read_text(), flags=re.DOTALL)[0]
    shorter = first.replace("total_steps=500", "total_steps=50, batch_size=8").replace(
        "total_steps=1000", "total_steps=60"
    )
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(shorter, names)
    assert names["run"].step == 60  # type: ignore[attr-defined]
