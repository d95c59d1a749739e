"""Reads the records of a run, without torch: one reader for every command.

A record may be damaged, or a stranger's: only files are read, of limited size and depth, and every entry has its form
(``forms``) or is left out.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gantrain.errors import RecordError, first_line
from gantrain.run import files, forms
from gantrain.run.directions import HIGHEST, LOWEST, Better

LAST = 5  # evaluations at the end of a run whose median is taken
MEDIAN = f"median_of_last_{LAST}"
PARTS = {"final": "final", "best": "best checkpoint", MEDIAN: f"median of last {LAST}"}
"""What a run's evaluations come to, in words; ``best`` is everything at the step that was best by the run's own choice.
"""
SMALL, LONGEST_LINE, DEEPEST = 2**20, 2**20, 32
"""Bytes of a record, bytes of a line, and how deep lists and objects may lie in each other; real ones need a tenth."""
LARGEST = {"config.yaml": 2**18, "metrics.jsonl": 2**30, "sweep.jsonl": 2**28, "changes.jsonl": SMALL}
"""Bytes of the records that have another limit: YAML is read slowly, and some files grow."""
TAIL, EVALUATION = 2**22, '"eval_'
"""Bytes at the end of metrics.jsonl in which its last lines are looked for, and what a line of an evaluation holds."""
PNG = b"\x89PNG\r\n\x1a\n"
"""How a picture begins."""
RECORDED_BEFORE: Better = {
    **dict.fromkeys(("fid", "fid_infinity", "kid"), LOWEST),
    **dict.fromkeys(("is", "precision", "recall", "density", "coverage"), HIGHEST),
    **dict.fromkeys(("sliced_wasserstein", "memorised_pixels", "memorised_features"), LOWEST),
    **dict.fromkeys(("modes", "high_quality"), HIGHEST),
    **dict.fromkeys(("mode_kl", "w2"), LOWEST),
}
"""Directions for an ``evaluation.json`` that has none, because it is older than their record; this never grows."""


def content(path: Path) -> bytes | None:
    """Return a record's bytes, None if there is none.

    Raises:
        RecordError: if it is a link, a pipe, a device or a folder, larger than any that a run writes, or unreadable.
    """
    try:
        return files.whole(path, LARGEST.get(path.name, SMALL))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> RecordError:
    """Return what to say of a file that the disk does not give, or that is none."""
    strange = isinstance(error, files.StrangeFileError)
    return RecordError(first_line(error) if strange else f"{path} cannot be read ({error.strerror or error})")


def parsed(text: bytes | str) -> dict[str, Any]:
    """Return the object that a JSON text holds.

    Raises:
        ValueError: if it holds none, or lists and objects lie in each other too deep.
    """
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    if not isinstance(found, dict):
        raise ValueError(f"it is {forms.shown(found)}, not an object")
    forms.check_depth(found, DEEPEST)
    return found


def json_object(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file, {} if there is no file.

    Raises:
        RecordError: if it is damaged or cannot be read.
    """
    text = content(path)
    try:
        return {} if text is None else parsed(text)
    except ValueError as error:
        raise RecordError(f"{path} is damaged ({first_line(error)})") from error


def entries(path: Path, of: Mapping[str, forms.Form]) -> tuple[dict[str, Any], str]:
    """Return the entries of a JSON file that have their forms, and in words what is wrong with it, "" if nothing is."""
    try:
        values, wrong = forms.fitted(json_object(path), of)
    except RecordError as error:
        return {}, str(error)
    return values, f"{path} is damaged ({wrong})" if wrong else ""


def status(run: Path) -> tuple[dict[str, Any], str]:
    """Return what a run's ``status.json`` says, {} if there is none, and in words what is wrong with the file.

    An entry that has not its form is left out.
    """
    return entries(run / "status.json", forms.STATUS)


def lines(run: Path, holding: str = "", begin: int = 0) -> Iterator[dict[str, Any]]:
    """Yield the lines of a run's metrics.jsonl in order, only those that hold a text, from a byte on.

    Torn lines, and values that are no finite numbers, are passed over.

    Raises:
        RecordError: if it is a link, a pipe, a device or a folder, larger than any that a run writes, or unreadable.
    """
    for line in json_lines(run / "metrics.jsonl", holding, begin):
        step = line.pop("step", None)
        if type(step) is int and 0 <= step < 2**63:
            yield {"step": step} | {name: value for name, value in line.items() if is_number(value)}


def sweep_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a sweep.jsonl, those without the form of one left out; errors as ``lines`` has them."""
    for line in json_lines(path):
        if (entry := sweep_line(line)) is not None:
            yield entry


def sweep_line(found: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what a line of a sweep.jsonl says, None if it has not the form of one."""
    values, wrong = forms.fitted(found, forms.SWEEP)
    return None if wrong or not {"overrides", "state"} <= values.keys() else values


def json_lines(path: Path, holding: str = "", begin: int = 0) -> Iterator[dict[str, Any]]:
    """Yield the objects in the whole lines of a file, only of those lines that hold a text; none without a file.

    Raises:
        RecordError: as ``lines`` does.
    """
    most, sought = LARGEST[path.name], holding.encode(errors="replace")
    try:
        with os.fdopen(files.opened(path), "rb") as file:
            if os.fstat(file.fileno()).st_size > most:
                raise files.StrangeFileError(f"{path} has more than {most:,} bytes")
            file.seek(begin)
            while line := file.readline(LONGEST_LINE):
                if line.endswith(b"}\n") and sought in line:
                    with suppress(ValueError):
                        yield parsed(line.decode(errors="replace"))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise unreadable(path, error) from error


def is_number(value: Any) -> bool:
    """Tell whether a value is a finite number that can be reckoned with, as ``forms.number`` takes it."""
    return type(value) in (int, float) and abs(value) <= forms.LARGEST


def png_size(content: bytes) -> tuple[int, int]:
    """Return width and height as a PNG file says them in its first bytes, where nothing need be decoded for them.

    Raises:
        ValueError: if it is no PNG file.
    """
    if not content.startswith(PNG) or len(content) < 24:
        raise ValueError("it is no PNG file")
    return int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")


def last_lines(run: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the last line of a run's records that is of its training, and the last of an evaluation.

    Both are looked for at the end of the file first; evaluations are rarer, and a run may have none.
    """
    last, measured = last_of(lines(run, begin=max(size_of(run / "metrics.jsonl") - TAIL, 0)))
    if not last:
        return last_of(lines(run))
    return last, measured or last_of(lines(run, EVALUATION))[1]


def last_of(found: Iterable[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the last of some lines that is of a training, and the last of an evaluation."""
    last: dict[str, Any] = {}
    measured: dict[str, Any] = {}
    for line in found:
        if any(name.startswith("eval_") for name in line):
            measured = line
        else:
            last = line
    return last, measured


def size_of(path: Path) -> int:
    """Return a file's bytes, 0 if there is none."""
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def history(run: Path, tag: str | None, until: float = float("inf")) -> dict[int, dict[str, float]]:
    """Return the values that a run recorded under a protocol's tag, by step, up to step ``until``."""
    found: dict[int, dict[str, float]] = {}
    for line in lines(run, f'"{tag}/'):
        values = {name.removeprefix(f"{tag}/"): value for name, value in line.items() if name.startswith(f"{tag}/")}
        if values and line["step"] <= until:
            found[line["step"]] = values
    return found


@dataclass(frozen=True)
class Evaluation:
    """The content of ``evaluation.json``; empty if there is none. Values that are not finite are left out."""

    protocol: dict[str, Any] = field(default_factory=dict)
    tag: str | None = None
    better: dict[str, str] = field(default_factory=dict)
    best_by: str | None = None
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)  # by the names in PARTS, each with its ``step``
    earlier: dict[str, dict[str, Any]] = field(default_factory=dict)
    damaged: str = ""  # what is wrong with the file, in words; what is damaged is left out

    @property
    def best_step(self) -> int | None:
        """The step that was the best by the run's own choice."""
        return self.parts["best"].get("step") if self.parts else None

    def bests(self, but: str | None = None) -> dict[str, dict[str, Any]]:
        """Return ``best_by`` and ``best`` of each protocol that the run was measured by, by tag, without one of them.

        Only of those that have a best step.
        """
        own = {"best_by": self.best_by, "best": self.parts.get("best")}
        every = {**self.earlier, **({self.tag: own} if self.tag is not None else {})}
        return {
            tag: {"best_by": found.get("best_by"), "best": found["best"]}
            for tag, found in every.items()
            if tag != but and isinstance(found, dict) and has_step(found.get("best"))
        }


def has_step(best: Any) -> bool:
    """Tell whether a record of a best checkpoint says of which step it is."""
    return isinstance(best, dict) and type(best.get("step")) is int


def evaluation(run: Path) -> Evaluation:
    """Return the content of a run's ``evaluation.json``."""
    found, damaged = entries(run / "evaluation.json", forms.EVALUATION)
    if not found:
        return Evaluation(damaged=damaged)
    earlier = {tag: entry | {"best": measured(entry["best"])} for tag, entry in found.get("earlier", {}).items()}
    return Evaluation(
        protocol=found.get("protocol", {}),
        tag=found.get("tag"),
        better=found.get("better") or dict(RECORDED_BEFORE),
        best_by=found.get("best_by"),
        parts={name: measured(found.get(name)) for name in PARTS},
        earlier=earlier,
        damaged=damaged,
    )


def measured(part: dict[str, Any] | None) -> dict[str, Any]:
    """Return the values of an evaluation that are finite, with its step if that is one."""
    return {
        name: value
        for name, value in (part or {}).items()
        if is_number(value) and (name != "step" or (type(value) is int and value >= 0))
    }


def described(recorded: Mapping[str, Any]) -> str:
    """Return a protocol in words, from the record of it."""
    whose = {"ema": "the averaged generator", "raw": "the raw generator", "folder": "a folder"}
    samples = f"{recorded['n_fake']:,} of {whose.get(recorded['generator'], 'another generator')}"
    truncation, split = recorded.get("truncation"), recorded.get("split")
    cut = "" if truncation is None else f", truncation {truncation:g}"
    part, resizer = f" ({split})" if split else "", recorded.get("resizer", "none")
    resized = "" if resizer == "none" else f", resizer {resizer}"
    return (
        f"{recorded['features']} {recorded['hash']}: {samples}{cut} against {recorded['n_real']:,} real{part}{resized}"
    )
