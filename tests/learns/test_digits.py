"""The run that newcomers start first ends with digits a person can read."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from gantrain.checkpoint import Checkpoints
from scripts.loss_table import reader
from tests.conftest import built


def readability(images: torch.Tensor) -> tuple[float, np.ndarray]:
    """Share of images that the reader is sure of (> 0.5), and how many of each digit."""
    probabilities = reader()(images)
    sure = probabilities.max(1) > 0.5
    return sure.mean(), np.bincount(probabilities.argmax(1)[sure], minlength=10)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["vanilla", "lsgan", "hinge", "wgan_gp", "rsgan"])
def test_the_losses_that_newcomers_try_first_end_with_digits_that_a_classifier_reads(loss: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gantrain"]
    start = time.monotonic()
    arguments = [f"loss={loss}", "device=cpu", "run.dir=run"]
    subprocess.run([*command, *arguments], cwd=tmp_path, check=True, capture_output=True)
    seconds = time.monotonic() - start
    run = built(f"loss={loss}")
    noise = torch.rand(1000, 1, 8, 8) * 2 - 1
    run.trainer.load_state_dict(Checkpoints(tmp_path / "run" / "checkpoints").latest()[1])
    torch.manual_seed(0)
    with torch.no_grad():
        images = run.trainer.ema.net(torch.randn(1000, run.trainer.grid.z.shape[1]))
    share, counts = readability(images)
    print(f"{loss}: {share:.1%} read, {counts.tolist()}, {seconds:.0f} s; noise {readability(noise)[0]:.1%}")
    assert readability(noise)[0] < 0.05  # the classifier must be able to say no
    # A mode counts as covered if a sample falls into it, as on stacked MNIST (Metz et al. 2017, Section 3.3).
    assert share > 0.7 and (counts > 0).all()
