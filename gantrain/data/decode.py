"""From an image file to pixels: upright, without alpha, square, and of the size that was asked for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageColor, ImageOps

from gantrain.data.depth import DEEP, PLAIN, Depth
from gantrain.data.names import plain
from gantrain.data.reading import reading
from gantrain.errors import ConfigError, DataError, first_line

SAFE = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "QOI", "TIFF", "WEBP")
"""Formats that are decoded in this process: for EPS, whatever the file is called, Pillow starts Ghostscript."""
FIRST_OF_JPEG = {"MPO"}
"""Formats whose files Pillow opens as JPEG."""
GRAY = {"1", "L", "LA", "La"}
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
MARGIN = 4
"""A JPEG is decoded at the half, quarter or eighth of its size that is still this many times as large as needed."""
FITS: dict[str, Callable[..., Image.Image]] = {
    "crop": ImageOps.fit,
    "pad": ImageOps.pad,
    "stretch": Image.Image.resize,
}
ORIENTATION = 0x112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns an image upright, by its orientation in Exif."""
Colour = tuple[int, int, int]


@cache
def formats() -> tuple[str, ...]:
    """Return the safe formats that this Pillow reads."""
    Image.init()
    return tuple(name for name in SAFE if name in Image.OPEN)


@cache
def suffixes() -> frozenset[str]:
    """Return the suffixes of files in these formats, in lower case."""
    known = {*formats(), *FIRST_OF_JPEG}
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in known) | {".jfif"}


def colour(value: Any) -> Colour:
    """Return the red, green and blue that ``data.background`` means.

    Raises:
        ConfigError: if it is neither a colour that Pillow knows by name nor three numbers from 0 to 255.
    """
    try:
        numbers = ImageColor.getrgb(value) if isinstance(value, str) else tuple(value)
        red, green, blue = (part if isinstance(part, int) and 0 <= part <= 255 else int("") for part in numbers)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"data.background must be the name of a colour, like white, or [red,green,blue] from 0 to 255, got {value}"
        ) from error
    return red, green, blue


@dataclass(frozen=True)
class Decoded:
    """An image, and what was done to it."""

    pixels: np.ndarray  # (size, size, channels) uint8, or uint16 of 16 bits
    transparent: bool  # the background shows through
    reduced: bool  # it was decoded at a part of its size
    brightest: float | None = None  # of an image of more than 8 bits, as a share of the range


@dataclass(frozen=True)
class Decoder:
    """Reads image files; that it can is what "readable" means.

    Args:
        size: side of the square images.
        fit: how they are made square, one of ``FITS``.
        channels: 1, 3 or 4; None: 1 for an image that is gray, else 3.
        background: what shows through where an image is transparent, unless it has 4 channels.
        depth: bits of a pixel, and the range of images of more than 8.
    """

    size: int
    fit: str
    channels: int | None
    background: Colour
    depth: Depth = field(default=PLAIN, repr=False)

    def __call__(self, path: Path, source: Callable[[Path], Any] = Path) -> Decoded:
        """Return a file's image.

        Args:
            path: of the file.
            source: returns what Pillow opens.

        Raises:
            DataError: if it cannot be read as an image, or has numbers beyond its range; it names the file.
        """
        try:
            with reading(path), Image.open(source(path), formats=formats()) as image:
                return self._deep(image, path) if image.mode in DEEP or self.depth.bits > 8 else self._of(image)
        except (DataError, MemoryError):
            raise
        except PermissionError as error:
            raise DataError(f"{plain(path)} cannot be read as an image (Permission denied)") from error
        except Exception as error:  # damaged files bring up all kinds
            raise unreadable(path, error) from error

    @property
    def way(self) -> str:
        """How images are made square."""
        return self.fit

    def cut(self, image: Image.Image) -> Image.Image:
        """Return the part of an image that is fitted, before it is turned upright: all of it."""
        return image

    def _of(self, image: Image.Image) -> Decoded:
        image = self.cut(image)
        whole = image.size
        image.draft(None, (MARGIN * self.size, MARGIN * self.size))  # does nothing unless it is a JPEG
        reduced = image.size != whole
        opaque, transparent = self._without_alpha(upright(image))
        fitted = FITS[self.fit](opaque, (self.size, self.size), Image.Resampling.LANCZOS)
        pixels = np.array(fitted, dtype=np.uint8).reshape(self.size, self.size, -1)
        if self.channels == 4:
            pixels[pixels[..., 3] == 0, :3] = self.background  # nobody sees what colour is there
        return Decoded(pixels, transparent, reduced)

    def _deep(self, image: Image.Image, path: Path) -> Decoded:
        """Return a gray image that is fitted at its full depth, as floats, and rounded at the end."""
        deep, image = image.mode in DEEP, upright(image)
        opaque, transparent = (image, False) if deep else self._without_alpha(image)
        if opaque.mode not in DEEP | {"L"}:
            raise DataError(f"{plain(path)} is in colour, and data.depth=16 is for gray images; use data.depth=8")
        shares = self.depth.shares(opaque, path)
        fitted = FITS[self.fit](Image.fromarray(shares), (self.size, self.size), Image.Resampling.LANCZOS)
        pixels = self.depth.pixels(fitted)
        if self.channels in (3, 4):
            pixels = np.repeat(pixels, self.channels, axis=2)
            pixels[..., 3:] = 255
        return Decoded(pixels, transparent, False, float(shares.max()) if deep else None)

    def _without_alpha(self, image: Image.Image) -> tuple[Image.Image, bool]:
        """Return an image in the mode that is wanted, and whether the background shows through."""
        gray = image.mode in GRAY
        if image.has_transparency_data:
            image = image.convert("RGBA")
            if np.asarray(image.getchannel("A")).min() < 255 and self.channels != 4:
                image = Image.alpha_composite(Image.new("RGBA", image.size, self.background), image)
                gray = gray and len(set(self.background)) == 1
                return image.convert(MODES[self.channels or (1 if gray else 3)]), True
        return image.convert(MODES[self.channels or (1 if gray else 3)]), False


def upright(image: Image.Image) -> Image.Image:
    """Return an image as its Exif orientation says it is looked at, and as it is if that cannot be read.

    Pillow's own ``exif_transpose`` writes all other tags anew, and fails on those that are malformed.
    """
    if image.format != "TIFF":
        image.load()  # an error here is the file's, one in its tags is no reason to refuse it
    turn = None
    with suppress(Exception):  # Exif of any kind; taken out, because Pillow turns TIFF files itself when it loads them
        turn = TURNS.get(image.getexif().pop(ORIENTATION, None))
    image.load()
    return image if turn is None else image.transpose(turn)


def unreadable(path: Path, error: BaseException) -> DataError:
    """Return the error that names the file, which Pillow's own text does not."""
    reason = first_line(error).replace(f" {str(path)!r}", "")
    return DataError(f"{plain(path)} cannot be read as an image ({plain(reason)}); remove or replace it")
