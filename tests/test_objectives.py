"""Every objective against its closed form, its gradient, and its sign."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from gantrain.losses import Hinge, LeastSquares, Minimax, NonSaturating, Objective, Wasserstein

# Distributions on a few symbols, as counts out of their sum, so that plain means over samples are exact expectations.
PAIRS = {
    "symmetric": ([1, 2, 3, 4], [4, 3, 2, 1]),
    "asymmetric": ([7, 2, 1], [1, 3, 6]),
    "unequal": ([1, 8, 1, 10], [5, 5, 5, 5]),
    "equal": ([2, 3, 5], [2, 3, 5]),
    "no overlap": ([3, 7, 0, 0], [0, 0, 4, 6]),
}
ALL = {
    "minimax": Minimax(),
    "vanilla": NonSaturating(),
    "lsgan": LeastSquares(),
    "lsgan_pearson": LeastSquares(-1, 1, 0),
    "hinge": Hinge(),
    "wasserstein": Wasserstein(),
}


def kl(p: np.ndarray, q: np.ndarray) -> float:
    there = p > 0
    return float((p[there] * np.log(p[there] / q[there])).sum())


def jsd(p: np.ndarray, q: np.ndarray) -> float:
    m = (p + q) / 2
    return (kl(p, m) + kl(q, m)) / 2


def least_squares(p: np.ndarray, q: np.ndarray) -> float:
    return float((p * q / (p + q)).sum() / 2)


CLOSED_FORMS = {
    "minimax": lambda p, q: math.log(4) - 2 * jsd(p, q),
    "vanilla": lambda p, q: math.log(4) - 2 * jsd(p, q),
    "lsgan": least_squares,
    "lsgan_pearson": lambda p, q: 4 * least_squares(p, q),  # labels two apart instead of one: squares are fourfold
    "hinge": lambda p, q: 2 * float(np.minimum(p, q).sum()),
}


def optimal_d_loss(objective: Objective, p_counts: list[int], q_counts: list[int]) -> float:
    """Minimise the D loss over a tabular critic, one free score per symbol, in float64."""
    real = torch.repeat_interleave(torch.arange(len(p_counts)), torch.tensor(p_counts))
    fake = torch.repeat_interleave(torch.arange(len(q_counts)), torch.tensor(q_counts))
    critic = torch.zeros(len(p_counts), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([critic], lr=0.5, betas=(0.5, 0.9))
    for step in range(2000):
        optimizer.param_groups[0]["lr"] = 0.5 * 10 ** (-9 * max(0, step - 500) / 1500)
        optimizer.zero_grad()
        loss = objective.d_loss(critic[real], critic[fake])
        loss.backward()
        optimizer.step()
    return loss.item()


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_d_loss_reaches_its_closed_form_with_a_tabular_critic(name: str, pair: str) -> None:
    p_counts, q_counts = PAIRS[pair]
    p, q = np.array(p_counts) / sum(p_counts), np.array(q_counts) / sum(q_counts)
    assert optimal_d_loss(ALL[name], p_counts, q_counts) == pytest.approx(CLOSED_FORMS[name](p, q), abs=1e-6)


def test_closed_forms_at_the_published_pair() -> None:
    p, q = (np.array(counts) / 10 for counts in PAIRS["symmetric"])
    assert jsd(p, q) == pytest.approx(0.106440135286, abs=1e-12)
    assert CLOSED_FORMS["minimax"](p, q) == pytest.approx(1.173414090547, abs=1e-12)
    assert CLOSED_FORMS["lsgan"](p, q) == pytest.approx(0.2, abs=1e-12)
    assert CLOSED_FORMS["hinge"](p, q) == pytest.approx(1.2, abs=1e-12)


def test_the_best_logistic_critic_is_the_log_density_ratio() -> None:
    p, q = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]], dtype=torch.float64)
    critic = (p.log() - q.log()).requires_grad_()
    weights = torch.tensor([7, 2, 1]), torch.tensor([1, 3, 6])
    real, fake = (torch.repeat_interleave(torch.arange(3), w) for w in weights)
    (gradient,) = torch.autograd.grad(Minimax().d_loss(critic[real], critic[fake]), critic)
    torch.testing.assert_close(gradient, torch.zeros(3).double(), atol=1e-15, rtol=0)


def test_wasserstein_is_the_difference_of_means_with_the_paper_sign() -> None:
    real, fake = torch.tensor([3.0, 5.0]), torch.tensor([1.0, -2.0, 4.0])
    assert Wasserstein().d_loss(real, fake).item() == pytest.approx(1 - 4)
    assert Wasserstein().g_loss(fake).item() == pytest.approx(-1)


def test_wasserstein_of_the_best_lipschitz_critic_on_a_line_is_the_distance() -> None:
    from scipy.stats import wasserstein_distance

    x, y = np.add(np.random.default_rng(0).normal(size=(2, 200)), [[0], [9]])
    assert x.max() < y.min()  # then the best 1-Lipschitz critic is C(x) = -x
    estimate = -Wasserstein().d_loss(torch.from_numpy(-x), torch.from_numpy(-y)).item()
    assert estimate == pytest.approx(wasserstein_distance(x, y), rel=1e-12)


def test_hand_derived_values_at_single_scores() -> None:
    r, f = torch.tensor([2.0]), torch.tensor([-0.5])
    assert Minimax().d_loss(r, f).item() == pytest.approx(math.log1p(math.exp(-2)) + math.log1p(math.exp(-0.5)))
    assert Minimax().g_loss(f).item() == pytest.approx(-math.log1p(math.exp(-0.5)))
    assert NonSaturating().g_loss(f).item() == pytest.approx(math.log1p(math.exp(0.5)))
    assert LeastSquares().d_loss(r, f).item() == pytest.approx(0.5 * 1 + 0.5 * 0.25)
    assert LeastSquares().g_loss(f).item() == pytest.approx(0.5 * 2.25)
    assert Hinge().d_loss(r, f).item() == pytest.approx(0 + 0.5)
    assert Hinge().g_loss(f).item() == pytest.approx(0.5)


@pytest.mark.parametrize("name", ALL)
def test_gradients_equal_finite_differences(name: str) -> None:
    torch.manual_seed(0)
    real, fake = (torch.randn(6, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(ALL[name].d_loss, (real, fake))
    assert torch.autograd.gradcheck(lambda f, r: ALL[name].g_loss(f, r), (fake, real))


@pytest.mark.parametrize("name", [n for n in ALL if n != "lsgan_pearson"])
def test_a_g_step_on_a_fixed_critic_raises_its_score_of_fakes(name: str) -> None:
    torch.manual_seed(0)
    weight = torch.randn(3)
    fakes = (0.1 * torch.randn(5, 3)).requires_grad_()
    before = fakes @ weight
    (gradient,) = torch.autograd.grad(ALL[name].g_loss(before, torch.zeros(5)), fakes)
    assert ((fakes - 0.1 * gradient) @ weight).mean() > before.mean()


@pytest.mark.parametrize("name", ALL)
def test_a_d_step_parts_the_scores(name: str) -> None:
    real, fake = (torch.full((4,), 0.5, requires_grad=True) for _ in range(2))
    by_real, by_fake = torch.autograd.grad(ALL[name].d_loss(real, fake), (real, fake))
    assert (by_real < 0).all() and (by_fake > 0).all()


@pytest.mark.parametrize("magnitude", [80.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ALL)
def test_extreme_scores_give_finite_values_and_gradients(name: str, dtype: torch.dtype, magnitude: float) -> None:
    signs = torch.tensor([-1.0, 1.0, 0.0], dtype=dtype) * magnitude
    for value in losses_of(ALL[name], signs):
        assert torch.isfinite(value).all()


def losses_of(objective: Objective, scores: Tensor) -> list[Tensor]:
    real, fake = scores.clone().requires_grad_(), scores.flip(0).clone().requires_grad_()
    d_loss, g_loss = objective.d_loss(real, fake), objective.g_loss(fake, real)
    return [d_loss, g_loss, *torch.autograd.grad(d_loss, (real, fake)), *torch.autograd.grad(g_loss, fake)]
