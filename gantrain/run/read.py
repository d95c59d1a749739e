"""Reads the records of a run, without torch: one reader for every command."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gantrain.run.directions import HIGHEST, LOWEST, Better

LAST = 5  # evaluations at the end of a run whose median is taken
MEDIAN = f"median_of_last_{LAST}"
PARTS = {"final": "final", "best": "best checkpoint", MEDIAN: f"median of last {LAST}"}
"""What a run's evaluations come to, in words; ``best`` is everything at the step that was best by the run's own choice.
"""
RECORDED_BEFORE: Better = {
    **dict.fromkeys(("fid", "fid_infinity", "kid"), LOWEST),
    **dict.fromkeys(("is", "precision", "recall", "density", "coverage"), HIGHEST),
    **dict.fromkeys(("sliced_wasserstein", "memorised_pixels", "memorised_features"), LOWEST),
    **dict.fromkeys(("modes", "high_quality"), HIGHEST),
    **dict.fromkeys(("mode_kl", "w2"), LOWEST),
}
"""Directions for an ``evaluation.json`` that has none, because it is older than their record; this never grows."""


def json_object(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file, {} if there is none that can be read."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def lines(run: Path, holding: str = "") -> Iterator[dict[str, Any]]:
    """Yield the lines of a run's metrics.jsonl in order, only those that hold a text; torn ones are passed over."""
    path = run / "metrics.jsonl"
    if not path.exists():
        return
    with path.open(errors="replace") as file:
        for line in file:
            if holding not in line:
                continue
            try:
                values = json.loads(line)
            except ValueError:
                continue
            if line.endswith("}\n") and isinstance(values, dict) and isinstance(values.get("step"), int):
                yield values


def last_lines(run: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the last line of a run's records that is of its training, and the last of an evaluation."""
    last: dict[str, Any] = {}
    measured: dict[str, Any] = {}
    for line in lines(run):
        if any(name.startswith("eval_") for name in line):
            measured = line
        else:
            last = line
    return last, measured


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
    """The content of ``evaluation.json``; empty if there is none. Within its parts values are as they were found."""

    protocol: dict[str, Any] = field(default_factory=dict)
    tag: str | None = None
    better: dict[str, str] = field(default_factory=dict)
    best_by: str | None = None
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)  # by the names in PARTS, each with its ``step``
    earlier: dict[str, dict[str, Any]] = field(default_factory=dict)
    damaged: str = ""  # the name of a part that is not of the right form, and is left out

    @property
    def best_step(self) -> int | None:
        """The step that was the best by the run's own choice."""
        step = self.parts["best"].get("step") if self.parts else None
        return step if isinstance(step, int) else None

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
    return isinstance(best, dict) and isinstance(best.get("step"), int)


def evaluation(run: Path) -> Evaluation:
    """Return the content of a run's ``evaluation.json``."""
    found = json_object(run / "evaluation.json")
    damaged = next(
        (k for k in (*PARTS, "protocol", "better", "earlier") if not isinstance(found.get(k) or {}, dict)), ""
    )

    def part(name: str) -> dict[str, Any]:
        return dict(found[name]) if isinstance(found.get(name), dict) else {}

    if not found:
        return Evaluation()
    better = {str(name): str(direction) for name, direction in part("better").items()}
    tag, best_by = found.get("tag"), found.get("best_by")
    return Evaluation(
        protocol=part("protocol"),
        tag=tag if isinstance(tag, str) else None,
        better=better or dict(RECORDED_BEFORE),
        best_by=best_by if isinstance(best_by, str) else None,
        parts={name: part(name) for name in PARTS},
        earlier=part("earlier"),
        damaged=damaged,
    )


def described(recorded: Mapping[str, Any]) -> str:
    """Return a protocol in words, from the record of it.

    Raises:
        KeyError, TypeError, ValueError: if the record is damaged.
    """
    samples = f"{recorded['n_fake']:,} of the {'averaged' if recorded['generator'] == 'ema' else 'raw'} generator"
    truncation, split = recorded.get("truncation"), recorded.get("split")
    cut = "" if truncation is None else f", |z| ≤ {truncation:g}"
    part, resizer = f" ({split})" if split else "", recorded.get("resizer", "none")
    resized = "" if resizer == "none" else f", resizer {resizer}"
    return (
        f"{recorded['features']} {recorded['hash']}: {samples}{cut} against {recorded['n_real']:,} real{part}{resized}"
    )
