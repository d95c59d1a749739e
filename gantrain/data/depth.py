"""Gray images of more than 8 bits: what is black and white in them, and how 16 bits are held."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gantrain.data.names import plain
from gantrain.errors import ConfigError, DataError
from gantrain.kinds import Units
from gantrain.terminal import say

DEEP = {"I", "F", "I;16", "I;16B", "I;16L", "I;16N"}
"""Modes of more than 8 bits a channel, all of them gray: Pillow would clip them to white."""
WHITE = {8: 255, 16: 65535}
DARK = 0.25
"""Of the range: if no pixel is brighter, the range is probably another one."""


@dataclass(frozen=True)
class Depth:
    """How many bits of each pixel the networks see.

    Args:
        bits: 8 or 16.
        range: what is black and what is white in images of more than 8 bits; None: 0 and 65535, of floats 0 and 1.
    """

    bits: int = 8
    range: tuple[float, float] | None = None

    @property
    def dtype(self) -> type[np.unsignedinteger[Any]]:
        """Of the pixels."""
        return np.uint16 if self.bits == 16 else np.uint8

    @property
    def units(self) -> Units | None:
        """What a generator's numbers stand for: those of ``range``, of 0 to 65535 without one; of bytes nothing."""
        low, high = self.range or (0, WHITE[16])
        return Units(((low + high) / 2,), ((high - low) / 2,)) if self.bits == 16 else None

    def shares(self, image: Image.Image, path: Path) -> np.ndarray:
        """Return a gray image as shares of its range (h, w) float32: 0 is black, 1 white.

        Raises:
            DataError: if a number is not finite, or beyond the range that holds where none was given.
        """
        deep, is_float = image.mode in DEEP, image.mode == "F"
        numbers = np.asarray(image).astype(np.float64)
        low, high = (self.range or (0, 1 if is_float else WHITE[16])) if deep else (0, WHITE[8])
        if not np.isfinite(numbers).all():
            raise DataError(f"{plain(path)} has a pixel that is not finite; remove or replace it")
        least, most = float(numbers.min()), float(numbers.max())
        if deep and self.range is None and not low <= least <= most <= high:
            raise DataError(
                f"{plain(path)} reaches from {least:g} to {most:g}, beyond {low} to {high}; "
                "say what is black and white with data.range=[low,high]"
            )
        found: np.ndarray = ((numbers - low) / (high - low)).astype(np.float32)
        return found

    def pixels(self, fitted: Image.Image) -> np.ndarray:
        """Return shares that were fitted as pixels (h, w, 1); what is beyond the range is cut off."""
        shares = np.asarray(fitted).clip(0, 1) * np.float64(WHITE[self.bits])
        found: np.ndarray = np.rint(shares).astype(self.dtype)[..., None]
        return found


PLAIN = Depth()
"""What there was before there were others."""


def depth_of(bits: Any, range_: Any, channels: Any) -> Depth:
    """Return what ``data.depth`` and ``data.range`` mean.

    Raises:
        ConfigError: for settings that make no sense.
    """
    if bits not in WHITE:
        raise ConfigError(f"data.depth must be 8 or 16, got {bits!r}")
    if bits == 16 and channels not in (None, 1):
        raise ConfigError(f"data.depth=16 is for gray images, and data.channels={channels}; use data.depth=8")
    if range_ is None:
        return Depth(bits)
    numbers = tuple(range_) if isinstance(range_, Sequence) and not isinstance(range_, str) else ()
    fine = [float(number) for number in numbers if type(number) in (int, float) and math.isfinite(number)]
    if len(numbers) != 2 or len(fine) != 2 or not fine[0] < fine[1]:
        raise ConfigError(f"data.range must be null or two numbers, the smaller first, got {range_!r}")
    return Depth(bits, (fine[0], fine[1]))


def say_if_dark(brightest: float) -> None:
    """Say so if the brightest pixel of more than 8 bits, as a share of the range, leaves most of the range unused."""
    if 0 < brightest < DARK:
        share = f"{100 * brightest:.2g}% of the way from black to white"
        say(f"the brightest pixel of more than 8 bits is {share}; data.range=[low,high] says what these are")


def tensor_of(pixels: np.ndarray) -> Tensor:
    """Return pixels as a tensor: bytes as they are, uint16 as int16 less 32,768, because torch hardly knows uint16."""
    if pixels.dtype != np.uint16:
        return torch.from_numpy(pixels)
    return torch.from_numpy((pixels ^ np.uint16(2**15)).view(np.int16))


def in_bytes(pixels: Tensor) -> Tensor:
    """Return pixels as bytes, uint8; those of 16 bits are divided by 257 and rounded."""
    if pixels.dtype == torch.uint8:
        return pixels
    return (pixels.to(torch.int32) + (2**15 + 128)).div_(257, rounding_mode="floor").to(torch.uint8)


def in_floats(pixels: Tensor, memory_format: torch.memory_format) -> Tensor:
    """Return pixels as float32 in [-1, 1]."""
    floats = pixels.to(torch.float32, memory_format=memory_format)
    return floats.div_(127.5).sub_(1) if pixels.dtype == torch.uint8 else floats.add_(2**15).div_(32767.5).sub_(1)
