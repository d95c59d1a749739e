"""What the numbers of a sample stand for in the units that the data came in."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

DIGITS = 6
"""Digits of a number in a CSV file beyond the first one of its column's scale: as many as float32 holds."""


@dataclass(frozen=True)
class Units:
    """How samples are turned back: x of a network stands for ``offset + scale · x``.

    Args:
        offset: one number for each coordinate of a point, or one for all.
        scale: likewise.
        names: of the coordinates, if they have names.
        label: what the class is called, if it has a name.
        rate: numbers in a second, of sound.
    """

    offset: tuple[float, ...]
    scale: tuple[float, ...]
    names: tuple[str, ...] = ()
    label: str | None = None
    rate: int | None = None

    def original(self, samples: Tensor) -> Tensor:
        """Return samples (n, *shape) in the units that the data had, float64 on the CPU."""
        offset, scale = (torch.tensor(each, dtype=torch.float64) for each in (self.offset, self.scale))
        return samples.detach().cpu().double() * scale + offset

    def recorded(self) -> dict[str, Any]:
        """Return all of it as a manifest and an export hold it."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def of(cls, found: Any, shape: Sequence[int]) -> Units | None:
        """Return what a record, perhaps a stranger's, says of samples of a shape; None if it says nothing.

        Raises:
            ValueError, TypeError, KeyError: if that does not fit the shape.
        """
        if found is None:
            return None
        offset, scale = (tuple(map(float, found[key])) for key in ("offset", "scale"))
        names, label = tuple(map(str, found.get("names") or ())), found.get("label")
        finite = all(map(math.isfinite, offset + scale)) and all(one > 0 for one in scale)
        if len(offset) != len(scale) or len(offset) not in (1, shape[-1]) or not finite:
            raise ValueError(f"units of {len(offset)} and {len(scale)} numbers for samples of shape {tuple(shape)}")
        if names and len(names) != shape[-1]:
            raise ValueError(f"{len(names)} names for samples of shape {tuple(shape)}")
        rate = None if found.get("rate") is None else int(found["rate"])
        if rate is not None and not 0 < rate < 2**31:
            raise ValueError(f"a rate of {rate}")
        return cls(offset, scale, names, None if label is None else str(label), rate)

    def write_csv(self, points: Tensor, path: Path, labels: Sequence[str] | None) -> None:
        """Write points (n, d) in their units with a header, and their classes in a last column if they have one."""
        head = [*self.names, *([] if labels is None else [self.label or "class"])]
        scale = self.scale if len(self.scale) > 1 else self.scale * points.shape[1]
        places = [DIGITS - math.floor(math.log10(one)) for one in scale]
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(head)
            for k, row in enumerate(self.original(points).tolist()):
                cells = [round(number, digits) for number, digits in zip(row, places, strict=True)]
                writer.writerow(cells if labels is None else [*cells, labels[k]])
