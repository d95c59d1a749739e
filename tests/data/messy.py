"""Image files as cameras, archivers and accidents leave them."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from gantrain.data import ImageFolder

FOLDER: dict[str, Any] = {
    **{"size": 8, "fit": "crop", "channels": None, "flip": False, "on_bad": "error", "timeout": 60.0},
    "in_memory": None,
}

EPS = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 8 8
%%EndComments
showpage
%%EOF
"""

ORIENTED = (0x112, 3, 1, b"\3\0")  # taken upside down
MALFORMED = {
    "text for a number": (0x100, 2, 4, b"abc\0"),
    "text for a unit": (0x128, 2, 3, b"in\0"),
    "text for a fraction": (0x11A, 2, 2, b"7\0"),
    "a negative count": (0x103, 8, 1, b"\xff\xff"),
    "an offset beyond the file": (0x10F, 2, 100, b"\xff\xff\xff\x7f"),
}
"""Exif tags, each as (tag, type, count, value), beside which Pillow's own exif_transpose fails or warns."""


def read(root: Path, **changes: object) -> ImageFolder:
    return ImageFolder(str(root), **FOLDER | changes)


def save(path: Path, mode: str = "RGB", size: tuple[int, int] = (12, 10), seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)
    return path


def exif(*tags: tuple[int, int, int, bytes]) -> bytes:
    """The content of an Exif segment with these tags."""
    entries = b"".join(struct.pack("<HHI", *tag[:3]) + tag[3].ljust(4, b"\0") for tag in sorted(tags))
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4)


def bright_above(format: str, *tags: tuple[int, int, int, bytes]) -> bytes:
    """An image file, white above black, with Exif tags."""
    pixels = np.zeros((8, 8, 3), dtype=np.uint8)
    pixels[:4] = 255
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format, **({"exif": exif(*tags)} if tags else {}))
    return file.getvalue()


def logo(side: int = 16, hidden: tuple[int, int, int] = (255, 0, 0)) -> Image.Image:
    """A black square on full transparency, beneath which another colour is hidden."""
    image = Image.new("RGBA", (side, side), (*hidden, 0))
    ImageDraw.Draw(image).rectangle((side // 4, side // 4, 3 * side // 4 - 1, 3 * side // 4 - 1), fill=(0, 0, 0, 255))
    return image
