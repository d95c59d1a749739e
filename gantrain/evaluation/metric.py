"""The contract of metrics, and how those that were asked for are joined."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from gantrain.errors import ConfigError
from gantrain.kinds import KINDS
from gantrain.run.directions import DIRECTIONS, Better


class Metric(Protocol):
    """One entry of ``evaluation.metrics``: a name in ``METRICS``, or a class of your own by its ``_target_``.

    ``gives`` has the name of each value and its direction: ``LOWEST`` or ``HIGHEST`` says which side is good, and makes
    it a value that runs can be ranked and searched by; ``AS_REAL`` and ``BESIDE`` say that neither is
    (``gantrain.run.directions``). The run records it, and reports read it from there.
    """

    @property
    def gives(self) -> Better:
        """The name of each value, and its direction."""

    def measure(self, quality: Any, samples: Any, /) -> Mapping[str, float]:
        """Return the values, by name.

        Args:
            quality: the ``ImageQuality``, ``PointQuality``, ``SignalQuality`` or ``TableQuality``, which holds data,
                real samples, network and protocol.
            samples: of images ``Fakes``, whose ``kept`` are the first 1,000 generated ones (k, C, H, W) uint8; of
                points all of them (n, d) float32; of signals and tables ``gantrain.evaluation.signals.Drawn``.
        """


@dataclass(frozen=True)
class Measured:
    """A metric of gantrain's own, made of a function."""

    measure: Callable[[Any, Any], Mapping[str, float]]
    gives: Better
    features: bool = False  # whether it needs a feature network
    of_classes: bool = False  # whether only a conditional generator has its values


def joined(metrics: Iterable[Metric]) -> dict[str, str]:
    """Return the directions of all values that metrics give.

    Raises:
        ConfigError: if two give a value of the same name, or one has no direction for its values.
    """
    better: dict[str, str] = {}
    for metric in metrics:
        gives, name = getattr(metric, "gives", None), type(metric).__name__
        if not isinstance(gives, Mapping) or not gives or not callable(getattr(metric, "measure", None)):
            raise ConfigError(f"evaluation.metrics: {name} needs gives, a dict of names and directions, and measure()")
        for value, direction in gives.items():
            if direction not in DIRECTIONS:
                raise ConfigError(
                    f"evaluation.metrics: {name} says {direction!r} of {value}; allowed are {', '.join(DIRECTIONS)}"
                )
            if value in better:
                raise ConfigError(f"evaluation.metrics: {value} is measured twice; name each metric once")
            better[str(value)] = direction
    return better


def values_of(metric: Metric, quality: Any, samples: Any) -> dict[str, float]:
    """Return the values of a metric as plain numbers.

    Raises:
        ConfigError: if it gives another value than it said, or one that is no number.
    """
    found = dict(metric.measure(quality, samples))
    if unknown := found.keys() - metric.gives.keys():
        raise ConfigError(
            f"evaluation.metrics: {type(metric).__name__} gives {min(map(str, unknown))}, which its gives does not name"
        )
    try:
        return {name: float(value) for name, value in found.items()}
    except (TypeError, ValueError) as error:
        raise ConfigError(f"evaluation.metrics: {type(metric).__name__} gives something that is no number") from error


def asked_for(wanted: Iterable[Any], table: Mapping[str, Measured], of: str, use: str | None = None) -> list[Any]:
    """Return the metrics that settings name: those of a table by their names, others as they are.

    Args:
        wanted: names and metrics.
        table: the known ones.
        of: what they are measured on, in the plural; the name of a kind unless ``use`` is given.
        use: the option of ``evaluation`` that measures such samples.

    Raises:
        ConfigError: for a name that is not in the table.
    """
    metrics = []
    for entry in dict.fromkeys(wanted):
        if isinstance(entry, str) and entry not in table:
            raise ConfigError(
                f"evaluation.metrics: {entry} is not measured on {of}; there are {', '.join(table)}; "
                f"use evaluation={use or KINDS[of].evaluation}"
            )
        metrics.append(table[entry] if isinstance(entry, str) else entry)
    return metrics
