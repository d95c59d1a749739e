"""What a logger is: it takes a run's values, pictures and texts, and shows them somewhere."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from gantrain.errors import ConfigError


@dataclass(frozen=True)
class Facts:
    """What a logger may know of the run that begins, or goes on.

    Args:
        folder: the run's own.
        name: its path in ``run.root``, such as ``ring/mlp/hinge/seed0``.
        root: ``run.root``, where all runs lie.
        group: what the jobs of a sweep have in common, None for a run by itself.
        step: where it goes on, 0 for a new run.
        id: what ``remember`` was told when the run began, None for a new one.
        remember: keeps in the run's folder by which id a tracker knows it.
    """

    folder: Path
    name: str
    root: Path
    group: str | None = None
    step: int = 0
    id: str | None = None
    remember: Callable[[str], None] = lambda id: None


class Logger:
    """Takes what a run records. The default of every method is to do nothing: override those that you need.

    Any method may raise anything: then the run warns once, with the logger's name and the reason, and goes on without
    it. Unless ``in_folder`` is set, all methods are called in a thread of the logger's own, one after the other, and
    the run waits no longer for them than ``timeout``.

    Args:
        timeout: seconds that the run may wait, at a checkpoint or at its end, for this logger.
        weights: whether ``artifact`` is given the last checkpoint's folder too.
    """

    in_folder: ClassVar[bool] = False
    """Whether all that it writes are files in the run's folder: it is called at once, and a full disk costs records."""

    def __init__(self, timeout: float = 30.0, weights: bool = False) -> None:
        if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout < float("inf"):
            raise ConfigError(f"logger: timeout must be a number of seconds above 0, got {timeout}")
        self.timeout, self.weights = float(timeout), weights

    def begin(self, facts: Facts) -> None:
        """Begin, or go on where ``facts.step`` says; also after ``finish``, where a run was rolled back."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Take finite numbers by tag, such as ``d/loss``; a step may come several times, with other tags."""

    def image(self, tag: str, step: int, drawn: Tensor) -> None:
        """Take a picture (3, h, w) in [0, 1], float32 on the CPU."""

    def text(self, tag: str, step: int, text: str) -> None:
        """Take lines of text, to be shown in a font whose letters are equally wide."""

    def hyperparameters(self, choices: Mapping[str, str | int | float | bool]) -> None:
        """Take what distinguishes the run from others."""

    def artifact(self, path: Path) -> None:
        """Take a file or folder of the run: ``config.yaml``, the last grid; a checkpoint if ``weights`` is set."""

    def flush(self) -> None:
        """Hand on all that was taken and is still held back."""

    def finish(self, state: str, reason: str) -> None:
        """End: ``state`` is finished, stopped, pruned, diverged or failed, ``reason`` the error's sentence or ""."""


def require(module: str, extra: str) -> None:
    """Raise ConfigError unless a Python module is installed; it is not imported."""
    if importlib.util.find_spec(module) is None:
        raise ConfigError(f"logger={extra} needs the Python module {module}; pip install 'gantrain[{extra}]'")


def pixels(drawn: Tensor) -> Any:
    """Return a picture (3, h, w) in [0, 1] as an array (h, w, 3) of uint8."""
    return (drawn.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().cpu().numpy()
