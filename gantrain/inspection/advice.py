"""Settings that suit a data set."""

from __future__ import annotations

SIDES = (8, 16, 32, 64, 128, 256)
"""Of images, that the convolutional architectures take."""
LEAST_BATCHES = 16
"""That a pass over the data should have at least: with fewer, each is much of the whole."""


def side(median: float) -> int:
    """Return the largest side of an architecture that is no longer than half of the images: they lose detail alone."""
    return max((side for side in SIDES if side <= median), default=SIDES[0])


def batch_size(count: int | None, usual: int) -> int:
    """Return the usual size of a batch, or for few samples the power of two that leaves ``LEAST_BATCHES`` a pass.

    Never fewer than 8 samples, nor more than there are.
    """
    if count is None:
        return usual
    power = 2 ** max(3, (count // LEAST_BATCHES).bit_length() - 1) if count else 8
    return max(1, min(usual, power, count or usual))


def skip_limit(bad: int, files: int) -> float:
    """Return the smallest share in whole percents that bad files are no more of; at most 0.99."""
    return min(-(-100 * bad // files), 99) / 100
