"""Objects of one's own: which are taken, which make another run, which are refused in a sentence."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import gantrain
from gantrain.build.own import Rows, digest
from gantrain.errors import ConfigError
from tests.api.conftest import SHORT, Small, points


class Fails(Small):
    def forward(self, x: Tensor) -> Tensor:
        raise KeyError("no such layer")


class Gives(Small):
    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (super().forward(x),)


class Holds(Small):
    def __init__(self) -> None:
        super().__init__(4, 2)
        self.lock = threading.Lock()


class Tempered(Small):
    """Takes a setting, where others take labels, and draws a number that is not torch's."""

    def forward(self, x: Tensor, temperature: float = 1.0) -> Tensor:
        return super().forward(x) * temperature + random.random()


def empty() -> Small:
    with torch.device("meta"):
        return Small(4, 2)


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"data": np.array([None, None])}, "no tensor can be made of the samples"),
        ({"data": (points(2), ["a", "b"])}, "no tensor can be made of the labels"),
        ({"data": torch.tensor(3.0)}, "got a single number"),
        ({"data": [points(4), torch.zeros(4)]}, "are a tuple, .samples, labels."),
        ({"data": (points(4), points(4), points(4))}, r"must be \(samples, labels\), got 3 parts"),
        ({"generator": empty()}, "is on the meta device and has no values"),
        ({"generator": nn.LazyLinear(2)}, "weight has no shape yet; call the network once before"),
        ({"generator": Small(4, 2).half()}, "is torch.float16; weights are float32"),
        ({"generator": Holds()}, "Holds cannot be copied: cannot pickle"),
        ({"generator": Fails(4, 2)}, "do not fit together: KeyError: 'no such layer'"),
        ({"generator": Gives(4, 2)}, "do not fit together: AttributeError: 'tuple'"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_a_sentence(own: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        gantrain.train(*SHORT, **{"data": "ring", "architecture.latent_dim": 4, **own})
    assert not Path("outputs").exists()


def test_other_rows_are_another_run_and_the_same_ones_the_same() -> None:
    one = gantrain.train(*SHORT, data=points(), total_steps=1)
    other = gantrain.train(*SHORT, data=points() + 1, total_steps=1)
    assert one.path != other.path
    again = gantrain.train(*SHORT, data=list(points().numpy()), total_steps=1)
    assert again.path == one.path
    with pytest.raises(ConfigError, match=r"data.dataset.digest"):
        gantrain.Run(one.path, data=points() + 1).resume(total_steps=2)


def test_that_a_data_set_is_another_than_a_finished_run_had_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    gantrain.train(*SHORT, data=TensorDataset(points()), total_steps=1)
    gantrain.train(*SHORT, data=TensorDataset(points()), total_steps=1)
    assert "have changed" not in "".join(capsys.readouterr())
    gantrain.train(*SHORT, data=TensorDataset(points() + 1), total_steps=1)
    assert "have changed since it was trained" in " ".join("".join(capsys.readouterr()).split())


def test_a_second_input_that_is_a_setting_is_no_label() -> None:
    own = Tempered(4, 2)
    run = gantrain.train(*SHORT, **{"architecture.latent_dim": 4}, data="ring", generator=own, total_steps=1)
    assert run.samples(2).shape == (2, 2) and len(digest(own)) == 8


def test_views_of_arrays_that_torch_does_not_take_are_taken() -> None:
    backwards, fixed = points().numpy()[::-1], np.broadcast_to(np.ones(2), (9, 2))
    assert torch.equal(Rows(backwards).x, points().flip(0)) and len(Rows(fixed)) == 9
