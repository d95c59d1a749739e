"""The version, by itself: whoever records it imports nothing else."""

from importlib import metadata

VERSION = "0.1.0"


def versions() -> str:
    """Return what ``--version`` prints: the version of gantrain and that of torch, which is not imported for it."""
    try:
        return f"gantrain {VERSION} (torch {metadata.version('torch')})"
    except metadata.PackageNotFoundError:
        return f"gantrain {VERSION} (no torch)"
