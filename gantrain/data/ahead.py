"""Work for coming batches, done by threads while the device is busy with earlier ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """A function of a position that is begun for the next positions too, before anyone asks.

    What it returns depends on the position alone, so nothing needs saving: after a resume or a jump, what was begun for
    other positions is dropped.

    Args:
        begin: position -> a function that waits for its value; no memory is shared with other positions' values.
        depth: how many positions are begun or waiting.
    """

    def __init__(self, begin: Callable[[int], Callable[[], T]], depth: int = 3) -> None:
        self.begin, self.depth = begin, depth
        self.waiting: deque[tuple[int, Callable[[], T]]] = deque()

    def __call__(self, position: int) -> T:
        """Return the value of ``position``; raises what its work raised."""
        if self.waiting and self.waiting[0][0] != position:
            self.waiting.clear()
        while len(self.waiting) < self.depth:
            upcoming = position + len(self.waiting)
            self.waiting.append((upcoming, self.begin(upcoming)))
        return self.waiting.popleft()[1]()


def in_a_thread(prepare: Callable[[int], T]) -> Callable[[int], Callable[[], T]]:
    """Return how to begin ``prepare`` in a thread, one position after another."""
    pool = ThreadPoolExecutor(1, "batches")
    return lambda position: pool.submit(prepare, position).result
