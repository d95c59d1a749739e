"""Terms of conditional GANs: their optima are the divergences of joint distributions that the papers derive."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gantrain.architectures.conditioning import HEADS, head, joined
from gantrain.errors import ConfigError
from gantrain.losses import Loss, NonSaturating
from gantrain.losses.turn import Critic, Precision, Turn, Verdict, Verdicts
from gantrain.regularizers import AuxiliaryClassifier, DataToData, DiscriminativeClassifier, MultiHinge
from tests.conftest import built

CPU = Precision(torch.device("cpu"))
P, Q = np.array([[6, 3, 1], [1, 2, 7]]) / 10, np.array([[2, 2, 6], [5, 4, 1]]) / 10  # p(x|y), q(x|y) as tenths
SYMBOLS, CLASSES = 3, 2


def batch() -> tuple[Tensor, Tensor, Tensor]:
    """Real and fake symbols as one-hot rows (n, 3) float64, and the class of both: means over them are expectations."""
    real, fake, labels = [], [], []
    for label in range(CLASSES):
        symbols = [np.repeat(np.arange(SYMBOLS), np.round(10 * share[label]).astype(int)) for share in (P, Q)]
        real += list(symbols[0])
        fake += list(symbols[1])
        labels += [label] * 10
    hot = torch.eye(SYMBOLS, dtype=torch.float64)
    return hot[torch.tensor(np.array(real))], hot[torch.tensor(np.array(fake))], torch.tensor(labels)


class Tabular(nn.Module):
    """A D whose features are the symbol: a table of scores, and what a way of conditioning makes of it."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way, inputs = way, SYMBOLS * (CLASSES if way == "concat" else 1)
        self.scores = nn.Linear(inputs, 1)
        self.special = head(way, SYMBOLS, CLASSES, "none", outputs=1)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor | tuple[Tensor, ...]:
        if self.way == "concat":  # every pair of symbol and class by itself
            both = joined(x, labels, CLASSES)
            x = (both[:, :SYMBOLS, None] * both[:, None, SYMBOLS:]).flatten(1)
        scores = self.scores(x)
        return scores if self.special is None else self.special(x, scores, labels)


def minimised(way: str, cost: Callable[[Loss, Turn], Tensor], term: nn.Module | None = None) -> float:
    """The least of a cost of D's turn over all tables."""
    torch.manual_seed(0)
    d, (real, fake, labels) = Tabular(way).double(), batch()
    loss = Loss(NonSaturating(), {} if term is None else {"term": term})
    turn = Turn(Critic(d, CPU, torch.float32, labels), nn.Identity(), real, fake, 0)
    optimizer = torch.optim.LBFGS(d.parameters(), max_iter=500, tolerance_grad=1e-12, tolerance_change=0,
                                  line_search_fn="strong_wolfe")  # fmt: skip

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = cost(loss, turn)
        value.backward()
        return value

    for _ in range(5):
        optimizer.step(closure)
    return cost(loss, turn).item()


def entropy(p: np.ndarray) -> float:
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> float:
    return entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2


def adversarial(loss: Loss, turn: Turn) -> Tensor:
    return loss.for_d(turn).terms["adversarial"]


@pytest.mark.parametrize("way", ["concat", "projection"])
def test_a_conditional_critic_reaches_the_divergence_of_the_joints(way: str) -> None:
    joint = jensen_shannon(P / CLASSES, Q / CLASSES)
    assert minimised(way, adversarial) == pytest.approx(2 * math.log(2) - 2 * joint, abs=1e-7)


def test_an_unconditional_critic_sees_the_marginals_alone() -> None:
    marginal = jensen_shannon(P.mean(0), Q.mean(0))
    assert minimised("none", adversarial) == pytest.approx(2 * math.log(2) - 2 * marginal, abs=1e-7)
    assert marginal < 0.5 * jensen_shannon(P / CLASSES, Q / CLASSES)


def of_term(loss: Loss, turn: Turn) -> Tensor:
    return loss.for_d(turn).terms["term"]


def test_the_auxiliary_classifiers_optimum_is_twice_the_entropy_of_the_class_given_a_sample_of_either() -> None:
    mixed = (P + Q) / 2 / CLASSES  # (y, x)
    expected = 2 * (entropy(mixed) - entropy(mixed.sum(0)))
    assert minimised("classifier", of_term, AuxiliaryClassifier(1.0)) == pytest.approx(expected, abs=1e-7)


def test_the_discriminative_classifiers_optimum_is_that_of_twice_as_many_classes() -> None:
    joint = np.concatenate([P, Q]) / 2 / CLASSES
    expected = 2 * (entropy(joint) - entropy(joint.sum(0)))
    assert minimised("twin_classifier", of_term, DiscriminativeClassifier(1.0)) == pytest.approx(expected, abs=1e-7)


def costs_of_g(term: nn.Module | None, logits: np.ndarray | None, scores: np.ndarray) -> np.ndarray:
    """What G pays for each symbol of each class (y, x): its gradient by q(x|y), by the code of a training."""
    found = np.zeros((CLASSES, SYMBOLS))
    for label in range(CLASSES):
        for symbol in range(SYMBOLS):
            score = torch.tensor([scores[label, symbol]])
            own = None if logits is None else torch.tensor(logits[:, symbol])[None]
            critic = Critic(nn.Identity(), CPU, torch.float32, torch.tensor([label]))
            turn = Turn(critic, nn.Identity(), score, score, 0, verdicts=Verdicts(None, Verdict(score, own)))
            found[label, symbol] = float(NonSaturating().g_loss(score))
            found[label, symbol] += float(term.for_g(turn)) if term is not None else 0.0
    return found


OVERLAPPING = np.array([[0.5, 0.4, 0.1], [0.1, 0.4, 0.5]])  # the middle symbol says nothing of the class


def played(way: str, term: nn.Module | None, turns: int = 800) -> np.ndarray:
    """q(x|y) where G's gradient descent ends while D is always at its optimum, in closed form; q starts uneven."""
    p, q = OVERLAPPING, np.array([[0.3, 0.3, 0.4], [0.2, 0.5, 0.3]])
    for _ in range(turns):
        scores = np.log(p / q) if way == "projection" else np.tile(np.log(p.sum(0) / q.sum(0)), (CLASSES, 1))
        logits = {"acgan": np.log(p + q), "adcgan": np.log(np.concatenate([p, q]))}.get(way)
        q = q * np.exp(-0.2 * costs_of_g(term, logits, scores))
        q /= q.sum(1, keepdims=True)
    return q


def class_given_sample(q: np.ndarray) -> float:
    """H(y|x) in nats."""
    return entropy(q / CLASSES) - entropy(q.mean(0))


def test_acgan_lowers_the_entropy_of_the_class_given_a_sample_and_adcgan_and_projection_do_not(
    record_property: Callable[..., None],
) -> None:
    true = class_given_sample(OVERLAPPING)
    ac = played("acgan", AuxiliaryClassifier(1.0))
    adc, projection = played("adcgan", DiscriminativeClassifier(1.0)), played("projection", None)
    np.testing.assert_allclose(adc, OVERLAPPING, atol=1e-3)
    np.testing.assert_allclose(projection, OVERLAPPING, atol=1e-3)
    assert class_given_sample(ac) < 0.001 < true == pytest.approx(0.548, abs=1e-3)
    np.testing.assert_allclose(ac, [[1, 0, 0], [0, 0.374, 0.626]], atol=2e-3)
    told = ", ".join(f"{name} {class_given_sample(q):.3f}" for name, q in
                     (("data", OVERLAPPING), ("acgan", ac), ("adcgan", adc), ("projection", projection)))  # fmt: skip
    record_property("figure", f"H(y|x) in nats: {told}")


def test_where_g_has_learnt_everything_only_acgan_still_moves_it() -> None:
    p = OVERLAPPING
    level = np.zeros_like(p)
    ac = costs_of_g(AuxiliaryClassifier(1.0), np.log(2 * p), level)
    adc = costs_of_g(DiscriminativeClassifier(1.0), np.log(np.concatenate([p, p])), level)
    np.testing.assert_allclose(adc, adc[0, 0])
    np.testing.assert_allclose(ac - ac[0, 0], -np.log(p / p.sum(0)) + np.log(p / p.sum(0))[0, 0], atol=1e-6)
    assert np.ptp(ac) > 0.5


def turn_of(verdict: Verdict, labels: Tensor) -> Turn:
    d = Critic(nn.Identity(), CPU, torch.float32, labels)
    return Turn(d, nn.Identity(), labels, labels, 0, verdicts=Verdicts(verdict, verdict))


def test_multi_hinge_is_the_margin_to_the_best_other_class_by_hand() -> None:
    logits = torch.tensor([[2.0, 0.5, 0.0], [0.0, 3.0, 1.0], [1.0, 1.5, 0.0]])
    turn = turn_of(Verdict(torch.zeros(3), logits), torch.tensor([0, 1, 0]))
    # Real: 1 - 2 + 0.5 < 0; 1 - 3 + 1 < 0; 1 - 1 + 1.5. As generated (class 2): 1 + 2, 1 - 1 + 3, 1 + 1.5.
    assert float(MultiHinge(2.0).for_d(turn)) == pytest.approx(2 * (1.5 / 3 + (3 + 3 + 2.5) / 3))
    assert float(MultiHinge(2.0).for_g(turn)) == pytest.approx(2 * 1.5 / 3)


def test_data_to_data_is_the_papers_sum_written_out() -> None:
    rng = np.random.default_rng(0)
    labels, tau, m_p = np.array([0, 1, 2, 0, 1]), 0.5, 0.6
    codes, proxies = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (rng.normal(size=(n, 4)) for n in (5, 3)))
    expected = 0.0
    for i in range(5):
        own = math.exp(min(codes[i] @ proxies[labels[i]] - m_p, 0) / tau)
        others = [codes[i] @ codes[j] for j in range(5) if labels[j] != labels[i]]
        expected -= math.log(own / (own + sum(math.exp(max(c - (1 - m_p), 0) / tau) for c in others))) / 5
    verdict = Verdict(torch.zeros(5), torch.from_numpy(codes @ proxies.T), torch.from_numpy(codes))
    turn = turn_of(verdict, torch.from_numpy(labels))
    term = DataToData(0.25, tau, m_p)
    assert float(term.for_d(turn)) == pytest.approx(0.25 * expected)
    assert float(term.for_g(turn)) == pytest.approx(0.25 * expected)


def test_a_batch_of_one_class_has_no_pairs_and_no_nan() -> None:
    codes = torch.nn.functional.normalize(torch.randn(4, 8), dim=1).requires_grad_()
    verdict = Verdict(torch.zeros(4), codes @ codes[:2].T, codes)
    value = DataToData(1.0, 0.5, 0.98).for_d(turn_of(verdict, torch.zeros(4, dtype=torch.int64)))
    value.backward()
    assert value.item() == 0 and codes.grad is not None and codes.grad.isfinite().all()


@pytest.mark.parametrize("term", [AuxiliaryClassifier(0.7), DiscriminativeClassifier(0.7), MultiHinge(0.7)])
def test_gradients_by_the_logits_are_those_of_finite_differences(term: nn.Module) -> None:
    labels = torch.tensor([0, 1, 1, 0])
    logits = torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).requires_grad_()

    def cost(x: Tensor) -> Tensor:
        turn = turn_of(Verdict(torch.zeros(4), x), labels)
        return torch.stack([term.for_d(turn), term.for_g(turn)])

    assert torch.autograd.gradcheck(cost, logits)


def test_a_term_without_a_discriminator_that_suits_it_says_what_to_choose() -> None:
    labels = torch.tensor([0, 1])
    with pytest.raises(ConfigError, match="needs a discriminator that gives logits"):
        AuxiliaryClassifier(1.0).for_d(turn_of(Verdict(torch.zeros(2)), labels))
    with pytest.raises(ConfigError, match="needs a discriminator that gives codes"):
        DataToData(1.0, 0.5, 0.9).for_g(turn_of(Verdict(torch.zeros(2), torch.zeros(2, 2)), labels))
    assert HEADS.keys() == {"projection", "classifier", "twin_classifier", "multi_hinge", "proxies"}


def test_a_discriminator_may_give_codes_and_no_logits() -> None:
    class Codes(nn.Module):
        def forward(self, x: Tensor, labels: Tensor | None) -> tuple[Tensor, None, Tensor]:
            return x[:, :1], None, x

    critic = Critic(Codes(), CPU, torch.float32, one_forward=True)
    real, fake = critic.of_both(torch.ones(2, 3), torch.zeros(2, 3))
    assert real is not None and real.logits is None and fake.logits is None
    assert torch.equal(real.codes, torch.ones(2, 3)) and torch.equal(fake.scores, torch.zeros(2))


def test_both_batches_in_one_forward_get_the_verdicts_of_two() -> None:
    trainer = built("data=ring", "conditioning=reacgan", "architecture.discriminator.width=8").trainer
    real, labels = trainer.data.next()
    critic = trainer.turn(trainer.d, real, real, real.flip(0), labels, False).critic
    one = Critic(critic.net, CPU, torch.float32, labels, one_forward=True).of_both(real, real.flip(0))
    two = Critic(critic.net, CPU, torch.float32, labels).of_both(real, real.flip(0))
    for mine, other in zip(one, two, strict=True):
        for a, b in zip(mine, other, strict=True):
            torch.testing.assert_close(a, b)
