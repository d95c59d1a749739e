"""scripts/mutants.py: which faults it plants, how evenly, and in which order it asks the tests."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from scripts import mutants
from scripts.mutation.faults import KINDS, PACKAGES, Fault, Finder, all_faults, drawn
from tests.conftest import REPOSITORY


@cache
def found() -> list[Fault]:
    return all_faults(REPOSITORY)


def statements(source: str) -> list[str]:
    """Every statement without the blocks that it opens."""
    headers = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.stmt):
            fields = {name: value for name, value in ast.iter_fields(node) if not holds_statements(value)}
            headers.append(type(node).__name__ + "".join(f" {name}={text(value)}" for name, value in fields.items()))
    return headers


def holds_statements(value: object) -> bool:
    return isinstance(value, list) and any(isinstance(v, ast.stmt | ast.ExceptHandler) for v in value)


def text(value: object) -> str:
    return (
        ast.dump(value)
        if isinstance(value, ast.AST)
        else repr([text(v) for v in value] if isinstance(value, list) else value)
    )


@pytest.mark.parametrize("seed", [0, 1])
def test_a_fault_is_valid_python_and_changes_just_one_line_and_one_statement(seed: int) -> None:
    for fault in drawn(found(), seed, 60):
        source = (REPOSITORY / fault.path).read_text()
        planted = fault.planted(source)
        changed = [
            k for k, (a, b) in enumerate(zip(source.splitlines(), planted.splitlines(), strict=True), 1) if a != b
        ]
        assert changed == [fault.line], fault
        pairs = zip(statements(source), statements(planted), strict=True)
        assert sum(a != b for a, b in pairs) == 1, fault


def test_sixty_faults_are_spread_evenly_over_packages_and_kinds() -> None:
    faults = drawn(found(), 0, 60)
    assert len({fault.key for fault in faults}) == 60
    assert len({(fault.path, fault.line) for fault in faults}) == 60
    shares = [sum(f.path.split("/")[1] == p and f.kind == k for f in faults) for p in PACKAGES for k in KINDS]
    assert sum(shares) == 60 and set(shares) == {2, 3}


def test_the_same_seed_draws_the_same_faults_and_another_seed_others() -> None:
    first = drawn(found(), 0, 60)
    assert drawn(list(reversed(all_faults(REPOSITORY))), 0, 60) == first
    assert len(set(first) & set(drawn(found(), 1, 60))) < 30


def test_an_edit_in_one_package_moves_no_fault_in_another() -> None:
    edited = [fault for fault in found() if fault.path != "gantrain/losses/classic.py"]
    a, b = ([f for f in drawn(faults, 0, 60) if f.path.split("/")[1] != "losses"] for faults in (found(), edited))
    assert a == b and len(a) >= 48


SOUND = '''
"""A module, 1 + 1."""
from typing import TYPE_CHECKING, Literal
if TYPE_CHECKING:
    LIMIT = 3
__all__ = ["f", "g"]
Order = Literal[1, 2]

class Shape:
    """A shape of -1 and 0.5."""

    size: int
    """True and 1 < 2."""

    def area(self, scale: int = 1) -> float: ...

    def edge(self, scale: int = 1) -> float:
        """A stub."""
        raise NotImplementedError(scale - 1)

@dataclass(frozen=True)
class Point(Shape):
    def name(self: "Shape[1 + 1]", folder: tuple[Literal[1], int]) -> "Literal[-1]":
        """Not x < 1."""
        text: Literal[1] = "a" + str(folder)  # 1 < 2
        path = folder / "b"
        assert len(path) < 100, 1 + 1
        pairs = zip(path, text, strict=True)
        if pairs is None:
            raise ValueError(f"{path}: " + "not 1 < 2", -1)
        return f"{len(text) - 1:03d}"
'''


def test_docstrings_annotations_stubs_error_texts_and_comments_stay_as_they_are() -> None:
    assert Finder("gantrain/losses/sound.py", SOUND).faults == []


CASES = {
    "return a + b": ["operator return a - b", "sign return -(a + b)"],
    "σ = a * b  # a * b": ["operator σ = a / b  # a * b", "sign σ = -(a * b)  # a * b"],
    "a /= b": ["operator a *= b", "dropped pass"],
    "return a < b <= c": ["operator return a <= b <= c", "operator return a < b < c"],
    "return a > (b) >= c": ["operator return a >= (b) >= c", "operator return a > (b) > c"],
    "return a == b, a != b": ["operator return a != b, a != b", "operator return a == b, a == b"],
    "return a and b and c": ["operator return a or b and c", "operator return a and b or c"],
    "return a or b": ["operator return a and b"],
    "return f(-a)": ["sign return f(a)"],
    "return a.mean()": ["sign return -(a.mean())"],
    "return f(0, 1, 0.5, 1e-8)": [
        "constant return f(1, 1, 0.5, 1e-8)",
        "constant return f(0, 2, 0.5, 1e-8)",
        "constant return f(0, 1, 0.6, 1e-8)",
        "constant return f(0, 1, 0.5, 1e-06)",
    ],
    "return f(x=True)": ["constant return f(x=False)"],
    "c = f(a)": ["dropped pass"],
    "fresh = f(a)": [],
    "f(a)": ["dropped pass"],
    "a.b = c": ["dropped pass"],
    "super().__init__()": [],
    "return": ["dropped pass"],
}


@pytest.mark.parametrize(("line", "expected"), CASES.items(), ids=str)
def test_a_line_has_just_these_faults(line: str, expected: list[str]) -> None:
    faults = Finder("gantrain/losses/x.py", f"def g(a, b, c):\n    {line}\n").faults
    assert sorted(f"{fault.kind} {fault.after}" for fault in faults) == sorted(expected)
    assert all((f.line, f.before, f.first, f.last, f.at_import) == (2, line, 2, 2, False) for f in faults)


def test_constants_and_defaults_belong_to_import_and_reach_the_lines_that_may_use_them() -> None:
    function = "def f(x=2):\n    y = x\n    return y\n"
    source = f"A = 1\n\n{function}\nclass C:\n    B = 3\n\n    def g(self):\n        return self.B\n"
    faults = Finder("gantrain/losses/x.py", source).faults
    assert [(f.line, f.first, f.last, f.at_import) for f in faults] == [
        (1, 1, 11, True),
        (3, 4, 5, True),
        (8, 7, 11, True),
    ]


MAP = {
    "seconds": {
        "tests/data/test_d.py::slow": 9.0,
        "tests/data/test_d.py::other": 1.0,
        "tests/losses/test_x.py::quick": 0.1,
        "tests/losses/test_x.py::slow": 5.0,
        "tests/losses/test_x.py::fails": 0.0,
        "tests/run/test_r.py::last": 2.0,
        "tests/run/test_r.py::again": 0.5,
    },
    "lines": {"gantrain/losses/x.py": {"4": [0, 2, 4]}},
    "failed": ["tests/losses/test_x.py::fails"],
}


def fault(line: int, at_import: bool = False) -> Fault:
    return Fault("gantrain/losses/x.py", line, "sign", "a", "-a", line, line, at_import)


def test_the_tests_that_run_the_line_come_first_and_fastest_then_the_others_file_by_file() -> None:
    covering, stages = mutants.stages(fault(4), MAP)
    assert covering == 3
    assert list(stages["first"]) == ["tests/losses/test_x.py::quick", "tests/data/test_d.py::slow"]
    others = ["losses/test_x.py::slow", "run/test_r.py::last", "run/test_r.py::again", "data/test_d.py::other"]
    assert list(stages["rest"]) == [f"tests/{name}" for name in others]


@pytest.mark.parametrize("at_import", [False, True])
def test_a_line_that_no_test_is_seen_to_run_is_first_tried_with_the_tests_of_its_package(at_import: bool) -> None:
    covering, stages = mutants.stages(fault(5, at_import), MAP)
    assert covering == 0
    assert list(stages["first"]) == ["tests/losses/test_x.py::quick", "tests/losses/test_x.py::slow"]
    assert len(stages["rest"]) == 4


def test_a_survivor_without_a_reason_decides_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def entry(verdict: str, line: str) -> dict:
        facts = {"covering": 1, "passed": [], "test": "t", "how": "h", "seconds": 1}
        return {"path": "p", "line": 1, "before": line, "after": "b", "verdict": verdict} | facts

    entries = [entry("killed", "x"), entry("survived", "y"), entry("survived", "z")]
    monkeypatch.setattr(mutants, "EQUIVALENT", {"p: y → b": "nobody sees it"})
    lines, code = mutants.summary(entries)
    assert lines[-1] == "3 planted, 1 killed, 1 equivalent (reasons above), 1 survived" and code == 1
    assert any("nobody sees it" in line for line in lines)
    lines, code = mutants.summary(entries[:2])
    assert lines[-1] == "2 planted, 1 killed, 1 equivalent (reasons above), 0 survived" and code == 0


def test_every_reason_belongs_to_a_fault_that_can_be_planted() -> None:
    assert mutants.EQUIVALENT.keys() <= {fault.name for fault in found()}
    assert all(len(reason.split()) > 3 for reason in mutants.EQUIVALENT.values())


SOURCE = """
def seen(a, b):
    return a == b

def in_a_process(a, b):
    return a == b

def run_only(a, b):
    return a == b
"""
OWN_TESTS = """
from gantrain.losses.x import run_only, seen

def test_seen():
    assert seen(1, 1)

def test_run_only():
    run_only(1, 1)
"""
OTHER_TESTS = """
import pathlib, subprocess, sys

def test_that_fails_from_its_second_time_on():
    pathlib.Path(PLACE).mkdir()

def test_in_a_process():
    code = "from gantrain.losses.x import in_a_process; assert in_a_process(1, 1)"
    subprocess.run([sys.executable, "-c", code], check=True)
"""


@pytest.mark.slow
def test_faults_seen_in_the_process_or_its_children_are_killed_and_an_unchecked_one_survives(tmp_path: Path) -> None:
    pytest.importorskip("coverage", reason="coverage comes with the dev extra")
    root = tmp_path / "project"
    files = {
        "gantrain/losses/x.py": SOURCE,
        "tests/losses/test_x.py": OWN_TESTS,
        "tests/run/test_r.py": OTHER_TESTS.replace("PLACE", repr(str(tmp_path / "place"))),
        ".gitignore": ".mutants/",
    }
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    for name in ("gantrain/__init__.py", "gantrain/losses/__init__.py"):
        (root / name).touch()
    shutil.copytree(REPOSITORY / "scripts" / "mutation", root / "scripts" / "mutation")
    shutil.copy(REPOSITORY / "scripts" / "mutants.py", root / "scripts")
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    command = [sys.executable, root / "scripts" / "mutants.py", "--jobs", "1", "--json", tmp_path / "found.json"]
    for again in (False, True):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 1, done.stdout + done.stderr
        assert done.stdout.splitlines()[-1] == "3 planted, 2 killed, 0 equivalent (reasons above), 1 survived"
        assert ("once under coverage" not in done.stdout) == again
    entries = json.loads((tmp_path / "found.json").read_text())["faults"]
    verdicts = [(e["line"], e["verdict"], e["passed"], e.get("test", "").split("::")[-1]) for e in entries]
    assert verdicts == [
        (3, "killed", [], "test_seen"),
        (6, "killed", ["first"], "test_in_a_process"),
        (9, "survived", ["first", "rest"], ""),
    ]
    assert (root / "gantrain/losses/x.py").read_text() == SOURCE
