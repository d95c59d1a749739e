"""Conditional GANs draw what they are asked for, as a user would train them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


def trained(folder: Path, *overrides: str) -> dict[str, float]:
    """The final values of a run's own evaluation."""
    command = [sys.executable, "-m", "gantrain", *overrides, "device=cpu", "run.dir=run"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    found: dict[str, float] = json.loads((folder / "run" / "evaluation.json").read_text())["final"]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_each_class_of_the_ring_lands_on_its_own_mode(seed: int, tmp_path: Path) -> None:
    found = trained(tmp_path, "data=ring", "conditioning=projection", f"seed={seed}", "total_steps=2000")
    print(f"seed {seed}: {found}")
    # The modes have equal shares: a class on another's mode would take an eighth of the accuracy.
    assert found["modes"] == 8 and found["conditional_accuracy"] > 0.95 and found["high_quality"] > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("way", ["concat", "projection", "acgan", "adcgan", "multi_hinge", "reacgan"])
def test_digits_are_read_as_the_class_asked_for(way: str, tmp_path: Path) -> None:
    found = trained(tmp_path, "data=digits", f"conditioning={way}")
    print(f"{way}: {found}")
    assert found["conditional_accuracy"] >= 0.95
