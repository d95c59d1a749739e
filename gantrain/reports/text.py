"""A report as Markdown, and its runs as CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from typing import Any

from gantrain.reports.comparison import COLLAPSE, Table, budget, collapsed, headings
from gantrain.reports.grids import Cell, Grid, grids, nothing_finished, verdict
from gantrain.reports.runs import Run
from gantrain.run.directions import arrow
from gantrain.run.read import PARTS
from gantrain.terminal import visible

MARK = "<!-- made by gantrain-report -->"
FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
"""Beginnings of what a spreadsheet calculates, in the letters of China and Japan too."""
COSTS = ("training_seconds", "other_seconds", "flops", "peak_memory_bytes")


def markdown(title: str, tables: Sequence[Table], notes: Sequence[str]) -> str:
    """Return the tables; pictures are the page's."""
    parts = [f"{MARK}\n\n# {escaped(title)}"]
    for table, heading in zip(tables, headings(tables), strict=True):
        parts.append(
            f"## {escaped(heading)}\n\n- data: {escaped(table.data)}\n- budget: {escaped(table.budget)} each\n"
            f"- protocol: {escaped(table.protocol)}\n"
            f"- ranked by: {escaped(arrow(table.better, table.metric))}, {PARTS[table.part]}"
        )
        if said := nothing_finished(table):
            parts.append(begun(said))
            continue
        if said := verdict(table):
            parts.append(begun(said))
        parts += [grid_markdown(grid) for grid in grids(table)]
    if notes:
        parts.append("## Left out\n\n" + "\n".join(f"- {begun(note)}" for note in notes))
    return "\n\n".join([*parts, COLLAPSE]) + "\n"


def grid_markdown(grid: Grid) -> str:
    """Return a table."""
    drawn = [k for k in range(len(grid.head)) if any(row[k].picture for row in grid.rows)]
    columns = [k for k in range(len(grid.head)) if k not in drawn]
    rows = [[escaped(grid.head[k]) for k in columns], ["---", *["---:"] * (len(columns) - 1)]]
    rows += [[plain(row[k]) for k in columns] for row in grid.rows]
    body = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"### {escaped(grid.title)}\n\n{body}" + (f"\n\n{begun(grid.note)}" if grid.note else "")


def grid_latex(grid: Grid) -> str:
    """Return a table for a LaTeX document that uses booktabs."""
    drawn = {k for k in range(len(grid.head)) if any(row[k].picture for row in grid.rows)}
    columns = [k for k in range(len(grid.head)) if k not in drawn]
    lines = [" & ".join(latex(grid.head[k]) for k in columns)]
    lines += [" & ".join(latex(f"{row[k].text} {row[k].small}") for k in columns) for row in grid.rows]
    head, *body = (f"{line} \\\\" for line in lines)
    rows = "\n".join(["\\toprule", head, "\\midrule", *body, "\\bottomrule"])
    return f"% {visible(grid.title)}\n\\begin{{tabular}}{{l{'r' * (len(columns) - 1)}}}\n{rows}\n\\end{{tabular}}\n"


LATEX = {
    **{c: f"\\{c}" for c in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"±": r"$\pm$", "−": "$-$", "↓": r"$\downarrow$", "↑": r"$\uparrow$", "≤": r"$\leq$", "≥": r"$\geq$"},
    **{"β": r"$\beta$", "∞": r"$\infty$", "–": "--"},
}
"""Characters that LaTeX reads as something else, or does not know."""


def latex(text: str) -> str:
    """Return a text in one line as LaTeX sets it."""
    return "".join(LATEX.get(character, character) for character in visible(" ".join(text.split())))


def plain(cell: Cell) -> str:
    """Return a cell's text in one line."""
    return escaped(f"{cell.text} {cell.small}")


def escaped(text: str) -> str:
    """Return a text in one line, with nothing in it that Markdown would read as a link, a picture, HTML or code."""
    one_line = visible(" ".join(text.split()))
    return re.sub(r"[|<`\\$]|(?<=\])[(\[:]|(?<=:)/(?=/)|(?<=www)\.", lambda found: f"\\{found[0]}", one_line)


def begun(text: str) -> str:
    """Return a text ``escaped`` that stands where a line begins, and so might be a heading, a list or a quotation."""
    return re.sub(r"^(?=[#>+*=\[~-])|^(\d+)(?=[.)])", lambda found: f"{found[1] or ''}\\", escaped(text))


def comma_separated(runs: Sequence[Run]) -> str:
    """Return one line per run; every value in full, times in the last columns."""
    choices = list(dict.fromkeys(["data", "architecture", "loss", *(name for run in runs for name in run.choices)]))
    names = list(dict.fromkeys(name for run in runs for part in PARTS for name in run.values[part]))
    found = [row(run, choices, names) for run in sorted(runs, key=lambda run: str(run.path))]
    rows = [{in_a_cell(name): in_a_cell(value) for name, value in line.items()} for line in found]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]) if rows else ["run"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def in_a_cell(value: Any) -> Any:
    """Return a value that a spreadsheet takes for what it is: a text that would be a formula gets an apostrophe."""
    if not isinstance(value, str):
        return value
    text = visible(value)
    return f"'{text}" if text[:1] in FORMULA and not is_number(text) else text


def is_number(text: str) -> bool:
    """Tell whether a text is a number in full."""
    return re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text) is not None


def row(run: Run, choices: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    """Return a run's line."""
    first: dict[str, Any] = {
        "run": str(run.path),
        "data": run.choices.get("data"),
        "architecture": run.choices.get("architecture"),
    }
    first |= {
        "loss": run.choices.get("loss"),
        "seed": run.seed,
        "status": run.state,
        "step": run.step,
        "images": run.images,
    }
    facts = first | {name: run.choices.get(name) for name in choices if name not in first}
    facts |= {"overrides": " ".join(run.overrides), "variant": run.variant, "budget": budget(run)}
    facts |= {"protocol": run.protocol.get("hash"), "best_by": run.best_by, "best_step": run.best_step}
    for part in PARTS:
        facts |= {f"{part}_{name}": run.values[part].get(name) for name in names}
    facts["collapsed"] = collapsed(run) if run.state == "finished" else None
    facts |= {"commits": " ".join(entry["commit"] or "none" for entry in run.commits), "host": run.host}
    facts |= {"changes": any(entry["dirty"] for entry in run.commits) if run.commits else None}
    facts |= {"tags": " ".join(run.tags), "notes": run.notes}
    facts |= {"threads": run.environment.get("threads"), "device": run.environment.get("device")}
    facts["seconds"] = run.cost.get("training_seconds", 0.0) + run.cost.get("other_seconds", 0.0)
    return facts | {name: run.cost.get(name) for name in COSTS}
