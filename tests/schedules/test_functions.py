"""Schedules as functions of the share of the run: values by hand, limits, and what is refused."""

from __future__ import annotations

import math

import pytest

from gantrain.errors import ConfigError
from gantrain.schedules import Cosine, Function, Linear, Piecewise, WarmUp

CASES: list[tuple[Function, dict[float, float]]] = [
    (Linear(end=0.0), {0.0: 8.0, 0.25: 6.0, 1.0: 0.0}),
    (Linear(start=2.0, end=4.0, until=0.5), {0.0: 2.0, 0.25: 3.0, 0.5: 4.0, 0.9: 4.0}),
    (Cosine(end=0.0), {0.0: 8.0, 1 / 3: 6.0, 0.5: 4.0, 1.0: 0.0}),
    (Cosine(start=0.0, end=2.0, until=0.5), {0.0: 0.0, 0.25: 1.0, 0.5: 2.0, 1.0: 2.0}),
    (WarmUp(until=0.25), {0.0: 0.0, 0.125: 4.0, 0.25: 8.0, 1.0: 8.0}),
    (WarmUp(until=0.2, start=1.0, then=Linear(end=0.0)), {0.0: 1.0, 0.1: 4.5, 0.2: 8.0, 0.6: 4.0, 1.0: 0.0}),
    (WarmUp(until=0.5, then=Piecewise([0.0, 0.5], [6.0, 3.0])), {0.25: 3.0, 0.5: 6.0, 0.74: 6.0, 0.75: 3.0, 1.0: 3.0}),
    (Piecewise([0.0, 0.5, 0.75], [None, 4.0, 1.0]), {0.0: 8.0, 0.49: 8.0, 0.5: 4.0, 0.75: 1.0, 1.0: 1.0}),
    (Piecewise([0.2, 0.6], [10.0, 2.0], between="linear"), {0.0: 10.0, 0.2: 10.0, 0.4: 6.0, 0.6: 2.0, 1.0: 2.0}),
    (Piecewise([0.5], [3.0]), {0.0: 3.0, 1.0: 3.0}),
]


@pytest.mark.parametrize(("function", "values"), CASES, ids=lambda x: type(x).__name__)
def test_values_are_those_by_hand(function: Function, values: dict[float, float]) -> None:
    for share, value in values.items():
        assert function(share, 8.0) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("make", [
    lambda: Linear(end=0.0, until=0.0), lambda: Linear(end=0.0, until=1.1), lambda: Cosine(end=0.0, until=math.nan),
    lambda: WarmUp(until=0.0), lambda: WarmUp(until=1.0), lambda: Piecewise([], []),
    lambda: Piecewise([0.0], [1.0, 2.0]),
    lambda: Piecewise([0.5, 0.5], [1.0, 2.0]), lambda: Piecewise([0.5, 0.2], [1.0, 2.0]),
    lambda: Piecewise([-0.1], [1.0]), lambda: Piecewise([1.1], [1.0]), lambda: Piecewise([0.0], [1.0], between="cubic"),
])  # fmt: skip
def test_shares_out_of_range_or_order_are_refused(make: object) -> None:
    with pytest.raises(ConfigError):
        make()


@pytest.mark.parametrize("number", ["0", "a", True, math.nan, math.inf, [1.0], {}])
def test_what_is_no_number_is_named(number: object) -> None:
    for make in (
        lambda: Linear(end=number),
        lambda: Cosine(end=1.0, start=number),
        lambda: Linear(end=1.0, until=number),
        lambda: WarmUp(until=0.5, start=number),
        lambda: Piecewise([0.0, 0.5], [1.0, number]),
        lambda: Piecewise([0.0, number], [1.0, 2.0]),
    ):
        with pytest.raises(ConfigError, match=r"needs a number for (end|start|until|values|shares)"):
            make()
