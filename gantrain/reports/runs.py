"""One run as a report sees it: read from its records, without torch, and without disturbing it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gantrain.budget import UNITS
from gantrain.errors import ConfigError, RecordError
from gantrain.run import files
from gantrain.run import read as recorded
from gantrain.run.directory import RunDirectory
from gantrain.run.find import runs as find_runs
from gantrain.run.read import PARTS
from gantrain.terminal import visible

SHOWN = ("protocol", "better", "best_by", "parts")
"""Parts of an evaluation that a report shows."""


@dataclass(frozen=True)
class Run:
    """A run's choices, its budget and data, the values that it measured, and its cost."""

    path: Path
    state: str
    reason: str
    step: int
    choices: dict[str, str]
    overrides: tuple[str, ...]
    seed: int
    variant: str
    budget: dict[str, Any]
    per_step: dict[str, int]
    data: str
    environment: dict[str, Any]
    cost: dict[str, float]
    command: str = ""
    ratio: str = ""
    commits: tuple[dict[str, Any], ...] = ()
    host: str = ""
    notes: str = ""
    tags: tuple[str, ...] = ()
    players: dict[str, dict[str, Any]] = field(default_factory=dict)
    protocol: dict[str, Any] = field(default_factory=dict)
    better: dict[str, str] = field(default_factory=dict)
    best_by: str | None = None
    best_step: int | None = None
    values: dict[str, dict[str, float]] = field(default_factory=dict)
    curve: dict[int, dict[str, float]] = field(default_factory=dict)

    @property
    def images(self) -> int:
        """Real images that D was shown."""
        return self.step * self.per_step["images"]

    def cost_at(self, step: int, unit: str) -> float:
        """Return how much of a budget the run had taken at a step; seconds as if every step had taken as long."""
        if unit == "seconds":
            return step / max(self.step, 1) * self.cost.get("training_seconds", 0.0)
        return step * (self.cost.get("flops_per_step", 0.0) if unit == "flops" else self.per_step[unit])

    def real(self) -> Path | None:
        """Return the picture of real samples, None if there is none."""
        return next(iter(files.own_files(self.path / "samples", "real.png")), None)

    def pictures(self) -> dict[int, Path]:
        """Return the sample grids by step."""
        found = {}
        for path in files.own_files(self.path / "samples", "step-*.png"):
            number = path.stem.removeprefix("step-")
            if number.isdecimal():
                found[int(number)] = path
        return found


def find(folders: Iterable[str]) -> tuple[list[Run], list[str]]:
    """Return the runs at and under folders, and of those that cannot be read a line each, why.

    Raises:
        ConfigError: if a folder is not there, or holds no run at all.
    """
    runs, unreadable, seen = [], [], set()
    for folder in folders:
        if not Path(folder).is_dir():
            raise ConfigError(f"{folder} is not a folder")
        for path in find_runs(Path(folder)):
            if path.resolve() in seen:
                continue
            seen.add(path.resolve())
            try:
                runs.append(read(path))
            except Unreadable as error:
                unreadable.append(f"{path}: {error}")
    if not seen:
        raise ConfigError(f"{', '.join(folders)}: no run is there")
    return runs, unreadable


class Unreadable(Exception):  # noqa: N818  (no error of the report: the run is left out, and named)
    """Says which of a run's files cannot be used."""


def read(path: Path) -> Run:
    """Read a run.

    Raises:
        Unreadable: if a file is damaged, or of an older version.
    """
    evaluation = recorded.evaluation(path)
    status, damaged = recorded.status(path)
    if damaged := damaged or evaluation.damaged:
        raise Unreadable(damaged.removeprefix(f"{path}/"))
    evaluation = replace(evaluation, **{name: seen(getattr(evaluation, name)) for name in SHOWN})
    try:
        return of_records(RunDirectory(path), seen(status), evaluation)
    except KeyError as error:
        raise Unreadable(
            f"status.json does not say its {error.args[0]}: it is damaged, or of an older gantrain"
        ) from error
    except RecordError as error:
        raise Unreadable(str(error).removeprefix(f"{path}/")) from error


def seen(node: Any) -> Any:
    """Return nested data with every text ``visible``: a record may be a stranger's, and stands in documents here."""
    if isinstance(node, dict):
        return {visible(key): seen(value) for key, value in node.items()}
    if isinstance(node, list):
        return [seen(value) for value in node]
    return visible(node) if isinstance(node, str) else node


def of_records(directory: RunDirectory, status: dict[str, Any], evaluation: recorded.Evaluation) -> Run:
    """Return a run, made of its status and its evaluation.

    Raises:
        KeyError: for what the status does not say.
        RecordError: if the metrics cannot be read.
    """
    if (of := status["budget"]["of"]) not in UNITS:
        raise RecordError(f"{directory.path}/status.json is damaged (budget.of is {of!r})")
    if missing := [name for name in ("data", "architecture", "loss") if name not in status["choices"]]:
        raise KeyError(f"choices.{missing[0]}")
    values = {part: without_step(found) for part, found in evaluation.parts.items()} or {part: {} for part in PARTS}
    return Run(
        path=directory.path,
        state=visible(directory.state()),
        reason=status.get("reason", ""),
        step=status.get("step", 0),
        choices=status["choices"],
        overrides=tuple(status["overrides"]),
        seed=status["seed"],
        variant=status["variant"],
        budget=status["budget"],
        per_step={unit: status["per_step"][unit] for unit in ("steps", "d_updates", "images")},
        data=status["data"],
        environment=status["environment"],
        cost={name: float(value) for name, value in status["cost"].items() if value is not None},
        command=status.get("command", ""),
        ratio=status.get("ratio", ""),
        commits=tuple(status.get("commits", ())),
        host=status.get("host", ""),
        notes=status.get("notes", ""),
        tags=tuple(status.get("tags", ())),
        players=status.get("players", {}),
        protocol=evaluation.protocol,
        better=evaluation.better,
        best_by=evaluation.best_by,
        best_step=evaluation.best_step,
        values=values,
        curve=recorded.history(directory.path, evaluation.tag),
    )


def without_step(found: dict[str, Any]) -> dict[str, float]:
    """Return the values of an evaluation alone."""
    return {name: float(value) for name, value in found.items() if name != "step"}
