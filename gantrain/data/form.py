"""Settings that all sets of image files have, and the files as they ask for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict, Unpack

import torch

from gantrain.data import copies, memory
from gantrain.data.decode import FITS, MODES, Decoder, colour
from gantrain.data.depth import depth_of
from gantrain.data.listing import Listing
from gantrain.data.subset import Which, choose
from gantrain.data.unreadable import check_on_bad
from gantrain.errors import ConfigError


class Form(TypedDict, total=False):
    """How image files become images of one form, and where these are held; see ``FormedFiles``."""

    size: int
    fit: str
    channels: int | None
    flip: bool
    on_bad: str
    timeout: float
    in_memory: bool | None
    skip_limit: float
    background: Any
    copy: bool | None


class Formed(Which, Form, total=False):
    """Settings that all sets of image files have: a part, and what becomes of its files."""


MEMORY, COPY, FILES = "memory", "copy", "files"
"""Where decoded images are kept: in memory, in a file of the cache, or nowhere, so that each batch is read anew."""


def home(needed: int, in_memory: bool | None, copy: bool | None) -> str:
    """Return where decoded images are kept that take so many bytes: MEMORY, COPY or FILES."""
    if needed <= memory.limit() / 4 if in_memory is None else in_memory:
        return MEMORY
    return COPY if copy or (copy is None and copies.has_room(needed)) else FILES


class FormedFiles:
    """Image files as settings ask for them: which they are, what decodes them, and where their images will be kept.

    Args:
        found: the files, in a fixed order, with their labels.
        size: side of the square images after fitting.
        fit: how an image is made square: ``crop`` the middle, ``pad`` with black, or ``stretch``.
        channels: 1, 3, 4 (with alpha), or None: 1 if every image is gray, else 3.
        flip: mirror each image with probability ½.
        on_bad: ``error``, or ``skip`` images that cannot be read; they are listed in ``skipped``.
        timeout: seconds to wait for an image.
        in_memory: True, False, or None: True if they take, in colour, at most a quarter of the memory.
        skip_limit: share of the images that may be skipped.
        background: colour behind transparent images, by name or as [red, green, blue].
        copy: keep images that are not in memory decoded in a file of the cache: True, False, or None: True if it takes
            at most a tenth of the free disk space. Without it threads read each batch from the image files.
        depth: bits of each pixel that the networks see, 8 or 16 (gray images).
        range: what is black and white in images of more than 8 bits; see ``gantrain.data.depth``.
        which: the part of the images that is read at all, see ``gantrain.data.subset.choose``.

    Raises:
        ConfigError: for a setting that makes no sense.
    """

    def __init__(
        self,
        found: Listing,
        size: int,
        fit: str,
        channels: int | None,
        flip: bool,
        on_bad: str,
        timeout: float,
        in_memory: bool | None,
        skip_limit: float = 0.01,
        background: Any = "white",
        copy: bool | None = None,
        depth: int = 8,
        range: Sequence[float] | None = None,
        **which: Unpack[Which],
    ) -> None:
        check_settings(size, fit, channels, on_bad, timeout, in_memory, skip_limit, copy)
        self.depth = depth_of(depth, range, channels)
        self.decoder = self.made_decoder(Decoder(size, fit, channels, colour(background), self.depth))
        self.flip, self.on_bad, self.timeout, self.skip_limit = flip, on_bad, timeout, skip_limit
        numbers = None if found.labels is None else torch.tensor(found.labels)
        kept, self.labels, names = choose(numbers, len(found.entries), found.class_names or (), **which)
        self.place, self.entries = found.place, [found.entries[k] for k in kept]
        self.passed_over: Sequence[str] = found.passed_over
        self.class_names, self.classes = names or None, len(names)
        self.needed = len(self.entries) * size * size * (channels or 3) * (self.depth.bits // 8)
        self.home = home(self.needed, in_memory, copy)

    def made_decoder(self, decoder: Decoder) -> Decoder:
        """Return what decodes the files, given what would."""
        return decoder


def check_settings(
    size: Any, fit: Any, channels: Any, on_bad: Any, timeout: Any, in_memory: Any, skip_limit: Any, copy: Any
) -> None:
    """Raise ConfigError for a setting that makes no sense."""
    if fit not in FITS:
        raise ConfigError(f"data.fit must be one of {', '.join(FITS)}, got {fit!r}")
    if channels not in (None, *MODES):
        raise ConfigError(f"data.channels must be 1, 3, 4 or null, got {channels}")
    if not isinstance(size, int) or size < 1:
        raise ConfigError(f"data.size must be a whole number above 0, got {size!r}")
    check_on_bad(on_bad, skip_limit)
    if not timeout > 0:
        raise ConfigError(f"data.timeout must be above 0, got {timeout}")
    for name, value in {"in_memory": in_memory, "copy": copy}.items():
        if value not in (None, True, False):
            raise ConfigError(f"data.{name} must be true, false or null, got {value!r}")
