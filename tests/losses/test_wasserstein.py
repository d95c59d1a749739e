"""The critics of WGAN-GP and WGAN-LP, trained between two fixed samples, estimate their Wasserstein distance."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.stats import wasserstein_distance
from torch import nn

from gantrain.architectures.mlp import Discriminator
from gantrain.losses import Loss, Wasserstein
from gantrain.losses.turn import Critic, Precision, Turn
from gantrain.regularizers import GradientPenalty, LipschitzPenalty
from tests.conftest import only

CPU = Precision(torch.device("cpu"))


def exact_distance(x: np.ndarray, y: np.ndarray) -> float:
    """By scipy: quantiles on a line, an optimal assignment in the plane."""
    if x.shape[1] == 1:
        return float(wasserstein_distance(x[:, 0], y[:, 0]))
    costs = cdist(x, y)
    return float(costs[linear_sum_assignment(costs)].mean())


# With penalty weight λ and distance W the best critic has gradient norm 1 + W / 2λ, so the estimate is high by
# W²/2λ: 2.5% of W at W = 0.5, λ = 10. That is the penalty's own bias, not an error of training.
PENALTIES = {"wgan_gp": GradientPenalty(10.0), "wgan_lp": LipschitzPenalty(10.0)}
CASES = itertools.product(PENALTIES, (1, 2), (0.05, 0.3))


@pytest.mark.parametrize(("penalty", "dimensions", "std"), only([("wgan_gp", 1, 0.05), ("wgan_lp", 2, 0.3)], CASES))
def test_the_critic_estimates_the_distance(penalty: str, dimensions: int, std: float) -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    shift = 0.5 * np.eye(dimensions)[0]
    x = rng.normal(0, std, size=(512, dimensions)).astype(np.float32)
    y = (rng.normal(0, std, size=(512, dimensions)) + shift).astype(np.float32)
    real, fake = torch.from_numpy(x), torch.from_numpy(y)
    d = Discriminator((dimensions,), 0, width=64, depth=2, norm="none")
    loss = Loss(Wasserstein(), {"penalty": PENALTIES[penalty]})
    optimizer = torch.optim.Adam(d.parameters(), lr=1e-3, betas=(0.0, 0.9), fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 1000)
    for step in range(1000):
        turn = Turn(Critic(d, CPU, torch.float32), nn.Identity(), real, fake, step)
        optimizer.zero_grad()
        loss.for_d(turn).total.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        estimate = loss.objective.estimates(d(real), d(fake))["wasserstein_1_data_units"].item()
    # Where the two overlap more, the distance is less of a shift and the critic harder to find.
    assert estimate == pytest.approx(exact_distance(x, y), rel=0.05 if std == 0.05 else 0.15)
