"""Penalties at points where their value is known by hand, and what they refuse."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gantrain.errors import ConfigError
from gantrain.losses import Hinge, Loss, Wasserstein
from gantrain.regularizers import Clip, GradientPenalty, InputGradient
from gantrain.regularizers.gradient import norm_from_square
from gantrain.turn import Critic, Precision, Turn

CPU = Precision(torch.device("cpu"))


class OfInput(nn.Module):
    """A discriminator from a function of its input."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.function(x)


def turn(d: nn.Module, real: Tensor, fake: Tensor, index: int = 0, precision: Precision = CPU) -> Turn:
    return Turn(Critic(d, precision, precision.forward), nn.Identity(), real, fake, index)


def linear(weight: Tensor) -> OfInput:
    return OfInput(lambda x: x.flatten(1) @ weight)


def test_gradient_penalty_of_a_linear_critic_is_norm_minus_one_squared() -> None:
    weight = torch.tensor([3.0, 4.0])  # norm 5: 10 · (5 - 1)² = 160
    real, fake = torch.randn(7, 2), torch.randn(7, 2)
    torch.testing.assert_close(GradientPenalty(10.0).for_d(turn(linear(weight), real, fake)), torch.tensor(160.0))


@pytest.mark.parametrize("shape", [(4,), (1, 2, 2), (3, 4, 4)])
@pytest.mark.parametrize("scores", ["(N,)", "(N, 1)", "patches"])
def test_the_norm_is_per_sample_over_all_other_dimensions(shape: tuple[int, ...], scores: str) -> None:
    # C(x) = s_i · w·x_i has gradient norm s_i |w|; a norm over the batch would mix the s_i.
    torch.manual_seed(0)
    weight = torch.randn(*shape).double()
    scale = torch.tensor([0.5, 1.0, 2.0, 4.0]).double() / weight.norm()
    patch = {"(N,)": (), "(N, 1)": (1,), "patches": (1, 2, 2)}[scores]

    def critic(x: Tensor) -> Tensor:
        score = scale * (x * weight).flatten(1).sum(1)
        return score.reshape(-1, *[1] * len(patch)).expand(-1, *patch) / max(1, torch.Size(patch).numel())

    real, fake = torch.randn(2, 4, *shape).double()
    expected = sum((s - 1) ** 2 for s in (0.5, 1.0, 2.0, 4.0)) / 4
    penalty = GradientPenalty(1.0).for_d(turn(OfInput(critic), real, fake))
    assert penalty.item() == pytest.approx(expected, rel=1e-12)


def test_the_points_lie_between_real_and_fake_with_one_epsilon_per_sample() -> None:
    torch.manual_seed(0)
    real, fake = torch.zeros(500, 3, 2, 2), torch.ones(500, 3, 2, 2)
    points = GradientPenalty(1.0).points(turn(nn.Identity(), real, fake)).flatten(1)
    assert (points == points[:, :1]).all()
    assert 0 <= points.min() < 0.02 and 0.98 < points.max() <= 1
    assert points[:, 0].mean().item() == pytest.approx(0.5, abs=0.05)
    assert points[:, 0].unique().numel() > 490


def test_the_penalty_trains_d_by_double_backward_equal_to_finite_differences() -> None:
    torch.manual_seed(0)
    real, fake = torch.randn(2, 3, 2).double()
    epsilon = torch.rand(3, 1).double()

    class Fixed(GradientPenalty):
        def points(self, turn: Turn) -> Tensor:
            return torch.lerp(turn.fake, turn.real, epsilon)

    def penalty(first: Tensor, second: Tensor) -> Tensor:
        return Fixed(10.0).for_d(turn(OfInput(lambda x: torch.tanh(x @ first) @ second), real, fake))

    weights = [torch.randn(*s, dtype=torch.float64, requires_grad=True) for s in ((2, 5), (5,))]
    assert torch.autograd.gradcheck(penalty, weights)


def test_a_critic_without_slope_gives_a_finite_penalty_and_gradient() -> None:
    weight = torch.zeros(2, requires_grad=True)
    penalty = GradientPenalty(10.0).for_d(turn(linear(weight), torch.randn(3, 2), torch.randn(3, 2)))
    assert penalty.item() == pytest.approx(10)
    assert torch.isfinite(torch.autograd.grad(penalty, weight)[0]).all()


def test_norm_from_square_is_the_square_root_away_from_zero() -> None:
    squared = torch.tensor([0.0, 1e-30, 4.0], dtype=torch.float64, requires_grad=True)
    norm = norm_from_square(squared)
    torch.testing.assert_close(norm, torch.tensor([0.0, 1e-15, 2.0]).double())
    (slope,) = torch.autograd.grad(norm.sum(), squared)
    torch.testing.assert_close(slope, torch.tensor([0.0, 0.5e15, 0.25]).double())


def test_a_lazy_penalty_is_idle_between_and_as_strong_on_average() -> None:
    weight, lazy = torch.tensor([3.0, 4.0]), GradientPenalty(10.0, every=4)
    real, fake = torch.randn(7, 2), torch.randn(7, 2)
    terms = [lazy.for_d(turn(linear(weight), real, fake, index)) for index in range(8)]
    assert [t is None for t in terms] == [False, True, True, True] * 2
    assert sum(t.item() for t in terms if t is not None) / 8 == pytest.approx(160)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_penalty_stays_in_float32_under_autocast(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    d = OfInput(nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 1)))
    real, fake = torch.randn(2, 32, 8)
    values = {}
    for name, precision in {
        "exact": CPU,
        "island": Precision(CPU.device, dtype, torch.float32),
        "mixed": Precision(CPU.device, dtype, dtype),
    }.items():
        torch.manual_seed(1)
        with precision.autocast(precision.forward):  # also inside an outer autocast
            values[name] = GradientPenalty(10.0).for_d(turn(d, real, fake, precision=precision))
    assert values["island"].dtype == torch.float32
    assert values["island"].item() == values["exact"].item()
    assert values["mixed"].item() != values["exact"].item()


def test_clip_bounds_every_parameter_after_a_d_step() -> None:
    d = nn.Linear(50, 50)
    Loss(Wasserstein(), {"clip": Clip(0.01)}).after_d_step(d)
    assert all(p.abs().max() <= 0.01 for p in d.parameters())
    assert (d.weight.abs() == 0.01).any()


def test_batch_norm_under_a_gradient_penalty_is_refused_with_the_remedy() -> None:
    loss = Loss(Wasserstein(), {"gp": GradientPenalty(10.0)})
    with pytest.raises(ConfigError, match=r"norm=batch.*GradientPenalty.*norm=layer"):
        loss.check(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
    loss.check(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)))
    Loss(Hinge()).check(nn.BatchNorm1d(2))


@pytest.mark.parametrize(("weight", "every"), [(-1.0, 1), (1.0, 0)])
def test_penalties_refuse_senseless_settings(weight: float, every: int) -> None:
    with pytest.raises(ConfigError):
        InputGradient(weight, every)


def test_loss_names_its_terms_after_its_regularizers() -> None:
    real, fake = torch.ones(3, 2), torch.zeros(3, 2)
    cost = Loss(Wasserstein(), {"gp": GradientPenalty(10.0)}).for_d(turn(linear(torch.tensor([3.0, 4.0])), real, fake))
    assert {k: v.item() for k, v in cost.terms.items()} == {"adversarial": -7.0, "gp": pytest.approx(160)}
    assert cost.total.item() == pytest.approx(153)
    assert {k: v.item() for k, v in cost.readings.items()} == {"score_real": 7.0, "score_fake": 0.0}


def test_only_objectives_that_use_real_scores_pay_for_them_in_gs_turn() -> None:
    class Relative(Wasserstein):
        g_uses_real = True

        def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
            return (real - fake).mean()

    seen = []

    def count(x: Tensor) -> Tensor:
        seen.append(len(x))
        return x.sum(1)

    real, fake = torch.ones(3, 2), torch.zeros(3, 2)
    Loss(Wasserstein()).for_g(turn(OfInput(count), real, fake))
    assert len(seen) == 1
    cost = Loss(Relative()).for_g(turn(OfInput(count), real, fake))
    assert len(seen) == 3 and cost.total.item() == 2.0


def test_the_lookahead_chooses_the_critic_of_gs_turn() -> None:
    ahead = Critic(OfInput(lambda x: x.sum(1) + 100), CPU, torch.float32)
    loss = Loss(Wasserstein(), lookahead=lambda turn, objective: ahead)
    assert loss.for_g(turn(OfInput(lambda x: x.sum(1)), torch.ones(3, 2), torch.zeros(3, 2))).total.item() == -100
