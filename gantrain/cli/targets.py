"""What a ``_target_`` is and which settings it takes, read from its source: no module is imported, no code is run."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import gantrain
from gantrain.run import files
from gantrain.schema import TRUSTED, is_in

MOST = 2**21
"""Bytes of a module's source that are read."""
DEEPEST = 12
"""Imports and base classes that are followed, one behind the other."""
OF_HYDRA = ("_target_", "_args_", "_partial_", "_recursive_", "_convert_")
"""Keys of a node that are no argument of its target."""
BARE = ("object", "ABC", "Protocol", "Generic", "NamedTuple", "nn.Module", "torch.nn.Module")
"""Classes whose constructor takes nothing that a setting could be."""


@dataclass(frozen=True)
class Module:
    """A module's name, whether it is a package, and its source, parsed."""

    name: str
    is_package: bool
    tree: ast.Module


@dataclass(frozen=True)
class Found:
    """A class or function, and the module that it is written in."""

    node: ast.ClassDef | ast.FunctionDef
    module: Module


def fault(target: object, own: Sequence[str]) -> str:
    """Return in a sentence why nothing can be built from a target, "" if that may go well.

    Args:
        target: the dotted name.
        own: the modules of the user's that may be named, ``trusted_modules``.
    """
    if not isinstance(target, str):
        return f"_target_={target} is no dotted name of a class, such as torch.optim.Adam"
    if not is_in(target, (*TRUSTED, *own)):
        return f"_target_={target} is not trusted; add its module to trusted_modules=[…] if it is yours"
    if (module := innermost(target)) is None:
        return f"_target_={target} cannot be found: there is no module {target.split('.')[0]} here"
    rest = target.removeprefix(module.name).lstrip(".").split(".")
    if not rest[0]:
        return f"_target_={target} is a module; name a class in it"
    if lookup(module, rest[0]) is None and not may_have_more(module):
        return f"_target_={target} cannot be found: {module.name} has no {rest[0]}"
    return ""


def taken(target: str) -> set[str] | None:
    """Return the names of the arguments that a target takes, None where that cannot be told from its source."""
    module = innermost(target)
    name = "" if module is None else target.removeprefix(f"{module.name}.")
    if module is None or not name or "." in name or not isinstance(found := lookup(module, name), Found):
        return None
    return arguments(found)


def arguments(found: Found, depth: int = 0) -> set[str] | None:
    """Return the names of the arguments of a function, or of a class's constructor or of the first that it inherits."""
    if isinstance(found.node, ast.FunctionDef):
        return of_function(found.node, found.module)
    inits = [n for n in found.node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
    if inits:
        names = of_function(inits[0], found.module)
        if names is None and passes_on(inits[0]) and (above := of_bases(found, depth)) is not None:
            names = above | written(inits[0])
        return None if names is None else names - {"self"}
    if found.node.decorator_list or depth > DEEPEST:  # as a dataclass, whose constructor is written nowhere
        return None
    return of_bases(found, depth)


def of_bases(found: Found, depth: int) -> set[str] | None:
    """Return the names of the arguments of the first constructor that a class inherits."""
    assert isinstance(found.node, ast.ClassDef)
    for base in found.node.bases:
        name = ast.unparse(base.value if isinstance(base, ast.Subscript) else base)
        if name in BARE:
            continue
        above = inherited(found.module, name)
        names = arguments(above, depth + 1) if isinstance(above, Found) else None
        if names != set():  # else it has no constructor, and the next base may have one
            return names
    return set()


def passes_on(init: ast.FunctionDef) -> bool:
    """Tell whether a constructor hands what it does not name on to that of the base: ``super().__init__(**more)``."""
    calls = [n for n in ast.walk(init) if isinstance(n, ast.Call) and ast.unparse(n.func) == "super().__init__"]
    more = init.args.kwarg.arg if init.args.kwarg else ""
    return any(k.arg is None and ast.unparse(k.value) == more for call in calls for k in call.keywords)


def inherited(module: Module, name: str) -> Found | str | None:
    """Return the class that a base is, by its name in a module; with dots it is taken for one of all modules."""
    if "." not in name:
        return lookup(module, name)
    source = module_named(name.rpartition(".")[0])
    return None if source is None else lookup(source, name.rpartition(".")[2])


def of_function(node: ast.FunctionDef, module: Module) -> set[str] | None:
    """Return the names of a function's arguments; None if it takes any."""
    names = written(node)
    if node.args.kwarg is None:
        return names
    annotation = node.args.kwarg.annotation
    if not (isinstance(annotation, ast.Subscript) and isinstance(annotation.slice, ast.Name)):
        return None
    entries = fields(lookup(module, annotation.slice.id))  # of Unpack[…]
    return None if entries is None else names | entries


def written(node: ast.FunctionDef) -> set[str]:
    """Return the names of the arguments that a function names."""
    return {entry.arg for entry in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)}


def fields(found: Found | str | None, depth: int = 0) -> set[str] | None:
    """Return the names that a TypedDict has, its bases' too; None if it is none."""
    if not isinstance(found, Found) or not isinstance(found.node, ast.ClassDef) or depth > DEEPEST:
        return None
    names = {n.target.id for n in found.node.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)}
    for base in found.node.bases:
        if not isinstance(base, ast.Name):
            return None
        if base.id != "TypedDict":
            above = fields(lookup(found.module, base.id), depth + 1)
            if above is None:
                return None
            names |= above
    return names


def lookup(module: Module, name: str, depth: int = 0) -> Found | str | None:
    """Return the class or function that a module calls by a name, "" if it is something else, None if nothing."""
    if depth > DEEPEST:
        return ""
    for node in statements(module.tree.body):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return Found(node, module)
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
            return ""
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    source = module_named(absolute(module, node))
                    return "" if source is None else lookup(source, alias.name, depth + 1)
    return "" if module_named(f"{module.name}.{name}") is not None else None


def statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield a module's statements, also those under an ``if`` or a ``try``."""
    for node in body:
        yield node
        if isinstance(node, ast.If):
            yield from statements([*node.body, *node.orelse])
        if isinstance(node, ast.Try):
            yield from statements([*node.body, *node.orelse, *(n for h in node.handlers for n in h.body)])


def may_have_more(module: Module) -> bool:
    """Tell whether a module may have names that do not stand in it: of ``import *``, or made when asked for."""
    body = list(statements(module.tree.body))
    star = any(isinstance(n, ast.ImportFrom) and n.names[0].name == "*" for n in body)
    return star or any(isinstance(n, ast.FunctionDef) and n.name == "__getattr__" for n in body)


def absolute(module: Module, node: ast.ImportFrom) -> str:
    """Return the name of the module that something is imported from."""
    if not node.level:
        return node.module or ""
    parts = module.name.split(".")
    above = parts[: len(parts) - node.level + module.is_package]
    return ".".join([*above, *([node.module] if node.module else [])])


def innermost(target: str) -> Module | None:
    """Return the module that a dotted name begins with, the one with the longest name; None if there is none."""
    parts = target.split(".")
    for k in range(len(parts), 0, -1):
        if (module := module_named(".".join(parts[:k]))) is not None:
            return module
    return None


@cache
def module_named(name: str) -> Module | None:
    """Return a module by its name: gantrain's own, one of the current folder, or one that is installed."""
    parts = name.split(".")
    if not all(part.isidentifier() for part in parts):
        return None
    own = [Path(gantrain.__file__).parent.parent] if parts[0] == "gantrain" else [Path.cwd(), *map(Path, sys.path)]
    for folder in own:
        place = folder.joinpath(*parts)
        for path, is_package in ((place / "__init__.py", True), (place.with_suffix(".py"), False)):
            try:
                return Module(name, is_package, ast.parse(files.whole(path, MOST, linked=True)))
            except (OSError, SyntaxError, ValueError, RecursionError):
                continue
    return None
