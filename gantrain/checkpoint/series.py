"""The checkpoints of one run: saved durably, verified when loaded, and the last good one always kept.

A save writes a hidden folder, forces it to disk, and renames it; only then may older ones go. A load verifies every
byte. A damaged checkpoint is set aside in ``damaged/``, and the one before it is used.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gantrain.checkpoint.format import read, read_manifest, write
from gantrain.checkpoint.retention import Retention
from gantrain.errors import CheckpointError, ConfigError, DamagedError, DiskError, UnreadableError, first_line
from gantrain.run import files
from gantrain.run.read import is_number
from gantrain.terminal import say

GIVE_UP = 3  # failed saves in a row


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: where they lie; made at the first save.
        keep: the rule of which ones are kept.
        facts: returns what each manifest says beside its step (configuration digest, environment, cost).
        protected: returns steps that stay whatever ``keep`` says.
        warn: called with one sentence about a failure that does not end the run.
        guard: called before each save; raises if the run's folder is no longer the one in which it began.
    """

    def __init__(
        self,
        folder: Path,
        keep: Retention | None = None,
        facts: Callable[[], Mapping[str, Any]] = dict,
        protected: Callable[[], set[int]] = set,
        warn: Callable[[str], None] = say,
        guard: Callable[[], None] = lambda: None,
    ) -> None:
        self.folder, self.keep, self.warn = folder, keep or Retention(), warn
        self.facts, self.protected, self.guard = facts, protected, guard
        self.failed = self.failed_in_a_row = 0

    def steps(self) -> list[int]:
        """Return the steps saved, oldest first."""
        return sorted(step for entry in self._entries() if (step := files.step_of(entry)) >= 0)

    def path(self, step: int) -> Path:
        """Return the folder of a step's checkpoint."""
        return self.folder / f"step-{step:09d}"

    def save(
        self, step: int, state: dict[str, Any], metrics: Mapping[str, float] | None = None, last: bool = False
    ) -> None:
        """Save durably, then remove the checkpoints that are no longer to be kept.

        A save that the disk refuses leaves nothing behind and costs a warning; the next one tries again.

        Args:
            step: of the state, the checkpoint's name.
            state: plain data and tensors, see ``tree``.
            metrics: what was logged at this step; kept in the manifest, where ``Retention.best`` reads it.
            last: whether the process ends after this save, so that none can follow.

        Raises:
            DivergedError: if a tensor is not finite; nothing is written then.
            DiskError: if this was the third failure in a row, or the last save of all.
            GantrainError: by ``guard``.
        """
        self.guard()
        metrics = dict(metrics or {})
        temporary = self.folder / f".tmp-step-{step:09d}"
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            write(temporary, step, state, {"metrics": metrics} | dict(self.facts()))
            self._commit(temporary, step)
        except OSError as error:
            shutil.rmtree(temporary, ignore_errors=True)
            self._note_failure(step, first_line(error), last)
        else:
            self.failed_in_a_row = 0
            self.remove_old()

    def remove_old(self) -> None:
        """Remove the checkpoints that are no longer to be kept."""
        steps = self.steps()
        for step in sorted(set(steps) - self.keep.kept(steps, self._values(steps)) - self.protected()):
            try:
                self._remove(step)
            except OSError as error:
                self.warn(f"{self.path(step)} could not be removed ({first_line(error)})")

    def latest(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Return (manifest, state) of the newest checkpoint that verifies, None if there is none at all.

        Newest is by step, not by the clock. Damaged ones are moved to ``damaged/``, with a warning.

        Raises:
            CheckpointError: if there were checkpoints but none is usable.
        """
        self.clear_debris()
        found = self.steps()
        for step in reversed(found):
            try:
                return read(self.path(step))
            except DamagedError as error:
                self._set_aside(self.path(step))
                self.warn(f"{error}; moved to {self.folder / 'damaged'}")
            except UnreadableError as error:
                self.warn(f"{error}; the one before it is used")
        if found or any((self.folder / "damaged").glob("*")):
            raise CheckpointError(f"no usable checkpoint is left in {self.folder}; start again with resume=never")
        return None

    def refuse_beyond(self, step: int) -> None:
        """Raise ConfigError if there are checkpoints after ``step`` (-1: any): a new run would mix with them."""
        if (steps := self.steps()) and steps[-1] > step:
            raise ConfigError(
                f"{self.folder} already holds checkpoints up to step {steps[-1]}; "
                "use resume=auto, remove them, or choose another run.dir"
            )

    def clear_debris(self) -> None:
        """Remove the folders that killed saves and killed removals left behind.

        Raises:
            StrangeFileError: if the checkpoints' folder is a link: what it leads to is not this run's.
        """
        files.check_own(self.folder, folder=True)
        for entry in self._entries():
            if entry.name.startswith((".tmp-", ".del-")) and entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)

    def _entries(self) -> list[Path]:
        return list(self.folder.iterdir()) if self.folder.is_dir() else []

    def _commit(self, temporary: Path, step: int) -> None:
        temporary.rename(self.path(step))
        files.sync(self.folder)

    def _note_failure(self, step: int, reason: str, last: bool) -> None:
        self.failed += 1
        self.failed_in_a_row += 1
        steps = self.steps()
        kept = f"the last good checkpoint is of step {steps[-1]:,}" if steps else "there is no checkpoint yet"
        if last or self.failed_in_a_row == GIVE_UP:
            times = "" if last else f"{GIVE_UP} saves in a row failed; "
            raise DiskError(
                f"{times}step {step:,} could not be saved in {self.folder} ({reason}); {kept}. "
                "Free some space and run the same command again"
            )
        self.warn(f"step {step:,} could not be saved in {self.folder} ({reason}); {kept}; going on")

    def _remove(self, step: int) -> None:
        doomed = self.folder / f".del-step-{step:09d}"
        shutil.rmtree(doomed, ignore_errors=True)
        self.path(step).rename(doomed)  # a kill while removing must not leave half a checkpoint under its name
        shutil.rmtree(doomed)

    def _values(self, steps: list[int]) -> dict[int, float]:
        values: dict[int, float] = {}
        for step in steps if self.keep.best is not None else []:
            try:
                metrics = read_manifest(self.path(step))["metrics"]
            except (CheckpointError, KeyError):  # it cannot be the best; a load finds out whether it is usable
                continue
            if is_number(metrics.get(self.keep.best)):
                values[step] = metrics[self.keep.best]
        return values

    def _set_aside(self, checkpoint: Path) -> None:
        damaged = self.folder / "damaged"
        files.check_own(self.folder, folder=True)
        files.own_folder(damaged)
        places = (damaged / f"{checkpoint.name}{f'-{k}' if k > 1 else ''}" for k in itertools.count(1))
        checkpoint.rename(next(place for place in places if not place.exists()))
