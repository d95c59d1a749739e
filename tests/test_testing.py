"""gantrain.testing: all objectives and regularizers of the house pass, and every kind of fault is named."""

from __future__ import annotations

import math
import random
import re
from collections import deque
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import logsigmoid, relu, softplus

from gantrain import losses, regularizers
from gantrain.errors import ConfigError
from gantrain.losses import BEGAN, EBGAN, Fisher, NonSaturating, Objective
from gantrain.losses.turn import Turn
from gantrain.regularizers import (
    R1,
    R2,
    AuxiliaryClassifier,
    Clip,
    Consistency,
    DataToData,
    DiscriminativeClassifier,
    Dragan,
    GradientPenalty,
    Information,
    InputGradient,
    LeCam,
    LipschitzPenalty,
    MultiHinge,
    Orthogonal,
    PathLength,
    PullingAway,
    Regularizer,
)
from gantrain.testing import ProofError, check_objective, check_regularizer
from tests.losses.test_objective import ALL, CLOSED_FORMS, jsd, triangle

ENERGIES = {"ebgan", "began"}
REGULARIZERS = [
    R1(10.0),
    R1(10.0, every=16),
    R2(10.0),
    GradientPenalty(10.0),
    LipschitzPenalty(10.0, every=3),
    Dragan(10.0, slope=1.0, scale=0.5),
    Dragan(10.0, slope=1.0, scale=0.5, interpolate=True, normal=True),
    LeCam(0.3, decay=0.99),
    LeCam(0.3, decay=0.99, relu=True, start=2),
    Consistency(10.0, shift=1, flip=True, jitter=0.1),
    Clip(0.01),
    Orthogonal(0.01, generator=True, discriminator=True),
    Orthogonal(0.01, generator=True, discriminator=False),
    Orthogonal(0.01, generator=False, discriminator=True),
    PullingAway(0.1),
    PathLength(2.0, every=4, decay=0.01, shrink=2),
    AuxiliaryClassifier(0.7),
    DiscriminativeClassifier(0.7),
    MultiHinge(0.7),
    DataToData(0.7, temperature=0.5, positive=0.9),
    Information(0.7, 0.1, [4, 2], 2),
    Information(0.7, 0.1, [3], 0),
    Information(0.7, 0.1, [], 2),
]


def energy(numbers: Tensor) -> Tensor:
    return -numbers.square()


def unbiased_variance(x: Tensor) -> Tensor:
    """0/0 for one number."""
    return (x - x.mean()).square().sum() / (x.new_tensor(x.numel()) - 1)


@pytest.mark.parametrize("name", ALL)
def test_every_objective_passes_with_its_closed_form(name: str) -> None:
    if name in ENERGIES:
        check_objective(ALL[name], CLOSED_FORMS.get(name), scores=energy)
    else:
        check_objective(ALL[name], CLOSED_FORMS.get(name))


def test_the_state_of_fisher_follows_its_optimum_to_the_closed_form() -> None:
    check_objective(Fisher(rho=4.0), lambda p, q: -math.sqrt(2 * triangle(p, q)))


@pytest.mark.parametrize("objective", [EBGAN(margin=0.01), BEGAN(gamma=0.5, rate=0.001), Fisher(rho=1e-3)])
def test_an_objective_passes_at_other_settings_and_before_its_state_has_moved(objective: Objective) -> None:
    check_objective(objective, scores=energy)


@pytest.mark.parametrize("regularizer", REGULARIZERS, ids=lambda r: type(r).__name__)
def test_every_regularizer_passes(regularizer: Regularizer) -> None:
    check_regularizer(regularizer)


def test_no_class_of_the_house_is_left_out() -> None:
    bases = {"Objective", "FDivergence", "Regularizer", "InputGradient"}
    own = lambda module, kind: {  # noqa: E731
        n for n in module.__all__ if isinstance(getattr(module, n), type) and issubclass(getattr(module, n), kind)
    }
    assert own(losses, Objective) - bases == {type(objective).__name__ for objective in ALL.values()}
    assert own(regularizers, Regularizer) - bases == {type(regularizer).__name__ for regularizer in REGULARIZERS}


class RandomPairs(NonSaturating):
    """Draws from torch's global generator, as a class of one's own may."""

    over_batch = True
    g_uses_real = True

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(fake - real[torch.randperm(len(real))]).mean()

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        assert real is not None
        return self.d_loss(fake, real)

    def log_ratio(self, scores: Tensor) -> None:
        return None

    def estimates(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        return {}


def test_seeded_random_numbers_and_no_estimates_are_fine() -> None:
    check_objective(RandomPairs())


# One class for each fault. The text is what the error must say.
class WrongSignOfD(NonSaturating):
    """the_loss.d_loss has the wrong sign"""

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return super().d_loss(fake, real)


class WrongSignOfG(NonSaturating):
    """the_loss.g_loss has the wrong sign"""

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return softplus(fake).mean()


class WithoutMean(NonSaturating):
    """the_loss.d_loss returns shape (8,) for scores of shape (8,) in torch.float32: return a scalar"""

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(-real) + softplus(fake)


class MeanOfOneDimension(NonSaturating):
    """the_loss.g_loss returns shape (3,) for scores of shape (8, 3)"""

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return softplus(-fake).mean(0)


class PythonNumber(NonSaturating):
    """the_loss.d_loss returns a float"""

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return super().d_loss(real, fake).item()


class WrongDtype(NonSaturating):
    """the_loss.g_loss returns torch.float32 for scores of shape (8,) in torch.float64"""

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return super().g_loss(fake).float()


class OnlyOneScoreEach(NonSaturating):
    """the_loss.d_loss fails for scores of shape (8, 3)"""

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        (_,) = real.shape
        return super().d_loss(real, fake)


class NotForOne(NonSaturating):
    """the_loss.d_loss is nan for 1 scores of ordinary size"""

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return super().d_loss(real, fake) + 0 * unbiased_variance(real)


class Unwritten(Objective):
    """the_loss.d_loss is not implemented"""


class NeedsRealSecretly(NonSaturating):
    """set g_uses_real = True if it needs them"""

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return (real - fake).mean()


class InPlace(NonSaturating):
    """the_loss.d_loss changes real in place"""

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(real.neg_()).mean() + softplus(fake).mean()


class InPlaceReading(NonSaturating):
    """the_loss.estimates changes fake in place"""

    def estimates(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        fake.sub_(1)
        return {"x_nats": fake.mean()}


class Counter(NonSaturating):
    """What a class with a moving balance starts from."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.history = deque([torch.zeros(())])
        self.parts = [nn.Linear(1, 1)]
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("unsaved", torch.zeros(()), persistent=False)


class AttributeInStep(Counter):
    """the_loss.after_d_step changes self.count, a Python attribute, which a checkpoint does not keep"""

    def after_d_step(self, real: Tensor, fake: Tensor) -> None:
        self.count += 1


class AttributeInLoss(Counter):
    """the_loss.d_loss changes self.count"""

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        self.count += 1
        return super().d_loss(real, fake)


class TensorInList(Counter):
    """the_loss.after_d_step changes self.history"""

    def after_d_step(self, real: Tensor, fake: Tensor) -> None:
        self.history[0] += real.mean()


class ModuleInList(Counter):
    """the_loss.after_d_step changes self.parts"""

    def after_d_step(self, real: Tensor, fake: Tensor) -> None:
        self.parts[0].weight.add_(1)


class NewAttribute(NonSaturating):
    """the_loss.after_d_step changes self.latest"""

    def after_d_step(self, real: Tensor, fake: Tensor) -> None:
        self.latest = real.mean()


class UnsavedBuffer(Counter):
    """the_loss gives other values after its state_dict is loaded into a new object"""

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return super().d_loss(real, fake) + self.unsaved

    def after_d_step(self, real: Tensor, fake: Tensor) -> None:
        self.unsaved += 1


class LossMovesState(Counter):
    """the_loss.d_loss changes the state seen: move state in after_d_step alone"""

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        self.seen += 1
        return super().d_loss(real, fake)


class SpoiltState(Counter):
    """the_loss.after_d_step sets seen to"""

    def after_d_step(self, real: Tensor, fake: Tensor) -> None:
        self.seen.lerp_(fake.mean(), 0.1)


class Unseeded(NonSaturating):
    """the_loss.d_loss gives two values for the same scores"""

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return super().d_loss(real, fake) + NOISE.standard_normal()


NOISE = np.random.default_rng(0)


class Detached(NonSaturating):
    """the_loss.d_loss gives the scores no gradient"""

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return super().d_loss(real.detach(), fake.detach())


class DetachedG(NonSaturating):
    """the_loss.g_loss gives the scores no gradient"""

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return super().g_loss(fake.detach())


class HalfDetached(NonSaturating):
    """the gradient of the_loss.d_loss differs from finite differences"""

    over_batch = True

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(fake - real).mean() + 0.1 * (real.mean().detach() - fake.mean()).square()


class OwnFunction(torch.autograd.Function):
    """Softplus whose backward pass cannot be differentiated."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return softplus(x)

    @staticmethod
    @once_differentiable
    def backward(ctx, slope: Tensor) -> Tensor:
        return slope * torch.sigmoid(ctx.saved_tensors[0])


class NotTwice(NonSaturating):
    """the second derivative of the_loss.d_loss differs from finite differences"""

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return OwnFunction.apply(-real).mean() + OwnFunction.apply(fake).mean()


class WrongTwice(NonSaturating):
    """the second derivative of the_loss.witness differs from finite differences"""

    def witness(self, outputs: Tensor, real: Tensor, fake: Tensor) -> Tensor:
        return SecondIsZero.apply(outputs)


class SecondIsZero(torch.autograd.Function):
    """e^x, whose backward pass is a constant to autograd."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.exp()

    @staticmethod
    def backward(ctx, slope: Tensor) -> Tensor:
        return slope * ctx.saved_tensors[0].detach().exp()


class Overflows(NonSaturating):
    """the_loss.d_loss is infinite or NaN in float32 for scores of ±10,000"""

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return torch.log1p(torch.exp(-real)).mean() + torch.log1p(torch.exp(fake)).mean()


class GradientOverflows(NonSaturating):
    """the gradient of the_loss.g_loss is infinite or NaN in float32 for scores of ±80"""

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        # The value is finite because the infinite branch is not chosen, but its gradient is 0 · inf.
        return torch.where(
            fake > 30, fake.new_zeros(()), softplus(-fake) + (4 - 4 * fake.exp().sinh()).tanh() * 0
        ).mean()


class NoUnit(NonSaturating):
    """the_loss.estimates names its first value divergence, without a unit"""

    def estimates(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        return {"divergence": real.mean()}


class NoScalar(NonSaturating):
    """the_loss.estimates gives gap_unitless as tensor("""

    def estimates(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        return {"gap_unitless": real - fake}


class TakenName(NonSaturating):
    """the_loss.estimates uses the name score_real"""

    def estimates(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        return {"x_nats": real.mean(), "score_real": real.mean()}


class ForgottenFactor(NonSaturating):
    """but closed_form says 0.925003385, 0.5 times as much: look for a forgotten factor or constant"""

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return 0.5 * super().d_loss(real, fake)


class ForgottenConstant(NonSaturating):
    """at D's optimum for p = [0.7, 0.2, 0.1] and q = [0.1, 0.3, 0.6], but closed_form says"""

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return super().d_loss(real, fake) - math.log(2)


class SaysMeans(NonSaturating):
    """the_loss.d_loss of a batch is not the mean of those of its halves: leave over_batch = True"""

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return super().d_loss(real, fake) + 0.01 * (fake.mean() - real.mean()).square()


class WrongLogRatio(NonSaturating):
    """the_loss.log_ratio is ["""

    def log_ratio(self, scores: Tensor) -> Tensor:
        return scores / 2


BROKEN_OBJECTIVES = [
    kind
    for kind in list(globals().values())
    if isinstance(kind, type)
    and issubclass(kind, Objective)
    and kind.__module__ == __name__
    and kind not in (RandomPairs, Counter)
]


@pytest.mark.parametrize("kind", BROKEN_OBJECTIVES, ids=lambda kind: kind.__name__)
def test_a_fault_of_an_objective_is_named_in_one_sentence(kind: type[Objective]) -> None:
    with pytest.raises(ProofError, match=re.escape(kind.__doc__.replace("the_loss", kind.__name__))) as caught:
        check_objective(kind(), lambda p, q: math.log(4) - 2 * jsd(p, q))
    assert len(str(caught.value).splitlines()) == 1 and ": " in str(caught.value)


def test_the_closed_form_in_the_message_is_the_one_derived_by_hand() -> None:
    # log 4 - 2 JSD of (.7, .2, .1) and (.1, .3, .6), with m = (.4, .25, .35)
    p, q, m = (0.7, 0.2, 0.1), (0.1, 0.3, 0.6), (0.4, 0.25, 0.35)
    twice_jsd = sum(a * math.log(a / c) + b * math.log(b / c) for a, b, c in zip(p, q, m, strict=True))
    assert math.log(4) - twice_jsd == pytest.approx(0.925003385, abs=1e-9)


@pytest.mark.parametrize("saturated", [logsigmoid, lambda t: -relu(1 - t)])
def test_a_loss_written_with_stable_functions_passes(saturated: Callable[[Tensor], Tensor]) -> None:
    class MyLoss(Objective):
        def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
            return -saturated(real).mean() - saturated(-fake).mean()

        def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
            return -fake.mean()

    check_objective(MyLoss())


# The same for regularizers, of which Slope is right.
class Slope(InputGradient):
    """A gradient penalty of one's own."""

    def __init__(self, weight: float = 2.0, every: int = 1) -> None:
        super().__init__(weight, every)

    def points(self, turn: Turn) -> Tensor:
        return (turn.real + turn.fake) / 2

    def cost(self, squared_norm: Tensor) -> Tensor:
        return squared_norm


class Level(Regularizer):
    """weight · E r², and what its faulty subclasses need."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.every, self.count = 2.0, 1, 0
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("unsaved", torch.zeros(()), persistent=False)

    def for_d(self, turn: Turn) -> Tensor | None:
        return self.weight * turn.scores.real.square().mean()


class NoScalarTerm(Level):
    """NoScalarTerm.for_d returns shape (6,) on points in turn 0: return a scalar"""

    def for_d(self, turn: Turn) -> Tensor | None:
        return self.weight * turn.scores.real.square()


class OnlyForPoints(Level):
    """OnlyForPoints.for_d fails on images in turn 0"""

    def for_d(self, turn: Turn) -> Tensor | None:
        (_, _) = turn.real.shape
        return super().for_d(turn)


class RefusesEverything(Level):
    """RefusesEverything refuses points and images with ConfigError"""

    def check(self, d: nn.Module) -> None:
        raise ConfigError("no")


class Crashes(Level):
    """Crashes.check fails for a discriminator without normalization (AttributeError: "Network" has no bias)"""

    def check(self, d: nn.Module) -> None:
        raise AttributeError('"Network" has no bias')


class NotForOneSample(Level):
    """NotForOneSample.for_d is nan for 1 of the points"""

    def for_d(self, turn: Turn) -> Tensor | None:
        return self.weight * unbiased_variance(turn.scores.real)


class ChangesTheBatch(Level):
    """ChangesTheBatch.for_d changes real in place"""

    def for_d(self, turn: Turn) -> Tensor | None:
        turn.real.mul_(0.9)
        return super().for_d(turn)


class MovesWeights(Level):
    """MovesWeights.for_g, on G, changes the state layers.0.weight: only after_d_step may change weights"""

    def for_g(self, turn: Turn) -> Tensor | None:
        with torch.no_grad():
            turn.generator.layers[0].weight.mul_(0.9)
        return None


class OwnGenerator(Level):
    """OwnGenerator.for_d gives two values for the same turn"""

    def for_d(self, turn: Turn) -> Tensor | None:
        return super().for_d(turn) * (1 + NOISE.random())


class CountsTurns(Level):
    """CountsTurns.after_d_step changes self.count, a Python attribute"""

    def after_d_step(self, turn: Turn) -> None:
        self.count += 1


class CountsTerms(Level):
    """CountsTerms.for_d changes self.count, a Python attribute"""

    def for_d(self, turn: Turn) -> Tensor | None:
        self.count += 1
        return super().for_d(turn)


class KeepsTheGraph(Level):
    """KeepsTheGraph.for_d changes self.latest, a Python attribute"""

    def for_d(self, turn: Turn) -> Tensor | None:
        self.latest = super().for_d(turn)
        return self.latest


class ForgetsState(Level):
    """ForgetsState.for_d gives another term after its state_dict is loaded into a new object"""

    def for_d(self, turn: Turn) -> Tensor | None:
        return super().for_d(turn) * (1 + self.unsaved)

    def after_d_step(self, turn: Turn) -> None:
        self.unsaved += 1


class SpoiltMean(Level):
    """SpoiltMean.after_d_step sets mean to infinity or NaN after a batch that overflowed"""

    def after_d_step(self, turn: Turn) -> None:
        self.mean.lerp_(turn.scores.real.mean(), 0.1)


class ChangesScores(Level):
    """ChangesScores.after_d_step changes scores_real in place"""

    def after_d_step(self, turn: Turn) -> None:
        turn.scores.real.zero_()


class ClipsG(Level):
    """ClipsG.after_d_step, on G, changes the state"""

    def after_d_step(self, turn: Turn) -> None:
        for weight in turn.generator.parameters():
            weight.clamp_(-0.01, 0.01)


class DetachedTerm(Level):
    """the gradient of DetachedTerm.for_d does not reach D's weights"""

    def for_d(self, turn: Turn) -> Tensor | None:
        return super().for_d(turn).detach()


class TermOfTheOther(Level):
    """the gradient of TermOfTheOther.for_d reaches the other player's weights"""

    def for_d(self, turn: Turn) -> Tensor | None:
        return super().for_d(turn) + sum(weight.square().sum() for weight in turn.generator.parameters())


class DsTermInGsTurn(Level):
    """the gradient of DsTermInGsTurn.for_g does not reach G's weights"""

    def for_g(self, turn: Turn) -> Tensor | None:
        return turn.critic(turn.real).square().mean()


class Idle(Regularizer):
    """Idle does nothing: return a term from for_d or for_g, or change D or state in after_d_step"""


class ForgetsWeight(Level):
    """with weight = 0: multiply the whole term by self.weight"""

    def for_d(self, turn: Turn) -> Tensor | None:
        return super().for_d(turn) + turn.scores.fake.square().mean()


class ShallowSlope(Level):
    """the gradient of ShallowSlope.for_d on points is"""

    def for_d(self, turn: Turn) -> Tensor | None:
        x = turn.real.clone().requires_grad_()
        (slope,) = torch.autograd.grad(turn.critic(x).sum(), x)
        return self.weight * (slope.square().mean() + turn.scores.real.square().mean())


class HiddenLaziness(Level):
    """HiddenLaziness.phase is 0 for turns 0 and 1, but for_d does not do the same there: let phase tell them apart"""

    def for_d(self, turn: Turn) -> Tensor | None:
        return super().for_d(turn) if turn.index % 2 == 0 else None


class Fades(Level):
    """Fades.phase is 0 for turns 0 and 1, but for_d does not do the same there"""

    def for_d(self, turn: Turn) -> Tensor | None:
        return super().for_d(turn) / (1 + turn.index)


class LazyProjection(Level):
    """LazyProjection.phase is 0 for turns 0 and 1, but after_d_step does not do the same there"""

    def after_d_step(self, turn: Turn) -> None:
        if turn.index % 2 == 0:
            for weight in turn.critic.net.parameters():
                weight.clamp_(-0.01, 0.01)


class NoNumber(Level):
    """NoNumber.phase returns (0, 1) for turn 0: return an int"""

    def phase(self, index: int) -> tuple[int, int]:
        return (index, 1)


class WeakWhenLazy(Level):
    """WeakWhenLazy.for_d with every = 4 is"""

    def phase(self, index: int) -> int:
        return min(index % self.every, 1)

    def for_d(self, turn: Turn) -> Tensor | None:
        return None if self.phase(turn.index) else super().for_d(turn)


class ComesAndGoes(Level):
    """ComesAndGoes.for_d returns a term or None in turn 0, depending on the batch or the weights"""

    def for_d(self, turn: Turn) -> Tensor | None:
        return super().for_d(turn) if turn.scores.real.abs().mean() < 0.4 else None


class AcceptsBatchNorm(Slope):
    """AcceptsBatchNorm.check accepts batch norm in the discriminator"""

    def check(self, d: nn.Module) -> None:
        pass


BROKEN_REGULARIZERS = [
    kind
    for kind in list(globals().values())
    if isinstance(kind, type)
    and issubclass(kind, Regularizer)
    and kind.__module__ == __name__
    and kind not in (Slope, Level)
]


@pytest.mark.parametrize("kind", BROKEN_REGULARIZERS, ids=lambda kind: kind.__name__)
def test_a_fault_of_a_regularizer_is_named_in_one_sentence(kind: type[Regularizer]) -> None:
    with pytest.raises(ProofError, match=re.escape(kind.__doc__)) as caught:
        check_regularizer(kind())
    assert len(str(caught.value).splitlines()) == 1 and ": " in str(caught.value)


@pytest.mark.parametrize("regularizer", [Slope(), Slope(every=5), Level()], ids=lambda r: type(r).__name__)
def test_a_right_regularizer_of_ones_own_passes(regularizer: Regularizer) -> None:
    check_regularizer(regularizer)


def test_a_regularizer_that_refuses_images_is_proved_on_points() -> None:
    class ForPoints(Level):
        def for_d(self, turn: Turn) -> Tensor | None:
            if turn.real.ndim != 2:
                raise ConfigError("ForPoints needs points")
            return super().for_d(turn)

    check_regularizer(ForPoints())
    ForPoints.after_d_step = CountsTurns.after_d_step
    with pytest.raises(ProofError, match=r"self\.count"):
        check_regularizer(ForPoints())


@pytest.mark.parametrize(
    ("check", "wrong"),
    [
        (check_objective, NonSaturating),  # the class itself
        (check_objective, nn.Identity()),
        (check_regularizer, R1),
        (check_regularizer, nn.Identity()),
        (check_regularizer, R1(0.0)),
    ],
)
def test_what_cannot_be_checked_is_refused(check: Callable[[object], None], wrong: object) -> None:
    with pytest.raises(ProofError, match=r"pass (an instance|one with weight > 0)"):
        check(wrong)


def test_a_proof_can_be_left_out_by_its_name_only() -> None:
    check_objective(HalfDetached(), skip=["gradient"])
    check_objective(NotForOne(), smallest_batch=2)
    check_regularizer(SpoiltMean(), skip=("state",))
    with pytest.raises(ConfigError, match=r"skip names no proof: slope\. The proofs are shapes, state, sign"):
        check_objective(NonSaturating(), skip=["slope"])


def test_a_check_leaves_the_object_and_the_random_numbers_as_they_were() -> None:
    objective, regularizer = Fisher(rho=4.0), LeCam(1.0, decay=0.5)
    torch.manual_seed(3), np.random.seed(3), random.seed(3)
    expected = torch.rand(()).item(), np.random.rand(), random.random()
    torch.manual_seed(3), np.random.seed(3), random.seed(3)
    check_objective(objective, skip=["closed_form"])
    check_regularizer(regularizer)
    assert (torch.rand(()).item(), np.random.rand(), random.random()) == expected
    assert objective.multiplier.item() == 0 and objective.multiplier.dtype == torch.float32
    assert regularizer.turns.item() == 0


def test_the_error_is_a_failed_test_and_keeps_its_cause() -> None:
    with pytest.raises(AssertionError) as caught:
        check_objective(OnlyOneScoreEach())
    assert isinstance(caught.value.__cause__, ValueError)
