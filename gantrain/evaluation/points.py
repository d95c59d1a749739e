"""How good generated points are, where the true distribution is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from gantrain.data import Curves, Known
from gantrain.evaluation.metric import Measured, Metric, asked_for, joined, values_of
from gantrain.evaluation.result import Interrupted, Result
from gantrain.metrics import counted, directions, found_modes, sliced_wasserstein, wasserstein_2
from gantrain.run.directions import BESIDE, HIGHEST, LOWEST
from gantrain.run.protocol import Protocol


class PointQuality:
    """Measures points against a distribution that is known, by a protocol.

    Args:
        protocol: how.
        metrics: which, by their names in ``METRICS``, or metrics of your own.
        data: the true distribution.

    Raises:
        ConfigError: for a metric that is not measured on points.
    """

    features = None

    def __init__(self, protocol: Protocol, metrics: Iterable[str | Metric], data: Known) -> None:
        self.protocol, self.data = protocol, data
        self.metrics: list[Metric] = asked_for(metrics, METRICS, "points")
        self.gives = joined(self.metrics)
        """The name of each value, and its direction."""
        self.weights, self.mode_of = torch.from_numpy(data.mode_shares), torch.from_numpy(data.mode_of)
        self.real = self._draw(protocol.n_real, 0)
        onto = directions(data.shape[0], protocol.slices, protocol.seed)
        self.onto, self.projections = onto, self.real @ onto

        self.asked: Tensor | None = None
        """The classes (n,) that the points being measured were asked for; None of an unconditional generator."""
        self.near = torch.empty(0, dtype=torch.bool), torch.empty(0, dtype=torch.int64)
        """Whether each of the points being measured is near a place of the data (n,), and which is the nearest."""

    @cached_property
    def w2_of_real(self) -> float:
        """The distance of other real points, as many as are compared: no generator gets below it but by luck."""
        n = min(self.protocol.n_w2, self.protocol.n_fake, len(self.real))
        return wasserstein_2(self._draw(n, 1), self.real[:n])

    def _draw(self, n: int, stream: int) -> Tensor:
        return torch.from_numpy(self.data.sample(n, np.random.default_rng([self.protocol.seed, stream]))[0])

    def measure(
        self, samples: Iterable[Tensor], stop: Callable[[], bool] = lambda: False, asked: Tensor | None = None
    ) -> Result:
        """Return the values of generated points, which come in batches (b, d).

        Args:
            samples: the points.
            stop: asked between the metrics.
            asked: their classes (n,), if the generator was told them.

        Raises:
            Interrupted: when ``stop()`` turned true.
        """
        self.asked = asked
        points = torch.cat([batch.cpu() for batch in samples])
        distance, place = self.data.nearest(points)
        self.near = distance < self.data.reach, place
        values: dict[str, float] = {}
        for metric in self.metrics:
            if stop():
                raise Interrupted
            values |= values_of(metric, self, points)
        return Result(values)


def modes(quality: PointQuality, points: Tensor) -> dict[str, float]:
    """Modes that hold 1% of the points, the share of points near one, and KL(found shares ‖ true ones)."""
    near, place = quality.near
    return found_modes(near, quality.mode_of[place], quality.weights)


def along(quality: PointQuality, points: Tensor) -> dict[str, float]:
    """Return the share of a hundred pieces of the data's curves that points lie near; nothing where are no curves."""
    if not isinstance(quality.data, Curves):
        return {}
    near, place = quality.near
    pieces = quality.data.pieces
    shares = torch.bincount(pieces, torch.from_numpy(quality.data.weights))
    return {"curve_covered": counted(near, pieces[place], shares).modes / float((shares > 0).sum())}


def as_asked(quality: PointQuality, points: Tensor) -> dict[str, float]:
    """Return the share of points whose nearest mode is the one asked for."""
    if quality.asked is None:
        return {}
    return {"conditional_accuracy": float((quality.mode_of[quality.near[1]] == quality.asked).double().mean())}


def exact(quality: PointQuality, points: Tensor) -> dict[str, float]:
    """Return the exact 2-Wasserstein distance from the first real points, and theirs from other real ones."""
    n = min(quality.protocol.n_w2, len(points), len(quality.real))
    return {"w2": wasserstein_2(points[:n], quality.real[:n]), "w2_of_real": quality.w2_of_real}


def sliced(quality: PointQuality, points: Tensor) -> dict[str, float]:
    """Sliced Wasserstein distance."""
    return {"sliced_wasserstein": sliced_wasserstein(points @ quality.onto, quality.projections)}


METRICS: dict[str, Measured] = {
    "modes": Measured(modes, {"modes": HIGHEST, "modes_of_data": BESIDE, "high_quality": HIGHEST, "mode_kl": LOWEST}),
    "curve_covered": Measured(along, {"curve_covered": HIGHEST}),
    "w2": Measured(exact, {"w2": LOWEST, "w2_of_real": BESIDE}),
    "sliced_wasserstein": Measured(sliced, {"sliced_wasserstein": LOWEST}),
    "conditional_accuracy": Measured(as_asked, {"conditional_accuracy": HIGHEST}, of_classes=True),
}
