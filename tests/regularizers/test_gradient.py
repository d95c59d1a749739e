"""Penalties at points where their value is known by hand, and what they refuse."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from gantrain.errors import ConfigError
from gantrain.losses import BEGAN, EBGAN, MMD, Cramer, Hinge, Loss, Wasserstein
from gantrain.losses.numerics import norm_from_square
from gantrain.losses.turn import Critic, Precision, Scores, Turn
from gantrain.regularizers import (
    R1,
    R2,
    Clip,
    Consistency,
    Dragan,
    GradientPenalty,
    InputGradient,
    LeCam,
    LipschitzPenalty,
    Orthogonal,
    PullingAway,
)
from tests.conftest import CONFIGS, FAMILIES, built, only

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


def scored(d: nn.Module, real: Tensor, fake: Tensor, index: int = 0) -> Turn:
    here = turn(d, real, fake, index)
    return replace(here, scores=Scores(here.critic(real), here.critic(fake)))


def linear(weight: Tensor) -> OfInput:
    return OfInput(lambda x: x.flatten(1) @ weight)


def test_gradient_penalty_of_a_linear_critic_is_norm_minus_one_squared() -> None:
    weight = torch.tensor([3.0, 4.0])  # norm 5: 10 · (5 - 1)² = 160
    real, fake = torch.randn(7, 2), torch.randn(7, 2)
    torch.testing.assert_close(GradientPenalty(10.0).for_d(turn(linear(weight), real, fake)), torch.tensor(160.0))


@pytest.mark.parametrize(
    ("penalty", "expected"),
    [
        (LipschitzPenalty(10.0), 160.0),  # as the two-sided one where the norm is above 1
        (Dragan(10.0, slope=2.0, scale=0.5), 90.0),  # 10 (5 - 2)²
        (R1(3.0), 37.5),  # 3/2 · 25
        (R2(4.0), 50.0),  # 4/2 · 25
    ],
)
def test_every_penalty_of_a_linear_critic_is_the_value_derived_by_hand(penalty: InputGradient, expected: float) -> None:
    weight = torch.tensor([3.0, 4.0])
    term = penalty.for_d(turn(linear(weight), torch.randn(7, 2), torch.randn(7, 2)))
    torch.testing.assert_close(term, torch.tensor(expected))


def test_the_one_sided_penalty_leaves_small_gradients_alone() -> None:
    weight = torch.tensor([0.3, 0.4])
    real, fake = torch.randn(2, 7, 2)
    assert LipschitzPenalty(10.0).for_d(turn(linear(weight), real, fake)).item() == 0.0
    assert GradientPenalty(10.0).for_d(turn(linear(weight), real, fake)).item() == pytest.approx(2.5)


def test_penalties_are_taken_where_their_papers_say() -> None:
    torch.manual_seed(0)
    real, fake = torch.randn(400, 3), 5 + torch.randn(400, 3)
    here = turn(linear(torch.ones(3)), real, fake)
    assert R1(1.0).points(here) is real and R2(1.0).points(here) is fake
    noise = Dragan(1.0, slope=1.0, scale=0.5).points(here) - real
    reach = 0.5 * real.std()
    assert -1e-5 <= noise.min().item() < 0.01 * reach.item()
    assert 0.99 * reach.item() < noise.max().item() <= reach.item() + 1e-5
    assert noise.mean().item() == pytest.approx(reach.item() / 2, rel=0.05)
    assert (noise.std(1) > 0).all()  # one number for each entry, not for each sample


def test_dragan_as_in_the_authors_code_lies_between_the_real_sample_and_its_noise_one_alpha_for_each_sample() -> None:
    torch.manual_seed(0)
    real = torch.randn(4000, 3)
    reach = 0.5 * real.std(correction=0).item()
    noise = (Dragan(1.0, slope=1.0, scale=0.5, interpolate=True).points(turn(nn.Identity(), real, real)) - real) / reach
    assert noise.min().item() >= -1e-5 and noise.max().item() <= 1 + 1e-5
    # α and u both U[0, 1]: E αu = 1/4, and E (αu)(αu') = E α² (E u)² = 1/12 for two entries u, u' of one sample,
    # where a second α would give 1/16. Over 4,000 samples their standard errors are 0.003 and 0.002.
    assert noise.mean().item() == pytest.approx(1 / 4, abs=0.012)
    assert (noise[:, 0] * noise[:, 1]).mean().item() == pytest.approx(1 / 12, abs=0.007)
    # The critic x²/2 has gradient x, and the reals -1 and 1 have standard deviation 1. With slope 0 the penalty is
    # E (x + αu/2)² = 1 + 1/36, as E α²u² = 1/9; without α it would be 1 + 1/12. Its standard error is 0.004.
    mixed = torch.tensor([[-1.0], [1.0]]).repeat(4000, 1)
    penalty = Dragan(1.0, slope=0.0, scale=0.5, interpolate=True)
    value = penalty.for_d(turn(OfInput(lambda x: x.square().sum(1) / 2), mixed, mixed)).item()
    assert value == pytest.approx(1 + 1 / 36, abs=0.015)


def test_dragan_as_in_the_papers_equation_moves_to_both_sides() -> None:
    torch.manual_seed(0)
    real = torch.randn(4000, 3)
    noise = Dragan(1.0, slope=1.0, scale=0.5, normal=True).points(turn(nn.Identity(), real, real)) - real
    noise = noise / real.std(correction=0)
    assert noise.mean().item() == pytest.approx(0, abs=0.02)  # standard error 0.5/√12,000 = 0.005
    assert noise.std().item() == pytest.approx(0.5, abs=0.02)
    assert (noise.abs() > 1).float().mean().item() == pytest.approx(0.0455, abs=0.008)  # beyond two deviations


def test_r1_of_a_quadratic_critic_is_its_mean_squared_gradient() -> None:
    real, fake = torch.tensor([[1.0, 2.0], [0.0, 3.0]]), torch.zeros(2, 2)
    critic = OfInput(lambda x: x.square().sum(1) / 2)  # gradient x: squared norms 5 and 9
    assert R1(2.0).for_d(turn(critic, real, fake)).item() == pytest.approx(7)
    assert R2(2.0).for_d(turn(critic, real, fake)).item() == 0.0


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


@pytest.mark.parametrize(
    "kind", [GradientPenalty(10.0), LipschitzPenalty(10.0), Dragan(10.0, 1.0, 0.5), R1(10.0), R2(10.0)], ids=repr
)
def test_penalties_train_d_by_double_backward_equal_to_finite_differences(kind: InputGradient) -> None:
    torch.manual_seed(0)
    real, fake = torch.randn(2, 3, 2).double()

    def penalty(first: Tensor, second: Tensor) -> Tensor:
        torch.manual_seed(1)  # the same points each time
        return kind.for_d(turn(OfInput(lambda x: torch.tanh(x @ first) @ second), real, fake))

    weights = [torch.randn(*s, dtype=torch.float64, requires_grad=True) for s in ((2, 5), (5,))]
    assert torch.autograd.gradcheck(penalty, weights)


def test_a_constant_critic_gives_a_finite_penalty_and_gradient() -> None:
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
    Loss(Wasserstein(), {"clip": Clip(0.01)}).after_d_step(scored(OfInput(d), torch.ones(2, 50), torch.zeros(2, 50)))
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
    assert {k: v.item() for k, v in cost.readings.items()} == {
        "score_real": 7.0,
        "score_fake": 0.0,
        "wasserstein_1_data_units": 7.0,
    }


@pytest.mark.parametrize(
    ("terms", "tag"),
    [
        ({"gp": GradientPenalty(10.0)}, "wasserstein_1_data_units"),
        ({"lp": LipschitzPenalty(0.1)}, "wasserstein_1_data_units"),
        ({}, "wasserstein_1_times_unknown_slope"),
        ({"gp": GradientPenalty(0.0)}, "wasserstein_1_times_unknown_slope"),
        ({"clip": Clip(0.01)}, "wasserstein_1_times_unknown_slope"),
        ({"r1": R1(10.0)}, "wasserstein_1_times_unknown_slope"),
    ],
)
def test_the_unit_of_the_wasserstein_distance_follows_what_bounds_the_slope(terms: dict, tag: str) -> None:
    real, fake = torch.ones(3, 2), torch.zeros(3, 2)
    cost = Loss(Wasserstein(), terms).for_d(turn(linear(torch.tensor([3.0, 4.0])), real, fake))
    assert set(cost.readings) == {"score_real", "score_fake", tag}


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["loss=wgan_gp", "regularizer=[gradient_penalty]"], ["has the term gp already", "gp.weight=10.0"]),
        (["loss=r3gan", "regularizer=[r1]"], ["has the term r1 already", "loss.regularizers.r1.weight=1.0"]),
        (["loss=r3gan", "regularizer=r2"], ["has the term r2 already"]),
        (["loss=wgan_lp", "regularizer=[gradient_penalty]"], ["gp is of the same kind", "~loss.regularizers.lp"]),
        (["loss=wgan", "regularizer=[lecam,clip]"], ["has the term clip already"]),
    ],
)
def test_a_term_that_the_loss_has_already_is_refused(
    gantrain, tmp_path, overrides: list[str], named: list[str]
) -> None:
    outcome = gantrain("data=ring", "total_steps=1", "evaluation=none", *overrides)
    assert outcome.exit_code == 2 and all(text in outcome.err for text in named), outcome.err
    assert not list(tmp_path.rglob("status.json"))


def test_a_term_that_the_loss_lacks_is_added(gantrain, tmp_path) -> None:
    outcome = gantrain(
        "data=ring", "total_steps=1", "evaluation=none", "loss=hinge", "regularizer=[gradient_penalty,r2]"
    )
    assert outcome.exit_code == 0, outcome.err
    (lines,) = tmp_path.rglob("metrics.jsonl")
    assert {"d/gp", "d/r2"} <= json.loads(lines.read_text().splitlines()[0]).keys()


@pytest.mark.thorough
def test_a_recipe_that_fails_on_points_says_so_and_one_that_works_does_not() -> None:
    losses = sorted(path.stem for path in (CONFIGS / "loss").glob("*.yaml"))
    said = {name: built("data=ring", f"loss={name}").trainer.loss.cautions((2,)) for name in losses}
    failing = {"wgan_gp", "dragan", "wgan", "ebgan", "began", "fgan_neyman", "unrolled"}  # docs/losses.md
    assert {name for name, cautions in said.items() if cautions} == failing
    assert built("data=ring", "loss=wgan_gp", "loss.regularizers.gp.weight=0.1").trainer.loss.cautions((2,)) == []
    assert built("loss=wgan_gp").trainer.loss.cautions((1, 8, 8)) == []


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


@pytest.mark.parametrize("norm", ["batch", "layer", "spectral"])
def test_clipping_is_refused_where_normalization_would_be_clipped_or_would_undo_it(norm: str) -> None:
    with pytest.raises(ConfigError, match=r"Clip cannot be used with.*norm=none"):
        built("data=ring", "loss=wgan", f"architecture.discriminator.norm={norm}")


PENALISED = ("wgan_gp", "wgan_lp", "dragan", "r1", "r3gan", "cramer", "mmd")


@pytest.mark.parametrize("loss", only(set(FAMILIES) & set(PENALISED), PENALISED, pytest.mark.every_loss))
def test_losses_with_a_gradient_penalty_refuse_a_d_that_mixes_samples(loss: str) -> None:
    with pytest.raises(ConfigError, match=r"norm=batch.*norm=layer or =none"):
        built("data=ring", f"loss={loss}", "architecture.discriminator.norm=batch")
    mixing = ("data=ring", f"loss={loss}", "architecture.discriminator.minibatch_features=4")
    if loss in ("r1", "r3gan"):
        assert isinstance(built(*mixing).trainer.loss.remarks(built(*mixing).trainer.d.net)[0], str)
        return
    with pytest.raises(ConfigError, match=r"MinibatchDiscrimination.*minibatch_features=0"):
        built(*mixing)


class Mixing(nn.Module):
    """Scores with the sum of the batch, x_i · Σ_j x_j: the gradient of all by one sample is 2 Σ_j x_j."""

    mixes_samples = True

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return (x * x.sum(0)).sum(1)


@pytest.mark.parametrize(("penalty", "of"), [(R1(3.0), "real"), (R2(3.0), "fake")])
def test_zero_centred_penalties_of_a_d_that_compares_samples_take_the_gradient_of_all_scores(
    penalty: InputGradient, of: str
) -> None:
    real, fake, d = torch.randn(5, 2), torch.randn(5, 2), Mixing()
    penalty.check(d)
    term = penalty.for_d(turn(d, real, fake))
    expected = 1.5 * (2 * {"real": real, "fake": fake}[of].sum(0)).square().sum()
    torch.testing.assert_close(term, expected)
    assert f"{type(penalty).__name__} takes the gradient through Mixing" in penalty.remark(d)
    assert penalty.remark(linear(torch.ones(2))) == ""


@pytest.mark.parametrize("penalty", [GradientPenalty(1.0), LipschitzPenalty(1.0), Dragan(1.0, slope=1.0, scale=0.5)])
def test_penalties_that_hold_a_slope_refuse_a_d_that_compares_samples(penalty: InputGradient) -> None:
    with pytest.raises(ConfigError, match=r"Mixing in the discriminator cannot be used.*a discriminator without it"):
        penalty.check(Mixing())


def test_stylegan2s_d_is_played_under_r1_and_refused_under_the_gradient_penalty() -> None:
    small = ("architecture=stylegan2", "architecture.latent_dim=4", "architecture.generator.w_dim=4",
             "architecture.generator.channel_max=4", "ratio=1to1", "optimizer=adam")  # fmt: skip
    trainer = built(*small, "loss=r1").trainer
    trainer.play()
    assert trainer.scalars["d/r1"] > 0
    assert trainer.loss.remarks(trainer.d.net) == [
        "R1 takes the gradient through MinibatchDeviation, so of all the batch's scores"
    ]
    with pytest.raises(ConfigError, match=r"MinibatchDeviation.*minibatch_group=0"):
        built(*small, "loss=wgan_gp")
    built(*small, "loss=wgan_gp", "architecture.discriminator.minibatch_group=0").trainer.play()


def test_a_compiled_d_is_refused_under_a_gradient_penalty_and_accepted_without() -> None:
    net = nn.Linear(2, 1)
    net.compile()
    for d in (net, torch.compile(nn.Linear(2, 1)), nn.Sequential(net)):
        with pytest.raises(ConfigError, match=r"torch\.compile does not differentiate twice"):
            Loss(Wasserstein(), {"gp": GradientPenalty(10.0)}).check(d)
        Loss(Wasserstein()).check(d)


@pytest.mark.parametrize("objective", [BEGAN(0.5, 0.001), EBGAN(1.0)])
def test_an_energy_needs_an_autoencoder(objective: nn.Module) -> None:
    with pytest.raises(ConfigError, match="architecture=autoencoder"):
        Loss(objective).check(nn.Linear(2, 1))


def test_a_penalty_on_feature_vectors_bounds_the_gradient_of_the_witness() -> None:
    torch.manual_seed(0)
    real, fake = torch.randn(5, 2).double(), 3 + torch.randn(5, 2).double()
    d = OfInput(lambda x: x * 2)  # h(x) = 2x, so the gradient of the witness is known from its formula
    for objective in (Cramer(), MMD([1.0])):
        loss = Loss(objective, {"r1": R1(2.0)})
        cost = loss.for_d(turn(d, real, fake))
        x = real.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(objective.witness(2 * x, 2 * real, 2 * fake).sum(), x)
        assert cost.terms["r1"].item() == pytest.approx(gradient.square().sum(1).mean().item(), rel=1e-9)
    weight = torch.eye(2, dtype=torch.float64, requires_grad=True)  # and the penalty trains D through both batches
    penalty = Loss(Cramer(), {"gp": GradientPenalty(1.0)}).for_d(turn(OfInput(lambda x: x @ weight), real, fake))
    assert torch.autograd.grad(penalty.terms["gp"], weight)[0].abs().sum() > 0


def test_lecam_pulls_scores_to_the_other_sides_average() -> None:
    lecam = LeCam(weight=2.0, decay=0.9)
    real, fake = torch.tensor([[3.0], [1.0]]), torch.tensor([[-1.0], [-3.0]])
    identity = linear(torch.ones(1))
    assert lecam.for_d(scored(identity, real, fake)) is None  # no average yet
    lecam.after_d_step(scored(identity, real, fake))
    assert (lecam.average_real.item(), lecam.average_fake.item()) == (2.0, -2.0)
    # E(r - α_F)² = (25 + 9)/2, E(f - α_R)² = (9 + 25)/2
    assert lecam.for_d(scored(identity, real, fake, index=1)).item() == pytest.approx(2 * (17 + 17))
    lecam.after_d_step(scored(identity, real + 2, fake, index=1))
    assert lecam.average_real.item() == pytest.approx(3.0)  # the plain mean of two turns
    lecam.after_d_step(scored(identity, real + 1, fake, index=999))
    assert lecam.average_real.item() == pytest.approx(0.9 * 3 + 0.1 * 3)


def test_lecam_as_in_the_authors_code_spares_scores_beyond_the_other_sides_average() -> None:
    equation, code = LeCam(weight=2.0, decay=0.9), LeCam(weight=2.0, decay=0.9, relu=True)
    real, fake = torch.tensor([[3.0], [-4.0]]), torch.tensor([[-1.0], [4.0]])
    identity = linear(torch.ones(1))
    for lecam in (equation, code):
        lecam.average_real.fill_(2.0)
        lecam.average_fake.fill_(-2.0)
    # r - α_F is 5 and -2, α_R - f is 3 and -2; relu makes 0 of the second of each.
    here = scored(identity, real, fake, index=1)
    assert equation.for_d(here).item() == pytest.approx(2 * ((25 + 4) / 2 + (9 + 4) / 2))
    assert code.for_d(here).item() == pytest.approx(2 * (25 / 2 + 9 / 2))


def test_lecam_begins_after_start_turns_with_averages_of_all_of_them() -> None:
    lecam, identity = LeCam(weight=1.0, decay=0.9, start=3), linear(torch.ones(1))
    found = []
    for index, value in enumerate((1.0, 2.0, 6.0, 3.0)):
        here = scored(identity, torch.full((1, 1), value), torch.zeros(1, 1), index=index)
        found.append((lecam.phase(index), lecam.for_d(here)))
        lecam.after_d_step(here)
    assert found[:3] == [(0, None)] * 3
    # α_R = (1 + 2 + 6)/3 and α_F = 0 by then: (3 - 0)² + (0 - 3)²
    assert found[3][0] == 1 and found[3][1].item() == pytest.approx(9 + 9)


def test_lecams_averages_survive_a_batch_that_overflowed() -> None:
    lecam, identity = LeCam(weight=1.0, decay=0.9), linear(torch.ones(1))
    lecam.after_d_step(scored(identity, torch.ones(2, 1), torch.zeros(2, 1)))
    lecam.after_d_step(scored(identity, torch.full((2, 1), float("inf")), torch.zeros(2, 1), index=1))
    assert (lecam.average_real.item(), lecam.average_fake.item()) == (1.0, 0.0)


def test_one_number_in_the_batch_gives_no_noise_and_no_nan() -> None:
    one = turn(linear(torch.ones(1)), torch.ones(1, 1), torch.zeros(1, 1))
    assert torch.isfinite(Dragan(1.0, slope=1.0, scale=0.5).for_d(one))
    assert torch.isfinite(Consistency(1.0, shift=0, flip=False, jitter=0.1).change(torch.ones(1, 1))).all()


def test_consistency_is_the_squared_change_of_the_score() -> None:
    torch.manual_seed(0)
    images = torch.rand(200, 1, 8, 8)
    regularizer = Consistency(weight=10.0, shift=2, flip=False, jitter=0.01)
    assert regularizer.for_d(scored(OfInput(lambda x: x.flatten(1)[:, 0] * 0 + 7), images, images)).item() == 0
    changed = regularizer.change(images)
    same = (changed == images).flatten(1).all(1).float().mean().item()
    assert same == pytest.approx(1 / 25, abs=0.05)  # no shift in either of 5 × 5 ways
    assert changed.min() >= images.min() and changed.max() <= images.max()  # what enters is the border, not zeros
    corner = OfInput(lambda x: x.flatten(1)[:, 0])
    torch.manual_seed(1)
    expected = 10 * (images[:, 0, 0, 0] - regularizer.change(images)[:, 0, 0, 0]).square().mean()
    torch.manual_seed(1)
    torch.testing.assert_close(regularizer.for_d(scored(corner, images, images)), expected)


def test_consistency_mirrors_half_of_the_images_if_asked_and_jitters_points() -> None:
    torch.manual_seed(0)
    images = torch.rand(400, 1, 4, 4)
    changed = Consistency(1.0, shift=0, flip=True, jitter=0.0).change(images)
    mirrored = (changed == images.flip(-1)).flatten(1).all(1)
    assert (mirrored | (changed == images).flatten(1).all(1)).all()
    assert mirrored.float().mean().item() == pytest.approx(0.5, abs=0.08)
    points = 3 * torch.randn(1000, 2)
    noise = Consistency(1.0, shift=0, flip=False, jitter=0.1).change(points) - points
    assert noise.std().item() == pytest.approx(0.3, rel=0.1)


def test_orthogonal_is_zero_at_right_angles_whatever_the_lengths_and_by_hand_elsewhere() -> None:
    layer = nn.Linear(3, 2, bias=False)
    layer.weight.data = torch.tensor([[2.0, 0, 0], [0, 3.0, 0]])
    here = turn(OfInput(layer), torch.randn(2, 3), torch.randn(2, 3))
    regularizer = Orthogonal(weight=0.5, generator=False, discriminator=True)
    assert regularizer.for_d(here).item() == 0 and regularizer.for_g(here) is None
    layer.weight.data = torch.tensor([[2.0, 1.0, 0], [0, 3.0, 0]])  # W Wᵀ has 3 twice off its diagonal
    assert regularizer.for_d(here).item() == pytest.approx(0.5 * 18)
    kernel = nn.ConvTranspose2d(2, 3, 2, bias=False)  # stored as (inputs, outputs, …)
    kernel.weight.data.zero_()
    kernel.weight.data[:, 0, 0, 0] = 1.0
    kernel.weight.data[:, 1, 0, 0] = 1.0  # outputs 0 and 1 share both inputs: inner product 2, twice
    assert regularizer.term(kernel).item() == pytest.approx(0.5 * 8)


def test_the_gradient_of_orthogonal_is_twice_that_of_the_authors_code() -> None:
    layer = nn.Linear(2, 2, bias=False)
    layer.weight.data = torch.tensor([[1.0, 2.0], [3.0, 4.0]])  # W Wᵀ has 11 off its diagonal
    here = turn(OfInput(layer), torch.randn(2, 2), torch.randn(2, 2))
    (gradient,) = torch.autograd.grad(Orthogonal(1.0, False, True).for_d(here), layer.weight)
    torch.testing.assert_close(gradient, 44 * torch.tensor([[3.0, 4.0], [1.0, 2.0]]))  # 4 [[0, 11], [11, 0]] W
    (gradient,) = torch.autograd.grad(Orthogonal(0.5, False, True).for_d(here), layer.weight)
    torch.testing.assert_close(gradient, 22 * torch.tensor([[3.0, 4.0], [1.0, 2.0]]))  # the code's: 2 [[0, 11], …] W


class Coded(nn.Module):
    """A discriminator that encodes each sample as itself."""

    def encode(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return x

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return x.sum(1)


def test_pulling_away_is_the_mean_squared_cosine_of_different_codes() -> None:
    codes = torch.tensor([[3.0, 4.0], [5.0, 0.0], [0.0, -2.0]])
    here = turn(Coded(), torch.zeros(3, 2), codes)
    # cosines 3/5, -4/5 and 0; every pair stands twice among the 3 · 2: (9/25 + 16/25 + 0)/3
    assert PullingAway(0.3).for_g(here).item() == pytest.approx(0.3 / 3)
    assert PullingAway(0.3).for_d(here) is None
    alike = turn(Coded(), torch.zeros(3, 2), torch.tensor([[1.0, 2.0], [10.0, 20.0], [-3.0, -6.0]]))
    assert PullingAway(0.1).for_g(alike).item() == pytest.approx(0.1)  # a collapsed generator pays the whole weight
    assert PullingAway(1.0).for_g(turn(Coded(), torch.zeros(1, 2), codes[:1])).item() == 0


def test_pulling_away_turns_codes_apart_and_bears_a_code_of_zeros() -> None:
    # d/dy cos² of (1, 0) and (1, y)/√(1 + y²) is d/dy 1/(1 + y²) = -2y/(1 + y²)²: -1/2 at y = 1. Its mean over both
    # pairs is the same. Descent turns the second code away from the first.
    codes = torch.tensor([[1.0, 0.0], [1.0, 1.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(PullingAway(1.0).for_g(turn(Coded(), torch.zeros(2, 2), codes)), codes)
    torch.testing.assert_close(gradient[1], torch.tensor([0.5, -0.5]))  # at right angles to the code itself
    zeros = torch.tensor([[0.0, 0.0], [1.0, 1.0]], requires_grad=True)
    term = PullingAway(1.0).for_g(turn(Coded(), torch.zeros(2, 2), zeros))
    assert term.item() == 0 and torch.autograd.grad(term, zeros)[0].isfinite().all()


def test_pulling_away_reaches_ebgans_generator_through_the_encoder_and_needs_one() -> None:
    trainer = built("loss=ebgan", "data=digits", "batch_size=8", "regularizer=[pulling_away]").trainer
    trainer.g_turn(*trainer.data.next(), True)
    assert 0 < trainer.scalars["g/pulling_away"].item() < 0.1
    points = ("loss=ebgan", "data=ring", "regularizer=[pulling_away]")  # whose code has one number
    with pytest.raises(ConfigError, match=r"one number is too short: set architecture.discriminator.code_dim=2"):
        built(*points)
    built(*points, "architecture.discriminator.code_dim=2")
    with pytest.raises(ConfigError, match=r"PullingAway needs .* encodes its input: use architecture=autoencoder"):
        built("loss=vanilla", "data=ring", "regularizer=[pulling_away]")


@pytest.mark.parametrize(
    "regularizer",
    [
        LeCam(2.0, 0.9),
        LeCam(2.0, 0.9, relu=True),
        Consistency(3.0, shift=0, flip=False, jitter=0.5),
        Orthogonal(0.5, False, True),
    ],
    ids=lambda r: type(r).__name__,
)
def test_other_terms_train_d_by_gradients_equal_to_finite_differences(regularizer: nn.Module) -> None:
    torch.manual_seed(0)
    real, fake = torch.randn(2, 4, 3).double()
    layer = nn.Linear(3, 2).double()
    regularizer.double()

    def term(weight: Tensor) -> Tensor:
        torch.manual_seed(1)  # the same noise each time
        d = OfInput(lambda x: torch.tanh(x @ weight.T).sum(1))
        d.layer = layer
        layer.weight = weight
        return regularizer.for_d(scored(d, real, fake, index=1))

    weight = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    del layer.weight
    assert torch.autograd.gradcheck(term, weight)


REGULARIZERS = ["r1", "r2", "gradient_penalty", "dragan", "lecam", "consistency", "clip", "orthogonal"]


@pytest.mark.parametrize("data", ["ring", "digits"])
@pytest.mark.parametrize("regularizer", REGULARIZERS)
def test_a_regularizer_can_be_added_to_a_loss_and_is_logged_by_its_name(regularizer: str, data: str) -> None:
    trainer = built("loss=hinge", f"data={data}", f"regularizer=[{regularizer}]").trainer
    for _ in range(2):
        trainer.d_turn(*trainer.data.next(), True)
        trainer.g_turn(*trainer.data.next(), True)
    assert all(torch.isfinite(value) for value in trainer.scalars.values())
    (name,) = trainer.loss.regularizers
    assert name == {"gradient_penalty": "gp"}.get(regularizer, regularizer)
    assert name == "clip" or {f"d/{name}", f"g/{name}"} & set(trainer.scalars)
    assert regularizer != "clip" or max(p.abs().max() for p in trainer.d.net.parameters()) <= 0.01


def test_all_regularizers_together_add_to_a_loss_that_has_its_own() -> None:
    others = [name for name in REGULARIZERS if name != "gradient_penalty"]
    trainer = built("loss=wgan_gp", "data=ring", f"regularizer=[{','.join(others)}]").trainer
    assert set(trainer.loss.regularizers) == {"gp", *others}
    trainer.d_turn(*trainer.data.next())
    trainer.g_turn(*trainer.data.next())


@pytest.mark.parametrize(
    "make",
    [
        lambda: R1(-1.0),
        lambda: Dragan(1.0, slope=-1.0, scale=0.5),
        lambda: LeCam(1.0, decay=1.0),
        lambda: LeCam(1.0, decay=0.9, start=-1),
        lambda: PullingAway(-1.0),
        lambda: Consistency(1.0, shift=-1, flip=False, jitter=0.1),
        lambda: Orthogonal(-1.0, True, True),
        lambda: Clip(0.0),
    ],
)
def test_regularizers_refuse_senseless_settings(make) -> None:
    with pytest.raises(ConfigError, match="needs"):
        make()


def test_dragans_noise_is_in_standard_deviations_over_all_entries_of_the_batch(monkeypatch) -> None:
    monkeypatch.setattr(torch, "rand_like", torch.ones_like)
    real = torch.tensor([[0.0, 2.0], [4.0, 6.0]])  # mean 3, mean square deviation (9 + 1 + 1 + 9) / 4 = 5
    moved = Dragan(10.0, 1.0, 0.5).points(turn(linear(torch.ones(2)), real, real))
    assert torch.allclose(moved - real, torch.full((2, 2), 0.5 * 5**0.5))


def test_consistency_shifts_images_by_every_number_of_pixels_each_way() -> None:
    torch.manual_seed(0)
    image = torch.arange(25.0).reshape(1, 1, 5, 5).expand(200, 1, 5, 5)
    changed = Consistency(1.0, shift=1, flip=False, jitter=0.0).change(image)
    centre = changed[:, 0, 2, 2]  # 12 moves by 5 a row and by 1 a column
    assert set(centre.tolist()) == {12 + 5 * rows + columns for rows in (-1, 0, 1) for columns in (-1, 0, 1)}
