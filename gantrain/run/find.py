"""Which folders are runs: one rule for every command."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

HEAD = 2**16  # bytes of a config.yaml that are looked at; a study's own key stands in its first kilobytes


def runs(start: Path) -> Iterator[Path]:
    """Yield the folders of trainings at and under ``start``, in order; those of other commands are passed over.

    A run has a status.json, which is written before its first step, or at least settings and checkpoints. In a folder
    with both of these no other run is looked for.
    """
    for folder, subfolders, names in os.walk(start):  # unlike rglob, it bears that running runs remove folders
        subfolders.sort()
        whole = "config.yaml" in names and "checkpoints" in subfolders
        if whole:
            subfolders.clear()
        if (whole or "status.json" in names) and not is_study(Path(folder)):
            yield Path(folder)


def trained(start: Path) -> Iterator[Path]:
    """Yield the runs at and under ``start`` that have settings and a folder of checkpoints: what can be opened."""
    for run in runs(start):
        if (run / "config.yaml").is_file() and (run / "checkpoints").is_dir():
            yield run


def is_study(run: Path) -> bool:
    """Tell whether a folder was made by gantrain-theory: its settings name q, where a training has a generator."""
    try:
        with (run / "config.yaml").open("rb") as file:
            return b"\ngenerated:" in b"\n" + file.read(HEAD)
    except OSError:
        return False
