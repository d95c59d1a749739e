"""Path length: its expectation for a linear generator, its moving mean, and generators that have no w."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from gantrain.errors import ConfigError
from gantrain.losses.turn import Critic, Precision, Turn
from gantrain.regularizers import PathLength
from tests.conftest import built

SIDE, CHANNELS, DIM, LAYERS = 4, 3, 5, 2
SMALL = ("data=digits", "architecture=stylegan2", "architecture.latent_dim=4", "architecture.generator.w_dim=4",
         "architecture.generator.channel_max=4", "regularizer=[path_length]")  # fmt: skip


class Linear(nn.Module):
    """x = W Σ_l w_l, W (C · S · S, d) with columns at right angles, all as long."""

    def __init__(self, length: float) -> None:
        super().__init__()
        matrix = torch.linalg.qr(torch.randn(CHANNELS * SIDE**2, DIM)).Q
        self.weight = nn.Parameter(length * matrix)
        self.asked: list[Tensor | None] = []

    def styles(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        self.asked.append(labels)
        return (self.weight.sum() * 0 + z)[:, None].expand(-1, LAYERS, -1)  # in the graph, as a mapping network's are

    def synthesis(self, w: Tensor) -> Tensor:
        return (w.sum(1) @ self.weight.T).unflatten(1, (CHANNELS, SIDE, SIDE))


def turn(g: nn.Module, n: int, index: int = 0, labels: Tensor | None = None) -> Turn:
    precision, samples = Precision(torch.device("cpu")), torch.zeros(n, CHANNELS, SIDE, SIDE)
    critic = Critic(nn.Identity(), precision, torch.float32, labels)
    return Turn(critic, g, samples, samples, index, z=torch.randn(n, DIM))


def test_the_length_of_a_linear_generators_path_is_the_mean_of_a_chi_distribution() -> None:
    torch.manual_seed(0)
    g, n, decay = Linear(length=2.0), 40_000, 0.01
    # Wᵀy is N(0, 2² / S² I) in d dimensions, of whatever layer: its length is 2 / S times a chi of d degrees.
    scale = 2.0 / SIDE
    mean = scale * math.sqrt(2) * math.gamma((DIM + 1) / 2) / math.gamma(DIM / 2)
    square = scale**2 * DIM
    term, error = PathLength(3.0, every=1, decay=decay, shrink=1), math.sqrt((square - mean**2) / n)
    lengths = term.lengths(turn(g, n))
    assert lengths.shape == (n,) and lengths.mean().item() == pytest.approx(mean, abs=5 * error)
    assert lengths.square().mean().item() == pytest.approx(square, rel=0.02)
    # a = decay · E l after the first turn: E(l - a)² = E l² - 2 a E l + a².
    a = decay * mean
    value = term.for_g(turn(g, n))
    assert value.item() == pytest.approx(3 * (square - 2 * a * mean + a**2), rel=0.02)
    assert term.mean.item() == pytest.approx(a, rel=0.01)


def test_the_term_of_isotropic_paths_of_the_mean_length_is_their_variance_alone() -> None:
    torch.manual_seed(0)
    g, term = Linear(length=2.0), PathLength(1.0, every=1, decay=0.5, shrink=1)
    for _ in range(20):
        value = term.for_g(turn(g, 20_000))
    lengths = term.lengths(turn(g, 20_000))
    assert value.item() == pytest.approx(lengths.var().item(), rel=0.05)
    assert term.mean.item() == pytest.approx(lengths.mean().item(), rel=0.01)


def test_the_gradient_of_the_term_shrinks_paths_at_first_and_stops_at_the_mean() -> None:
    torch.manual_seed(0)
    g, term = Linear(length=2.0), PathLength(1.0, every=1, decay=0.01, shrink=1)
    along = g.weight.detach() / g.weight.detach().norm()

    def slope() -> float:
        (gradient,) = torch.autograd.grad(term.for_g(turn(g, 20_000)), g.weight)
        return float((gradient * along).sum())

    first = slope()
    lengths = term.lengths(turn(g, 20_000)).detach()
    term.mean.copy_(lengths.square().mean() / lengths.mean())
    assert first > 0.5 and abs(slope()) < 0.05 * first  # E(l - a) l = 0 at a = E l² / E l


def test_only_every_fourth_turn_has_the_term_of_a_part_of_the_batch_four_times_as_strong() -> None:
    g, labels = Linear(1.0), torch.arange(8) % 3
    lazy, eager = (PathLength(2.0, every=every, decay=0.01, shrink=2) for every in (4, 1))
    found = []
    for index in range(8):
        torch.manual_seed(index)
        found.append(lazy.for_g(turn(g, 8, index, labels)))
    assert [value is None for value in found] == [False, True, True, True] * 2
    assert [lazy.phase(index) for index in range(5)] == [0, 1, 1, 1, 0]
    assert len(g.asked) == 2 and all(torch.equal(asked, labels[:4]) for asked in g.asked)
    torch.manual_seed(0)
    torch.testing.assert_close(found[0], 4 * eager.for_g(turn(g, 8, 0, labels)))
    assert len(lazy.lengths(turn(g, 1))) == 1


def test_the_moving_mean_survives_a_batch_that_overflowed() -> None:
    g, term = Linear(1.0), PathLength(1.0, every=1, decay=0.5, shrink=1)
    term.for_g(turn(g, 8))
    before = term.mean.clone()
    with torch.no_grad():
        g.weight.fill_(torch.inf)
    assert not term.for_g(turn(g, 8)).isfinite() and torch.equal(term.mean, before)


def test_a_game_of_stylegan2_plays_with_path_length_and_others_are_refused() -> None:
    trainer = built(*SMALL, "loss.regularizers.path_length.every=2").trainer
    for _ in range(3):
        trainer.play()
    assert trainer.scalars["g/path_length"] > 0 and trainer.loss.regularizers["path_length"].mean > 0
    with pytest.raises(ConfigError, match=r"PathLength needs a generator with styles.*dcgan\.Generator has none"):
        built("data=digits", "regularizer=[path_length]")
    with pytest.raises(ConfigError, match=r"accumulate=2 cannot be used.*path_length"):
        built(*SMALL, "accumulate=2")


@pytest.mark.parametrize("wrong", [{"weight": -1.0}, {"every": 0}, {"decay": 0.0}, {"shrink": 0}])
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="PathLength needs"):
        PathLength(**{"weight": 2.0, "every": 4, "decay": 0.01, "shrink": 2} | wrong)
