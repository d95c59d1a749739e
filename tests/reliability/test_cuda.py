"""Bit-exact resume on a GPU, with kernels that repeat; needs a GPU and says so."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.conftest import REPOSITORY, until
from tests.reliability.conftest import same_state

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
GAME = ("device=cuda", "deterministic=true", "total_steps=400", "checkpoint.every=50", "log.every=10")


def command(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen([sys.executable, "-m", "gantrain", *GAME, *arguments], cwd=folder, env=environment)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("loss", ["vanilla", "wgan_gp", "hinge"])
def test_a_run_on_a_gpu_goes_on_bit_for_bit(tmp_path: Path, loss: str, precision: str) -> None:
    choices = (f"loss={loss}", f"precision={precision}")
    assert command(tmp_path, *choices, "run.dir=whole").wait() == 0
    child = command(tmp_path, *choices, "run.dir=parts")
    until(lambda: list(tmp_path.glob("parts/checkpoints/step-*")) or child.poll() is not None)
    child.send_signal(signal.SIGKILL)  # at the first of eight checkpoints
    child.wait()
    assert command(tmp_path, *choices, "run.dir=parts").wait() == 0
    assert same_state(tmp_path / "whole", tmp_path / "parts")
    assert json.loads((tmp_path / "parts" / "status.json").read_text())["departures"] == []
