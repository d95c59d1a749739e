"""Weights & Biases, at its server or in files to be sent later."""

from __future__ import annotations

import html
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from gantrain.errors import ConfigError
from gantrain.loggers.interface import Facts, Logger, pixels, require

MODES = ("online", "offline")


class WandB(Logger):
    """Sends to Weights & Biases, or with ``mode="offline"`` writes what ``wandb sync`` sends later.

    A run has one id, kept in its folder before the tracker hears of it. When a run goes on at an earlier step, the
    server keeps the values that it has: those of steps up to its last are not sent again. Offline files do not know
    what others hold, so that steps after the last checkpoint of a killed run stand in two of them.

    The key is what ``wandb login`` has stored or the environment holds (``WANDB_API_KEY``); it is no setting.

    Args:
        project: the project.
        entity: the user or team, None for the key's own.
        mode: online or offline.
        timeout: as ``Logger``.
        weights: as ``Logger``.

    Raises:
        ConfigError: if wandb is not installed, or for another mode.
    """

    def __init__(
        self,
        project: str = "gantrain",
        entity: str | None = None,
        mode: str = "online",
        timeout: float = 30.0,
        weights: bool = False,
    ) -> None:
        super().__init__(timeout, weights)
        require("wandb", "wandb")
        if mode not in MODES:
            raise ConfigError(f"logger.wandb.mode must be one of {', '.join(MODES)}, got {mode!r}")
        self.project, self.entity, self.mode = project, entity, mode

    def begin(self, facts: Facts) -> None:
        """Begin or resume the run of this id."""
        import wandb

        if self.mode == "online" and not has_key():  # it would ask for one on a terminal, and wait
            raise PermissionError("there is no API key: wandb login, set WANDB_API_KEY, or logger.wandb.mode=offline")
        if (id := facts.id) is None:
            facts.remember(id := secrets.token_hex(8))
        settings: Any = wandb.Settings(
            silent=True,
            console="off",  # the run's own lines stay its own
            save_code=False,
            disable_git=True,  # it would send the differences to the last commit of whatever folder this is
            reinit="create_new",  # several jobs of a sweep in one process
            init_timeout=self.timeout,
            finish_timeout=self.timeout,
        )
        self._run = wandb.init(
            project=self.project,
            entity=self.entity,
            id=id,
            name=facts.name,
            group=facts.group,
            dir=str(facts.folder),
            mode=self.mode,
            resume="allow",
            settings=settings,
        )
        self._first = self._run.step

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Log values at their step."""
        self._log(step, dict(values))

    def image(self, tag: str, step: int, drawn: Tensor) -> None:
        """Log a picture at its step."""
        import wandb

        self._log(step, {tag: wandb.Image(pixels(drawn))})

    def text(self, tag: str, step: int, text: str) -> None:
        """Log a text as a panel of HTML."""
        import wandb

        self._log(step, {tag: wandb.Html(f"<pre>{html.escape(text)}</pre>")})

    def hyperparameters(self, choices: Mapping[str, str | int | float | bool]) -> None:
        """Set the run's config; a run that goes on may have a longer one."""
        self._run.config.update(dict(choices), allow_val_change=True)

    def artifact(self, path: Path) -> None:
        """Log a file or folder as an artifact of this run."""
        import wandb

        kind = "checkpoint" if path.is_dir() else "grid" if path.suffix == ".png" else "config"
        made = wandb.Artifact(re.sub(r"[^\w.-]", "_", f"{kind}-{self._run.id}"), kind)
        made.add_dir(str(path)) if path.is_dir() else made.add_file(str(path))
        self._run.log_artifact(made)

    def finish(self, state: str, reason: str) -> None:
        """End the run; its summary has the state, because W&B knows only finished and failed."""
        self._run.summary.update({"state": state, "reason": reason})
        self._run.finish(exit_code=0 if state in ("finished", "pruned") else 1)

    def _log(self, step: int, values: dict[str, Any]) -> None:
        if step >= self._first:  # of an earlier one W&B would say, each time, that it is ignored
            self._run.log(values, step=step)


def has_key() -> bool:
    """Tell whether there is an API key, in the environment or stored by ``wandb login``; the server is not asked."""
    import wandb

    wandb.setup(wandb.Settings(silent=True))
    return wandb.run is not None or bool(wandb.login(prompt=False, verify=False))
