"""One run as a report sees it: read from its records, without torch, and without disturbing it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gantrain.budget import UNITS
from gantrain.errors import ConfigError
from gantrain.run import read as recorded
from gantrain.run.directory import RunDirectory
from gantrain.run.find import runs as find_runs
from gantrain.run.read import PARTS, described


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
        path = self.path / "samples" / "real.png"
        return path if path.is_file() else None

    def pictures(self) -> dict[int, Path]:
        """Return the sample grids by step."""
        found = {}
        for path in (self.path / "samples").glob("step-*.png"):
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


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Turn the errors that a file of the wrong form causes into Unreadable."""
    try:
        yield
    except KeyError as error:
        raise Unreadable(f"{name} does not say its {error.args[0]}: it is damaged, or of an older gantrain") from error
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise Unreadable(f"{name} is damaged") from error


def read(path: Path) -> Run:
    """Read a run.

    Raises:
        Unreadable: if a file is damaged, or of an older version.
    """
    evaluation = recorded.evaluation(path)
    with readable("evaluation.json"):
        if evaluation.damaged:
            raise ValueError(evaluation.damaged)
        values = {part: numbers(found) for part, found in evaluation.parts.items()} or {part: {} for part in PARTS}
        if evaluation.protocol:
            described(evaluation.protocol)
    with readable("status.json"):
        return of_status(RunDirectory(path), evaluation, values)


def numbers(found: dict[str, Any]) -> dict[str, float]:
    """Return the finite values of an evaluation."""
    return {k: float(v) for k, v in found.items() if k != "step" and math.isfinite(v)}


def of_status(directory: RunDirectory, evaluation: recorded.Evaluation, values: dict[str, dict[str, float]]) -> Run:
    """Return a run, made of its status and its evaluation."""
    status = directory.status()
    of = str(status["budget"]["of"])
    if of not in UNITS:
        raise ValueError(of)
    return Run(
        path=directory.path,
        state=directory.state(),
        reason=str(status.get("reason") or ""),
        step=int(status.get("step") or 0),
        choices={str(k): str(v) for k, v in status["choices"].items()},
        overrides=tuple(map(str, status["overrides"])),
        seed=int(status["seed"]),
        variant=str(status["variant"]),
        budget={"of": of, "amount": status["budget"]["amount"]},
        per_step={unit: int(status["per_step"][unit]) for unit in ("steps", "d_updates", "images")},
        data=str(status["data"]),
        environment=dict(status["environment"]),
        cost={name: float(value) for name, value in status["cost"].items() if value is not None},
        command=str(status.get("command") or ""),
        ratio=str(status.get("ratio") or ""),
        players={str(name): dict(facts) for name, facts in (status.get("players") or {}).items()},
        protocol=evaluation.protocol,
        better=evaluation.better,
        best_by=evaluation.best_by,
        best_step=evaluation.best_step,
        values=values,
        curve=recorded.history(directory.path, evaluation.tag),
    )
