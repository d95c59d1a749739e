"""The architecture's rules, held by reading the source: who may import whom, and what only one place may do."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, option_names

PACKAGE = REPOSITORY / "gantrain"
FILES = sorted(PACKAGE.rglob("*.py"))
PLUGINS = sorted((REPOSITORY / "hydra_plugins").rglob("*.py"))

# A folder, or a file at the top, imports only from floors below its own; imports inside functions count as well.
FLOORS = [
    {"errors", "kinds", "version"},
    {"distributed"},
    {
        "architectures",
        "augment",
        "budget",
        "inputs",
        "losses",
        "metrics",
        "optimizers",
        "sampling",
        "schedules",
        "terminal",
    },
    {"schema"},
    {"data", "regularizers", "run"},
    {"checkpoint", "evaluation", "inspection", "loggers", "reference", "reports", "testing"},
    {"training", "sweeps"},
    {"performance", "theory"},
    {"build"},
    {"trained"},
    {"export"},
    {"cli"},
    {"api"},
    {"__main__"},
]
FLOOR_OF = {name: k for k, names in enumerate(FLOORS) for name in names}


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def module_of(path: Path) -> str:
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path) for path in (*FILES, *PLUGINS)}


def imports(path: Path) -> Iterator[str]:
    """The modules of gantrain and of its plugins that a file imports, wherever it does."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in MODULES else node.module for name in inside if node.module in MODULES)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)


@pytest.mark.parametrize("path", [f for f in FILES if f != PACKAGE / "__init__.py"], ids=str)
def test_a_module_imports_only_from_floors_below(path: Path) -> None:
    part = part_of(path)
    for module in imports(path):
        other = module.split(".")[1] if module.startswith("gantrain.") else part
        if other != part:
            assert FLOOR_OF[other] < FLOOR_OF[part], f"{part} imports {other}"


def test_no_two_modules_import_each_other_by_any_way_round() -> None:
    graph = {module_of(path): {m for m in imports(path) if m != module_of(path)} for path in (*FILES, *PLUGINS)}
    left = dict(graph)
    while free := [module for module, needs in left.items() if not needs & left.keys()]:
        for module in free:
            del left[module]
    assert not left, f"a circle, or above one: {sorted(left)}"


def test_a_newcomer_finds_a_dozen_files_at_the_top_and_each_larger_folder_says_what_it_is_for() -> None:
    files = [path for path in PACKAGE.iterdir() if path.is_file()]
    assert len(files) <= 12, sorted(path.name for path in files)
    for folder in (path for path in PACKAGE.iterdir() if len(list(path.glob("*.py"))) > 4):
        text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
        assert "\n\n" in text and ("above" in text.lower() or "below" in text.lower()), folder.name


def lines_with(text: str) -> set[str]:
    """The files with a text outside of comments; gantrain.testing proves things of one turn, and plays no game."""
    files = [path for path in FILES if part_of(path) != "testing"]
    return {str(f.relative_to(PACKAGE)) for f in files if any(text in line.split("#")[0] for line in f.open())}


def test_only_the_player_steps_only_penalties_and_unrolling_differentiate_twice_only_build_instantiates() -> None:
    plays_no_game = "evaluation/classifier.py"
    assert lines_with("scaler.step(") == {"training/player.py"}
    assert lines_with(".backward()") == {"training/player.py", plays_no_game}
    twice = {"regularizers/base.py", "regularizers/path_length.py", "losses/lookahead.py"}
    assert lines_with("create_graph=True") == twice
    assert lines_with("instantiate(") == {"build/making.py"}
    assert lines_with("torch.load(") == lines_with("weights_only=True") == {"data/arrays.py", "evaluation/inception.py"}


def test_only_kinds_ask_how_many_axes_a_sample_has() -> None:
    asking = re.compile(r"\blen\((\w+\.)*shape\)")
    found = {str(f.relative_to(PACKAGE)) for f in FILES if asking.search(f.read_text())}
    assert found == {"kinds/kind.py"}


def test_no_code_branches_on_the_name_of_a_choice() -> None:
    names = {
        n
        for group in ("loss", "data", "architecture", "optimizer", "augment", "regularizer", "logger")
        for n in option_names(group)
    } - {"none"}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare):
                constants = {
                    c.value for c in ast.walk(node) if isinstance(c, ast.Constant) and isinstance(c.value, str)
                }
                assert not constants & names, f"{path}:{node.lineno}"


def test_the_trainer_stays_on_one_screen_and_functions_stay_small() -> None:
    for name in ("game.py", "trainer.py"):
        assert len((PACKAGE / "training" / name).read_text().splitlines()) < 250
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 60, f"{path}:{node.lineno} {node.name}"
