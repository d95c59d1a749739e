"""A picture of a data set: samples, a row for each class, and the mean sample beside them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gantrain.data.source import as_floats
from gantrain.errors import ConfigError
from gantrain.inspection.facts import Facts
from gantrain.kinds import Images, Kind
from gantrain.run.files import replacing
from gantrain.run.pictures import as_picture

ROWS, COLUMNS = 16, 8
"""Classes that are drawn, and samples of each; without classes the grid has as many rows as columns."""
GAP = 8
"""Pixels between the grid and the mean."""


def check_drawn(kind: Kind, shape: tuple[int, ...], unread: int) -> None:
    """Raise ConfigError if samples are not drawn, or there are none."""
    if not shape:
        raise ConfigError(f"out: there is nothing to draw, since none of the {unread:,} images can be read")
    if why := kind.undrawn(shape):
        raise ConfigError(f"out: {why}")


def draw(facts: Facts, path: Path) -> None:
    """Write the picture.

    Raises:
        ConfigError: if such samples are not drawn.
        OSError: if the disk does not take it.
    """
    check_drawn(facts.kind, facts.shape, len(facts.found["unreadable"]))
    kind, count = facts.kind, facts.found["looked_at"]
    if kind.in_cells:
        rows = list(numbers_to_draw(facts.labels, count))
        columns = max(map(len, rows)) if facts.labels is not None else None
        samples = torch.cat([padded(floats(kind, facts.at(row)), columns or len(row)) for row in rows])
        mean = torch.nn.functional.pad(kind.still(mean_of(facts)), (2, 2, 2, 2), value=0.5)
        picture = beside(kind.draw(samples, columns=columns), mean)
    else:
        picture = kind.draw(facts.at(range(count)))
    with replacing(path) as file:
        as_picture(picture).save(file, "PNG")


def floats(kind: Kind, samples: Tensor) -> Tensor:
    """Return samples as a kind draws them: images in [-1, 1]."""
    return as_floats(samples) if isinstance(kind, Images) else samples.float()


def mean_of(facts: Facts) -> Tensor:
    """Return the mean sample as its kind draws it."""
    return facts.mean.float().div(facts.white / 2).sub(1) if isinstance(facts.kind, Images) else facts.mean.float()


def padded(samples: Tensor, n: int) -> Tensor:
    """Return samples (m, *shape) with empty ones behind them, so that a row is full."""
    return torch.cat([samples, torch.zeros(n - len(samples), *samples.shape[1:])])


def beside(left: Tensor, right: Tensor) -> Tensor:
    """Return two pictures (C, h, w) in [0, 1] as one (3, h, w) on white, the right one in the middle of its height."""
    left, right = (picture.expand(3, -1, -1) for picture in (left, right))
    height = max(left.shape[1], right.shape[1])
    whole = torch.ones(3, height, left.shape[2] + 2 * GAP + right.shape[2])
    for picture, x in ((left, 0), (right, left.shape[2] + GAP)):
        y = (height - picture.shape[1]) // 2
        whole[:, y : y + picture.shape[1], x : x + picture.shape[2]] = picture
    return whole


def numbers_to_draw(labels: Tensor | None, count: int) -> Iterator[list[int]]:
    """Yield numbers of samples, spread evenly: of each of the first classes, or of all where there are none."""
    groups, most = [np.arange(count)], COLUMNS**2
    if labels is not None:
        groups = [np.flatnonzero(labels.numpy() == label) for label in labels.unique().tolist()[:ROWS]]
        most = COLUMNS
    for group in groups:
        n = min(most, len(group))
        yield group[np.arange(n) * len(group) // max(n, 1)].tolist()
