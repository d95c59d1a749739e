"""gantrain: train, compare and study generative adversarial networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gantrain.version import VERSION

if TYPE_CHECKING:
    from gantrain.export import Generator, load

__version__ = VERSION
__all__ = ["Generator", "__version__", "load"]


def __getattr__(name: str) -> Any:
    # Not before it is asked for: torch takes seconds, and `gantrain --help` needs only the version.
    if name in ("Generator", "load"):
        from gantrain import export

        return getattr(export, name)
    raise AttributeError(f"module 'gantrain' has no attribute {name!r}")
