"""``gantrain-report DIR…``: one page that compares all runs in folders, with Markdown and CSV beside it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gantrain.cli.picking import KEYS, Picking
from gantrain.errors import ConfigError, DiskError, RecordError, first_line
from gantrain.reports import page, runs, text
from gantrain.reports.comparison import Table, headings, tables
from gantrain.reports.grids import nothing_finished, verdict
from gantrain.run import files
from gantrain.run.directory import SWEEP_FILE
from gantrain.run.read import PARTS, sweep_lines
from gantrain.terminal import answered, folded, visible
from gantrain.version import versions

USAGE = f"""usage: gantrain-report DIR… [out=report.html] [metric=fid] [of=final]
                           [tags=[a,b]] [notes=word] [title=…]

Compare every run in the folders: mean, spread and interval over seeds,
differences paired by seed, collapse, cost, curves and samples, in one HTML file
that opens offline. A .md and a .csv of the same name lie beside it.

  out     where to write; default: report.html in the first folder
  metric  what to rank by; default: what the best checkpoint was chosen by
  of      {" | ".join(PARTS)}
  tags    only runs that have all of these tags
  notes   only runs whose notes contain this
  title   the page's"""


@dataclass(frozen=True)
class Request:
    """What the command line asks for."""

    folders: tuple[str, ...]
    out: Path
    metric: str | None
    of: str
    title: str
    picking: Picking = field(default_factory=Picking)


LONGEST = 2**28
"""Bytes of an earlier report that are looked through for its mark."""
LISTED = 10
"""Variants that a comparison's outcome in the terminal lists."""


def main() -> None:
    """Start the ``gantrain-report`` command."""
    sys.exit(answered(compare))


def compare() -> int:
    """Do what the command line asks for, and return the exit code."""
    if not sys.argv[1:] or {"-h", "--help"} & {*sys.argv[1:]}:
        print(USAGE)
        return 0 if sys.argv[1:] else 2
    if "--version" in sys.argv[1:]:
        print(versions())
        return 0
    print(folded(report(parse(sys.argv[1:]))))
    return 0


def parse(arguments: Sequence[str]) -> Request:
    """Read the command line.

    Raises:
        ConfigError: for a key that does not exist, or a value that is not allowed.
    """
    folders = [a for a in arguments if "=" not in a or Path(a).is_dir()]
    given = dict(a.split("=", 1) for a in arguments if a not in folders)
    if unknown := given.keys() - {"out", "metric", "of", "title", *KEYS}:
        raise ConfigError(f"{min(unknown)} is not a setting; there are out, metric, of, tags, notes and title")
    if not folders:
        raise ConfigError("name a folder of runs, like gantrain-report outputs")
    if (of := given.get("of", "final")) not in PARTS:
        raise ConfigError(f"of must be one of {', '.join(PARTS)}, got {of!r}")
    out = files.at_home(given.get("out", Path(folders[0]) / "report.html"))
    if out.suffix != ".html":
        raise ConfigError(f"out={out} must end in .html")
    title = given.get("title", "Which loss? A comparison of GAN trainings")
    return Request(tuple(folders), out, given.get("metric"), of, title, Picking.of(given))


def report(request: Request) -> str:
    """Write the files and return the text to print.

    Raises:
        ConfigError: if there is nothing to compare.
        DiskError: if the disk does not take it.
    """
    every, unreadable = runs.find(request.folders)
    found = [run for run in every if request.picking.takes(run.tags, run.notes)]
    request.picking.refuse_none(len(found), len(every))
    compared, unmeasured = tables(found, request.metric, request.of)
    what = request.metric or "anything"
    notes = [*unreadable, *(f"{r.path}: {r.state}, not measured by {what}. {r.reason}".strip() for r in unmeasured)]
    # A kind of which nothing has finished is one line; why each of its runs ended stands with the others left out.
    idle = [run for table in compared if not table.ranked for run in table.unfinished]
    notes += [f"{run.path}: {run.state}, {run.reason or f'at step {run.step:,}'}" for run in idle]
    notes += [] if request.picking else refused(request.folders)  # which have no tags
    notes += [
        f"{variant.name}: seed {seed} finished more than once with these settings; it is counted once"
        for table in compared
        for variant in table.variants
        for seed in variant.repeated
    ]
    if not compared:
        raise ConfigError(f"no run has been measured to its end. {notes[0] if notes else ''}".strip())
    contents = {
        request.out: page.page(request.title, compared, notes),
        request.out.with_suffix(".md"): text.markdown(request.title, compared, notes),
        request.out.with_suffix(".csv"): text.comma_separated(found),
    }
    for path, mark in zip(
        contents, ("Made by gantrain-report", text.MARK, "run,data,architecture,loss,seed"), strict=True
    ):
        if os.path.lexists(path) and not is_report(path, mark):
            raise ConfigError(f"{path} is there and no report; choose another out=")
    try:
        files.make_folder(request.out.parent)
        for path in contents:
            files.clear_debris(path.parent, path.name)
        for path, content in contents.items():
            files.write_durably(path, content)
    except OSError as error:
        raise DiskError(f"{request.out} cannot be written ({first_line(error)}); choose another out=") from error
    outcomes = map(winner, compared, headings(compared))
    return "\n".join([*outcomes, *(visible(f"report        {path}") for path in contents)])


def is_report(path: Path, mark: str) -> bool:
    """Tell whether a file is a report of an earlier time, which may be replaced; a link, a pipe or a device is none."""
    try:
        return mark.encode() in files.content(path, LONGEST)
    except OSError:
        return False


def winner(table: Table, heading: str) -> str:
    """Return a comparison's outcome in a few lines below its heading."""
    facts = (f"{table.budget} each", table.protocol)
    lines = [visible(", ".join([heading, *(fact for fact in facts if fact not in heading)]))]
    if said := nothing_finished(table):
        return f"{lines[0]}\n  {visible(said)}"
    for variant in table.ranked[:LISTED]:
        s = variant.summary(table.metric, table.part)
        assert s is not None
        sd = f" ± {s.sd:.2g}" if s.sd is not None else ""
        interval = f"  95% CI [{s.interval.low:.4g}, {s.interval.high:.4g}]" if s.interval else ""
        lines.append(visible(f"  {variant.name:<24} {table.metric} {s.mean:.4g}{sd}{interval}  n={s.n}"))
    if len(table.ranked) > LISTED:
        lines.append(f"  ({LISTED} of {len(table.ranked)})")
    return "\n".join([*lines, *(visible(said) for said in [verdict(table)] if said)])


def refused(folders: Sequence[str]) -> list[str]:
    """Return a line for each job of a sweep that failed before it became a run, and has not become one since."""
    last: dict[str, dict[str, object]] = {}
    unreadable = []
    for folder in folders:
        for path in sorted(Path(folder).rglob(SWEEP_FILE)):
            try:
                for entry in sweep_lines(path):
                    last[" ".join(entry["overrides"])] = entry
            except RecordError as error:
                unreadable.append(str(error))
    failed = [(job, entry) for job, entry in sorted(last.items()) if entry["state"] == "refused"]
    return [*unreadable, *(f"{job}: {entry.get('reason')}" for job, entry in failed)]
