"""Proofs for a regularizer: attributes, terms, state, effect, weight, gradients, phase, and what it refuses."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from gantrain.errors import ConfigError
from gantrain.losses.loss import Loss
from gantrain.losses.turn import Scores, Turn
from gantrain.losses.wasserstein import Wasserstein
from gantrain.regularizers.base import InputGradient, Regularizer
from gantrain.regularizers.classes import ClassTerm
from gantrain.regularizers.information import Information
from gantrain.testing.proof import (
    ProofError,
    calling,
    frozen,
    keeping_attributes,
    keeping_inputs,
    keeping_state,
    require_scalar,
    run_proofs,
    same,
    seeded,
    state,
)
from gantrain.testing.world import World, worlds, worlds_of_classes, worlds_of_codes

INDICES = (*range(34), 63, 64, 65, 100, 127, 1000, 4096, 10007)
"""Turns at which phase is tried: more than a period of most lazy terms, and some late ones."""
PLAYERS = ("for_d", "for_g")


@dataclass
class Subject:
    """A regularizer under test, and the worlds that it accepts."""

    original: Regularizer
    worlds: list[World] = field(default_factory=list)
    known: dict[tuple[str, str], list[int]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The class's name."""
        return type(self.original).__name__

    def copy(self, **settings: float) -> Regularizer:
        """Return a copy in float64 with other settings, for a proof to play with."""
        regularizer = copy.deepcopy(self.original).double()
        for name, value in settings.items():
            setattr(regularizer, name, value)
        return regularizer

    def warmed(self, world: World, **settings: float) -> Regularizer:
        """Return a copy whose state has followed three turns."""
        regularizer, playground = self.copy(**settings), world.copy()
        for index in range(3):
            _, turn = playground.d_turn(regularizer, index)
            after_d_step(regularizer, turn)
        return regularizer

    def term(self, regularizer: Regularizer, world: World, player: str, index: int) -> Tensor | None:
        """Return the term of a player's turn, always with the same random numbers, or None.

        Raises:
            ProofError: if it fails or is no scalar of the networks' dtype.
        """
        what, where = f"{self.name}.{player}", f"on {world.name} in turn {index}"
        with seeded(), calling(what, where, pass_on=ConfigError):
            if player == "for_d":
                term: object = world.d_turn(regularizer, index)[0]
            else:
                term = world.g_turn(regularizer, index)
        return None if term is None else require_scalar(what, term, world.real.dtype, where)

    def active(self, world: World, player: str) -> list[int]:
        """Return turns with a term: the first that has one and the last of many."""
        if (world.name, player) not in self.known:
            regularizer, here = self.warmed(world), world.copy()
            found = [i for i in INDICES if self.term(copy.deepcopy(regularizer), here, player, i) is not None]
            self.known[world.name, player] = sorted({found[0], found[-1]}) if found else []
        return self.known[world.name, player]

    def active_term(self, regularizer: Regularizer, world: World, player: str, index: int) -> Tensor:
        """Return the term of a turn that ``active`` found to have one; the regularizer stays as it is."""
        term = self.term(copy.deepcopy(regularizer), world, player, index)
        if term is None:
            raise ProofError(
                f"{self.name}.{player} returns a term or None in turn {index}, depending on the batch or the weights: "
                "return a term of 0 instead, because a recorded turn always does the same"
            )
        return term


def check_regularizer(regularizer: Regularizer, *, skip: Collection[str] = ()) -> None:
    """Prove that a regularizer keeps the contract of ``gantrain.regularizers.Regularizer``.

    It plays turns in two small games, points and images (whose D scores patches), beside the Wasserstein objective. A
    regularizer that raises ConfigError in one of them is tried in the other alone. For a ``ClassTerm`` the samples have
    labels, and D gives logits and codes as well; for ``Information`` z has codes, and D guesses them. The proofs, in
    their order:

    - ``attributes``: no Python attribute changes in a turn, because a checkpoint would not keep it; ``after_d_step``
      changes D's weights and buffers of its own at most.
    - ``terms``: a term is None or a finite scalar of the networks' dtype, for batches of one sample too; real samples
      and weights stay as they are; the same random numbers (Python's, numpy's, torch's) give the same term.
    - ``state``: state comes back with a checkpoint, and stays finite after a batch that overflowed.
    - ``effect``: something happens: a term whose gradient reaches its own player and not the other one, or a change of
      state or of D's weights in ``after_d_step``.
    - ``weight``: with ``weight`` = 0 terms are 0, if there is an attribute ``weight``.
    - ``gradient``: gradients by the weights of D (``for_d``) or G (``for_g``) equal finite differences in float64.
    - ``phase``: turns of one phase do the same with the same tensors, and a term that is applied only every ``every``
      turns, if there is an attribute ``every``, is on average as strong as with ``every`` = 1.
    - ``check``: an InputGradient refuses a D with batch norm, raising ConfigError.

    Args:
        regularizer: an instance with a weight above 0; it is copied and stays as it is.
        skip: names of proofs to leave out, for a regularizer that departs from the contract on purpose; a gradient that
            is stopped with ``detach`` is one.

    Raises:
        ProofError: at the first proof that fails, with one sentence that says what fails and what to do.
        ConfigError: if ``skip`` names a proof that is not there.

    Example:
        >>> from gantrain.testing import check_regularizer
        >>> check_regularizer(MyPenalty(weight=10.0))
    """
    if not isinstance(regularizer, Regularizer):
        raise ProofError(
            f"{regularizer!r} is no gantrain.regularizers.Regularizer: derive the class from it and pass an instance"
        )
    if getattr(regularizer, "weight", 1) == 0:
        raise ProofError(f"{type(regularizer).__name__} has weight 0, which proves nothing: pass one with weight > 0")
    subject = Subject(regularizer)
    subject.worlds = [world for world in worlds_for(regularizer) if accepts(subject, world)]
    if not subject.worlds:
        raise ProofError(f"{subject.name} refuses points and images with ConfigError: accept one of them")
    run_proofs(PROOFS, subject, skip)


def worlds_for(regularizer: Regularizer) -> list[World]:
    """Return the games in which a regularizer can be tried."""
    if isinstance(regularizer, Information):
        return worlds_of_codes(regularizer.categories, regularizer.continuous)
    return worlds_of_classes() if isinstance(regularizer, ClassTerm) else worlds()


def accepts(subject: Subject, world: World) -> bool:
    """Tell whether the regularizer can be used in a world; ConfigError says no."""
    world = world.copy()
    try:
        with calling(f"{subject.name}.check", "for a discriminator without normalization", pass_on=ConfigError):
            subject.original.check(world.d)
        for player in PLAYERS:
            subject.term(subject.copy(), world, player, 0)
    except ConfigError:
        return False
    return True


def after_d_step(regularizer: Regularizer, turn: Turn) -> None:
    """Let the regularizer follow an update of D as a training does."""
    with calling(f"{type(regularizer).__name__}.after_d_step", "after an update of D"):
        Loss(Wasserstein(), {"term": regularizer}).after_d_step(turn)


def prove_attributes(subject: Subject) -> None:
    """Prove that no Python attribute changes, and that ``after_d_step`` leaves everything but D's weights alone."""
    for original in subject.worlds:
        world, regularizer, what = original.copy(), subject.copy(), f"{subject.name}.after_d_step"
        for index in range(3):
            for player in PLAYERS:
                with keeping_attributes(f"{subject.name}.{player}", regularizer):
                    subject.term(regularizer, world, player, index)
            _, turn = world.d_turn(regularizer, index)
            assert turn.scores is not None
            scores_real, scores_fake = turn.scores
            with (
                keeping_attributes(what, regularizer),
                keeping_inputs(what, real=turn.real, fake=turn.fake, scores_real=scores_real, scores_fake=scores_fake),
                keeping_state(f"{what}, on G,", world.g, "it follows an update of D"),
            ):
                after_d_step(regularizer, turn)


def prove_terms(subject: Subject) -> None:
    """Prove that terms are finite scalars, repeatable, and leave batches and weights alone."""
    for small in subject.worlds:
        for world in (small.copy(torch.float32), small.copy(), small.copy().of_one()):
            regularizer = subject.warmed(small).to(world.real.dtype)
            for player in PLAYERS:
                for index in sorted({0, 1, 2, 3, *subject.active(world, player)}):
                    prove_term(subject, regularizer, world, player, index)


def prove_term(subject: Subject, regularizer: Regularizer, world: World, player: str, index: int) -> None:
    """Prove that one turn's term is None, or finite and repeatable, and that batches and weights stay as they are."""
    what, remedy = f"{subject.name}.{player}", "only after_d_step may change weights, and only D's"
    with (
        keeping_inputs(what, real=world.real),
        keeping_state(f"{what}, on D,", world.d, remedy),
        keeping_state(f"{what}, on G,", world.g, remedy),
    ):
        term = subject.term(copy.deepcopy(regularizer), world, player, index)
    if term is not None and not term.isfinite():
        raise ProofError(
            f"{what} is {term.item()} for {len(world.real)} of the {world.name}: make it finite there; the square root "
            "of 0, for one, has an infinite slope (gantrain.losses.numerics.norm_from_square)"
        )
    if not same(frozen(term), frozen(subject.term(copy.deepcopy(regularizer), world, player, index))):
        raise ProofError(
            f"{what} gives two values for the same turn: draw random numbers from the seeded global generators of "
            "torch, numpy or Python"
        )


def prove_state(subject: Subject) -> None:
    """Prove that state comes back with a checkpoint, and stays finite after a batch that overflowed."""
    for original in subject.worlds:
        world, regularizer, resumed = original.copy(), subject.warmed(original), subject.copy()
        resumed.load_state_dict(state(regularizer))
        for player in PLAYERS:
            terms = [frozen(subject.term(copy.deepcopy(r), world, player, 3)) for r in (regularizer, resumed)]
            if not same(*terms):
                raise ProofError(
                    f"{subject.name}.{player} gives another term after its state_dict is loaded into a new object: "
                    "keep all state in buffers registered without persistent=False"
                )
        prove_overflow(subject.name, world, regularizer)


def prove_overflow(name: str, world: World, regularizer: Regularizer) -> None:
    """Prove that state stays finite after scores that are not, because it could never come back."""
    _, turn = world.d_turn(regularizer, 3)
    assert turn.scores is not None
    overflowed = Scores(turn.scores.real + torch.inf, turn.scores.fake * torch.nan)
    after_d_step(regularizer, replace(turn, scores=overflowed))
    for buffer, value in regularizer.state_dict().items():
        if not value.isfinite().all():
            raise ProofError(
                f"{name}.after_d_step sets {buffer} to infinity or NaN after a batch that overflowed, from which it "
                "cannot come back: use gantrain.losses.numerics.move_if_finite"
            )


def prove_effect(subject: Subject) -> None:
    """Prove that terms reach their own player's weights alone, or that ``after_d_step`` does something."""
    works = [has_effect(subject, player) for player in PLAYERS]
    if not any(works) and not any(moves(subject, world) for world in subject.worlds):
        raise ProofError(
            f"{subject.name} does nothing: return a term from for_d or for_g, or change D or state in after_d_step"
        )


def has_effect(subject: Subject, player: str) -> bool:
    """Tell whether a player has terms; raise ProofError if they do not reach its weights, or reach the other's."""
    reached, terms = False, 0
    for scale in (1.0, 3.0, 0.3):  # a one-sided penalty costs nothing at small slopes
        for regularizer, world, index in turns(subject, player, scale):
            term = subject.active_term(regularizer, world, player, index)
            own, other = (world.d, world.g) if player == "for_d" else (world.g, world.d)
            terms, reached = terms + 1, reached or reaches(term, own)
            if reaches(term, other):
                raise ProofError(
                    f"the gradient of {subject.name}.{player} reaches the other player's weights: return the term from "
                    "for_d if it is of D's weights, and from for_g if it is of G's"
                )
    if terms and not reached:
        whose = "D" if player == "for_d" else "G"
        raise ProofError(
            f"the gradient of {subject.name}.{player} does not reach {whose}'s weights: compute the term without "
            "detach, item or no_grad, and return None where it is idle"
        )
    return reached


def turns(subject: Subject, player: str, scale: float) -> Iterator[tuple[Regularizer, World, int]]:
    """Go through turns that have a term; networks have ``scale`` times their weights."""
    for original in subject.worlds:
        regularizer, world = subject.warmed(original), original.copy(scale=scale)
        for index in subject.active(world, player):
            yield regularizer, world, index


def reaches(term: Tensor, net: nn.Module) -> bool:
    """Tell whether a term's gradient by a network's weights is anywhere different from 0."""
    weights = [weight for weight in net.parameters() if weight.requires_grad]
    if not term.requires_grad:
        return False
    slopes = torch.autograd.grad(term, weights, retain_graph=True, allow_unused=True)
    return any(slope is not None and bool(slope.any()) for slope in slopes)


def moves(subject: Subject, original: World) -> bool:
    """Tell whether ``after_d_step`` changes D or the regularizer's state."""
    world, regularizer = original.copy(scale=3.0), subject.copy()
    before = frozen([world.d, regularizer])
    _, turn = world.d_turn(regularizer, 0)
    after_d_step(regularizer, turn)
    return not same(before, frozen([world.d, regularizer]))


def prove_weight(subject: Subject) -> None:
    """Prove that there is no term without weight."""
    if not isinstance(getattr(subject.original, "weight", None), int | float):
        return
    for player in PLAYERS:
        for regularizer, world, index in turns(subject, player, scale=3.0):
            vars(regularizer)["weight"] = 0.0
            term = subject.term(copy.deepcopy(regularizer), world, player, index)
            if term is not None and term.item() != 0:
                raise ProofError(
                    f"{subject.name}.{player} is {term.item():.6g} with weight = 0: multiply the whole term by "
                    "self.weight"
                )


def prove_gradient(subject: Subject) -> None:
    """Prove that gradients by weights equal finite differences, along random directions."""
    for player in PLAYERS:
        for regularizer, world, index in turns(subject, player, scale=1.5):
            for _ in range(3):
                exact, measured, size = slopes(subject, regularizer, world, player, index)
                if not abs(exact - measured) <= 1e-5 * (abs(measured) + size) + 1e-9:
                    raise ProofError(
                        f"the gradient of {subject.name}.{player} on {world.name} is {exact:.6g} along a direction in "
                        f"which finite differences give {measured:.6g}: compute the term without detach, item or "
                        "numpy, and keep the graph of inner gradients, as InputGradient does"
                    )


def slopes(
    subject: Subject, regularizer: Regularizer, world: World, player: str, index: int
) -> tuple[float, float, float]:
    """Return a term's slope along a random direction in weights by autograd and by differences, and its size."""
    weights, step = list((world.d if player == "for_d" else world.g).parameters()), 1e-6
    direction = [torch.randn_like(weight) for weight in weights]
    here = subject.active_term(regularizer, world, player, index)
    found = torch.autograd.grad(here, weights, allow_unused=True) if here.requires_grad else [None] * len(weights)
    exact = sum(float((s * v).sum()) for s, v in zip(found, direction, strict=True) if s is not None)
    before, ends = [weight.detach().clone() for weight in weights], []
    for shift in (step, -step):
        with torch.no_grad():
            for weight, kept, towards in zip(weights, before, direction, strict=True):
                weight.copy_(kept + shift * towards)
        ends.append(subject.active_term(regularizer, world, player, index).item())
    with torch.no_grad():
        for weight, kept in zip(weights, before, strict=True):
            weight.copy_(kept)
    return exact, (ends[0] - ends[1]) / (2 * step), abs(here.item())


def prove_phase(subject: Subject) -> None:
    """Prove that turns of one phase do the same, and that lazy terms are on average as strong as eager ones."""
    for original in subject.worlds:
        regularizer = subject.warmed(original)
        seen: dict[int, tuple[int, dict[str, object]]] = {}
        for index in INDICES:
            with calling(f"{subject.name}.phase", f"for turn {index}"):
                phase = regularizer.phase(index)
            if not isinstance(phase, int):
                raise ProofError(f"{subject.name}.phase returns {phase!r} for turn {index}: return an int")
            deeds = done(subject, regularizer, original, index)
            first, expected = seen.setdefault(phase, (index, deeds))
            for name, deed in deeds.items():
                if not same(expected[name], deed):
                    raise ProofError(
                        f"{subject.name}.phase is {phase} for turns {first} and {index}, but {name} does not do the "
                        "same there: let phase tell them apart, for example with index % self.every"
                    )
        prove_strength(subject, original)


def done(subject: Subject, regularizer: Regularizer, original: World, index: int) -> dict[str, object]:
    """Return what a regularizer does in one turn of each player, by the name of the method that does it."""
    here, world = copy.deepcopy(regularizer), original.copy()
    for_g = frozen(subject.term(here, world, "for_g", index))
    here = copy.deepcopy(regularizer)
    with seeded(), calling(f"{subject.name}.for_d", f"on {world.name} in turn {index}"):
        for_d, turn = world.d_turn(here, index)
        after_d_step(here, turn)
    return {"for_d": frozen(for_d), "for_g": for_g, "after_d_step": frozen([here, world.d])}


def prove_strength(subject: Subject, original: World) -> None:
    """Prove that over a period a lazy term adds up to as much as an eager one."""
    every = getattr(subject.original, "every", None)
    if not isinstance(every, int):
        return
    every = every if every > 1 else 4
    world = original.copy(scale=3.0)
    lazy, eager = subject.warmed(original, every=every), subject.warmed(original, every=1)
    for player in PLAYERS:
        terms = [subject.term(copy.deepcopy(lazy), world, player, index) for index in range(every, 2 * every)]
        mean = sum(term.item() for term in terms if term is not None) / every
        term = subject.term(copy.deepcopy(eager), world, player, every)
        expected = 0.0 if term is None else term.item()
        if not abs(mean - expected) <= 1e-9 * (1 + abs(expected)):
            raise ProofError(
                f"{subject.name}.{player} with every = {every} is {mean:.6g} on average, but {expected:.6g} with "
                "every = 1: apply it on one turn of every, and multiply it by self.every there"
            )


def prove_check(subject: Subject) -> None:
    """Prove that an InputGradient refuses batch norm: where samples are mixed, one sample's gradient means nothing."""
    if not isinstance(subject.original, InputGradient):
        return
    try:
        subject.original.check(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 1)))
    except ConfigError:
        return
    raise ProofError(
        f"{subject.name}.check accepts batch norm in the discriminator, with which the score of a sample depends on "
        "the others: call super().check(d) in it"
    )


PROOFS: dict[str, Callable[[Subject], None]] = {
    "attributes": prove_attributes,
    "terms": prove_terms,
    "state": prove_state,
    "effect": prove_effect,
    "weight": prove_weight,
    "gradient": prove_gradient,
    "phase": prove_phase,
    "check": prove_check,
}
