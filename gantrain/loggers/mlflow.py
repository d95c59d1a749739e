"""MLflow, at a tracking server or in a database under the folder of all runs."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from gantrain.loggers.interface import Facts, Logger, pixels, require
from gantrain.run import files

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

ENDS = {"finished": "FINISHED", "pruned": "KILLED", "stopped": "KILLED"}
"""MLflow's word for the state of a run; FAILED for all others."""
DATABASE, AT_ONCE = "mlflow.db", 1000
"""The store in the folder of all runs, and the metrics that MLflow takes in one request."""
BOUNDS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
"""Variables that MLflow reads, set where the environment does not: its own 7 tries of 120 s take minutes."""


class MLflow(Logger):
    """Sends to MLflow. A run that goes on does so in the same run of MLflow, unless that is gone.

    MLflow adds to a metric whatever it is sent. So, when a run goes on at an earlier step, each metric's last step is
    asked for once, and values up to it are not sent again: those that MLflow has stay.

    Args:
        tracking_uri: of the server or store, with no password in it, see docs/loggers.md; None for
            ``MLFLOW_TRACKING_URI``, or else for ``mlflow.db`` in the folder of all runs.
        experiment: its name.
        timeout: as ``Logger``.
        weights: as ``Logger``.

    Raises:
        ConfigError: if mlflow is not installed.
    """

    def __init__(
        self,
        tracking_uri: str | None = None,
        experiment: str = "gantrain",
        timeout: float = 30.0,
        weights: bool = False,
    ) -> None:
        super().__init__(timeout, weights)
        require("mlflow", "mlflow")
        self.tracking_uri, self.experiment = tracking_uri, experiment

    def begin(self, facts: Facts) -> None:
        """Begin a run in the experiment, or go on with the one of this id."""
        for name, value in BOUNDS.items():
            os.environ.setdefault(name, value)
        for name in ("mlflow", "alembic", "urllib3"):  # they tell of each table that they make, and of each try
            logging.getLogger(name).setLevel(logging.ERROR)
        from mlflow.tracking import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.ERROR)  # importing it has set another
        own = self.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
        root = facts.root.absolute()
        self._waiting: list[tuple[str, float, int, int]] = []
        with alone(root / DATABASE) if own is None else nullcontext():
            if own is None:
                make_database(root / DATABASE)
            self._client = MlflowClient(own or f"sqlite:///{root / DATABASE}")
            experiment = self._experiment(None if own else (root / "mlartifacts").as_uri())
        goes_on = facts.id is not None and known(self._client, facts.id)
        if goes_on:
            assert facts.id is not None
            self._id = facts.id
            self._client.update_run(self._id, status="RUNNING")
        else:
            tags = {"group": facts.group} if facts.group else {}
            self._id = self._client.create_run(experiment, run_name=facts.name, tags=tags).info.run_id
            facts.remember(self._id)
        self._params = dict(self._client.get_run(self._id).data.params) if goes_on else {}
        self._last: dict[str, int] | None = {} if goes_on else None

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Take values; they are sent in batches."""
        now = round(time.time() * 1000)
        self._waiting += [
            (name, value, now, step) for tag, value in values.items() if step > self._sent(name := named(tag))
        ]
        if len(self._waiting) >= AT_ONCE // 2:
            self.flush()

    def image(self, tag: str, step: int, drawn: Tensor) -> None:
        """Send a picture, which MLflow shows by its step."""
        self._client.log_image(self._id, pixels(drawn), key=named(tag), step=step, synchronous=True)

    def text(self, tag: str, step: int, text: str) -> None:
        """Send a text as a file among the artifacts."""
        self._client.log_text(self._id, text, f"{named(tag)}-step-{step:09d}.txt")

    def hyperparameters(self, choices: Mapping[str, str | int | float | bool]) -> None:
        """Send parameters; MLflow lets none change, so that one which has is sent as a tag."""
        from mlflow.entities import Param, RunTag

        texts = {named(key): str(value) for key, value in choices.items()}
        new = [Param(key, value) for key, value in texts.items() if key not in self._params]
        changed = [RunTag(key, value) for key, value in texts.items() if self._params.get(key, value) != value]
        self._client.log_batch(self._id, params=new, tags=changed)

    def artifact(self, path: Path) -> None:
        """Send a file or folder."""
        if path.is_dir():
            self._client.log_artifacts(self._id, str(path), path.name)
        else:
            self._client.log_artifact(self._id, str(path))

    def flush(self) -> None:
        """Send the values that were taken."""
        from mlflow.entities import Metric

        while self._waiting:
            self._client.log_batch(self._id, metrics=[Metric(*one) for one in self._waiting[:AT_ONCE]])
            del self._waiting[:AT_ONCE]

    def finish(self, state: str, reason: str) -> None:
        """End the run; tags have the state and the reason, because MLflow knows fewer states."""
        self.flush()
        self._client.set_tag(self._id, "state", state)
        self._client.set_tag(self._id, "reason", reason[:5000])
        self._client.set_terminated(self._id, ENDS.get(state, "FAILED"))

    def _experiment(self, artifacts: str | None) -> str:
        """Return the experiment's id, made if need be; another run may make it at the same moment."""
        from mlflow.exceptions import MlflowException

        if found := self._client.get_experiment_by_name(self.experiment):
            return str(found.experiment_id)
        try:
            return str(self._client.create_experiment(self.experiment, artifact_location=artifacts))
        except MlflowException:
            if found := self._client.get_experiment_by_name(self.experiment):
                return str(found.experiment_id)
            raise

    def _sent(self, name: str) -> int:
        """Return the last step of a metric that MLflow has from before this run went on, -1 for none."""
        if self._last is None:
            return -1
        if name not in self._last:
            history = self._client.get_metric_history(self._id, name)
            self._last[name] = max((one.step for one in history), default=-1)
        return self._last[name]


def known(client: MlflowClient, id: str) -> bool:
    """Tell whether a store has a run, not deleted."""
    from mlflow.exceptions import MlflowException

    try:
        return bool(client.get_run(id).info.lifecycle_stage == "active")
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise


def named(tag: str) -> str:
    """Return a tag with nothing in it that MLflow refuses."""
    return re.sub(r"[^\w./ :-]", "_", tag, flags=re.ASCII)


def make_database(path: Path) -> None:
    """Make a database with MLflow's tables, unless it is there.

    That takes seconds. Of a process that was killed meanwhile half of the tables would stay, with which MLflow can do
    nothing; so the whole takes its place at once.
    """
    if path.exists():
        return
    from mlflow.tracking import MlflowClient

    files.clear_debris(path.parent, path.name, all_dead=True)
    new = path.with_name(files.temporary_name(path))
    MlflowClient(f"sqlite:///{new}").search_experiments(max_results=1)
    new.replace(path)


@contextmanager
def alone(database: Path) -> Iterator[None]:
    """Let one process at a time make the tables of a database: two that do so at once fail."""
    with database.with_name(f".{database.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
