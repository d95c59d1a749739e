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
        with self.precision.autocast(self.dtype):
            scores: Tensor = self.net(self.augment(x), self.labels)
        if scores.dtype in (torch.bfloat16, torch.float16):
            scores = scores.float()
        return scores.reshape(len(x), -1).squeeze(1)

    def encode(self, x: Tensor) -> Tensor:
        """Return the codes (N, k) that a D with an encoder gives ``x`` (N, *shape); never half precision."""
        with self.precision.autocast(self.dtype):
            codes: Tensor = self.net.encode(self.augment(x), self.labels)  # type: ignore[operator]
        if codes.dtype in (torch.bfloat16, torch.float16):
            codes = codes.float()
        return codes

    def score_both(self, real: Tensor, fake: Tensor) -> Scores:
        """Score two batches of equal size, in one forward pass of D if ``one_forward``."""
        if not self.one_forward:
            return Scores(self(real), self(fake))
        labels = None if self.labels is None else torch.cat([self.labels, self.labels])
        return Scores(*replace(self, labels=labels)(torch.cat([real, fake])).chunk(2))

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

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Score ``x`` as the network would with these tensors."""
        scores: Tensor = self.call(self.tensors, (x, labels))
        return scores


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
    scores: Scores | None = None  # on D's turn, once D has scored both batches
    witness: Callable[[Tensor], Tensor] = unchanged  # D's raw outputs (N, …) at other points -> (N,)


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
