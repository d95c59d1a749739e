"""docs/the_game.md: its program is short, runs as it stands, and learns; so do its variations. docs/testing.md runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from gantrain.testing import ProofError
from tests.conftest import REPOSITORY

PROGRAM, *VARIATIONS = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs" / "the_game.md").read_text(), re.DOTALL)


def changed(program: str, lines: str) -> str:
    """Each line in place of the one that begins alike; imports go to the top."""
    for line in filter(None, lines.splitlines()):
        if line.startswith("from "):
            program = f"{line}\n{program}"
        else:
            (old,) = [known for known in program.splitlines() if known.startswith(line.split(" = ")[0] + " = ")]
            program = program.replace(old, line)
    return program


def played(program: str, steps: int, capsys: pytest.CaptureFixture[str]) -> tuple[list[float], list[int]]:
    """The distances and the numbers of modes that the program prints when it is that short."""
    program, found = re.subn(r"= 2000, ", f"= {steps}, ", program)
    assert found == 1
    exec(compile(program, "the_game.md", "exec"), {"__name__": "__main__"})
    lines = re.findall(r"step \d+: ([\d.]+) from the nearest mode, (\d) of 8 modes found", capsys.readouterr().out)
    return [float(distance) for distance, _ in lines], [int(modes) for _, modes in lines]


def test_the_program_has_thirty_lines_of_code() -> None:
    assert len([line for line in PROGRAM.splitlines() if line]) == 30


def test_the_program_learns(capsys: pytest.CaptureFixture[str]) -> None:
    distances, modes = played(PROGRAM, 400, capsys)
    assert len(distances) == 6
    assert distances[-1] < 0.6 * distances[0]
    assert modes[0] == 0 and modes[-1] >= 1


@pytest.mark.thorough
@pytest.mark.parametrize("variation", VARIATIONS, ids=["hinge", "penalty", "ratio"])
def test_every_variation_learns(variation: str, capsys: pytest.CaptureFixture[str]) -> None:
    program = changed(PROGRAM, variation)
    assert program != PROGRAM
    distances, _ = played(program, 400, capsys)
    assert distances[-1] < 0.8 * distances[0]


def test_the_example_of_the_testing_page_passes_and_its_mistake_is_named_as_printed() -> None:
    page = (REPOSITORY / "docs" / "testing.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (said,) = re.findall(r"```text\n(.*?)\n```", page, re.DOTALL)

    def example(text: str) -> Callable[[], None]:
        names: dict[str, Any] = {}
        exec(compile(text, "testing.md", "exec"), names)
        return names["test_my_hinge"]

    example(program)()
    with pytest.raises(ProofError) as caught:
        example(program.replace("return -fake.mean()", "return fake.mean()"))()
    assert str(caught.value) == said
