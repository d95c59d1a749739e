"""The default recipe covers the ring of eight Gaussians, as a user would run it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from gantrain.checkpoint import Checkpoints
from tests.conftest import built


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_ring_is_covered_8_of_8(seed: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gantrain"]
    start = time.monotonic()
    subprocess.run(
        [*command, "data=ring", "architecture=mlp", f"seed={seed}", "device=cpu", "run.dir=run"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    seconds = time.monotonic() - start
    run = built("data=ring", "architecture=mlp")
    run.trainer.load_state_dict(Checkpoints(tmp_path / "run" / "checkpoints").latest()[1])
    torch.manual_seed(0)
    with torch.no_grad():
        points = run.trainer.ema.net(torch.randn(10_000, 2))
    distance, mode = torch.cdist(points.double(), torch.from_numpy(run.data.centers)).min(1)
    good = distance < 3 * run.data.std
    counts = torch.bincount(mode[good], minlength=8)
    print(f"seed {seed}: {counts.tolist()}, {good.double().mean():.1%} within 3 std, {seconds:.0f} s")
    assert (counts > 100).all()  # 1% of the samples in each mode, the expected share being 12.5%
    assert good.double().mean() > 0.6
