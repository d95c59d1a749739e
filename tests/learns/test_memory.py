"""What 50,000 samples take: the whole evaluation streams."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from tests.conftest import REPOSITORY

PROGRAM = """
import resource, sys, tempfile, time
import torch
from gantrain.data import Images
from gantrain.evaluation import prepare
from gantrain.evaluation.features import Features
from tests.conftest import config

class Wide(Features):
    '''As wide as Inception, and cheap: random projections of the pixels, rectified.'''
    name, digest = "wide", "0"
    def __init__(self):
        g = torch.Generator().manual_seed(0)
        self.w, self.v = torch.randn(3 * 32 * 32, 2048, generator=g) / 55, torch.randn(2048, 1008, generator=g) / 45
    def __call__(self, images):
        features = (images.flatten(1).float().div(127.5).sub(1) @ self.w).relu()
        return features, features @ self.v

def drawn(seed, n):
    '''Smooth coloured images, 250 at a time.'''
    g = torch.Generator().manual_seed(seed)
    for _ in range(n // 250):
        coarse = torch.rand(250, 3, 4, 4, generator=g)
        yield torch.nn.functional.interpolate(coarse, 32, mode="bicubic").clamp(0, 1) * 2 - 1

n = 50_000
pixels = torch.cat([((batch + 1) * 127.5).round().to(torch.uint8) for batch in drawn(0, n)])
module = sys.modules["gantrain.evaluation.prepare"]
module.network = lambda *arguments: Wide()
settings = config("data=cifar10", "evaluation=inception", "evaluation.cache=" + tempfile.mkdtemp()).evaluation
data = Images(pixels, None, 0)
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began = time.time()
quality = prepare(settings, settings.metrics, data, data, torch.device("cpu"), live=False)
ready = time.time()
values = quality.measure(drawn(1, n)).values
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(quality.protocol, values)
print(f"{base / 2**10:.0f} MiB before, {ready - began:.0f} s for the real ones, {time.time() - ready:.0f} s to measure")
print(peak * 1024)
"""


@pytest.mark.slow
def test_fifty_thousand_samples_are_measured_in_less_than_two_gigabytes() -> None:
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)], capture_output=True, text=True, cwd=REPOSITORY, check=False
    )
    print(found.stdout)
    assert found.returncode == 0, found.stderr
    assert "50,000 of the averaged generator" in found.stdout
    assert int(found.stdout.split()[-1]) < 2e9
