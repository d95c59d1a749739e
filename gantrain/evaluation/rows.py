"""A table that is filled batch by batch, up to its end."""

from __future__ import annotations

import torch
from torch import Tensor


class Rows:
    """A table of ``n`` rows, in memory once: joining a list of batches would need the memory twice.

    Args:
        n: number of rows.
    """

    def __init__(self, n: int) -> None:
        self.n, self.filled = n, 0
        self.table: Tensor | None = None

    def add(self, batch: Tensor) -> None:
        """Add rows (b, …); rows beyond ``n`` are dropped."""
        if self.table is None:
            self.table = torch.empty(self.n, *batch.shape[1:], dtype=batch.dtype)
        batch = batch[: self.n - self.filled]
        self.table[self.filled : self.filled + len(batch)] = batch
        self.filled += len(batch)

    def all(self) -> Tensor:
        """Return the rows so far; (n, 0) if there were none."""
        return torch.empty(self.n, 0) if self.table is None else self.table[: self.filled]
