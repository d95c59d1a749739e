"""Small parts of one's own, and the shortest trainings."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gantrain.losses import Objective

SHORT = ("evaluation=none", "batch_size=8", "log.every=2", "samples.every=0", "checkpoint.every=0")


class LeastSquares(Objective):
    """An objective of somebody's own."""

    def __init__(self, target: float = 1.0) -> None:
        super().__init__()
        self.target = target

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return (real - self.target).square().mean() + fake.square().mean()

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return (fake - self.target).square().mean()


class Small(nn.Module):
    """A network of one layer that knows nothing of gantrain."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layer = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x)
        return out


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def points(n: int = 40) -> Tensor:
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(0))
