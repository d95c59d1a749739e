"""Every objective against its closed form, its gradient, and its sign."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pytest
import torch
from scipy.stats import energy_distance
from torch import Tensor

from gantrain import losses
from gantrain.errors import ConfigError
from gantrain.losses import (
    BEGAN,
    EBGAN,
    GAN,
    KL,
    MMD,
    Cramer,
    Fisher,
    Hinge,
    JensenShannon,
    LeastSquares,
    Minimax,
    Neyman,
    NonSaturating,
    Objective,
    Pearson,
    RelativisticAverage,
    RelativisticPaired,
    ReverseKL,
    SquaredHellinger,
    TotalVariation,
    Wasserstein,
)
from gantrain.losses.numerics import tame_exp
from tests.conftest import only

# Distributions on a few symbols, as counts out of their sum, so that plain means over samples are exact expectations.
PAIRS = {
    "symmetric": ([1, 2, 3, 4], [4, 3, 2, 1]),
    "asymmetric": ([7, 2, 1], [1, 3, 6]),
    "unequal": ([1, 8, 1, 10], [5, 5, 5, 5]),
    "equal": ([2, 3, 5], [2, 3, 5]),
    "no overlap": ([3, 7, 0, 0], [0, 0, 4, 6]),
}
FGANS = {
    "fgan_kl": KL,
    "fgan_reverse_kl": ReverseKL,
    "fgan_pearson": Pearson,
    "fgan_neyman": Neyman,
    "fgan_squared_hellinger": SquaredHellinger,
    "fgan_jensen_shannon": JensenShannon,
    "fgan_gan": GAN,
    "fgan_total_variation": TotalVariation,
}


def began() -> BEGAN:
    objective = BEGAN(gamma=0.5, rate=0.001)
    objective.balance.fill_(0.3)  # at the start k = 0, and fakes cost D nothing
    return objective


SCALAR: dict[str, Objective] = {
    "minimax": Minimax(),
    "vanilla": NonSaturating(),
    "lsgan": LeastSquares(),
    "lsgan_pearson": LeastSquares(-1, 1, 0),
    "hinge": Hinge(),
    "wasserstein": Wasserstein(),
    "rsgan": RelativisticPaired("logistic"),
    "rasgan": RelativisticAverage("logistic"),
    "ralsgan": RelativisticAverage("squares"),
    "rahinge": RelativisticAverage("hinge"),
    "rahinge_linear": RelativisticAverage("hinge", generator="linear"),
    "fisher": Fisher(rho=1e-6),
    "ebgan": EBGAN(margin=1.0),
    "began": began(),
    **{name: kind() for name, kind in FGANS.items()},
    **{f"{name}_saturating": kind(saturating=True) for name, kind in FGANS.items()},
}
ALL = SCALAR | {"cramer": Cramer(), "mmd": MMD([0.2, 0.5, 1.0, 2.0, 5.0])}


def kl(p: np.ndarray, q: np.ndarray) -> float:
    there = p > 0
    return float((p[there] * np.log(p[there] / q[there])).sum())


def jsd(p: np.ndarray, q: np.ndarray) -> float:
    m = (p + q) / 2
    return (kl(p, m) + kl(q, m)) / 2


def half_sum(p: np.ndarray, q: np.ndarray) -> float:
    return float((p * q / (p + q)).sum() / 2)


def triangle(p: np.ndarray, q: np.ndarray) -> float:
    return float(((p - q) ** 2 / (p + q)).sum())


def tv(p: np.ndarray, q: np.ndarray) -> float:
    return float(np.abs(p - q).sum() / 2)


CLOSED_FORMS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "minimax": lambda p, q: math.log(4) - 2 * jsd(p, q),
    "vanilla": lambda p, q: math.log(4) - 2 * jsd(p, q),
    "lsgan": half_sum,
    "lsgan_pearson": lambda p, q: 4 * half_sum(p, q),  # labels two apart instead of one: squares are fourfold
    "hinge": lambda p, q: 2 * float(np.minimum(p, q).sum()),
    "ralsgan": lambda p, q: (2 - triangle(p, q)) / (2 + 3 * triangle(p, q)),
    "ebgan": lambda p, q: 1 - tv(p, q),
    "fgan_kl": lambda p, q: -kl(p, q),
    "fgan_reverse_kl": lambda p, q: -kl(q, p),
    "fgan_pearson": lambda p, q: -float(((p - q) ** 2 / q).sum()),
    "fgan_neyman": lambda p, q: -float(((p - q) ** 2 / p).sum()),
    "fgan_squared_hellinger": lambda p, q: -float(((np.sqrt(p) - np.sqrt(q)) ** 2).sum()),
    "fgan_jensen_shannon": lambda p, q: -2 * jsd(p, q),
    "fgan_gan": lambda p, q: math.log(4) - 2 * jsd(p, q),
    "fgan_total_variation": lambda p, q: -tv(p, q),
}
INFINITE_APART = {"fgan_kl", "fgan_reverse_kl", "fgan_pearson", "fgan_neyman"}
CASES = [(n, pair) for n in CLOSED_FORMS for pair in PAIRS if pair != "no overlap" or n not in INFINITE_APART]
TELLING = ("asymmetric", "no overlap")  # where p and q differ most, and are told apart most easily


def symbols(counts: list[int]) -> Tensor:
    return torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))


def normalised(pair: str) -> tuple[np.ndarray, np.ndarray]:
    p, q = PAIRS[pair]
    return np.array(p) / sum(p), np.array(q) / sum(q)


def minimised(
    objective: Objective, real: Tensor, fake: Tensor, size: int, score: Callable[[Tensor], Tensor] = lambda v: v
) -> tuple[float, Tensor]:
    """Minimise the D loss over a tabular critic, one free score per symbol, in float64. Returns loss and scores."""
    critic = torch.full((size,), 0.1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([critic], lr=0.5, betas=(0.5, 0.9), fused=True)
    for step in range(2000):
        optimizer.param_groups[0]["lr"] = 0.5 * 10 ** (-9 * max(0, step - 500) / 1500)
        optimizer.zero_grad()
        scores = score(critic)
        loss = objective.d_loss(scores[real], scores[fake])
        loss.backward()
        optimizer.step()
    return loss.item(), scores.detach()


@lru_cache
def best(name: str, pair: str) -> tuple[float, Tensor]:
    p, q = PAIRS[pair]
    score = (lambda v: -v.square()) if name == "ebgan" else lambda v: v  # an energy, minus the score, is never negative
    return minimised(ALL[name], symbols(p), symbols(q), len(p), score)


@pytest.mark.parametrize(("name", "pair"), only([case for case in CASES if case[1] in TELLING], CASES))
def test_d_loss_reaches_its_closed_form_with_a_tabular_critic(name: str, pair: str) -> None:
    p, q = normalised(pair)
    loss, scores = best(name, pair)
    assert loss == pytest.approx(CLOSED_FORMS[name](p, q), abs=1e-6)
    if pair != "no overlap" and (log_ratio := ALL[name].log_ratio(scores)) is not None:
        np.testing.assert_allclose(log_ratio, np.log(p / q), atol=1e-3)  # what the optimum says of p/q


def test_closed_forms_at_the_published_pair() -> None:
    p, q = normalised("symmetric")
    assert jsd(p, q) == pytest.approx(0.106440135286, abs=1e-12)
    published = {
        "minimax": 1.173414090547,
        "lsgan": 0.2,
        "hinge": 1.2,
        "fgan_kl": -0.456434819147,
        "fgan_reverse_kl": -0.456434819147,
        "fgan_pearson": -1.208333333333,
        "fgan_neyman": -1.208333333333,
        "fgan_squared_hellinger": -0.220204102887,
        "fgan_jensen_shannon": -0.212880270572,
        "fgan_gan": 1.173414090547,
        "fgan_total_variation": -0.4,
    }
    for name, value in published.items():
        assert CLOSED_FORMS[name](p, q) == pytest.approx(value, abs=1e-12)
    assert math.sqrt(2 * triangle(p, q)) == pytest.approx(0.894427191, abs=1e-9)  # fisher


@pytest.mark.parametrize("pair", PAIRS)
def test_fisher_reaches_the_fisher_distance_with_second_moment_one(pair: str) -> None:
    p, q = PAIRS[pair]
    real, fake, objective = symbols(p), symbols(q), Fisher(rho=4.0).double()
    critic = torch.linspace(-0.5, 0.6, len(p), dtype=torch.float64).requires_grad_()

    def d_loss() -> Tensor:
        optimizer.zero_grad()
        loss = objective.d_loss(critic[real], critic[fake])
        loss.backward()
        return loss

    for _ in range(40):  # the method of multipliers: minimise, then move the multiplier as the training does
        optimizer = torch.optim.LBFGS(
            [critic], max_iter=100, tolerance_grad=0, tolerance_change=0, line_search_fn="strong_wolfe"
        )
        optimizer.step(d_loss)
        with torch.no_grad():
            objective.after_d_step(critic[real], critic[fake])
    expected = math.sqrt(2 * triangle(*normalised(pair)))
    assert d_loss().item() == pytest.approx(-expected, abs=1e-6)
    readings = objective.estimates(critic[real].detach(), critic[fake].detach())
    assert readings["fisher_distance_lower_bound_unitless"].item() == pytest.approx(expected, abs=1e-6)
    assert readings["omega"].item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("pair", only(["asymmetric", "equal"], PAIRS))
@pytest.mark.parametrize(("name", "at_equality"), [("rsgan", math.log(2)), ("rasgan", math.log(2)), ("rahinge", 1.0)])
def test_relativistic_d_loss_is_what_a_guess_costs_exactly_when_p_is_q(
    name: str, at_equality: float, pair: str
) -> None:
    p, q = PAIRS[pair]
    real, fake = symbols(p), symbols(q)
    n = len(real)
    if name == "rsgan":  # every real against every fake: the expectation over independent pairs
        real, fake = real.repeat_interleave(len(fake)), fake.repeat(n)
    loss, _ = minimised(ALL[name], real, fake, len(p))
    if pair == "equal":
        assert loss == pytest.approx(at_equality, abs=1e-6)
    else:
        assert loss < at_equality - 0.01


def test_relativistic_values_by_hand() -> None:
    real, fake = torch.tensor([2.0, 0.0]), torch.tensor([-1.0, 0.0])  # means 1 and -1/2, differences 3 and 0
    softplus = lambda t: math.log1p(math.exp(t))  # noqa: E731
    assert ALL["rsgan"].d_loss(real, fake).item() == pytest.approx((softplus(-3) + softplus(0)) / 2)
    assert ALL["rsgan"].g_loss(fake, real).item() == pytest.approx((softplus(3) + softplus(0)) / 2)
    by_hand = (softplus(-2.5) + softplus(-0.5)) / 4 + (softplus(-2) + softplus(-1)) / 4
    assert ALL["rasgan"].d_loss(real, fake).item() == pytest.approx(by_hand)
    # squares: r - E f - 1 is 1.5 and -0.5, E r - f - 1 is 1 and 0
    assert ALL["ralsgan"].d_loss(real, fake).item() == pytest.approx((2.25 + 0.25) / 4 + (1 + 0) / 4)
    # roles swapped: f - E r - 1 is -3 and -2, E f - r - 1 is -3.5 and -1.5
    assert ALL["ralsgan"].g_loss(fake, real).item() == pytest.approx((9 + 4) / 4 + (12.25 + 2.25) / 4)
    # hinge: 1 - (r - E f) is -1.5 and 0.5, 1 - (E r - f) is -1 and 0
    assert ALL["rahinge"].d_loss(real, fake).item() == pytest.approx((0 + 0.5) / 4 + 0)
    assert ALL["rahinge"].g_loss(fake, real).item() == pytest.approx((3 + 2) / 4 + (3.5 + 1.5) / 4)
    assert ALL["rahinge_linear"].g_loss(fake, real).item() == pytest.approx(0.5 + 1)


def test_fgan_g_losses_by_hand() -> None:
    fake = torch.tensor([0.5])
    assert KL().g_loss(fake).item() == pytest.approx(-0.5)
    assert KL(saturating=True).g_loss(fake).item() == pytest.approx(-math.exp(-0.5))
    assert GAN().g_loss(fake).item() == pytest.approx(math.log1p(math.exp(-0.5)))  # the non-saturating loss
    assert GAN(saturating=True).g_loss(fake).item() == pytest.approx(-math.log1p(math.exp(0.5)))  # minimax


@pytest.mark.parametrize("name", FGANS)
def test_the_composed_conjugate_is_the_conjugate_of_the_activation(name: str) -> None:
    conjugates = {  # f*(t), Nowozin et al. 2016, Table 2
        "fgan_kl": lambda t: torch.exp(t - 1),
        "fgan_reverse_kl": lambda t: -1 - torch.log(-t),
        "fgan_pearson": lambda t: t**2 / 4 + t,
        "fgan_neyman": lambda t: 2 - 2 * torch.sqrt(1 - t),
        "fgan_squared_hellinger": lambda t: t / (1 - t),
        "fgan_jensen_shannon": lambda t: -torch.log(2 - torch.exp(t)),
        "fgan_gan": lambda t: -torch.log(1 - torch.exp(t)),
        "fgan_total_variation": lambda t: t,
    }
    v, objective = torch.linspace(-6, 6, 49, dtype=torch.float64), ALL[name]
    torch.testing.assert_close(objective.conjugate(v), conjugates[name](objective.activation(v)), rtol=1e-9, atol=1e-9)


def test_the_best_logistic_critic_is_the_log_density_ratio() -> None:
    p, q = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]], dtype=torch.float64)
    critic = (p.log() - q.log()).requires_grad_()
    real, fake = symbols([7, 2, 1]), symbols([1, 3, 6])
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


def test_fisher_values_and_multiplier_by_hand() -> None:
    real, fake = torch.tensor([2.0, 0.0]), torch.tensor([-1.0, 1.0])  # Ω = ½·2 + ½·1 = 1.5
    objective = Fisher(rho=0.1)
    assert objective.d_loss(real, fake).item() == pytest.approx(-(1 - 0 + 0 - 0.05 * 0.25))
    objective.after_d_step(real, fake)
    assert objective.multiplier.item() == pytest.approx(0.05)  # 0 - 0.1 (1 - 1.5)
    assert objective.d_loss(real, fake).item() == pytest.approx(-(1 - 0 + 0.05 * -0.5 - 0.05 * 0.25))
    assert objective.g_loss(fake).item() == 0.0


def test_began_keeps_its_balance_by_hand() -> None:
    objective = BEGAN(gamma=0.5, rate=0.1)
    real, fake = torch.tensor([-4.0, -2.0]), torch.tensor([-1.0, -0.0])  # energies: mean 3 and ½
    assert objective.d_loss(real, fake).item() == pytest.approx(3)  # k = 0
    assert objective.g_loss(fake).item() == pytest.approx(0.5)
    objective.after_d_step(real, fake)
    assert objective.balance.item() == pytest.approx(0.1 * (0.5 * 3 - 0.5))
    assert objective.d_loss(real, fake).item() == pytest.approx(3 - 0.1 * 0.5)
    assert objective.estimates(real, fake)["convergence_data_units"].item() == pytest.approx(3 + 1)
    for _ in range(20):
        objective.after_d_step(real, fake)
    assert objective.balance.item() == 1.0
    for _ in range(40):
        objective.after_d_step(fake, real)
    assert objective.balance.item() == 0.0


def test_cramer_g_loss_is_the_energy_distance_up_to_what_g_cannot_change() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=40), rng.normal(1, 2, size=30)
    n, m = len(x), len(y)
    real, fake = torch.from_numpy(x), torch.from_numpy(y)
    pairs = lambda a, b: np.abs(a[:, None] - b[None]).mean()  # noqa: E731
    # scipy counts pairs of a sample with itself, 0 each, so its inner means are (n-1)/n of the unbiased ones.
    unbiased = 2 * pairs(x, y) - pairs(x, x) * n / (n - 1) - pairs(y, y) * m / (m - 1)
    assert energy_distance(x, y) ** 2 == pytest.approx(2 * pairs(x, y) - pairs(x, x) - pairs(y, y), rel=1e-9)
    assert Cramer().estimates(real, fake)["energy_distance_feature_units"].item() == pytest.approx(unbiased, rel=1e-9)
    assert Cramer().g_loss(fake, real).item() == pytest.approx(unbiased + pairs(x, x) * n / (n - 1), rel=1e-9)


def test_cramer_d_loss_is_the_difference_of_the_witness() -> None:
    torch.manual_seed(0)
    real, fake = torch.randn(2, 7, 3, dtype=torch.float64)
    objective = Cramer()
    apart = objective.witness(real, real, fake).mean()
    # Over the batch's own fakes the witness counts each with itself, at distance 0: (n-1)/n of the unbiased mean.
    own = (objective.witness(fake, real, fake) + fake.norm(dim=1)).mean() * 7 / 6 - fake.norm(dim=1).mean()
    assert objective.d_loss(real, fake).item() == pytest.approx((own - apart).item(), rel=1e-9)


def test_mmd_equals_a_double_loop_over_pairs_and_is_zero_on_average_when_p_is_q() -> None:
    alphas, rng = [0.2, 1.0, 5.0], np.random.default_rng(0)
    x, y = rng.normal(size=(6, 2)), rng.normal(0.7, 1, size=(5, 2))

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return sum((1 + ((a - b) ** 2).sum() / (2 * alpha)) ** -alpha for alpha in alphas)

    def within(s: np.ndarray) -> float:
        return np.mean([kernel(s[i], s[j]) for i in range(len(s)) for j in range(len(s)) if i != j])

    expected = within(x) + within(y) - 2 * np.mean([kernel(a, b) for a in x for b in y])
    objective = MMD(alphas)
    assert objective.g_loss(torch.from_numpy(y), torch.from_numpy(x)).item() == pytest.approx(expected, rel=1e-9)
    assert objective.d_loss(torch.from_numpy(x), torch.from_numpy(y)).item() == pytest.approx(-expected, rel=1e-9)
    torch.manual_seed(0)
    same = torch.stack([objective.squared_mmd(*torch.randn(2, 20, 2)) for _ in range(400)])
    assert abs(same.mean()) < 3 * same.std() / 20 and (same < 0).any()


def test_squared_distances_hold_their_digits_far_from_the_origin() -> None:
    from gantrain.losses.kernel import squared_distances

    x = 1000 + torch.rand(5, 3)
    exact = torch.cdist(x.double(), x.double()).square()
    torch.testing.assert_close(squared_distances(x, x).double(), exact, atol=1e-5, rtol=1e-4)


# What an objective reports while it trains, at its optimum: the quantity of its theory.
ESTIMATES: dict[str, tuple[str, Callable[[np.ndarray, np.ndarray], float]]] = {
    "vanilla": ("js_lower_bound_nats", jsd),
    "lsgan": ("le_cam_lower_bound_unitless", lambda p, q: triangle(p, q) / 2),
    "lsgan_pearson": ("le_cam_lower_bound_unitless", lambda p, q: triangle(p, q) / 2),
    "hinge": ("total_variation_lower_bound_unitless", tv),
    "ebgan": ("total_variation_lower_bound_unitless", tv),
    "fgan_kl": ("kl_lower_bound_nats", kl),
    "fgan_reverse_kl": ("reverse_kl_lower_bound_nats", lambda p, q: kl(q, p)),
    "fgan_jensen_shannon": ("twice_js_lower_bound_nats", lambda p, q: 2 * jsd(p, q)),
    "fgan_total_variation": ("total_variation_lower_bound_unitless", tv),
}


@pytest.mark.parametrize("name", ESTIMATES)
def test_the_logged_estimate_is_the_divergence_at_the_optimum_and_less_elsewhere(name: str) -> None:
    tag, truth = ESTIMATES[name]
    p, q = PAIRS["asymmetric"]
    expected = truth(*normalised("asymmetric"))
    _, scores = best(name, "asymmetric")
    for noise in (0.0, 0.3, -0.5):
        other = scores * (1 + noise)
        estimate = ALL[name].estimates(other[symbols(p)], other[symbols(q)])[tag].item()
        assert estimate == pytest.approx(expected, abs=1e-6) if noise == 0 else estimate < expected + 1e-9


@pytest.mark.parametrize("name", ALL)
def test_every_objective_reports_what_it_measures_with_a_unit(name: str) -> None:
    torch.manual_seed(0)
    readings = ALL[name].estimates(-torch.rand(6), -torch.rand(6))
    assert readings and all(torch.isfinite(value) and value.ndim == 0 for value in readings.values())
    units = ("_nats", "_unitless", "_data_units", "_feature_units", "_slope")
    assert next(iter(readings)).endswith(units)


@pytest.mark.parametrize("name", ALL)
def test_gradients_equal_finite_differences(name: str) -> None:
    torch.manual_seed(0)
    real, fake = (torch.randn(6, dtype=torch.float64, requires_grad=True) for _ in range(2))
    objective = ALL[name].double()
    assert torch.autograd.gradcheck(objective.d_loss, (real, fake))
    assert torch.autograd.gradcheck(lambda f, r: objective.g_loss(f, r), (fake, real))


@pytest.mark.parametrize("name", ["cramer", "mmd"])
def test_gradients_of_feature_vectors_and_witness_equal_finite_differences(name: str) -> None:
    torch.manual_seed(0)
    real, fake, other = (torch.randn(4, 3, dtype=torch.float64, requires_grad=True) for _ in range(3))
    assert torch.autograd.gradcheck(ALL[name].d_loss, (real, fake))
    assert torch.autograd.gradcheck(lambda f, r: ALL[name].g_loss(f, r), (fake, real))
    assert torch.autograd.gradcheck(ALL[name].witness, (other, real, fake))
    assert torch.autograd.gradgradcheck(ALL[name].witness, (other, real, fake))


@pytest.mark.parametrize("name", SCALAR)
def test_a_g_step_on_a_fixed_critic_raises_its_score_of_fakes(name: str) -> None:
    torch.manual_seed(0)
    weight = torch.randn(3)
    fakes = (0.1 * torch.randn(5, 3)).requires_grad_()
    before = fakes @ weight - 0.5  # below 0, which is as real as lsgan_pearson's G wants to look
    (gradient,) = torch.autograd.grad(SCALAR[name].float().g_loss(before, torch.zeros(5)), fakes)
    assert ((fakes - 0.1 * gradient) @ weight - 0.5).mean() > before.mean()


@pytest.mark.parametrize("name", ["cramer", "mmd"])
def test_a_g_step_brings_the_features_of_fakes_to_those_of_reals(name: str) -> None:
    torch.manual_seed(0)
    real, fake = torch.randn(8, 3) + torch.tensor([2.0, 0, 0]), torch.randn(8, 3).requires_grad_()
    (gradient,) = torch.autograd.grad(ALL[name].float().g_loss(fake, real), fake)
    assert gradient[:, 0].mean() < 0
    after = (fake - gradient).detach()
    assert (real.mean(0) - after.mean(0)).norm() < (real.mean(0) - fake.mean(0)).norm()


@pytest.mark.parametrize("name", SCALAR)
def test_a_d_step_parts_the_scores(name: str) -> None:
    real, fake = (torch.full((4,), 0.5, requires_grad=True) for _ in range(2))
    by_real, by_fake = torch.autograd.grad(SCALAR[name].float().d_loss(real, fake), (real, fake))
    assert (by_real < 0).all() and (by_fake > 0).all()


@pytest.mark.parametrize("name", ["cramer", "mmd"])
def test_a_d_step_raises_the_distance_of_the_features(name: str) -> None:
    torch.manual_seed(0)
    real, fake = (torch.randn(6, 2).requires_grad_() for _ in range(2))
    objective = ALL[name].float()
    before = objective.d_loss(real, fake)
    by_real, by_fake = torch.autograd.grad(before, (real, fake))
    assert objective.d_loss(real - 0.1 * by_real, fake - 0.1 * by_fake) < before


@pytest.mark.parametrize("magnitude", [80.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ALL)
def test_extreme_scores_give_finite_values_and_gradients(name: str, dtype: torch.dtype, magnitude: float) -> None:
    signs = torch.tensor([-1.0, 1.0, 0.0, -1.0], dtype=dtype) * magnitude
    for real, fake in (
        (signs, signs.flip(0)),
        (signs, signs),
        (signs.abs(), -signs.abs()),
        (-signs.abs(), signs.abs()),
    ):
        for value in losses_of(ALL[name].float(), real, fake):
            assert torch.isfinite(value).all()


def losses_of(objective: Objective, real: Tensor, fake: Tensor) -> list[Tensor]:
    real, fake = real.clone().requires_grad_(), fake.clone().requires_grad_()
    d_loss, g_loss = objective.d_loss(real, fake), objective.g_loss(fake, real)
    return [d_loss, g_loss, *torch.autograd.grad(d_loss, (real, fake)), *torch.autograd.grad(g_loss, fake)]


@pytest.mark.parametrize("name", ALL)
def test_d_loss_moves_no_state(name: str) -> None:
    objective = ALL[name].float()
    before = {k: v.clone() for k, v in objective.state_dict().items()}
    torch.manual_seed(0)
    scores = -torch.rand(2, 5)
    assert objective.d_loss(*scores).item() == objective.d_loss(*scores).item()
    assert all(torch.equal(v, before[k]) for k, v in objective.state_dict().items())


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("LeastSquares", {"a": 1.0, "b": 0.0}),
        ("Fisher", {"rho": 0.0}),
        ("EBGAN", {"margin": 0.0}),
        ("BEGAN", {"gamma": 2.0, "rate": 0.1}),
        ("MMD", {"alphas": []}),
        ("MMD", {"alphas": [1.0, -1.0]}),
        ("RelativisticPaired", {"link": "cubes"}),
        ("RelativisticAverage", {"link": "hinge", "generator": "none"}),
        ("Unrolled", {"steps": -1, "lr": 0.1}),
        ("Unrolled", {"steps": 1, "lr": 0.0}),
    ],
)
def test_senseless_settings_are_refused(name: str, settings: dict) -> None:
    with pytest.raises(ConfigError, match=r"must|needs"):
        getattr(losses, name)(**settings)


def test_the_tame_exponential_is_the_exponential_up_to_80_and_has_its_slope_there() -> None:
    v = torch.tensor([-80.0, 0.0, 79.0, 80.0, 80.001, 1e4], dtype=torch.float64, requires_grad=True)
    value = tame_exp(v)
    torch.testing.assert_close(value[:4], v[:4].exp(), rtol=1e-12, atol=0)
    (slope,) = torch.autograd.grad(value.sum(), v)
    torch.testing.assert_close(slope[:4], v[:4].exp().detach(), rtol=1e-12, atol=0)
    assert slope[4] == pytest.approx(math.exp(80), rel=0.01) and slope[5] > 0 and value[5] > value[4]
    assert torch.isfinite(tame_exp(torch.tensor([1e4, 1e30]))).all()


@pytest.mark.parametrize("objective", [Fisher(1e-3), BEGAN(0.5, 0.01)])
def test_a_batch_that_overflowed_leaves_an_objectives_state_alone(objective: Objective) -> None:
    objective.after_d_step(torch.tensor([-3.0]), torch.tensor([-1.0]))
    before = {name: value.clone() for name, value in objective.state_dict().items()}
    objective.after_d_step(torch.tensor([float("inf")]), torch.tensor([float("nan")]))
    assert all(torch.equal(value, before[name]) for name, value in objective.state_dict().items())
    objective.after_d_step(torch.tensor([-3.0]), torch.tensor([-1.0]))
    assert any(not torch.equal(value, before[name]) for name, value in objective.state_dict().items())
