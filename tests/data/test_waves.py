"""Waves whose modes are known: what they are, that they can be told apart and counted, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from gantrain.build import build_data
from gantrain.build.building import build_quality
from gantrain.data import Waves
from gantrain.errors import ConfigError
from tests.conftest import config

USUAL = {
    **{"frequencies": [1, 2, 3, 5], "together": 2, "phases": 4, "length": 64, "amplitude": 0.8, "noise": 0.05},
}
CPU = torch.device("cpu")


def waves(**changes: object) -> Waves:
    return Waves(**USUAL | changes)


def test_a_mode_is_a_choice_of_frequencies_and_a_phase() -> None:
    data = waves()
    assert data.classes == 6 * 4 and data.shape == (1, 64)
    k = data.class_names.index("cycles_2_5_phase_90")
    time = np.arange(64) / 64
    expected = 0.4 * (np.cos(4 * math.pi * time) + np.cos(10 * math.pi * time))
    np.testing.assert_allclose(data.centers[k], expected, atol=1e-12)


def test_samples_lie_around_their_modes_and_each_mode_has_its_share() -> None:
    data = waves()
    x, mode = data.sample(20_000, np.random.default_rng(0))
    assert x.dtype == np.float32 and x.shape == (20_000, 1, 64) and np.abs(x).max() <= 1
    counts = np.bincount(mode, minlength=24)
    assert np.abs(counts / 20_000 - 1 / 24).max() < 0.008
    rest = x[:, 0] - data.centers[mode]
    assert rest.std() == pytest.approx(0.05, rel=0.01)
    near = np.linalg.norm(x[:2000, 0][:, None] - data.centers, axis=2) < data.reach
    assert (near.sum(1) == 1).all() and (near.argmax(1) == mode[:2000]).all()


def test_batches_depend_on_seed_and_position_alone() -> None:
    stream, again = waves().stream(8, 0, CPU), waves().stream(8, 0, CPU)
    first, second = stream.next(), stream.next()
    again.load_state_dict({"position": 1})
    assert all(torch.equal(a, b) for a, b in zip(again.next(), second, strict=True))
    assert not torch.equal(first[0], second[0]) and not torch.equal(waves().stream(8, 1, CPU).next()[0], first[0])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"frequencies": [1, 1]}, r"data\.frequencies must be different"),
        ({"frequencies": [17]}, r"data\.frequencies"),
        ({"frequencies": ["a"]}, r"data\.frequencies"),
        ({"together": 5}, r"data\.together must be a whole number from 1 to 4"),
        ({"together": 0}, r"data\.together"),
        ({"phases": 0}, r"data\.phases"),
        ({"phases": True}, r"data\.phases"),
        ({"noise": 0}, r"data\.noise"),
        ({"amplitude": 0.9}, r"data\.amplitude at most 1 - 4"),
        ({"phases": 100}, r"to tell them apart"),
    ],
)
def test_senseless_settings_are_refused(wrong: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        waves(**wrong)


def test_modes_are_counted_among_generated_signals() -> None:
    cfg = config("data=waves", "evaluation.n_fake=2400", "evaluation.n_real=500", "device=cpu")
    data = build_data(cfg)
    quality = build_quality(cfg, data, CPU)
    assert quality is not None
    x, mode = data.sample(2400, np.random.default_rng(1))
    whole = quality.measure([torch.from_numpy(x)]).values
    assert whole["modes"] == 24 and whole["high_quality"] > 0.99
    half = torch.from_numpy(x[mode < 12])
    fewer = quality.measure([half, half, torch.zeros(2400 - 2 * len(half), 1, 64)] if 2 * len(half) < 2400
                            else [half, half[: 2400 - len(half)]]).values  # fmt: skip
    assert fewer["modes"] == 12
    silent = quality.measure([torch.zeros(2400, 1, 64)]).values
    assert silent["modes"] == 0 and silent["high_quality"] == 0
