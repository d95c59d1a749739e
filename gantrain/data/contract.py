"""What a data set of somebody's own gives: learnt from its first samples, and asked of all others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gantrain.errors import DataError
from gantrain.kinds import Images, kind_of


class Sample(NamedTuple):
    """A sample, uint8 or float32, and its label."""

    x: Tensor
    label: int | None


class Found(NamedTuple):
    """What the first samples are like, and what all others have to be like."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    low: float  # of images and signals: the number that becomes -1
    high: float  # and the one that becomes 1
    labelled: bool

    def __str__(self) -> str:
        if self.dtype == torch.uint8:
            return "bytes"
        return "numbers as they are" if self.high == np.inf else f"numbers in [{self.low:g}, {self.high:g}]"


def sample_of(found: Any, name: str) -> Sample:
    """Return what a data set gave as a sample.

    Raises:
        DataError: for anything but a tensor or array of numbers, or a pair of one and a label.
    """
    x, label = found, None
    if isinstance(found, tuple | list):
        if len(found) not in (1, 2):
            raise DataError(f"{name} gives {len(found)} things; a sample, or a sample and its label, are needed")
        x, label = found[0], found[1] if len(found) == 2 else None
    if isinstance(x, dict):
        raise DataError(f"{name} gives a dictionary ({', '.join(map(str, x))}); return (sample, label) instead")
    if type(x).__module__.startswith("PIL."):
        raise DataError(
            f"{name} gives a PIL image; make a tensor of it, with transform=torchvision.transforms.PILToTensor()"
        )
    if isinstance(x, np.ndarray) and x.dtype.kind in "fiub":
        x = torch.from_numpy(np.ascontiguousarray(x))
    if not isinstance(x, Tensor) or x.is_complex():
        raise DataError(f"{name} gives a {type(x).__name__}; a tensor or an array of real numbers is needed")
    x = x.detach().cpu()
    is_bytes = x.dtype == torch.uint8 and x.dim() > 1  # points are numbers, whatever their type
    return Sample(x if is_bytes else x.float(), label_of(label, name))


def label_of(label: Any, name: str) -> int | None:
    """Return a label as a number; raise DataError if it is none."""
    if isinstance(label, Tensor | np.ndarray) and np.prod(label.shape) == 1:
        label = label.item()
    if isinstance(label, np.integer):
        label = int(label)
    if label is None or (isinstance(label, int) and not isinstance(label, bool) and label >= 0):
        return label
    shown = f"of shape {tuple(label.shape)}" if isinstance(label, Tensor | np.ndarray) else repr(label)[:50]
    raise DataError(f"{name} has the label {shown}; a whole number, 0 or more, is needed")


def learnt(first: Sequence[Sample], name: str) -> Found:
    """Return what samples are like, by the first ones; raise DataError if they are unlike each other, or too odd."""
    shape, dtype = tuple(first[0].x.shape), first[0].x.dtype
    kind = kind_of(shape)
    if kind.axes is None or 0 in shape:
        raise DataError(f"{name} gives samples of shape {shape}; points have (d,), signals (C, L), images (C, H, W)")
    if isinstance(kind, Images) and shape[0] > 4 and shape[2] <= 4:
        raise DataError(f"{name} gives images of shape {shape}; the channels come first: permute(2, 0, 1)")
    low, high = (0.0, 255.0) if dtype == torch.uint8 else (0.0, 1.0)
    if dtype != torch.uint8 and min(float(sample.x.min()) for sample in first) < 0:
        low = -1.0
    if kind.value_range is None:
        low, high = -np.inf, np.inf
    found = Found(shape, dtype, low, high, first[0].label is not None)
    for k, sample in enumerate(first):
        check(sample, found, f"{name}[{k}]")
    return found


def check(sample: Sample, found: Found, name: str) -> None:
    """Raise DataError if a sample is unlike the first ones."""
    if tuple(sample.x.shape) != found.shape:
        raise DataError(f"{name} has the shape {tuple(sample.x.shape)}, and the first {found.shape}; make them equal")
    if (sample.label is not None) != found.labelled:
        raise DataError(f"{name} has {'a' if sample.label is not None else 'no'} label, unlike the first")
    if not sample.x.isfinite().all():
        raise DataError(f"{name} has a value that is not finite")
    smallest, largest = float(sample.x.min()), float(sample.x.max())
    if smallest < found.low or largest > found.high:
        raise DataError(
            f"{name} reaches from {smallest:.4g} to {largest:.4g}, beyond [{found.low:g}, {found.high:g}] of the first "
            f"samples; scale images and signals to [0, 1] or [-1, 1], or give bytes (uint8)"
        )
