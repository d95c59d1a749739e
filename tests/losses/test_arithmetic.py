"""What float32 and bfloat16 mean on a device, and which one is picked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gantrain.losses import arithmetic
from tests.conftest import Outcome, built

Command = Callable[..., Outcome]
RING = ("data=ring", "batch_size=16", "device=cpu", "total_steps=4", "evaluation=none")


def switches() -> tuple[bool, bool]:
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize("wanted", [True, False])
def test_tf32_is_on_in_convolutions_and_products_or_in_neither_as_the_run_says(wanted: bool) -> None:
    built("data=ring", f"precision.tf32={str(wanted).lower()}")
    assert switches() == (wanted, wanted) and arithmetic.has_tf32() == wanted
    with arithmetic.full_precision():
        assert switches() == (False, False)
    assert arithmetic.has_tf32() == wanted
    built("data=ring")  # the next run of a sweep has its own
    assert not arithmetic.has_tf32()


@pytest.mark.parametrize(
    ("capability", "amx", "fastest"),
    [((8, 0), False, "bfloat16"), ((7, 5), True, "float32"), (None, True, "bfloat16"), (None, False, "float32")],
)
def test_the_fastest_format_is_what_the_device_has_units_for(
    capability: tuple[int, int] | None, amx: bool, fastest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device: capability)
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: amx)
    device = torch.device("cpu" if capability is None else "cuda:0")
    assert arithmetic.fastest_format(device) == fastest


def test_a_run_keeps_the_format_that_was_picked_when_it_began(
    gantrain: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: False)
    first = gantrain(*RING, "precision=auto", "run.dir=here", "checkpoint.every=2")
    assert first.exit_code == 0 and "auto on cpu (float32" in first.out, first.err
    assert "forward: float32" in (tmp_path / "here" / "config.yaml").read_text()
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: True)
    longer = gantrain(*RING, "total_steps=6", "precision=auto", "run.dir=here", "checkpoint.every=2")
    assert longer.exit_code == 0 and "resumed       from step 4" in longer.out, longer.err
    assert "auto on cpu (float32" in longer.out
    assert json.loads((tmp_path / "here" / "status.json").read_text())["step"] == 6


@pytest.mark.parametrize("amx", [True, False])
def test_bfloat16_on_a_cpu_that_is_slow_with_it_is_warned_of(
    amx: bool, gantrain: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: amx)
    outcome = gantrain(*RING, "precision=bf16")
    assert outcome.exit_code == 0
    assert ("bfloat16 is slower than float32 on cpu" in " ".join(outcome.err.split())) == (not amx)
    assert ("slow: no fast bfloat16" in " ".join(outcome.out.split())) == (not amx)
