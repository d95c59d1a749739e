"""What a run remembers of where it comes from: the code's commit, the host, and what its user says of it."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from gantrain.run import files, git, read
from gantrain.run.directory import RunDirectory
from gantrain.terminal import say, visible


def of(cfg: DictConfig, run: RunDirectory, step: int) -> dict[str, Any]:
    """Return what status.json says of a run's origin that begins or goes on at a step in this process.

    If the commit is another than before, or the notes or tags are, a sentence says so.
    """
    before = run.status()
    commits = went_on(before.get("commits", []), step)
    return {"commits": commits, "host": socket.gethostname(), **labels(cfg, run, before)}


def went_on(before: list[dict[str, Any]], step: int) -> list[dict[str, Any]]:
    """Return the commits of a run by the step from which on each holds, with that of the working folder now.

    Those from ``step`` on are left out: what was trained with them is not in the checkpoint.
    """
    found, dirty = git.state(Path.cwd())
    kept = [entry for entry in before if entry["step"] < step]
    now = {"step": step, "commit": found, "dirty": dirty}
    if not kept:
        return [now]
    last = kept[-1]
    if (last["commit"], last["dirty"]) == (found, dirty):
        return kept
    say(f"went on at {git.described(now)} from step {step:,}; it was {git.described(last)} before")
    return [*kept, now]


def labels(cfg: DictConfig, run: RunDirectory, before: dict[str, Any]) -> dict[str, Any]:
    """Return a run's notes and tags: those of the command, or those that it had where the command leaves them open."""
    found: dict[str, Any] = {}
    for name, none in (("notes", ""), ("tags", [])):
        had = before.get(name, none)
        given = cfg[name] if cfg[name] is None or name == "notes" else list(cfg[name])
        found[name] = had if given is None else given
        if name in before and found[name] != had:
            say(f"{run.path}: {name} were {shown(had)} and are {shown(found[name])} now")
    return found


def shown(label: str | list[str]) -> str:
    """Return notes or tags as they are typed."""
    return visible(f'"{label}"' if isinstance(label, str) else f"[{','.join(label)}]")


def label(cfg: DictConfig, run: RunDirectory) -> None:
    """Give a finished run the notes and tags of the command; all else that is recorded stays.

    Raises:
        RunInUseError: if another process has begun to use it.
        RecordError, DiskError: if its record cannot be read or written.
    """
    if cfg.notes is None and cfg.tags is None:
        return
    before = run.status()
    found = labels(cfg, run, before)
    if any(before.get(name) != value for name, value in found.items()):
        with run.open(), run.disk_errors():
            whole = read.json_object(run.path / "status.json") | found
            files.write_durably(run.path / "status.json", json.dumps(whole) + "\n")
