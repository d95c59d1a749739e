"""Images or points in one array: a .npy, .npz or .pt file."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor

from gantrain.data import memory
from gantrain.data.arrays import LABELS, SAMPLES, arrays_in, check_whole, get, labels_in, pick
from gantrain.data.names import path_named, plain
from gantrain.data.source import WHOLE, Batches
from gantrain.data.subset import Common, Partial
from gantrain.errors import ConfigError, DataError
from gantrain.terminal import each

CHANNELS = (1, 3, 4)
LAYOUTS = (None, "channels_first", "channels_last")
NUMBERS = 2**22
"""Of an array that are looked at in one go."""


class Array(Partial):
    """Images from an array (N, C, H, W), (N, H, W, C) or (N, H, W), held with 8 bits a channel.

    Numbers from ``low`` to ``high`` become 0 to 255, rounded; uint8 from 0 to 255 stay as they are. If those take more
    than a quarter of the memory and lie in a .npy file, they are mapped, and only what a batch needs is read.

    Args:
        root: the file; a .npz or .pt file may hold labels too.
        images: name of the array in such a file; None: the only one, or one of a usual name.
        labels: name of the array with a whole number for each image in the same file, or a .npy file of its own. None:
            an array of a usual name, else there are none.
        layout: ``channels_first`` or ``channels_last``; None: where the array has 1, 3 or 4 numbers.
        range: the numbers that are black and white; None: [0, 255] of uint8, [0, 65535] of uint16, of fractions [0, 1],
            or [-1, 1] if one is below 0.
        in_memory: whether to hold all; None: if they take at most a quarter of the memory.
        common: settings that all sets of images have; see ``gantrain.data.subset.Partial``.

    Raises:
        ConfigError: for a setting that makes no sense, or one that is needed.
        DataError: for a file that is missing or damaged; for numbers that are not finite or out of range.
    """

    def __init__(
        self,
        root: str,
        images: str | None = None,
        labels: str | None = None,
        layout: str | None = None,
        range: Sequence[float] | None = None,
        in_memory: bool | None = None,
        **common: Unpack[Common],
    ) -> None:
        check_settings(layout, range, in_memory)
        self.path = path_named(root, "file")
        self.bytes = self.path.stat().st_size if self.path.is_file() else 0
        found = arrays_in(self.path)
        name = pick(found, images, SAMPLES, self.path, "data.images")
        pixels = channels_first(get(found, name, self.path), layout, self.path)
        classes, names = self._labels(found, name, labels, len(pixels))
        bytes_, self.low, self.high = in_bytes(pixels, range, self.path)
        self.mapped = bytes_ is pixels and isinstance(pixels, np.memmap)
        if self.mapped and (pixels.nbytes <= memory.limit() / 4 if in_memory is None else in_memory):
            bytes_, self.mapped = np.array(bytes_), False
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # nothing writes to a data set
            every = torch.from_numpy(bytes_)
        super().__init__(every, classes, names, **common)
        self.mapped &= self.pixels.data_ptr() == every.data_ptr()  # a part is a copy
        self.array = bytes_ if self.mapped else None

    def __str__(self) -> str:
        scaled = "" if (self.low, self.high) == (0, 255) else f", 8 bits from {self.low:.6g} to {self.high:.6g}"
        return f"{super().__str__()}{scaled}"

    def stream(self, batch_size: int, seed: int, device: torch.device, take: slice = WHOLE) -> Batches:
        """Return batches of images in [-1, 1] and their labels."""
        if self.array is not None:
            memory.read_at_random(self.array)
        return super().stream(batch_size, seed, device, take)

    def check_there(self) -> None:
        """Raise DataError if a mapped file has lost its end: reading on would end the process."""
        if self.mapped:
            check_whole(self.path, self.bytes)

    def _labels(self, found: Any, samples: str, labels: str | None, count: int) -> tuple[Tensor | None, Sequence[str]]:
        if labels is not None and str(labels) not in found:
            path = path_named(labels, "file", "data.labels")
            if not path.is_file():
                there = f"; {plain(self.path)} holds {', '.join(map(plain, found))}" if list(found) != [""] else ""
                raise ConfigError(f"data.labels={plain(str(labels))} is neither an array there nor a file{there}")
            inside = arrays_in(path)
            return labels_in(get(inside, pick(inside, None, LABELS, path, "data.labels"), path), count, path)
        usual = next((name for name in LABELS if name in found and name != samples), None)
        name = labels if labels is not None else usual
        return (None, ()) if name is None else labels_in(get(found, name, self.path), count, self.path)


def check_settings(layout: Any, span: Any, in_memory: Any) -> None:
    """Raise ConfigError for a setting that makes no sense."""
    if layout not in LAYOUTS:
        raise ConfigError(f"data.layout must be channels_first, channels_last or null, got {layout!r}")
    if in_memory not in (None, True, False):
        raise ConfigError(f"data.in_memory must be true, false or null, got {in_memory!r}")
    if span is None:
        return
    numbers = [n for n in span if isinstance(n, int | float)] if isinstance(span, list | tuple) else []
    if len(numbers) != 2 or len(span) != 2 or not -np.inf < numbers[0] < numbers[1] < np.inf:
        raise ConfigError(f"data.range must be two numbers, the one of black and the one of white, got {span!r}")


def channels_first(array: np.ndarray, layout: str | None, path: Path) -> np.ndarray:
    """Return images as (N, C, H, W), without copying.

    Raises:
        ConfigError: if it is not known where the channels are.
        DataError: for an array that holds no images.
    """
    said = f"{plain(path)} has the shape {array.shape}"
    if array.ndim not in (3, 4) or not array.size:
        hint = "; data=table reads points, data=signals reads signals" if array.ndim in (2, 3) else ""
        raise DataError(f"{said}; images have (N, H, W), (N, C, H, W) or (N, H, W, C){hint}")
    if array.ndim == 3:
        return array[:, None]
    first, last = array.shape[1] in CHANNELS, array.shape[3] in CHANNELS
    if layout is None and first == last:
        where = "both on the second and on the last place" if first else "neither on the second nor on the last place"
        raise ConfigError(
            f"{said}, with 1, 3 or 4 numbers {where}; say which: data.layout=channels_first|channels_last"
        )
    if layout == "channels_last" or (layout is None and last):
        first, array = last, array.transpose(0, 3, 1, 2)
    if not first:
        raise ConfigError(f"{said}, which has no 1, 3 or 4 channels where data.layout={layout} says")
    return array


def in_bytes(pixels: np.ndarray, span: Sequence[float] | None, path: Path) -> tuple[np.ndarray, float, float]:
    """Return images as uint8, and the numbers that have become 0 and 255.

    Raises:
        ConfigError: if it is not known which those are.
        DataError: for a number that is not finite, or outside of them.
    """
    if pixels.dtype == np.uint8 and span in (None, [0, 255], (0, 255)):
        return pixels, 0, 255
    rows = max(1, NUMBERS // pixels[0].size)
    starts = range(0, len(pixels), rows)
    smallest, largest = np.inf, -np.inf
    for start in each(starts, "looking over the images", "part", len(starts)):
        part = pixels[start : start + rows]
        finite = np.isfinite(part).all(axis=(1, 2, 3))
        if not finite.all():
            raise DataError(f"{plain(path)}: image {start + int(finite.argmin()):,} has a value that is not finite")
        smallest, largest = min(smallest, float(part.min())), max(largest, float(part.max()))
    low, high = (float(n) for n in span) if span is not None else usual_range(pixels.dtype, smallest, largest, path)
    if smallest < low or largest > high:
        raise DataError(
            f"{plain(path)}: the numbers reach from {smallest:.6g} to {largest:.6g}, beyond "
            f"data.range=[{low:g},{high:g}]"
        )
    made = np.empty(pixels.shape, dtype=np.uint8)
    for start in starts:
        part = pixels[start : start + rows].astype(np.float64)
        made[start : start + rows] = np.rint((part - low) * (255 / (high - low)))
    return made, low, high


def usual_range(kind: np.dtype, smallest: float, largest: float, path: Path) -> tuple[float, float]:
    """Return the numbers of black and white that an array of this type usually has; raise ConfigError if none fit."""
    if kind == np.bool_:
        return 0, 1
    if kind == np.uint16:
        return 0, 65535
    if kind.kind == "f" and largest <= 1 and smallest >= -1:
        return (-1, 1) if smallest < 0 else (0, 1)
    if kind.kind in "iu" and smallest >= 0 and 1 < largest <= 255:
        return 0, 255
    raise ConfigError(
        f"{plain(path)} holds {kind} from {smallest:.6g} to {largest:.6g}; say which numbers are black and white: "
        f"data.range=[{smallest:.6g},{largest:.6g}]"
    )
