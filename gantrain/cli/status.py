"""``gantrain-status RUN…``: the state of runs, read from their records; nothing is written, no run is disturbed."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from gantrain.errors import ConfigError, GantrainError
from gantrain.run import files
from gantrain.run.directory import RunDirectory
from gantrain.run.find import runs
from gantrain.run.read import last_lines
from gantrain.terminal import folded

KILLED = 137  # a shell's exit code for a process that SIGKILL ended


def main() -> None:
    """Start the ``gantrain-status`` command."""
    parser = argparse.ArgumentParser(
        prog="gantrain-status",
        description="Show each run's state, step, time left, last metrics and size.",
        epilog="Exit code: of the first run that did not finish well, as gantrain gave it (137: killed); 0 if none.",
    )
    parser.add_argument("runs", nargs="*", default=["outputs"], help="run directories, or folders of them (outputs)")
    parser.add_argument("--json", action="store_true", help="print one JSON object per run and line")
    arguments = parser.parse_args()
    try:
        facts = [describe(RunDirectory(path)) for path in find(arguments.runs)]
    except GantrainError as error:
        print(folded(f"gantrain: error: {error}", sys.stderr), file=sys.stderr)
        sys.exit(error.exit_code)
    for run in facts:
        print(json.dumps(run) if arguments.json else folded(line(run, max(len(other["run"]) for other in facts))))
    sys.exit(next((run["exit_code"] for run in facts if run["exit_code"]), 0))


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
    """
    status = run.status()
    last, measured = last_lines(run.path)
    state = run.state()
    recorded_step = status["step"] if isinstance(status.get("step"), int) else 0
    step = max(recorded_step, last.get("step", 0)) if state in ("running", "killed") else recorded_step
    total, speed = status.get("total_steps"), last.get("speed/steps_per_s")
    saved = map(files.step_of, run.path.glob("checkpoints/step-*"))
    return {
        "run": str(run.path),
        "state": state,
        "step": step,
        "total_steps": total,
        "seconds_left": (total - step) / speed if state == "running" and total and speed else None,
        "checkpoint": max((step for step in saved if step >= 0), default=None),
        "exit_code": {"running": None, "killed": KILLED}.get(state, status.get("exit_code")),
        "reason": status.get("reason", ""),
        "counters": status.get("counters", {}),
        "departures": status.get("departures", []),
        "metrics": {name: value for name, value in (measured | last).items() if name != "step"},
        "bytes": files.size(run.path),
    }


def line(run: dict[str, Any], width: int) -> str:
    """Return a run's facts in one line."""
    total, left = run["total_steps"], run["seconds_left"]
    parts = [f"step {run['step']:,}" + (f" of {total:,}" if total else "")]
    if left is not None:
        parts.append(f"{timedelta(seconds=math.ceil(left))} left")
    if run["state"] == "killed":
        checkpoint = run["checkpoint"]
        parts.append("goes on from the start" if checkpoint is None else f"goes on from step {checkpoint:,}")
    parts += [f"{name} {run['metrics'][name]:.3g}" for name in ("d/loss", "g/loss") if name in run["metrics"]]
    measured = [name for name in run["metrics"] if name.startswith("eval_")]
    parts += [f"{name.split('/')[1]} {run['metrics'][name]:.4g}" for name in measured[:1]]
    parts.append(f"{run['bytes'] / 2**20:,.1f} MiB")
    parts += [f"{count} {name.replace('_', ' ')}" for name, count in run["counters"].items() if count]
    parts += [f"not bit-exact since step {d['step']:,} ({d['changed']})" for d in run["departures"]]
    return f"{run['run']:<{width}}  {run['state']:<8}  {', '.join(parts)}" + (
        f"\n{'':<{width}}  {run['reason']}" if run["reason"] else ""
    )
