"""Inputs: latents and the labels that go with them."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from gantrain.distributed import ALONE, Alone
from gantrain.errors import ConfigError
from gantrain.inputs.latent import Latent


class Given(NamedTuple):
    """What a generator is called with."""

    z: Tensor  # (n, dim) float32
    labels: Tensor | None  # (n,) int64; None if the data have no classes


def is_conditional(net: nn.Module) -> bool:
    """Tell whether a generator draws the class that it is asked for: its class says ``conditional = True``."""
    return bool(getattr(net, "conditional", False))


def asked_of(net: nn.Module, given: Given) -> Tensor | None:
    """Return the classes that a generator was asked for; None of one that is not conditional."""
    return given.labels if is_conditional(net) else None


def class_numbers(
    wanted: Sequence[Any] | str | int, classes: int, names: Sequence[str], key: str = "classes"
) -> list[int]:
    """Return the numbers of classes that the setting ``key`` gives by number or by name.

    Raises:
        ConfigError: for none, and for one that does not exist.
    """
    wanted = [wanted] if isinstance(wanted, str | int) else list(wanted)
    for c in wanted:
        if type(c) is int and 0 <= c < len(names) and str(c) in names and names[c] != str(c):
            raise ConfigError(
                f"{key}={list(wanted)}: class number {c} is called {names[c]}, and another class is called {c}; write "
                f"its name in quotes: '{key}=[\"{c}\"]'"
            )
    found = [names.index(c) if isinstance(c, str) and c in names else c for c in wanted]
    numbers = [operator.index(c) for c in found if hasattr(c, "__index__") and not isinstance(c, bool)]
    if not numbers or len(numbers) < len(found) or not all(0 <= c < classes for c in numbers):
        have = f"there are 0 to {classes - 1}" if classes else "this data set has no labels"
        called = f", called {', '.join(names[:20])}{', …' if len(names) > 20 else ''}" if classes and names else ""
        raise ConfigError(f"{key}={list(wanted)}: {have}{called}")
    return numbers


class Inputs:
    """What a generator gets beside its weights.

    In training every fake has the label of the real sample beside it, so the fakes' classes are distributed as the
    data's. Everything else, grids, measurements, samples and exports, is a function of a seed.

    Args:
        latent: the distribution of z.
        classes: number of classes, 0 where samples carry no label.
        shares: of each class in the data (classes,); None for equal ones.
    """

    def __init__(self, latent: Latent, classes: int, shares: Sequence[float] | None = None) -> None:
        self.latent, self.classes = latent, classes
        if shares is not None and not (len(shares) == classes and min(shares) >= 0 and abs(sum(shares) - 1) < 1e-6):
            raise ValueError(f"the shares of {classes} classes must be as many numbers, 0 or more, with sum 1")
        self.shares = shares

    def draw(self, n: int, labels: Tensor | None, device: torch.device, ranks: Alone = ALONE) -> Given:
        """Return fresh latents for a turn on a batch with ``labels`` (n,), a rank's share of it."""
        return Given(self.latent.draw(n, device, ranks), labels)

    def fixed(self, n: int, seed: int, truncation: float | None = None, classes: Sequence[int] | None = None) -> Given:
        """Return latents and labels on the CPU, both functions of the seed.

        Args:
            n: how many.
            seed: of both.
            truncation: bound of each |z_i|; None for none.
            classes: the labels go through these in turn; None: they are drawn by the classes' shares.

        Raises:
            ConfigError: for less than one.
        """
        if n < 1:
            raise ConfigError(f"n must be 1 or more, got {n}")
        z = self.latent.fixed(n, seed, truncation)
        if classes is not None:
            return Given(z, torch.tensor([classes[k % len(classes)] for k in range(n)], dtype=torch.int64))
        return Given(z, self._labels(n, seed))

    def grid(self, count: int, seed: int) -> tuple[Given, int | None]:
        """Return inputs of about ``count`` samples for a grid, and its number of columns, None where any will do."""
        z, columns = self.latent.grid(count, seed)
        return Given(z, self._labels(len(z), seed)), columns

    def _labels(self, n: int, seed: int) -> Tensor | None:
        if not self.classes:
            return None
        drawn = np.random.default_rng([seed, 1]).choice(self.classes, n, p=self.shares)
        return torch.from_numpy(drawn.astype(np.int64))

    def rows(self, count: int, seed: int) -> tuple[Given, int]:
        """Return inputs of about ``count`` images for a grid with one class a row, and its number of columns.

        All rows have the same latents, so a row shows what the class changes, and a column what it leaves. If there
        are many classes, some of them are shown, evenly spaced.
        """
        most = 2 * max(1, round(count**0.5))
        rows = min(self.classes, most)
        columns = min(-(-count // rows), most)
        shown = np.linspace(0, self.classes - 1, rows).round().astype(np.int64)
        z = self.latent.fixed(columns, seed)
        return Given(z.repeat(rows, 1), torch.from_numpy(shown).repeat_interleave(columns)), columns
