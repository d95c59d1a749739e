"""``gantrain-status RUN…``: the state of runs, read from their records; nothing is written, no run is disturbed."""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from gantrain.cli.picking import KEYS, Picking
from gantrain.errors import ConfigError, RecordError
from gantrain.run import files, git, read
from gantrain.run.directory import RunDirectory
from gantrain.run.find import runs
from gantrain.terminal import answered, folded, visible
from gantrain.version import versions

KILLED = 137  # a shell's exit code for a process that SIGKILL ended
LONGEST = 1e9
"""Seconds left that are shown; thirty years are a mistake in a record."""


def main() -> None:
    """Start the ``gantrain-status`` command."""
    sys.exit(answered(status))


def status() -> int:
    """Read the command line, print, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="gantrain-status",
        usage="%(prog)s [RUN…] [tags=[a,b]] [notes=word] [--json]",
        description="Show each run's state, step, time left, last metrics and size, and what it remembers.",
        epilog="Exit code: of the first run that did not finish well, as gantrain gave it (137: killed); 0 if none.",
    )
    said = "run directories, or folders of them (outputs); tags=[a,b]: only runs with all of these tags; notes=word: "
    parser.add_argument("runs", nargs="*", metavar="RUN", help=f"{said}only those whose notes contain it")
    parser.add_argument("--json", action="store_true", help="print one JSON object per run and line")
    parser.add_argument("--version", action="version", version=versions(), help="print the versions and stop")
    arguments = parser.parse_args()
    folders = [word for word in arguments.runs if Path(word).is_dir() or not re.match(r"\w+=", word)]
    given = dict(word.split("=", 1) for word in arguments.runs if word not in folders)
    if unknown := given.keys() - set(KEYS):
        raise ConfigError(f"{min(unknown)} is not a setting; there are tags and notes")
    return show(folders or ["outputs"], arguments.json, Picking.of(given))


def show(folders: Iterable[str], as_json: bool, picking: Picking) -> int:
    """Print the states of the runs that are picked, and return the exit code of the first that did not end well."""
    found = [describe(RunDirectory(path)) for path in find(folders)]
    facts = [run for run in found if picking.takes(run["tags"], run["notes"])]
    picking.refuse_none(len(facts), len(found))
    for run in facts:
        print(json.dumps(run) if as_json else folded(line(run, max(len(visible(other["run"])) for other in facts))))
    return next((run["exit_code"] for run in facts if run["exit_code"]), 0)


def find(arguments: Iterable[str]) -> Iterator[Path]:
    """Yield the run directories at or under each argument.

    Raises:
        ConfigError: if there is none.
    """
    for argument in arguments:
        found = list(runs(Path(argument)))
        yield from found
        if not found:
            raise ConfigError(f"{argument} holds no run" if Path(argument).is_dir() else f"{argument} is not a folder")


def describe(run: RunDirectory) -> dict[str, Any]:
    """Return the facts about a run.

    ``state`` is that of status.json, but ``killed`` where a run calls itself running and no process holds its lock.
    ``damaged`` says in words what could not be read.
    """
    status, damaged = read.status(run.path)
    try:
        last, measured = read.last_lines(run.path)
    except RecordError as error:
        last, measured, damaged = {}, {}, damaged or str(error)
    state = run.state()
    recorded_step = status.get("step", 0)
    step = max(recorded_step, last.get("step", 0)) if state in ("running", "killed") else recorded_step
    total, speed = status.get("total_steps"), last.get("speed/steps_per_s", 0)
    saved = map(files.step_of, run.path.glob("checkpoints/step-*"))
    return {
        "run": str(run.path),
        "state": state,
        "step": step,
        "total_steps": total,
        "seconds_left": (total - step) / speed if state == "running" and total and speed > 0 else None,
        "checkpoint": max((step for step in saved if step >= 0), default=None),
        "exit_code": exit_code(state, status.get("exit_code")),
        "reason": status.get("reason", ""),
        "damaged": damaged,
        "counters": status.get("counters", {}),
        "departures": status.get("departures", []),
        **{"commits": status.get("commits", []), "host": status.get("host", "")},
        **{"notes": status.get("notes", ""), "tags": status.get("tags", [])},
        "metrics": {name: value for name, value in (measured | last).items() if name != "step"},
        "bytes": files.size(run.path),
    }


def exit_code(state: str, recorded: Any) -> int | None:
    """Return a run's exit code, None while it runs or if that is unknown.

    A record may come from a stranger: a shell would take 256 for 0, so a code that no process can have counts as 1, and
    so does 0 where the state says that the run failed.
    """
    if state in ("running", "killed"):
        return KILLED if state == "killed" else None
    well = state in ("finished", "pruned")
    if recorded is None and (well or state == "unknown"):
        return None
    whole = isinstance(recorded, int) and not isinstance(recorded, bool) and 0 <= recorded <= 255
    return int(recorded) if whole and (well or recorded > 0) else 1


def line(run: dict[str, Any], width: int) -> str:
    """Return a run's facts in one line."""
    total, left = run["total_steps"], run["seconds_left"]
    parts = [f"step {run['step']:,}" + (f" of {total:,}" if total else "")]
    if left is not None and 0 <= left < LONGEST:
        parts.append(f"{timedelta(seconds=math.ceil(left))} left")
    if run["state"] == "killed":
        checkpoint = run["checkpoint"]
        parts.append("goes on from the start" if checkpoint is None else f"goes on from step {checkpoint:,}")
    parts += [f"{name} {run['metrics'][name]:.3g}" for name in ("d/loss", "g/loss") if name in run["metrics"]]
    measured = [name for name in run["metrics"] if name.startswith("eval_")]
    parts += [f"{name.partition('/')[2]} {run['metrics'][name]:.4g}" for name in measured[:1]]
    parts.append(f"{run['bytes'] / 2**20:,.1f} MiB")
    parts += [f"{count} {name.replace('_', ' ')}" for name, count in run["counters"].items() if count]
    parts += origin(run)
    parts += [f"not bit-exact since step {d['step']:,} ({d['changed']})" for d in run["departures"]]
    head = f"{visible(run['run']):<{width}}  {visible(run['state']):<8}  {visible(', '.join(parts))}"
    notes = [visible(run[what]) for what in ("reason", "damaged", "notes") if run[what]]
    return "\n".join([head, *(f"{'':<{width}}  {note}" for note in notes)])


def origin(run: dict[str, Any]) -> list[str]:
    """Return by which commits of the code a run was made, on which host, and its tags, in words."""
    known = any(entry["commit"] is not None for entry in run["commits"])
    first = [git.described(entry) for entry in run["commits"][:1] if known]
    later = [f"went on at {git.described(entry)} from step {entry['step']:,}" for entry in run["commits"][1:]]
    host = [f"on {run['host']}"] if run["host"] else []
    return [*first, *later, *host, *([f"[{', '.join(run['tags'])}]"] if run["tags"] else [])]
