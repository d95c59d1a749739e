"""Settings that are suggested."""

from __future__ import annotations

import pytest

from gantrain.inspection import advice


@pytest.mark.parametrize(("median", "side"), [(3, 8), (8, 8), (63.5, 32), (64, 64), (480, 256), (4000, 256)])
def test_the_side_is_a_power_of_two_up_to_the_median(median: float, side: int) -> None:
    assert advice.side(median) == side


@pytest.mark.parametrize(
    ("count", "size"), [(None, 64), (50_000, 64), (1024, 64), (1023, 32), (100, 8), (9, 8), (3, 3), (0, 8)]
)
def test_a_batch_is_the_usual_one_or_smaller_for_few_samples(count: int | None, size: int) -> None:
    assert advice.batch_size(count, 64) == size


@pytest.mark.parametrize(("bad", "files", "limit"), [(1, 100, 0.01), (4, 90, 0.05), (99, 100, 0.99), (9, 9, 0.99)])
def test_the_limit_is_in_whole_per_cents_and_lets_all_bad_files_be_skipped(bad: int, files: int, limit: float) -> None:
    assert advice.skip_limit(bad, files) == limit
