"""Loss: one objective, any number of regularizers, and the critic that G plays against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor, nn

from gantrain.losses.lookahead import Lookahead, present
from gantrain.losses.objective import Objective
from gantrain.turn import Cost, Turn


class Seams(Protocol):
    """The places where a regularizer joins a turn; each may do nothing."""

    def for_d(self, turn: Turn) -> Tensor | None: ...
    def for_g(self, turn: Turn) -> Tensor | None: ...
    def after_d_step(self, d: nn.Module) -> None: ...
    def check(self, d: nn.Module) -> None: ...


class Loss(nn.Module):
    """What ``configs/loss/*.yaml`` builds: it says what each turn costs and never moves a network.

    Args:
        objective: scores to scalar, for either player.
        regularizers: name -> regularizer; the name is the term's tag in the logs (``d/<name>``).
        lookahead: chooses the critic that G plays against.
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

    def for_d(self, turn: Turn) -> Cost:
        """Return what D's turn costs; ``turn.fake`` carries no graph."""
        real, fake = turn.critic(turn.real), turn.critic(turn.fake)
        terms = {"adversarial": self.objective.d_loss(real, fake)}
        terms |= {name: term for name, r in self._seams() if (term := r.for_d(turn)) is not None}
        return Cost(terms, {"score_real": real.detach().mean(), "score_fake": fake.detach().mean()})

    def for_g(self, turn: Turn) -> Cost:
        """Return what G's turn costs; ``turn.fake`` carries G's graph."""
        critic = self.lookahead(turn, self.objective)
        fake = critic(turn.fake)
        real = critic(turn.real) if self.objective.g_uses_real else None
        terms = {"adversarial": self.objective.g_loss(fake, real)}
        terms |= {name: term for name, r in self._seams() if (term := r.for_g(turn)) is not None}
        return Cost(terms, {"score_fake": fake.detach().mean()})

    def after_d_step(self, d: nn.Module) -> None:
        """Let the objective and the regularizers follow an update of D."""
        self.objective.after_d_step()
        for _, regularizer in self._seams():
            regularizer.after_d_step(d)

    def check(self, d: nn.Module) -> None:
        """Raise ConfigError if D has a layer under which a regularizer would be wrong."""
        for _, regularizer in self._seams():
            regularizer.check(d)

    def _seams(self) -> list[tuple[str, Seams]]:
        return list(self.regularizers.items())  # type: ignore[arg-type]
