"""Aim, in a local repository or at its server."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from gantrain.loggers.interface import Facts, Logger, pixels, require

if TYPE_CHECKING:
    import aim


class Aim(Logger):
    """Tracks a run in Aim. A run that goes on does so in the same run of Aim, unless that is gone.

    Aim keeps one value for each step of a metric: what a run that goes on tracks again replaces what was there.

    Args:
        repo: the folder of Aim's repository, or the address of its server; None for the folder of all runs.
        experiment: its name.
        timeout: as ``Logger``.
        weights: as ``Logger``.

    Raises:
        ConfigError: if aim is not installed.
    """

    def __init__(
        self,
        repo: str | None = None,
        experiment: str = "gantrain",
        timeout: float = 30.0,
        weights: bool = False,
    ) -> None:
        super().__init__(timeout, weights)
        require("aim", "aim")
        self.repo, self.experiment = repo, experiment

    def begin(self, facts: Facts) -> None:
        """Begin a run in the repository, or go on with the one of this hash."""
        logging.getLogger("aim").setLevel(logging.ERROR)  # it tells of its threads
        import aim

        place = self.repo or str(facts.root.absolute())
        self._repo = aim.Repo.from_path(place, init=True)
        is_there = facts.id is not None and self._repo.run_exists(facts.id)
        self._run: aim.Run = aim.Run(
            run_hash=facts.id if is_there else None,
            repo=self._repo,
            experiment=self.experiment,
            system_tracking_interval=None,
            capture_terminal_logs=False,
        )
        if not is_there:
            facts.remember(self._run.hash)
        self._run.name = facts.name
        if facts.group:
            self._run["group"] = facts.group
        self._run["state"] = "running"
        if "://" not in place:
            self._run.set_artifacts_uri((Path(place).absolute() / ".aim" / "artifacts").as_uri())

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Track each value at its step."""
        for tag, value in values.items():
            self._track(value, tag, step)

    def image(self, tag: str, step: int, drawn: Tensor) -> None:
        """Track a picture."""
        import aim

        self._track(aim.Image(pixels(drawn)), tag, step)

    def text(self, tag: str, step: int, text: str) -> None:
        """Track a text."""
        import aim

        self._track(aim.Text(text), tag, step)

    def hyperparameters(self, choices: Mapping[str, str | int | float | bool]) -> None:
        """Set the run's parameters, nested as their names are."""
        self._run["hparams"] = dict(choices)

    def artifact(self, path: Path) -> None:
        """Copy a file or folder into the repository; a server has no place for them unless it names one."""
        if self._run.artifacts_uri is None:
            return
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                self._run.log_artifact(str(file), str(file.relative_to(path.parent)), block=True)

    def finish(self, state: str, reason: str) -> None:
        """End the run, its state among its parameters."""
        self._run["state"], self._run["reason"] = state, reason
        self._run.close()

    def _track(self, value: Any, tag: str, step: int) -> None:
        self._run.track(value, name=tag, step=step)
