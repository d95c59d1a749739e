"""Axes and curves of the report's charts."""

from __future__ import annotations

import pytest

from gantrain.reports.charts import Scale, Series, drawn


def test_axes_have_round_ticks_and_a_logarithm_where_it_helps() -> None:
    assert Scale([0.0, 10.0], 0, 100).ticks() == [0, 2, 4, 6, 8, 10]
    log = Scale([1.0, 1000.0], 0, 90, may_be_log=True)
    assert log.ticks() == [1, 10, 100, 1000] and log(10.0) - log(1.0) == pytest.approx(log(1000.0) - log(100.0))
    assert not Scale([1.0, 5.0], 0, 1, may_be_log=True).log and not Scale([-1.0, 500.0], 0, 1, may_be_log=True).log
    assert Scale([2.0, 2.0], 0, 1).ticks() and Scale([0.0, 0.0], 0, 1).ticks() == [-0.4, -0.2, 0.0, 0.2, 0.4]


def test_a_profile_jumps_at_its_values_where_low_is_good_and_after_them_where_high_is() -> None:
    at, after = (
        drawn(Series("a", [(x, y, y, y) for x, y in points], kind), 0, lambda v: 10 * v, lambda v: 100 * v)[0]
        for points, kind in ((((1, 0.5), (2, 1.0)), "at"), (((1, 1.0), (2, 0.5)), "after"))
    )
    assert 'points="10.0,50.0 20.0,50.0 20.0,100.0"' in at  # half of the runs until 2 is reached
    assert 'points="10.0,100.0 10.0,50.0 20.0,50.0"' in after  # beyond 1 only the half that has 2
