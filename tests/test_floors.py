"""The architecture's rules, held by reading the source: who may import whom, and what only one place may do."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, option_names

PACKAGE = REPOSITORY / "gantrain"
FILES = sorted(PACKAGE.rglob("*.py"))

# A module imports only from floors below its own. errors and the version stand under all of them.
FLOORS = [
    {"architectures", "augment", "better", "data", "ema", "metrics", "numerics", "optimizers"}
    | {"allocator", "clock", "convolution", "cadence", "memory", "progress", "sampling", "storage", "tree"},
    {"turn", "checkpoint", "run"},
    {"player", "losses", "records", "regularizers"},
    {"replay", "report", "watch", "evaluation", "pictures"},
    {"trainer", "theory"},
    {"cost", "performance"},
    {"build", "profiling", "schema"},
    {"budget", "trained"},
    {"exported"},
    {"cli"},
    {"__main__"},
]
FLOOR_OF = {name: k for k, names in enumerate(FLOORS) for name in names}


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """The parts of gantrain that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module] if node.module != "gantrain" else [f"gantrain.{a.name}" for a in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("gantrain.")}
    return found - {"errors"}


@pytest.mark.parametrize("path", [f for f in FILES if part_of(f) not in ("__init__", "errors")], ids=str)
def test_a_module_imports_only_from_floors_below(path: Path) -> None:
    part = part_of(path)
    for other in imports(path) - {part}:
        assert FLOOR_OF[other] < FLOOR_OF[part] or other == "progress", f"{part} imports {other}"


def lines_with(text: str) -> set[str]:
    return {str(f.relative_to(PACKAGE)) for f in FILES if any(text in line.split("#")[0] for line in f.open())}


def test_only_the_player_steps_only_penalties_and_unrolling_differentiate_twice_only_build_instantiates() -> None:
    assert lines_with("scaler.step(") == {"player.py"}
    assert lines_with(".backward()") == {"player.py", "evaluation/classifier.py"}  # the latter's network plays no game
    assert lines_with("create_graph=True") == {"regularizers/base.py", "losses/lookahead.py"}
    assert lines_with("instantiate(") == {"build.py"}
    assert lines_with("torch.load(") == lines_with("weights_only=True") == {"evaluation/inception.py"}


def test_no_code_branches_on_the_name_of_a_choice() -> None:
    names = {
        n
        for group in ("loss", "data", "architecture", "optimizer", "augment", "regularizer")
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
    assert len((PACKAGE / "trainer.py").read_text().splitlines()) < 250
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 60, f"{path}:{node.lineno} {node.name}"
