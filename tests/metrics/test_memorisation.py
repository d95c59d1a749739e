"""Copies of training samples are found, and only they."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from torch import Tensor

from gantrain.metrics import (
    memorised,
    nearest,
    threshold,
)


def test_copies_are_found_also_with_noise_and_independent_samples_are_flagged_once_in_a_hundred() -> None:
    rng = np.random.default_rng(0)
    training = torch.from_numpy(rng.standard_normal((2000, 6)))
    limit = threshold(nearest(training[:1000], training.split(300), torch.arange(1000)))

    def share(samples: Tensor) -> float:
        return memorised(nearest(samples, training.split(300)), limit)

    fresh = torch.from_numpy(rng.standard_normal((1000, 6)))
    assert share(fresh) == pytest.approx(0.01, abs=0.008)
    assert share(training[500:900]) == 1
    assert share(training[500:900] + 0.01) == 1
    assert share(torch.cat([fresh[:300], training[:100]])) == pytest.approx(0.25, abs=0.02)


def test_the_nearest_sample_is_found_across_blocks_and_never_the_query_itself() -> None:
    data = torch.from_numpy(np.random.default_rng(0).standard_normal((50, 3)))
    distances = cdist(data, data)
    np.fill_diagonal(distances, np.inf)
    found = nearest(data[10:30], data.split(7), torch.arange(10, 30))
    assert found.index.tolist() == distances[10:30].argmin(1).tolist()
    np.testing.assert_allclose(found.distance, distances[10:30].min(1), rtol=1e-9)


@pytest.mark.parametrize("share", [0.02, 0.75, 1.0])
def test_duplicates_in_the_training_set_leave_a_threshold_that_finds_copies(share: float) -> None:
    data = 100 * torch.from_numpy(np.random.default_rng(0).standard_normal((400, 300)))
    doubled = torch.cat([data, data[: int(400 * share)]])
    limit = threshold(nearest(doubled[:400], [doubled], torch.arange(400)))
    assert 0 <= limit < 10
    assert memorised(nearest(data[:50], [doubled]), limit) == 1
    assert memorised(nearest(data[:50] + 20, [doubled]), limit) == 0
