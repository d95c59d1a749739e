"""Which folders are runs: one rule for every command."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from gantrain.run import files

HEAD = 2**16  # bytes of a config.yaml that are looked at; a study's own key stands in its first kilobytes


def runs(start: Path) -> Iterator[Path]:
    """Yield the folders of trainings at and under ``start``, in order; those of other commands are passed over.

    A run has a status.json, which is written before its first step, or at least settings and checkpoints. In a folder
    with both of these no other run is looked for.
    """
    for folder, subfolders, names in os.walk(start):  # unlike rglob, it bears that running runs remove folders
        subfolders.sort()
        there = {
            *subfolders,
            *names,
        }  # a pipe or a folder in a file's place makes it no less a run, which must be named
        whole = {"config.yaml", "checkpoints"} <= there
        if whole:
            subfolders.clear()
        if (whole or "status.json" in there) and not is_study(Path(folder)):
            yield Path(folder)


def trained(start: Path) -> Iterator[Path]:
    """Yield the runs at and under ``start`` that have settings and a folder of checkpoints: what can be opened."""
    for run in runs(start):
        if all(os.path.lexists(run / name) for name in ("config.yaml", "checkpoints")):
            yield run


def is_study(run: Path) -> bool:
    """Tell whether a folder was made by gantrain-theory: its settings name q, where a training has a generator."""
    try:
        return b"\ngenerated:" in b"\n" + files.content(run / "config.yaml", HEAD)
    except OSError:
        return False
