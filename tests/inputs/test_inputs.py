"""Labels go with latents: the batch's own in training, the data's shares in measurements, a class a row in grids."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch

from gantrain.errors import ConfigError
from gantrain.inputs import Inputs, Normal, class_numbers
from tests.conftest import built


def test_labels_of_measurements_have_the_shares_of_the_data_and_are_a_function_of_the_seed() -> None:
    inputs = Inputs(Normal(2), 3, [0.5, 0.3, 0.2])
    z, labels = inputs.fixed(10_000, 4)
    assert labels is not None and labels.dtype == torch.int64
    assert scipy.stats.chisquare(labels.bincount(minlength=3), [5000, 3000, 2000]).pvalue > 1e-3
    again = inputs.fixed(10_000, 4)
    assert torch.equal(z, again.z) and torch.equal(labels, again.labels)
    assert not torch.equal(labels, inputs.fixed(10_000, 5).labels)
    assert Inputs(Normal(2), 0).fixed(5, 0).labels is None


def test_classes_that_are_asked_for_come_in_turn() -> None:
    labels = Inputs(Normal(2), 10).fixed(7, 0, classes=[3, 5]).labels
    assert labels is not None and labels.tolist() == [3, 5, 3, 5, 3, 5, 3]


def test_classes_are_named_by_numbers_of_any_kind_or_by_names() -> None:
    names = ["cat", "dog", "owl"]
    assert class_numbers(["owl", 0, np.int64(1)], 3, names) == [2, 0, 1]
    assert class_numbers(torch.tensor([2, 1]), 3, names) == [2, 1] and class_numbers("dog", 3, names) == [1]
    assert class_numbers(2, 3, []) == [2]
    for wrong in ([], [3], [-1], ["bird"], [1.0], [True]):
        with pytest.raises(ConfigError, match=r"there are 0 to 2, called cat, dog, owl"):
            class_numbers(wrong, 3, names)


@pytest.mark.parametrize("shares", [[0.5, 0.1], [0.5, 0.6, -0.1], [1.0], [0.3, 0.3, 0.3]])
def test_shares_that_are_none_are_refused(shares: list[float]) -> None:
    with pytest.raises(ValueError, match="sum 1"):
        Inputs(Normal(2), 3, shares)


def test_a_grid_has_one_class_a_row_and_equal_latents_in_all_rows() -> None:
    (z, labels), columns = Inputs(Normal(2), 10).rows(64, 0)
    assert columns == 7 and labels is not None and labels.reshape(10, 7).tolist() == [[k] * 7 for k in range(10)]
    assert torch.equal(z.reshape(10, 7, 2), z[:7].expand(10, 7, 2))
    assert [Inputs(Normal(2), n).rows(c, 0)[1] for n, c in ((10, 100), (2, 64), (3, 1))] == [10, 16, 1]
    (_, many), columns = Inputs(Normal(2), 1000).rows(64, 0)
    assert columns == 4 and many is not None and many.unique().tolist()[::15] == [0, 999] and len(many.unique()) == 16


def test_fakes_have_the_labels_of_the_real_samples_beside_them() -> None:
    trainer = built("data=ring", "conditioning=concat").trainer
    seen: list[torch.Tensor] = []
    trainer.g.net.register_forward_pre_hook(lambda net, given: seen.append(given[1]))
    real, labels = trainer.data.next()
    trainer.d_turn(real, labels)
    trainer.g_turn(real, labels)
    assert all(torch.equal(found, labels) for found in seen) and len(seen) == 2


def test_the_shares_of_data_are_those_of_their_labels() -> None:
    ring = built("data=ring").trainer.inputs
    assert ring.classes == 8 and ring.shares is not None and set(ring.shares) == {1 / 8}
    digits = built("data=digits").trainer.inputs
    assert digits.shares is not None and digits.shares[0] == 178 / 1797
    assert built("data=stacked_digits").trainer.inputs.classes == 0
