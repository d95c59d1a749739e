"""Two folders of images, read alike: generated ones that somebody has saved, and real ones to measure them by."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError
from torch import Tensor

from gantrain.data import listing
from gantrain.data.decode import formats
from gantrain.data.files import ImageFiles
from gantrain.data.listing import Listing
from gantrain.data.names import plain
from gantrain.data.places import Store
from gantrain.data.reading import in_threads
from gantrain.errors import ConfigError, DataError
from gantrain.evaluation.reference import at_once, chosen_numbers

TIMEOUT = 300.0
"""Seconds to wait for an image to be read from disk, as for a training."""
SHOWN = 3
"""Sizes that are named where there are several."""


def read_alike(
    real: str, fake: str, size: int | None, fit: str, channels: int | None, on_bad: str
) -> tuple[ImageFiles, ImageFiles]:
    """Return the real and the generated images of two folders or archives, of one size and form.

    Args:
        real: the folder of real images.
        fake: the folder of generated ones.
        size: side to which all are brought; None: that of all images, if they are square and have the same.
        fit: how an image is made square, as ``data.fit``.
        channels: 1, 3 or 4; None: gray if every image is gray.
        on_bad: what to do about unreadable images, as ``data.on_bad``.

    Raises:
        ConfigError: for images of several sizes without ``size``, and for gray images beside coloured ones.
        DataError: for a folder that is missing or empty, and for an image that cannot be read.
    """
    found = {}
    for name, root in (("real", real), ("fake", fake)):
        with spoken_of(name):
            found[name] = listing.find(root)
    side = size or common_side(found)
    form: dict[str, Any] = {"size": side, "fit": fit, "channels": channels, "flip": False, "on_bad": on_bad}
    read = {}
    for name, listed in found.items():
        with spoken_of(name):
            read[name] = ImageFiles(listed, timeout=TIMEOUT, in_memory=None, **form)
    here, there = read["real"], read["fake"]
    if here.shape != there.shape:
        raise ConfigError(
            f"real={plain(Path(real))} has {colours(here)} and fake={plain(Path(fake))} {colours(there)}; "
            "channels=1 reads both as gray, channels=3 as colour"
        )
    return here, there


def colours(images: ImageFiles) -> str:
    """Return what the images of a folder are, in words."""
    return {1: "gray images", 3: "colour images"}.get(images.shape[0], "images with alpha")


@contextmanager
def spoken_of(name: str) -> Iterator[None]:
    """Let errors inside the block speak of the settings ``real`` and ``fake``, where a training has ``data.root``."""
    try:
        yield
    except (ConfigError, DataError) as error:
        text = re.sub(r"\bdata\.root\b", name, str(error))
        raise type(error)(re.sub(r"\bdata\.(?=(on_bad|size|fit|channels)\b)", "", text)) from error


def common_side(found: dict[str, Listing]) -> int:
    """Return the side of all images of some folders; raise ConfigError unless they are square and have the same."""
    sizes = {name: sizes_of(listed) for name, listed in found.items()}
    every = {size for one in sizes.values() for size in one}
    if len(every) == 1 and len(set(next(iter(every)))) == 1:
        return next(iter(every))[0]
    said = " and ".join(f"{name} {described(one)}" for name, one in sizes.items())
    raise ConfigError(f"the images have no one square size ({said}); set size=, as size=64, to which all are brought")


def described(sizes: set[tuple[int, int]]) -> str:
    """Return some sizes in words."""
    more = len(sizes) - SHOWN
    named = [f"{width}×{height}" for width, height in sorted(sizes)[:SHOWN]]
    return ", ".join([*named, *([f"{more:,} more"] if more > 0 else [])]) or "unreadable"


def sizes_of(found: Listing) -> set[tuple[int, int]]:
    """Return width and height of a folder's images as their headers say them; those without are passed over."""
    sizes = in_threads(lambda path: size_of(found.place, path), [entry.path for entry in found.entries], TIMEOUT)
    return {size for size in sizes if size is not None}


def size_of(place: Store, path: Path) -> tuple[int, int] | None:
    """Return an image's width and height, None if its header cannot be read: the decoder says why."""
    try:
        with Image.open(place.source(path), formats=formats()) as image:
            return image.size
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError):
        return None


def some_of(images: ImageFiles, count: int, seed: int) -> tuple[Iterator[Tensor], Tensor | None]:
    """Return ``count`` of a folder's images in batches (b, C, H, W) in [-1, 1], and their classes, None without any.

    They are drawn at random by ``seed`` if there are more.
    """
    chosen, batch = list(chosen_numbers(images.count or 0, count, seed)), at_once(images)
    batches = (images.at(chosen[k : k + batch]).float().div(127.5).sub(1) for k in range(0, len(chosen), batch))
    return batches, None if images.labels is None else images.labels[chosen]
