"""What a run leaves to look at: metrics.jsonl (the durable record) and pictures; its loggers are handed all of it."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from torch import Tensor
from torchvision.utils import save_image

from gantrain.kinds import Images, Kind, kind_of
from gantrain.kinds.images import draw_pairs
from gantrain.run import files
from gantrain.run.directory import RunDirectory, state_after
from gantrain.run.tags import BEST, NEAREST

Choice = str | int | float | bool


class Outlet(Protocol):
    """A logger as Records sees it, see ``gantrain.loggers``: it raises nothing, and no call takes long."""

    weights: bool

    def begin(self, step: int) -> None:
        """Begin, or go on at a step: what it has of later ones is of a run that was killed or rolled back."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Take finite numbers by tag."""

    def image(self, tag: str, step: int, drawn: Tensor) -> None:
        """Take a picture (3, h, w) in [0, 1]."""

    def text(self, tag: str, step: int, text: str) -> None:
        """Take lines of text."""

    def hyperparameters(self, choices: Mapping[str, Choice]) -> None:
        """Take what distinguishes the run from others."""

    def artifact(self, path: Path) -> None:
        """Take a file or folder of the run."""

    def flush(self) -> None:
        """Let others see all that was taken."""

    def finish(self, state: str, reason: str) -> None:
        """End as the run has ended, in a word of status.json."""


class Records:
    """Writes a run's scalars and pictures. A full disk costs records and one warning, never the run.

    Args:
        run: the run's directory; it is told of records that are lost.
        step: where the run goes on (0 for a new one); records of later steps, left by a killed run, are dropped.
        real: real samples (n, *shape), float32; generated points are drawn above them and in their square.
        columns: of grids; None: as many as rows.
        kind: of the samples; None: the one of their shape.
        outlets: the run's loggers.

    Raises:
        OSError: on opening, if the directory cannot be written at all.
    """

    def __init__(
        self,
        run: RunDirectory,
        step: int,
        real: Tensor | None = None,
        columns: int | None = None,
        kind: Kind | None = None,
        outlets: Sequence[Outlet] = (),
    ) -> None:
        self.outlets, self.step = outlets, step
        self.run, self.samples, self.real, self.columns, self.kind = run, run.path / "samples", real, columns, kind
        files.own_folder(self.samples)
        drop_lines_after(run, step)
        self._lines = files.Lines(run.metrics_file)
        if run.lock is not None:
            run.lock.watch(run.metrics_file, self._lines.fileno())

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Append one line to metrics.jsonl, at once visible to others, and hand the loggers the same values.

        Values that are not finite are left out: JSON has no word for them.

        Raises:
            RunInUseError, DiskError: if the run's folder or its records are no longer those that were opened.
        """
        self.run.check_place()
        values = {tag: value for tag, value in values.items() if math.isfinite(value)}
        with self._forgiven():
            self._lines.append(json.dumps({"step": step} | values))
        for outlet in self.outlets:
            outlet.scalars(step, values)

    def best(self, protocol: str, step: int, name: str, value: float) -> None:
        """Hand the loggers the best value of a metric so far; metrics.jsonl has the values that it is the best of."""
        for outlet in self.outlets:
            outlet.scalars(step, {f"{BEST}/{name}_{protocol}": value})

    def picture(self, tag: str, step: int, samples: Tensor, file: str | None = None) -> None:
        """Draw samples (N, *shape) as their kind is drawn, as ``image`` does; pass over those that are not drawn."""
        kind = self.kind or kind_of(samples.shape[1:])
        if kind.undrawn(samples.shape[1:]) is None:
            self.image(tag, step, kind.draw(samples, self.real, self.columns), file)

    def preview(self, step: int) -> None:
        """Draw the real samples alone, as ``picture`` does, into ``real.png`` too."""
        if self.real is None:
            return
        kind = self.kind or kind_of(self.real.shape[1:])
        if kind.undrawn(self.real.shape[1:]) is None:
            self.image("samples/real", step, kind.preview(self.real, self.columns), "real.png")

    def pairs(self, protocol: str, step: int, pairs: Tensor) -> None:
        """Draw pairs of images (2, n, C, H, W) uint8, the second of each below the first; into a PNG too."""
        if Images().undrawn(pairs.shape[2:]) is None:
            self.image(f"{NEAREST}{protocol}", step, draw_pairs(pairs), f"nearest-step-{step:09d}.png")

    def image(self, tag: str, step: int, drawn: Tensor, file: str | None = None) -> None:
        """Hand the loggers a picture (3, h, w) in [0, 1]; if ``file`` is given, it goes into a PNG too."""
        self.run.check_place()
        for outlet in self.outlets:
            outlet.image(tag, step, drawn)
        if file is not None:
            with self._forgiven(), files.replacing(self.samples / file, inside=True) as picture:
                save_image(drawn, picture, format="png")

    def text(self, tag: str, step: int, text: str) -> None:
        """Hand the loggers lines of text."""
        for outlet in self.outlets:
            outlet.text(tag, step, text)

    def hyperparameters(self, choices: Mapping[str, Choice]) -> None:
        """Tell the loggers this run's choices."""
        for outlet in self.outlets:
            outlet.hyperparameters(choices)

    def flush(self) -> None:
        """Force the metrics to disk, and let the loggers hand on what they hold.

        Raises:
            RunInUseError, DiskError: if the run's folder or its records are no longer those that were opened.
        """
        self.run.check_place()
        with self._forgiven():
            os.fsync(self._lines.fileno())
        for outlet in self.outlets:
            outlet.flush()

    def __enter__(self) -> Records:
        for outlet in self.outlets:
            outlet.begin(self.step)
            outlet.artifact(self.run.path / "config.yaml")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Finish the files, and tell the loggers how the run has ended."""
        lock = self.run.lock
        if lock is None or lock.owns():  # what stands there else is another run's
            grid, weights = last(self.samples, "step-*.png"), last(self.run.path / "checkpoints", "step-*")
            for outlet in self.outlets:
                for path in (grid, weights if outlet.weights else None):
                    if path is not None:
                        outlet.artifact(path)
                outlet.finish(state_after(error), "" if error is None else str(error))
        if lock is not None:
            lock.forget(self.run.metrics_file)
        self._lines.close()

    @contextmanager
    def _forgiven(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.run.lost_a_record(error)


def last(folder: Path, pattern: str) -> Path | None:
    """Return the last by name of what fits a pattern in a folder of the run's own, None if nothing does."""
    return None if folder.is_symlink() else max(folder.glob(pattern), default=None)


def drop_lines_after(run: RunDirectory, step: int) -> None:
    """Keep the complete lines of metrics.jsonl up to ``step``: a killed run leaves later ones, and a torn last one."""
    kept = "".join(json.dumps(line) + "\n" for line in run.metrics() if line["step"] <= step)
    if run.metrics_file.exists() and kept.encode() != files.content(run.metrics_file, len(kept.encode()) + 1):
        files.write_durably(run.metrics_file, kept)
