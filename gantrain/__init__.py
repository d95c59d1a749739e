"""gantrain: train, compare and study generative adversarial networks."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gantrain.version import VERSION

if TYPE_CHECKING:
    from gantrain.api import Run, Runs, compose, describe, report, sweep, train
    from gantrain.api import options as list
    from gantrain.export import Generator, load
    from gantrain.training.callbacks import Callback, Moment

__version__ = VERSION
HOMES = {
    "Callback": "gantrain.training.callbacks",
    "Generator": "gantrain.export",
    "Moment": "gantrain.training.callbacks",
    "Run": "gantrain.api",
    "Runs": "gantrain.api",
    "compose": "gantrain.api",
    "describe": "gantrain.api",
    "list": "gantrain.api",
    "load": "gantrain.export",
    "report": "gantrain.api",
    "sweep": "gantrain.api",
    "train": "gantrain.api",
}
"""Where each public name is defined."""
__all__ = [
    "Callback",
    "Generator",
    "Moment",
    "Run",
    "Runs",
    "__version__",
    "compose",
    "describe",
    "list",
    "load",
    "report",
    "sweep",
    "train",
]


def __getattr__(name: str) -> Any:
    # Not before it is asked for: torch takes seconds, and `gantrain --help` needs only the version.
    if name in HOMES:
        return getattr(import_module(HOMES[name]), "options" if name == "list" else name)
    raise AttributeError(f"module 'gantrain' has no attribute {name!r}")


def __dir__() -> Any:
    return sorted([*globals(), *HOMES])
