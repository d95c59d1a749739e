"""Loss: one objective, any number of regularizers, and the critic that G plays against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn

from gantrain.errors import ConfigError
from gantrain.losses.lookahead import Lookahead, present
from gantrain.losses.objective import Objective
from gantrain.losses.turn import Cost, Critic, Scores, Turn, Verdicts, Whole


class Seams(Protocol):
    """The places where a regularizer joins a turn; each may do nothing."""

    def phase(self, index: int) -> int: ...
    def for_d(self, turn: Turn) -> Tensor | None: ...
    def for_g(self, turn: Turn) -> Tensor | None: ...
    def after_d_step(self, turn: Turn) -> None: ...
    def after_g_step(self, turn: Turn) -> None: ...
    def caution(self, shape: tuple[int, ...], objective: Objective) -> str: ...
    def remark(self, d: nn.Module) -> str: ...
    def check(self, d: nn.Module) -> None: ...
    def check_generator(self, g: nn.Module) -> None: ...


class Loss(nn.Module):
    """One objective with its regularizers, as ``configs/loss/*.yaml`` builds it: it computes what each turn costs.

    No optimizer is here. Only ``after_d_step`` may change D's weights, by a projection such as clipping.

    Args:
        objective: scores to scalar, for either player.
        regularizers: name -> regularizer; the name is the term's tag in the logs (``d/<name>``).
        lookahead: chooses the critic that G plays against.

    Raises:
        ConfigError: if two regularizers are of one kind.
    """

    def __init__(
        self,
        objective: Objective,
        regularizers: Mapping[str, nn.Module] | None = None,
        lookahead: Lookahead = present,
    ) -> None:
        super().__init__()
        self.objective = objective
        self.regularizers = nn.ModuleDict(dict(regularizers or {}))
        self.lookahead = lookahead
        self.refuse_two_of_a_kind()
        objective.slope_is_one = any(getattr(r, "slope_is_one", False) for r in self.regularizers.values())

    def refuse_two_of_a_kind(self) -> None:
        """Raise ConfigError if two terms are of one kind: together they are a term that no setting names."""
        first: dict[str, str] = {}
        for name, regularizer in self.regularizers.items():
            kind = getattr(regularizer, "kind", None)
            if kind in first:
                raise ConfigError(
                    f"loss.regularizers.{name} is of the same kind as loss.regularizers.{first[kind]}, which the loss "
                    f"has already ({kind}): change that one's settings, or remove it with "
                    f"~loss.regularizers.{first[kind]}"
                )
            if kind is not None:
                first[kind] = name

    def judged_for_d(self, turn: Turn) -> Verdicts:
        """Return what D says of both batches."""
        return turn.critic.of_both(turn.real, turn.fake)

    def judged_for_g(self, turn: Turn, critic: Critic) -> Verdicts:
        """Return what a critic says of the fakes, and of the reals if the objective needs that in G's turn."""
        fake = critic.verdict(turn.fake)
        return Verdicts(critic.verdict(turn.real) if self.objective.g_uses_real else None, fake)

    def for_d(self, turn: Turn, whole: Whole | None = None) -> Cost:
        """Return the cost of D's turn; ``turn.fake`` carries no graph.

        Args:
            turn: what D sees; with ``verdicts`` if D has given them already.
            whole: the objective on the batch that this one is a part of, if it is not to be computed of this one alone.
        """
        verdicts = turn.verdicts or self.judged_for_d(turn)
        assert verdicts.real is not None
        real, fake = verdicts.real.scores, verdicts.fake.scores
        every_real, every_fake = self.whole_batch(turn, real, fake) if whole is None else (real, fake)
        witness = partial(self.objective.witness, real=every_real, fake=every_fake)
        turn = replace(turn, scores=Scores(real, fake), verdicts=verdicts, witness=witness)
        adversarial = self.objective.d_loss(every_real, every_fake) if whole is None else whole.of_part(real, fake)
        terms = {"adversarial": adversarial}
        terms |= {name: term for name, r in self._seams() if (term := r.for_d(turn)) is not None}
        return Cost(terms, turn, self.readings(real.detach(), fake.detach()) if turn.measure else {})

    def whole_batch(self, turn: Turn, *scores: Tensor) -> list[Tensor]:
        """Return the scores that the objective is a function of: of all ranks, unless it is a mean over samples."""
        return turn.ranks.share_each(scores) if self.objective.over_batch else list(scores)

    def readings(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Return the mean scores and the objective's estimates."""
        return {"score_real": real.mean(), "score_fake": fake.mean()} | self.objective.estimates(real, fake)

    def for_g(self, turn: Turn, whole: Whole | None = None) -> Cost:
        """Return the cost of G's turn; ``turn.fake`` carries G's graph. The arguments are those of ``for_d``."""
        verdicts = turn.verdicts or self.judged_for_g(turn, self.lookahead(turn, self.objective))
        turn = replace(turn, verdicts=verdicts)
        real, fake = None if verdicts.real is None else verdicts.real.scores, verdicts.fake.scores
        if whole is not None:
            adversarial = whole.of_part(None, fake)
        elif real is None:
            adversarial = self.objective.g_loss(*self.whole_batch(turn, fake))
        else:
            adversarial = self.objective.g_loss(*self.whole_batch(turn, fake, real))
        terms = {"adversarial": adversarial}
        terms |= {name: term for name, r in self._seams() if (term := r.for_g(turn)) is not None}
        return Cost(terms, turn, {"score_fake": fake.detach().mean()} if turn.measure else {})

    @torch.no_grad()
    def after_d_step(self, turn: Turn) -> None:
        """Let the objective and the regularizers act after D's step, which was made from the scores in ``turn``."""
        assert turn.scores is not None
        self.objective.after_d_step(*turn.scores)
        for _, regularizer in self._seams():
            regularizer.after_d_step(turn)

    @torch.no_grad()
    def after_g_step(self, turn: Turn) -> None:
        """Let the regularizers act after G's step, which was made from the verdicts in ``turn``."""
        for _, regularizer in self._seams():
            regularizer.after_g_step(turn)

    def check(self, d: nn.Module) -> None:
        """Raise ConfigError if the objective or a regularizer cannot be used with this D."""
        self.objective.check(d)
        for _, regularizer in self._seams():
            regularizer.check(d)

    def check_generator(self, g: nn.Module) -> None:
        """Raise ConfigError if a regularizer cannot be used with this G."""
        for _, regularizer in self._seams():
            regularizer.check_generator(g)

    def why_whole(self, shape: tuple[int, ...]) -> str:
        """Return why a batch of samples of this shape cannot be costed in parts, "" if it can."""
        if self.lookahead is not present:
            return f"{type(self.lookahead).__name__} steps on whole batches; use accumulate=1"
        compares = type(self.objective).witness is not Objective.witness
        for name, regularizer in self._seams():
            if getattr(regularizer, "over_batch", lambda shape: True)(shape):
                return (
                    f"the term {name} compares the samples of a batch, or its class does not say over_batch = False; "
                    f"remove it with ~loss.regularizers.{name}, or use accumulate=1"
                )
            if compares and getattr(regularizer, "differentiates_twice", False):
                return f"{type(self.objective).__name__} under the term {name} compares whole batches; use accumulate=1"
        return ""

    def why_alone(self, shape: tuple[int, ...]) -> str:
        """Return why a batch of samples of this shape cannot be divided among ranks, "" if it can."""
        if self.lookahead is not present and not getattr(self.lookahead, "over_ranks", False):
            return f"{type(self.lookahead).__name__} does not say over_ranks = True: does it step on the whole batch?"
        for name, regularizer in self._seams():
            compares = getattr(regularizer, "over_batch", lambda shape: True)(shape)
            if compares and not getattr(regularizer, "over_ranks", False):
                return (
                    f"the term {name} may compare the samples of a batch: let its class say over_batch = False, or "
                    "over_ranks = True if it takes what it compares from turn.ranks.share; or remove it with "
                    f"~loss.regularizers.{name}"
                )
        return ""

    def cautions(self, shape: tuple[int, ...]) -> list[str]:
        """Return what was measured to fail with samples of this shape, a part of the loss each."""
        said = [self.objective.caution(shape)]
        said += [regularizer.caution(shape, self.objective) for _, regularizer in self._seams()]
        if self.lookahead is not present:
            said.append(getattr(self.lookahead, "caution", lambda shape: "")(shape))
        return [text for text in said if text]

    def remarks(self, d: nn.Module) -> list[str]:
        """Return what a user should know of the regularizers beside this D, a sentence each."""
        return [text for _, regularizer in self._seams() if (text := regularizer.remark(d))]

    def phase(self, index: int) -> tuple[int, ...]:
        """Return the phase of every regularizer: turns that agree in all of them do the same computation."""
        return tuple(regularizer.phase(index) for _, regularizer in self._seams())

    @property
    def whole(self) -> set[str]:
        """The tags of terms that are a player's whole loss, because no regularizer adds another."""
        added = {p: any(getattr(r, f"adds_to_{p}", True) for r in self.regularizers.values()) for p in ("d", "g")}
        return {f"{player}/adversarial" for player, others in added.items() if not others}

    @property
    def differentiates_twice(self) -> bool:
        """Whether a term needs second derivatives of D, which torch.compile cannot give."""
        return self.lookahead is not present or any(
            getattr(regularizer, "differentiates_twice", False) for regularizer in self.regularizers.values()
        )

    def _seams(self) -> list[tuple[str, Seams]]:
        return list(self.regularizers.items())  # type: ignore[arg-type]
