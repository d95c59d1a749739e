"""Ways between latents."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gantrain.errors import ConfigError
from gantrain.sampling import between, samples_of, truncating


def test_the_way_between_latents_keeps_to_the_arc() -> None:
    a, b = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 3.0])
    way = between(a, b, 5)
    torch.testing.assert_close(way[[0, 4]], torch.stack([a, b]))
    torch.testing.assert_close(way.norm(dim=1), torch.full((5,), 3.0))
    torch.testing.assert_close(way[2], torch.full((2,), 3 / 2**0.5))
    torch.testing.assert_close(between(a, a, 3), a.repeat(3, 1))


class TruncatesW(nn.Module):
    """A generator that says how it truncates."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.weight * z

    def truncated(self, z: Tensor, labels: Tensor | None, psi: float) -> Tensor:
        assert not self.training
        return psi * z


@pytest.mark.parametrize("training", [True, False])
def test_a_generator_that_truncates_by_itself_is_drawn_from_whole_latents(training: bool) -> None:
    net, z = TruncatesW().train(training), torch.randn(20, 3)
    source, bound = truncating(net, 0.7)
    assert bound is None
    torch.testing.assert_close(torch.cat(list(samples_of(source, z))), 0.7 * z)
    assert net.training == training  # as a training has left it
    assert truncating(net, None) == (net, None)
    plain = nn.Linear(3, 3)
    assert truncating(plain, 0.7) == (plain, 0.7)


@pytest.mark.parametrize("truncation", [0, 0.0, -1.0, float("nan"), float("inf"), "0.5"])
def test_a_truncation_that_is_no_number_above_0_is_refused_for_both_ways(truncation: float) -> None:
    for net in (TruncatesW(), nn.Linear(2, 2)):
        with pytest.raises(ConfigError, match="truncation must be a number above 0"):
            truncating(net, truncation)
