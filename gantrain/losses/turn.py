"""The parts of one player's turn that a loss sees: the numerics, the critic, and the two batches."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property, partial, reduce
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from gantrain.distributed import ALONE, Alone


@dataclass(frozen=True)
class Precision:
    """The device and the dtypes that the networks run in.

    Parameters, losses and optimizer state are float32 always; only the networks' inner arithmetic changes.
    """

    device: torch.device
    forward: torch.dtype = torch.float32  # both networks, in both turns
    penalty: torch.dtype = torch.float32  # D under a gradient penalty (twice differentiated)

    def autocast(self, dtype: torch.dtype) -> AbstractContextManager[object]:
        """Return a context that runs networks in ``dtype``; float32 switches an outer autocast off."""
        mixed = dtype != torch.float32
        if not mixed and not torch.is_autocast_enabled(self.device.type):
            return nullcontext()  # the same, without the cost of a context that does nothing
        return torch.autocast(self.device.type, dtype=dtype if mixed else None, enabled=mixed)

    def scaler(self) -> torch.amp.GradScaler:
        """Return a gradient scaler; it is enabled for float16 only, whose gradients underflow without one."""
        return torch.amp.GradScaler(self.device.type, enabled=self.forward == torch.float16)


def whole(x: Tensor) -> Tensor:
    """Return ``x``, as float32 if it is in half precision."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def unchanged(x: Tensor) -> Tensor:
    """Return ``x``: the augmentation that does nothing."""
    return x


@dataclass(frozen=True)
class Critic:
    """The discriminator as a loss sees it: images or points in, raw scores out.

    Augmentation, labels and dtype are bound in, so that both players and every penalty see D the same way.
    """

    net: nn.Module
    precision: Precision
    dtype: torch.dtype
    labels: Tensor | None = None  # (N,) int64
    augment: Callable[[Tensor], Tensor] = unchanged
    one_forward: bool = False  # both batches in one forward; only for a D that scores each sample by itself

    def __call__(self, x: Tensor) -> Tensor:
        """Score ``x`` (N, *shape). Returns (N,), or (N, k) for k outputs or patches; never half precision."""
        return self.verdict(x).scores

    def verdict(self, x: Tensor) -> Verdict:
        """Return all that D says of ``x`` (N, *shape): scores as from a call, and what it says of classes."""
        with self.precision.autocast(self.dtype):
            found: Tensor | tuple[Tensor, ...] = self.net(self.augment(x), self.labels)
        verdict = Verdict(found) if isinstance(found, Tensor) else Verdict(*found)
        scores, *rest = (None if part is None else whole(part) for part in verdict)
        assert scores is not None
        return Verdict(scores.reshape(len(x), -1).squeeze(1), *rest)

    def encode(self, x: Tensor) -> Tensor:
        """Return the codes (N, k) that a D with an encoder gives ``x`` (N, *shape); never half precision."""
        with self.precision.autocast(self.dtype):
            codes: Tensor = self.net.encode(self.augment(x), self.labels)  # type: ignore[operator]
        return whole(codes)

    def of_both(self, real: Tensor, fake: Tensor) -> Verdicts:
        """Return the verdicts on two batches of equal size, from one forward pass of D if ``one_forward``."""
        if not self.one_forward:
            return Verdicts(self.verdict(real), self.verdict(fake))
        labels = None if self.labels is None else torch.cat([self.labels, self.labels])
        both = replace(self, labels=labels).verdict(torch.cat([real, fake]))
        halves = zip(*(((None, None) if part is None else part.chunk(2)) for part in both), strict=True)
        return Verdicts(*(Verdict(*half) for half in halves))

    @property
    def exact(self) -> Critic:
        """The same critic in the dtype of penalties."""
        return replace(self, dtype=self.precision.penalty)

    def at(self, tensors: dict[str, Tensor]) -> Critic:
        """Return the same critic with other parameters and buffers, which take gradients of their own."""
        return replace(self, net=WithTensors(self.net, tensors))


class WithTensors(nn.Module):
    """A network run with other parameters and buffers, by their ``state_dict`` names; its own stay as they are."""

    def __init__(self, net: nn.Module, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        self.call, self.tensors = partial(functional_call, net), tensors  # inside a partial the network is no submodule

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor | tuple[Tensor | None, ...]:
        """Return what the network would say of ``x`` with these tensors."""
        found: Tensor | tuple[Tensor | None, ...] = self.call(self.tensors, (x, labels))
        return found


class Verdict(NamedTuple):
    """What D says of a batch. A discriminator returns its scores, or a tuple of what stands here, from the first on."""

    scores: Tensor  # (N,), or (N, k) for k outputs or patches
    logits: Tensor | None = None  # (N, number of classes that it tells apart)
    codes: Tensor | None = None  # (N, k) of length 1 each, for losses that compare samples
    guesses: Tensor | None = None  # (N, k) of the codes in z that a generated sample was made of


class Verdicts(NamedTuple):
    """D's verdicts in a turn; on G's turn that on the real batch is None, unless the loss needs it."""

    real: Verdict | None
    fake: Verdict


class Scores(NamedTuple):
    """D's raw scores of the two batches, (N,), or (N, k) for a D with k outputs."""

    real: Tensor
    fake: Tensor


@dataclass(frozen=True)
class Turn:
    """What one player sees when it moves."""

    critic: Critic
    generator: nn.Module
    real: Tensor  # (N, *shape); images lie in [-1, 1]
    fake: Tensor  # (N, *shape); carries G's graph on G's turn only
    index: int  # moves this player made before (``Player.moves``); lazy regularizers count with it
    measure: bool = True  # whether readings of this turn are wanted
    z: Tensor | None = None  # (N, latent_dim) that ``fake`` was made of
    scores: Scores | None = None  # on D's turn, once D has scored both batches
    verdicts: Verdicts | None = None  # once D has given them, on either player's turn
    witness: Callable[[Tensor], Tensor] = unchanged  # D's raw outputs (N, …) at other points -> (N,)
    ranks: Alone = ALONE  # the processes among which the batch is divided; this turn holds the part of one of them

    @property
    def labels(self) -> Tensor | None:
        """The classes (N,) int64 of the real samples, and those that the fakes were asked to be of."""
        return self.critic.labels


@dataclass(frozen=True)
class Whole:
    """An objective's loss of a batch of which a turn sees one of ``parts`` equal parts.

    It gives a part the loss of the whole, and of that loss the gradient that the part's own scores have in it.
    """

    loss: Tensor
    by_real: Tensor | None  # its gradient by the part's real scores; None on G's turn, where they stay
    by_fake: Tensor
    parts: int

    def of_part(self, real: Tensor | None, fake: Tensor) -> Tensor:
        """Return the part's loss: means over the parts have the value of the whole loss, and its gradient."""
        change = (self.by_fake * (fake - fake.detach())).sum()
        if real is not None and self.by_real is not None:
            change = change + (self.by_real * (real - real.detach())).sum()
        return self.loss + self.parts * change


@dataclass(frozen=True)
class Cost:
    """The cost of a turn: named terms that are summed and minimised, and readings that are only logged."""

    terms: dict[str, Tensor]
    turn: Turn  # with D's scores of it
    readings: dict[str, Tensor] = field(default_factory=dict)

    @cached_property
    def total(self) -> Tensor:
        """The scalar to descend."""
        return reduce(torch.add, self.terms.values())

    def scalars(self, player: str) -> dict[str, Tensor]:
        """Return the total (as ``loss``), every term and every reading, detached, tagged ``<player>/<name>``."""
        named = {"loss": self.total} | self.terms | self.readings
        return {f"{player}/{name}": value.detach() for name, value in named.items()}
