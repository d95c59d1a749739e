"""Latents, truncation, and ways between latents."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gantrain.sampling import between, latents, truncated


def test_latents_are_a_function_of_the_seed_and_truncation_moves_quantile_to_quantile() -> None:
    z = latents(20_000, 3, seed=1)
    assert torch.equal(z, latents(20_000, 3, seed=1)) and not torch.equal(z, latents(20_000, 3, seed=2))
    cut = latents(20_000, 3, seed=1, truncation=0.7)
    assert cut.abs().max() <= 0.7 and bool((cut[:, 0][z[:, 0].argsort()].diff() >= 0).all())
    # The standard deviation of a normal truncated at 0.7, by its closed form.
    t, phi = 0.7, np.exp(-0.245) / np.sqrt(2 * np.pi)
    share = float(torch.special.ndtr(torch.tensor(t, dtype=torch.float64))) * 2 - 1
    assert float(cut.std()) == pytest.approx(np.sqrt(1 - 2 * t * phi / share), rel=0.01)
    assert torch.equal(truncated(torch.tensor([-50.0, 50.0]), 2.0), torch.tensor([-2.0, 2.0]))


def test_the_way_between_latents_keeps_to_the_arc() -> None:
    a, b = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 3.0])
    way = between(a, b, 5)
    torch.testing.assert_close(way[[0, 4]], torch.stack([a, b]))
    torch.testing.assert_close(way.norm(dim=1), torch.full((5,), 3.0))
    torch.testing.assert_close(way[2], torch.full((2,), 3 / 2**0.5))
    torch.testing.assert_close(between(a, a, 3), a.repeat(3, 1))
