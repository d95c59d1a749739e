"""Proofs for an objective: shapes, state, signs, gradients, finiteness, estimates, and its closed form."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gantrain.losses.objective import Objective
from gantrain.testing.proof import (
    ProofError,
    calling,
    keeping_attributes,
    keeping_inputs,
    keeping_state,
    require_scalar,
    run_proofs,
    same,
    seeded,
    state,
)
from gantrain.testing.tabular import PAIRS, ClosedForm, optimum, probabilities

UNITS = ("_nats", "_bits", "_unitless", "_data_units", "_feature_units", "_slope")
"""How the name of an objective's first estimate ends."""
TAKEN = {"loss", "adversarial", "score_real", "score_fake", "gradient_norm", "learning_rate", "skipped_steps"}
"""Names that every loss logs already."""


def unchanged(numbers: Tensor) -> Tensor:
    """Return ``numbers``: scores that may be any number."""
    return numbers


@dataclass
class Subject:
    """An objective under test, and what is known of it."""

    original: Objective
    closed_form: ClosedForm | None
    scores: Callable[[Tensor], Tensor]
    smallest_batch: int

    @property
    def name(self) -> str:
        """The class's name."""
        return type(self.original).__name__

    def copy(self, dtype: torch.dtype = torch.float64) -> Objective:
        """Return a copy of the objective, for a proof to play with."""
        return copy.deepcopy(self.original).to(dtype)

    def draw(self, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
        """Return random scores that D may give."""
        return self.scores(0.5 * torch.randn(*shape, dtype=dtype)).detach()

    def d_loss(self, objective: Objective, real: Tensor, fake: Tensor) -> Tensor:
        """Return D's loss from scores; raise ProofError if it fails or is no scalar."""
        where = f"for scores of shape {tuple(real.shape)} in {real.dtype}"
        with calling(f"{self.name}.d_loss", where):
            loss = objective.d_loss(real, fake)
        return require_scalar(f"{self.name}.d_loss", loss, real.dtype, where)

    def g_loss(self, objective: Objective, fake: Tensor, real: Tensor) -> Tensor:
        """Return G's loss as a training would call it; raise ProofError if it fails or is no scalar."""
        where = f"for scores of shape {tuple(fake.shape)} in {fake.dtype}"
        given = real if objective.g_uses_real else None
        if given is None:
            where += ", without those of real samples; set g_uses_real = True if it needs them"
        with calling(f"{self.name}.g_loss", where):
            loss = objective.g_loss(fake, given)
        return require_scalar(f"{self.name}.g_loss", loss, fake.dtype, where)


def check_objective(
    objective: Objective,
    closed_form: ClosedForm | None = None,
    *,
    scores: Callable[[Tensor], Tensor] = unchanged,
    smallest_batch: int = 1,
    skip: Collection[str] = (),
) -> None:
    """Prove that an objective keeps the contract of ``gantrain.losses.Objective``.

    The proofs, in their order:

    - ``shapes``: both losses are scalars of the scores' dtype, for scores (N,) and (N, k) in float32 and float64, and
      finite from N = ``smallest_batch`` on; G's loss asks for real scores only if ``g_uses_real``; scores are not
      changed in place.
    - ``state``: losses and estimates move no state and are the same when computed twice; ``after_d_step`` may move
      state, which lives in buffers, comes back with a checkpoint, and stays finite after a batch that overflowed.
    - ``sign``: at D's optimum real samples score higher than generated ones (in terms of ``witness``), and a step of G
      from there raises the scores of generated samples.
    - ``gradient``: the gradients of both losses equal finite differences, and so do the second derivatives of D's loss
      and of ``witness``, which unrolling and gradient penalties take.
    - ``finite``: losses and gradients are finite in float32 for scores of ±80 and ±10,000.
    - ``estimates``: finite scalars; the first one's name ends in its unit, one of ``UNITS``.
    - ``closed_form``: D's loss at its optimum is ``closed_form(p, q)`` to 1e-6 for three pairs of discrete p and q, and
      ``log_ratio``, where there is one, is log p/q there to 1e-3. Pairs with an infinite value are left out.
    - ``parts``: if ``over_batch`` is False, both losses of a batch are the means of those of its two halves.

    Args:
        objective: an instance; it is copied and stays as it is. If its state balances two terms, as BEGAN's does, set
            the state to a value where both count.
        closed_form: (p, q) -> float, the value of D's loss at its optimum, p and q numpy arrays (symbols,) float64.
        scores: maps any numbers to scores that D can give, if not all can be given. For energies, where C = -U <= 0,
            pass ``lambda numbers: -numbers.square()``.
        smallest_batch: N from which on the losses are finite.
        skip: names of proofs to leave out, for an objective that departs from the contract on purpose; a gradient that
            is stopped with ``detach`` is one.

    Raises:
        ProofError: at the first proof that fails, with one sentence that says what fails and what to do.
        ConfigError: if ``skip`` names a proof that is not there.

    Example:
        >>> from gantrain.testing import check_objective
        >>> check_objective(MyLoss())
        >>> check_objective(MyHinge(), lambda p, q: 2 * np.minimum(p, q).sum())
    """
    if not isinstance(objective, Objective):
        raise ProofError(
            f"{objective!r} is no gantrain.losses.Objective: derive the class from it and pass an instance"
        )
    run_proofs(PROOFS, Subject(objective, closed_form, scores, smallest_batch), skip)


def prove_shapes(subject: Subject) -> None:
    """Prove that both losses are scalars of the scores' dtype, for every shape of scores, and leave these alone."""
    for dtype in (torch.float32, torch.float64):
        for shape in ((8,), (8, 3), (subject.smallest_batch,), (subject.smallest_batch, 3)):
            real, fake = subject.draw(*shape, dtype=dtype), subject.draw(*shape, dtype=dtype)
            objective = subject.copy(dtype)
            with torch.no_grad():
                with keeping_inputs(f"{subject.name}.d_loss", real=real, fake=fake):
                    d_loss = subject.d_loss(objective, real, fake)
                with keeping_inputs(f"{subject.name}.g_loss", real=real, fake=fake):
                    g_loss = subject.g_loss(objective, fake, real)
            for name, value in (("d_loss", d_loss), ("g_loss", g_loss)):
                if not value.isfinite():
                    raise ProofError(
                        f"{subject.name}.{name} is {value.item()} for {shape[0]} scores of ordinary size: make it "
                        "finite, or pass smallest_batch if it means nothing for so few"
                    )


def prove_state(subject: Subject) -> None:
    """Prove that only ``after_d_step`` moves state, that a checkpoint keeps it, and that no overflow spoils it."""
    objective, name = subject.copy(), subject.name
    for _ in range(3):
        real, fake = subject.draw(8), subject.draw(8)
        prove_readings_move_nothing(subject, objective, real, fake)
        method = f"{name}.after_d_step"
        with (
            torch.no_grad(),
            keeping_attributes(method, objective),
            keeping_inputs(method, real=real, fake=fake),
            calling(method, "for scores of shape (8,)"),
        ):
            objective.after_d_step(real, fake)
    resumed = subject.copy()
    resumed.load_state_dict(state(objective))
    if not same(values(subject, objective, real, fake), values(subject, resumed, real, fake)):
        raise ProofError(
            f"{name} gives other values after its state_dict is loaded into a new object: "
            "keep all state in buffers registered without persistent=False"
        )
    with torch.no_grad():
        objective.after_d_step(real + torch.inf, fake * torch.nan)
    for buffer, value in objective.state_dict().items():
        if not value.isfinite().all():
            raise ProofError(
                f"{name}.after_d_step sets {buffer} to {value.flatten()[0].item()} after a batch that overflowed, from "
                "which it cannot come back: use gantrain.losses.numerics.move_if_finite"
            )


def prove_readings_move_nothing(subject: Subject, objective: Objective, real: Tensor, fake: Tensor) -> None:
    """Prove that losses, estimates and witness change no state, and are the same when computed twice."""
    remedy = "move state in after_d_step alone, which runs once per update of D"
    readings: dict[str, Callable[[], object]] = {
        "d_loss": lambda: objective.d_loss(real, fake),
        "g_loss": lambda: objective.g_loss(fake, real if objective.g_uses_real else None),
        "estimates": lambda: objective.estimates(real, fake),
        "witness": lambda: objective.witness(subject.scores(real), real, fake),
    }
    for method, read in readings.items():
        what = f"{subject.name}.{method}"
        with (
            torch.no_grad(),
            keeping_state(what, objective, remedy),
            keeping_attributes(what, objective),
            keeping_inputs(what, real=real, fake=fake),
            calling(what, "for scores of shape (8,)"),
        ):
            with seeded():
                first = read()
            with seeded():
                second = read()
        if not same(first, second):
            raise ProofError(
                f"{what} gives two values for the same scores: let it depend on scores, buffers and the seeded "
                "global generators of torch, numpy or Python alone"
            )


def values(subject: Subject, objective: Objective, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """Return everything that an objective says of scores."""
    with torch.no_grad(), seeded():
        d_loss, g_loss = subject.d_loss(objective, real, fake), subject.g_loss(objective, fake, real)
        return {"d_loss": d_loss, "g_loss": g_loss} | dict(objective.estimates(real, fake))


def prove_parts(subject: Subject) -> None:
    """Prove that losses which are said to be means over the samples are."""
    if subject.original.over_batch:
        return
    n = 2 * max(subject.smallest_batch, 4)
    real, fake = subject.draw(n), subject.draw(n)
    objective = subject.copy()
    losses: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "d_loss": lambda r, f: subject.d_loss(objective, r, f),
        "g_loss": lambda r, f: subject.g_loss(objective, f, r),
    }
    for name, loss in losses.items():
        with torch.no_grad():
            whole, halves = loss(real, fake), [loss(*half) for half in zip(real.chunk(2), fake.chunk(2), strict=True)]
        if not torch.isclose(whole, torch.stack(halves).mean(), rtol=1e-9, atol=1e-12):
            raise ProofError(
                f"{subject.name}.{name} of a batch is not the mean of those of its halves: leave over_batch = True, so "
                "that accumulate computes it of all scores"
            )


def prove_sign(subject: Subject) -> None:
    """Prove that scores which descend D's loss part as they should, and that G's gradient raises generated ones."""
    for shape in ((16,), (16, 3)):
        objective = subject.copy()
        numbers = 0.5 * torch.randn(2, *shape, dtype=torch.float64)
        numbers[1] = numbers[0].flip(0)  # alike in distribution, so that D starts without an opinion
        numbers.requires_grad_()
        optimizer = torch.optim.Adam([numbers], lr=0.05)
        for _ in range(200):
            scores = subject.scores(numbers)
            loss = subject.d_loss(objective, scores[0], scores[1])
            numbers.grad = gradient(f"{subject.name}.d_loss", loss, numbers)
            optimizer.step()
        real, fake = subject.scores(numbers).detach()
        gap = objective.witness(real, real, fake).mean() - objective.witness(fake, real, fake).mean()
        if not gap > 0:
            raise ProofError(
                f"{subject.name}.d_loss has the wrong sign, or none: scores that descend it end with real samples "
                f"{-gap.item():.3g} below generated ones; make it fall where real samples score higher"
            )
        fake.requires_grad_()
        slope = gradient(f"{subject.name}.g_loss", subject.g_loss(objective, fake, real), fake)
        (upwards,) = torch.autograd.grad(objective.witness(fake, real, fake.detach()).sum(), fake)
        if not (slope * upwards).sum() < 0:
            raise ProofError(
                f"{subject.name}.g_loss has the wrong sign, or none: its gradient does not raise the scores of "
                "generated samples; make it fall where generated samples score higher"
            )


def gradient(what: str, loss: Tensor, scores: Tensor) -> Tensor:
    """Return the gradient of a loss by scores; raise ProofError if no graph leads there."""
    found = torch.autograd.grad(loss, scores, allow_unused=True)[0] if loss.requires_grad else None
    if found is None:
        raise ProofError(f"{what} gives the scores no gradient: compute it from them without detach, item or no_grad")
    return found


def prove_gradient(subject: Subject) -> None:
    """Prove that first and second derivatives equal finite differences."""
    for shape in ((5,), (4, 3)):
        objective = subject.copy()
        real, fake, other = (subject.draw(*shape).requires_grad_() for _ in range(3))

        def d_loss(real: Tensor, fake: Tensor, objective: Objective = objective) -> Tensor:
            with seeded():
                return subject.d_loss(objective, real, fake)

        def g_loss(fake: Tensor, real: Tensor, objective: Objective = objective) -> Tensor:
            with seeded():
                return subject.g_loss(objective, fake, real)

        def witness(outputs: Tensor, real: Tensor, fake: Tensor, objective: Objective = objective) -> Tensor:
            with seeded():
                return objective.witness(outputs, real, fake)

        compare("d_loss", subject, d_loss, (real, fake), twice=True)
        compare("g_loss", subject, g_loss, (fake, real), twice=False)
        compare("witness", subject, witness, (other, real, fake), twice=True)


def compare(
    method: str, subject: Subject, function: Callable[..., Tensor], inputs: tuple[Tensor, ...], twice: bool
) -> None:
    """Raise ProofError unless the derivatives of ``function`` equal finite differences."""
    what = f"{subject.name}.{method}"
    with calling(what, "when it is differentiated"):
        first = torch.autograd.gradcheck(function, inputs, raise_exception=False)
    if not first:
        raise ProofError(
            f"the gradient of {what} differs from finite differences: compute it without detach, item, or numpy, "
            "and without steps that jump"
        )
    if not twice:
        return
    with calling(what, "when it is differentiated twice, as unrolling and gradient penalties do"):
        second = torch.autograd.gradgradcheck(function, inputs, raise_exception=False)
    if not second:
        raise ProofError(
            f"the second derivative of {what} differs from finite differences: unrolling and gradient penalties take "
            "it; give an autograd.Function of your own a backward that can be differentiated"
        )


def prove_finite(subject: Subject) -> None:
    """Prove that scores far too large give no NaN and no infinity: a lost run can still name its loss."""
    for size in (80.0, 1e4):
        signs = torch.tensor([-1.0, 1.0, 0.0, -1.0]) * size
        cases = ((signs, signs.flip(0)), (signs, signs), (signs.abs(), -signs.abs()), (-signs.abs(), signs.abs()))
        for given_real, given_fake in cases:
            objective = subject.copy(torch.float32)
            real, fake = (within(subject.scores(given), size).requires_grad_() for given in (given_real, given_fake))
            losses = {
                "d_loss": subject.d_loss(objective, real, fake),
                "g_loss": subject.g_loss(objective, fake, real),
            }
            for method, loss in losses.items():
                slopes = torch.autograd.grad(loss, (real, fake), allow_unused=True)
                prove_finite_values(f"{subject.name}.{method}", [loss], size)
                prove_finite_values(f"the gradient of {subject.name}.{method}", slopes, size)


def within(scores: Tensor, size: float) -> Tensor:
    """Return a copy of ``scores``, shrunk to ``size`` if they are larger, as the squares of an energy are."""
    return scores * min(1.0, size / scores.abs().max().item())


def prove_finite_values(what: str, values: Iterable[Tensor | None], size: float) -> None:
    """Raise ProofError if a value is not finite."""
    if not all(value.isfinite().all() for value in values if value is not None):
        raise ProofError(
            f"{what} is infinite or NaN in float32 for scores of ±{size:,g}: write it with functions that do not "
            "overflow, such as softplus and logsigmoid, or gantrain.losses.numerics.tame_exp"
        )


def prove_estimates(subject: Subject) -> None:
    """Prove that estimates are finite scalars under names that are free, the first with its unit."""
    name = f"{subject.name}.estimates"
    for dtype in (torch.float32, torch.float64):
        real, fake = subject.draw(8, dtype=dtype), subject.draw(8, dtype=dtype)
        with calling(name, f"for scores of shape (8,) in {dtype}"):
            estimates = subject.copy(dtype).estimates(real, fake)
        for tag, value in estimates.items():
            if not isinstance(value, Tensor) or value.ndim or not value.isfinite():
                raise ProofError(f"{name} gives {tag} as {value!r}: return a finite scalar tensor for every name")
            if tag in TAKEN:
                raise ProofError(f"{name} uses the name {tag}, which every loss logs already: choose another name")
        first = next(iter(estimates), None)
        if first is not None and not first.endswith(UNITS):
            raise ProofError(
                f"{name} names its first value {first}, without a unit: let the name end in one of {', '.join(UNITS)}"
            )


def prove_closed_form(subject: Subject) -> None:
    """Prove that D's loss at its optimum is the closed form, and that ``log_ratio`` there is log p/q."""
    if subject.closed_form is None:
        return
    for p_counts, q_counts in PAIRS.values():
        p, q = probabilities(p_counts), probabilities(q_counts)
        expected = float(subject.closed_form(p, q))
        if not np.isfinite(expected):
            continue
        objective = subject.copy()
        with calling(f"{subject.name}.d_loss", "while a table of scores descends it"):
            loss, scores = optimum(objective, p_counts, q_counts, subject.scores)
        if not abs(loss - expected) <= 1e-6:
            times = f", {loss / expected:.6g} times as much" if expected else ""
            raise ProofError(
                f"{subject.name}.d_loss is {loss:.9g} at D's optimum for p = {p.tolist()} and q = {q.tolist()}, but "
                f"closed_form says {expected:.9g}{times}: look for a forgotten factor or constant in one of the two"
            )
        prove_log_ratio(subject, objective, scores, np.log(p / q))


def prove_log_ratio(subject: Subject, objective: Objective, scores: Tensor, expected: np.ndarray) -> None:
    """Prove that an objective which claims to know log p/q does so at D's optimum."""
    found = objective.log_ratio(scores)
    if found is not None and not np.allclose(found.numpy(), expected, rtol=0, atol=1e-3):
        raise ProofError(
            f"{subject.name}.log_ratio is {found.tolist()} at D's optimum, where log p/q is {expected.tolist()}: "
            "invert the formula of D's optimal score, or return None if its optimum does not tell p/q"
        )


PROOFS: dict[str, Callable[[Subject], None]] = {
    "shapes": prove_shapes,
    "state": prove_state,
    "sign": prove_sign,
    "gradient": prove_gradient,
    "finite": prove_finite,
    "estimates": prove_estimates,
    "parts": prove_parts,
    "closed_form": prove_closed_form,
}
