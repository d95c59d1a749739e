"""Many trainings one after the other, and what they tell."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gantrain.api import objects
from gantrain.api.composing import is_for_many, lines_of
from gantrain.api.playing import named, of_lines
from gantrain.api.run import Run
from gantrain.cli import arguments, entry
from gantrain.cli import report as reporting
from gantrain.errors import ConfigError, GantrainError
from gantrain.terminal import folded


class Runs(list[Run]):
    """The runs of a sweep, in its order.

    Attributes:
        failed: the overrides of each job that could not be trained to its end, and its error.
    """

    def __init__(self, runs: Sequence[Run] = ()) -> None:
        super().__init__(runs)
        self.failed: dict[str, GantrainError] = {}

    def report(self, out: str | Path = "report.html", metric: str | None = None) -> Path:
        """Compare them as ``gantrain-report`` does, and return the page's path."""
        return report(*(run.path for run in self), out=out, metric=metric)


def sweep(*overrides: str, callbacks: Sequence[object] = (), **settings: Any) -> Runs:
    """Train every combination, one after the other, and return the runs.

        runs = gantrain.sweep("loss=vanilla,hinge", data="ring", seed=range(3))

    A job that fails is told and kept in ``failed``; the others go on. Those that are finished already are not trained
    again. To train several at once, here or elsewhere, give the command ``gantrain -m … hydra/launcher=joblib``.

    Args:
        overrides: as on the command line; values with commas between them are one job each.
        callbacks: objects that hear of every job, see ``gantrain.train``.
        settings: overrides by name; ``range(3)`` and ``"0,1,2"`` are one job each.

    Raises:
        ConfigError: for what no job can be made of.
    """
    given = objects.taken(settings)
    found = Runs()
    for lines in jobs(overrides, settings):
        if any(line.startswith("hydra/") for line in lines):
            raise ConfigError("launchers and sweepers are the command's: gantrain -m … hydra/launcher=joblib")
        print(f"\n{' '.join(lines)}")
        try:
            run = Run(of_lines(lines, {**given, "callbacks": named(callbacks)}), lines=lines, **given)
        except GantrainError as error:
            entry.fail(error)
            found.failed[" ".join(lines)] = error
            continue
        found.append(run)
        if run.state == "stopped" and run.status.get("exit_code"):
            break  # by Ctrl-C, which stops them all
    return found


def jobs(overrides: Sequence[str], settings: Mapping[str, Any]) -> Iterator[list[str]]:
    """Yield the overrides of each job, the last one changing fastest."""
    single = {key: value for key, value in settings.items() if not isinstance(value, range)}
    choices = [one_each(line) for line in lines_of(overrides, single)]
    choices += [lines_of([f"{key}={k}" for k in found], {}) for key, found in settings.items() if key not in single]
    yield from map(list, itertools.product(*choices))


def one_each(line: str) -> list[str]:
    """Return an override for each of the values that one names with commas between them."""
    read = arguments.as_read(line)
    if read is None or not is_for_many(line):
        return [line]
    return [f"{line.partition('=')[0]}={value}" for value in read.sweep_string_iterator()]


def report(*folders: str | Path, out: str | Path | None = None, metric: str | None = None, of: str = "final") -> Path:
    """Compare runs as ``gantrain-report`` does: write a page, print the outcome, and return the page's path.

    Args:
        folders: of runs, or folders that hold some.
        out: the page, ``….html``; None: ``report.html`` in the first folder.
        metric: what ranks; None: what the evaluations say.
        of: final, best or median.

    Raises:
        ConfigError: if there is nothing to compare.
        DiskError: if the disk does not take it.
    """
    given = {"out": out, "metric": metric, "of": of}
    request = reporting.parse([*map(str, folders), *(f"{k}={v}" for k, v in given.items() if v is not None)])
    print(folded(reporting.report(request)))
    return request.out
