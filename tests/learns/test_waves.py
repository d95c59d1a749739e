"""A game on signals whose modes can be counted finds them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.mark.slow
def test_r3gan_finds_nine_tenths_of_the_waves(gantrain: Callable[..., object], tmp_path: Path) -> None:
    arguments = ("data=waves", "loss=r3gan", "total_steps=4000", "device=cpu", "run.dir=run", "evaluation.every=4000")
    run = gantrain(*arguments)
    assert run.exit_code == 0, run.err
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    modes = [value for line in lines for key, value in line.items() if key.split("/")[-1] == "modes"]
    print(f"{modes[-1]:.0f} of 24 modes")
    assert modes[-1] >= 0.9 * 24
