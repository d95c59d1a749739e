"""Settings that all sets of image files have."""

from __future__ import annotations

from typing import Any, TypedDict

from gantrain.data.decode import FITS, MODES
from gantrain.data.subset import Which
from gantrain.errors import ConfigError


class Form(TypedDict, total=False):
    """How image files become images of one form, and where these are held; see ``gantrain.data.files.ImageFiles``."""

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
    if on_bad not in ("error", "skip"):
        raise ConfigError(f"data.on_bad must be error or skip, got {on_bad!r}")
    if not timeout > 0:
        raise ConfigError(f"data.timeout must be above 0, got {timeout}")
    for name, value in {"in_memory": in_memory, "copy": copy}.items():
        if value not in (None, True, False):
            raise ConfigError(f"data.{name} must be true, false or null, got {value!r}")
    if not isinstance(skip_limit, int | float) or not 0 <= skip_limit < 1:
        raise ConfigError(f"data.skip_limit must be a share from 0 to below 1, got {skip_limit!r}")
