"""How good generated signals are, by what holds for any vectors: distances between signals as they are.

Where the modes of the data are known, they are counted too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from gantrain.data import Data, Known
from gantrain.evaluation.metric import Measured, Metric, asked_for, joined, values_of
from gantrain.evaluation.result import Interrupted, Result
from gantrain.evaluation.rows import Rows
from gantrain.metrics import (
    density_coverage,
    directions,
    found_modes,
    memorised,
    nearest,
    precision_recall,
    sliced_wasserstein,
    threshold,
    wasserstein_2,
)
from gantrain.metrics.memorisation import QUERIES
from gantrain.run.directions import BESIDE, HIGHEST, LOWEST
from gantrain.run.protocol import Protocol

BATCH = 500
ELEMENTS = 2**23  # numbers in a batch
COPIES = 1000  # generated signals among which copies are looked for


@dataclass(frozen=True)
class Drawn:
    """Signals as metrics see them."""

    projections: Tensor  # (n, slices)
    kept: Tensor  # the first of them whole, (k, channels, length) float32
    labels: Tensor | None = None  # classes (k,) of those, if they have one
    near: Tensor | None = None  # whether each of all is near a mode (n,), if the data's modes are known
    mode: Tensor | None = None  # the nearest mode of each (n,)

    @property
    def vectors(self) -> Tensor:
        """The signals that were kept, (k, channels · length)."""
        return self.kept.flatten(1)


class SignalQuality:
    """Measures signals against a data set, by a protocol.

    Args:
        protocol: how.
        metrics: which, by their names in ``METRICS``, or metrics of your own.
        data: what the generator was trained on; copies are looked for there.
        compared: what it is compared with; another split of the same, or the same.

    Raises:
        ConfigError: for a metric that is not measured on signals.
    """

    features = None

    def __init__(self, protocol: Protocol, metrics: Iterable[str | Metric], data: Data, compared: Data) -> None:
        self.protocol, self.data = protocol, data
        self.metrics: list[Metric] = self.asked_for(metrics)
        self.gives = joined(self.metrics)
        """The name of each value, and its direction."""
        self.onto = directions(int(np.prod(data.shape)), protocol.slices, protocol.seed)
        self.keep = self.to_keep()
        self.real = self._look_at_real(compared)

        self.asked: Tensor | None = None
        """The classes (n,) that the signals being measured were asked to be of; None of an unconditional generator."""

    def asked_for(self, metrics: Iterable[str | Metric]) -> list[Metric]:
        """Return the metrics that settings name."""
        return asked_for(metrics, METRICS, "signals")

    def to_keep(self) -> int:
        """Return how many samples are kept whole."""
        return max(COPIES, self.protocol.n_neighbours, 2 * self.protocol.n_w2)

    def measure(
        self, samples: Iterable[Tensor], stop: Callable[[], bool] = lambda: False, asked: Tensor | None = None
    ) -> Result:
        """Return the values of generated signals, which come in batches (b, channels, length).

        Args:
            samples: the signals.
            stop: asked between the batches and between the metrics.
            asked: their classes (n,), if the generator was told them.

        Raises:
            Interrupted: when ``stop()`` turned true.
        """
        self.asked = asked
        fakes = self._look(samples, self.protocol.n_fake, stop, asked)
        values: dict[str, float] = {}
        for metric in self.metrics:
            if stop():
                raise Interrupted
            values |= values_of(metric, self, fakes)
        return Result(values)

    def _look_at_real(self, compared: Data) -> Drawn:
        classes: list[Tensor] = []

        def signals() -> Iterator[Tensor]:
            for batch, labels in real_signals(compared, self.protocol.n_real, self.protocol.seed):
                classes.extend([] if labels is None else [labels])
                yield batch

        found = self._look(signals(), self.protocol.n_real, bool, None)
        return replace(found, labels=torch.cat(classes)[: len(found.kept)] if classes else None)

    def _look(self, samples: Iterable[Tensor], n: int, stop: Callable[[], bool], labels: Tensor | None) -> Drawn:
        projections, kept = Rows(n), Rows(min(n, self.keep))
        near, mode = Rows(n), Rows(n)
        for batch in samples:
            if stop():
                raise Interrupted
            projections.add(batch.cpu().flatten(1) @ self.onto)
            kept.add(batch.cpu())
            if isinstance(self.data, Known):
                distance, place = self.data.nearest(batch.cpu())
                near.add(distance < self.data.reach)
                mode.add(torch.from_numpy(self.data.mode_of)[place])
        found = Drawn(projections.all(), kept.all(), None if labels is None else labels[: len(kept.all())])
        return replace(found, near=near.all(), mode=mode.all()) if isinstance(self.data, Known) else found

    def neighbourhoods(self, fakes: Drawn) -> tuple[Tensor, Tensor]:
        """Return as many generated as real signals as vectors, at most ``n_neighbours``."""
        n = min(self.protocol.n_neighbours, len(fakes.kept), len(self.real.kept))
        return fakes.vectors[:n], self.real.vectors[:n]

    @cached_property
    def w2_of_real(self) -> float:
        """The distance between two halves of the real signals that are compared: a generator is hardly below it."""
        n = self.compared_by_w2
        return wasserstein_2(self.real.vectors[n : 2 * n], self.real.vectors[:n])

    @property
    def compared_by_w2(self) -> int:
        """Signals of each side: at most half of the real ones, so that there are others to compare these with."""
        return min(self.protocol.n_w2, self.protocol.n_fake, len(self.real.kept) // 2)

    @cached_property
    def copy_limit(self) -> float:
        """The ratio of distances up to which a signal counts as a copy of one that was trained on."""
        count = self.data.count or 0
        own = torch.from_numpy(np.sort(np.random.default_rng([self.protocol.seed, 2]).permutation(count)[:QUERIES]))
        return threshold(nearest(self.data.at(own.tolist()).flatten(1), self.trained_on(), own))

    def trained_on(self) -> Iterator[Tensor]:
        """Yield all signals that were trained on as vectors, in batches."""
        return (part.flatten(1) for part in self.data.once(at_once(self.data)))


def at_once(data: Data) -> int:
    """Return the size of a batch: smaller for longer signals."""
    return max(1, min(BATCH, ELEMENTS // int(np.prod(data.shape))))


def real_signals(data: Data, n: int, seed: int) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield n real signals and their labels in batches: in random order, or drawn fresh if there is no end of them."""
    size = at_once(data)
    if data.count is None:
        batches = data.stream(size, seed, torch.device("cpu"))
        for _ in range(-(-n // size)):
            yield batches.next()
        return
    order = np.random.default_rng([seed, 2]).permutation(data.count)[:n]
    for start in range(0, n, size):
        index = order[start : start + size].tolist()
        yield data.at(index), None if data.labels is None else data.labels[index]


def sliced(quality: SignalQuality, fakes: Drawn) -> dict[str, float]:
    """Sliced Wasserstein distance."""
    return {"sliced_wasserstein": sliced_wasserstein(fakes.projections, quality.real.projections)}


def exact(quality: SignalQuality, fakes: Drawn) -> dict[str, float]:
    """Return the exact 2-Wasserstein distance from some real signals, and theirs from other real ones."""
    n = quality.compared_by_w2
    found = wasserstein_2(fakes.vectors[:n], quality.real.vectors[:n])
    return {"w2": found, "w2_of_real": quality.w2_of_real}


def support(quality: SignalQuality, fakes: Drawn) -> dict[str, float]:
    """Improved precision and recall."""
    precision, recall = precision_recall(*quality.neighbourhoods(fakes), quality.protocol.k_precision_recall)
    return {"precision": precision, "recall": recall}


def robust_support(quality: SignalQuality, fakes: Drawn) -> dict[str, float]:
    """Density and coverage."""
    density, coverage = density_coverage(*quality.neighbourhoods(fakes), quality.protocol.k_density_coverage)
    return {"density": density, "coverage": coverage}


def copies(quality: SignalQuality, fakes: Drawn) -> dict[str, float]:
    """Return the share of generated signals that are copies of training signals; nothing if these are drawn fresh."""
    if quality.data.count is None:
        return {}
    return {"memorised": memorised(nearest(fakes.vectors[:COPIES], quality.trained_on()), quality.copy_limit)}


def as_asked(quality: SignalQuality, fakes: Drawn) -> dict[str, float]:
    """Return the share of signals whose nearest real signal is of the class asked for."""
    if quality.asked is None or fakes.labels is None or quality.real.labels is None:
        return {}
    fake, real = quality.neighbourhoods(fakes)
    found = quality.real.labels[nearest(fake, [real]).index]
    return {"conditional_accuracy": float((found == fakes.labels[: len(fake)]).double().mean())}


def modes(quality: SignalQuality, fakes: Drawn) -> dict[str, float]:
    """Modes that hold 1% of the signals, the share of signals near one, and KL(found shares ‖ true ones)."""
    assert isinstance(quality.data, Known) and fakes.near is not None and fakes.mode is not None
    return found_modes(fakes.near, fakes.mode, torch.from_numpy(quality.data.mode_shares))


METRICS: dict[str, Measured] = {
    "sliced_wasserstein": Measured(sliced, {"sliced_wasserstein": LOWEST}),
    "w2": Measured(exact, {"w2": LOWEST, "w2_of_real": BESIDE}),
    "precision_recall": Measured(support, {"precision": HIGHEST, "recall": HIGHEST}),
    "density_coverage": Measured(robust_support, {"density": HIGHEST, "coverage": HIGHEST}),
    "memorised": Measured(copies, {"memorised": LOWEST}),
    "conditional_accuracy": Measured(as_asked, {"conditional_accuracy": HIGHEST}, of_classes=True),
    "modes": Measured(modes, {"modes": HIGHEST, "modes_of_data": BESIDE, "high_quality": HIGHEST, "mode_kl": LOWEST}),
}
NEED_MODES = {"modes"}
"""Metrics that need data whose modes are known."""
