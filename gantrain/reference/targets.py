"""The arguments of gantrain's classes, read from their source: importing them would import torch."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent.parent


@dataclass(frozen=True)
class Class:
    """A class as its source has it: its docstring, and the annotations of its constructor's arguments by name."""

    doc: str
    arguments: dict[str, str]


@cache
def module(name: str) -> ast.Module | None:
    """Return the source of a module of gantrain, None if there is none."""
    first, *parts = name.split(".")
    place = PACKAGE.joinpath(*parts)
    path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8")) if first == "gantrain" and path.is_file() else None


@cache
def described(target: str) -> Class | None:
    """Return a class or function by its dotted name; None unless it is gantrain's."""
    home, _, name = target.rpartition(".")
    source = module(home)
    if source is None:
        return None
    for node in source.body:
        if isinstance(node, ast.ImportFrom) and node.module and any(alias.name == name for alias in node.names):
            return described(f"{node.module}.{name}")
        if isinstance(node, ast.ClassDef) and node.name == name:
            return Class(ast.get_docstring(node) or "", arguments(node, home))
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return Class(ast.get_docstring(node) or "", annotated(node))
    return None


def arguments(node: ast.ClassDef, home: str) -> dict[str, str]:
    """Return the annotations of a class's constructor, of a dataclass its fields', and those of its bases."""
    found: dict[str, str] = {}
    for base in node.bases:
        if inherited := described(f"{home}.{ast.unparse(base).split('[')[0]}"):
            found |= inherited.arguments
    for entry in node.body:
        if isinstance(entry, ast.FunctionDef) and entry.name == "__init__":
            found |= annotated(entry)
        elif isinstance(entry, ast.AnnAssign) and isinstance(entry.target, ast.Name):
            found.setdefault(entry.target.id, ast.unparse(entry.annotation))
    return found


def annotated(node: ast.FunctionDef) -> dict[str, str]:
    """Return the annotations of a function's arguments."""
    given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return {argument.arg: ast.unparse(argument.annotation) for argument in given if argument.annotation}
