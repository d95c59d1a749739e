"""How good generated points are, where the true distribution is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from gantrain.data import Mixture
from gantrain.evaluation.metric import Measured, Metric, asked_for, joined, values_of
from gantrain.evaluation.result import Interrupted, Result
from gantrain.metrics import coverage, directions, mode_kl, sliced_wasserstein, wasserstein_2
from gantrain.run.directions import BESIDE, HIGHEST, LOWEST
from gantrain.run.protocol import Protocol


class PointQuality:
    """Measures points against a mixture of Gaussians, by a protocol.

    Args:
        protocol: how.
        metrics: which, by their names in ``METRICS``, or metrics of your own.
        data: the true distribution.

    Raises:
        ConfigError: for a metric that is not measured on points.
    """

    features = None

    def __init__(self, protocol: Protocol, metrics: Iterable[str | Metric], data: Mixture) -> None:
        self.protocol, self.data = protocol, data
        self.metrics: list[Metric] = asked_for(metrics, METRICS, "points")
        self.gives = joined(self.metrics)
        """The name of each value, and its direction."""
        self.centers, self.weights = torch.from_numpy(data.centers), torch.from_numpy(data.weights)
        self.real = self._draw(protocol.n_real, 0)
        onto = directions(data.shape[0], protocol.slices, protocol.seed)
        self.onto, self.projections = onto, self.real @ onto

        self.asked: Tensor | None = None
        """The components (n,) that the points being measured were asked for; None of an unconditional generator."""

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
            asked: their components (n,), if the generator was told them.

        Raises:
            Interrupted: when ``stop()`` turned true.
        """
        self.asked = asked
        points = torch.cat([batch.cpu() for batch in samples])
        values: dict[str, float] = {}
        for metric in self.metrics:
            if stop():
                raise Interrupted
            values |= values_of(metric, self, points)
        return Result(values)


def modes(quality: PointQuality, points: Tensor) -> dict[str, float]:
    """Modes that hold 1% of the points, the share of points within 3 σ of one, and KL(found shares ‖ true ones)."""
    found = coverage(points, quality.centers, quality.data.std, quality.weights)
    closest = torch.cdist(points.double(), quality.centers).argmin(1)
    kl = mode_kl(closest, quality.weights)
    there = float(len(quality.centers))
    return {"modes": float(found.modes), "modes_of_data": there, "high_quality": found.high_quality, "mode_kl": kl}


def as_asked(quality: PointQuality, points: Tensor) -> dict[str, float]:
    """Return the share of points whose nearest mode is the one asked for."""
    if quality.asked is None:
        return {}
    closest = torch.cdist(points.double(), quality.centers).argmin(1)
    return {"conditional_accuracy": float((closest == quality.asked).double().mean())}


def exact(quality: PointQuality, points: Tensor) -> dict[str, float]:
    """Return the exact 2-Wasserstein distance from the first real points, and theirs from other real ones."""
    n = min(quality.protocol.n_w2, len(points), len(quality.real))
    return {"w2": wasserstein_2(points[:n], quality.real[:n]), "w2_of_real": quality.w2_of_real}


def sliced(quality: PointQuality, points: Tensor) -> dict[str, float]:
    """Sliced Wasserstein distance."""
    return {"sliced_wasserstein": sliced_wasserstein(points @ quality.onto, quality.projections)}


METRICS: dict[str, Measured] = {
    "modes": Measured(modes, {"modes": HIGHEST, "modes_of_data": BESIDE, "high_quality": HIGHEST, "mode_kl": LOWEST}),
    "w2": Measured(exact, {"w2": LOWEST, "w2_of_real": BESIDE}),
    "sliced_wasserstein": Measured(sliced, {"sliced_wasserstein": LOWEST}),
    "conditional_accuracy": Measured(as_asked, {"conditional_accuracy": HIGHEST}, of_classes=True),
}
