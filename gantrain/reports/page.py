"""A report as one HTML file that needs nothing else: no network, no other file, no script to be read."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import quote

import numpy as np

from gantrain.budget import UNITS
from gantrain.reports import charts
from gantrain.reports.comparison import COLLAPSE, Table, Variant, headings
from gantrain.reports.grids import Cell, Grid, grids, nothing_finished, verdict
from gantrain.reports.runs import Run
from gantrain.reports.statistics import profile
from gantrain.reports.text import grid_latex
from gantrain.run import files
from gantrain.run.directions import arrow
from gantrain.run.read import PARTS, png_size
from gantrain.terminal import visible

HERE = Path(__file__).parent
MOST_LINES, MOST_PICTURES = 16, 12
HINT = '<p class="hint">The table is wider than the page: scroll it sideways.</p>'
LARGEST, MOST_PIXELS = 2**25, 2**25
"""Bytes and pixels of a picture that is embedded: more would keep a browser busy for seconds."""
STAGES = (0.1, 0.4, 1.0)
"""Shares of the images that all variants have seen, at which their samples are compared."""

NO_PICTURES = (
    "There are no pictures of samples: their files were removed, or the samples are neither points nor signals "
    "nor images with one, three or four channels."
)


def page(title: str, tables: Sequence[Table], notes: Sequence[str]) -> str:
    """Return the whole file."""
    parts = [
        section(table, name, f"t{k}") for k, (table, name) in enumerate(zip(tables, headings(tables), strict=True))
    ]
    if len(tables) > 1:
        warning = (
            f"These runs are of {len(tables)} kinds: their data, protocol or budget differ. "
            "Numbers of two kinds are not comparable, so each kind has its own tables."
        )
        parts.insert(0, f'<p class="note">{warning}</p>')
    if notes:
        items = "".join(f"<li>{escape(visible(note))}</li>" for note in notes)
        parts.append(f"<h2>Left out</h2><ul class='note'>{items}</ul>")
    style, script, frame = ((HERE / f"page.{kind}").read_text() for kind in ("css", "js", "html"))
    return Template(frame).substitute(
        title=escape(title), style=style, body="\n".join(parts), collapse=escape(COLLAPSE), script=script
    )


def section(table: Table, heading: str, anchor: str) -> str:
    """Return one comparison; a line if nothing in it has finished."""
    if said := nothing_finished(table):
        return f'<h2 id="{anchor}">{escape(heading)}</h2><p class="note">{escape(said)}</p>'
    stamp = {
        "data": table.data,
        "budget": f"{table.budget} each",
        "protocol": table.protocol,
        "ranked by": f"{arrow(table.better, table.metric)}, {PARTS[table.part]}",
    }
    items = "".join(f"<li><b>{name}</b> {escape(text)}</li>" for name, text in stamp.items())
    colours = {variant.name: k for k, variant in enumerate(table.variants)}
    ready = {grid.title: grid_html(grid, table, colours) for grid in grids(table)}
    first, *rest = ready.values()
    body = [
        f'<h2 id="{anchor}">{escape(heading)}</h2><ul class="stamp">{items}</ul>',
        f'<p class="verdict">{escape(said)}</p>' if (said := verdict(table)) else "",
        first,
        curves(table),
        pictures(table, colours),
    ]
    return "\n".join([*body, *rest, other_curves(table)])


def grid_html(grid: Grid, table: Table, colours: dict[str, int]) -> str:
    """Return a table that can be sorted; the names of variants carry the colour of their lines."""
    head = ""
    for k, name in enumerate(grid.head):
        button = f'<button type="button">{escape(name)}</button>' if name else ""
        left = ' class="left"' if any(row[k].kind in ("left", "command") for row in grid.rows) else ""
        head += f'<th scope="col"{left}>{button}</th>'
    rows = "".join(f"<tr>{''.join(cell_html(cell, table, colours) for cell in row)}</tr>" for row in grid.rows)
    note = f'<p class="note">{escape(grid.note)}</p>' if grid.note else ""
    return (
        f"<h3>{escape(grid.title)}{download('LaTeX', f'{grid.title}.tex', 'text/x-tex', grid_latex(grid))}</h3>"
        f'<div class="wide"><table class="sortable"><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{HINT}{note}"
    )


def download(what: str, name: str, kind: str, content: str) -> str:
    """Return a link that saves a text which the page holds."""
    file = re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-")
    return f' <a class="get" download="{file}" href="data:{kind};charset=utf-8,{quote(content)}">{what}</a>'


def figure(drawn: str, shown: Sequence[Variant], caption: str, name: str) -> str:
    """Return a chart with its legend and caption, and the same as a file."""
    style = (HERE / "page.css").read_text()
    link = download("SVG", f"{name}.svg", "image/svg+xml", charts.standalone(drawn, style))
    return f"<figure>{legend(shown)}{drawn}<figcaption>{escape(caption)}{link}</figcaption></figure>"


def cell_html(cell: Cell, table: Table, colours: dict[str, int]) -> str:
    """Return one cell."""
    sort = "" if cell.value is None else f' data-value="{escape(str(cell.value))}"'
    kind = f' class="{cell.kind}"' if cell.kind else ""
    shade = ""
    if cell.shade is not None:
        colour, strength = ("--good", cell.shade) if cell.shade >= 0.5 else ("--bad", 1 - cell.shade)
        shade = f' style="background:color-mix(in srgb, var({colour}) {round(70 * (strength - 0.5))}%, transparent)"'
    text = (key(colours[cell.text]) if cell.text in colours else "") + escape(cell.text)
    if cell.picture:
        text = seeds(table, cell.picture, colours)
    small = f"<small>{escape(cell.small)}</small>" if cell.small else ""
    return f"<td{kind}{sort}{shade}>{text}{small}</td>"


def key(k: int) -> str:
    """Return the sample of a line's colour."""
    dashed = " dashed" if k >= charts.COLOURS else ""
    return f'<span class="key{dashed}" style="border-color:var(--c{k % charts.COLOURS})"></span>'


def seeds(table: Table, name: str, colours: dict[str, int]) -> str:
    """Return the small picture of a variant's seeds."""
    everyone = [v for variant in table.ranked for v in variant.by_seed(table.metric, table.part).values()]
    variant = next(v for v in table.variants if v.name == name)
    values, found = list(variant.by_seed(table.metric, table.part).values()), variant.summary(table.metric, table.part)
    assert found is not None
    low, high = (found.interval.low, found.interval.high) if found.interval else (found.mean, found.mean)
    return charts.strip(values, found.mean, low, high, (min(everyone), max(everyone)), colours[name])


def legend(variants: Iterable[Variant]) -> str:
    """Return which line is whose."""
    return (
        f'<div class="legend">{"".join(f"<span>{key(k)}{escape(v.name)}</span>" for k, v in enumerate(variants))}</div>'
    )


def curves(table: Table) -> str:
    """Return the course of the ranked metric, and which share of the runs came how far."""
    shown = table.ranked[:MOST_LINES]
    course = learning_curve(table, shown, table.metric)
    values = sorted({v for variant in shown for v in variant.by_seed(table.metric, table.part).values()})
    figures = [course] if course else []
    if len(values) > 1:
        lower = table.lower_is_better
        margin = 0.05 * (values[-1] - values[0])
        thresholds = np.array([values[0] - margin, *values, values[-1] + margin])
        lines = []
        for variant in shown:
            reached = profile(list(variant.by_seed(table.metric, table.part).values()), thresholds, lower)
            points = [(t, s, s, s) for t, s in zip(thresholds, reached, strict=True)]
            lines.append(charts.Series(variant.name, points, steps="at" if lower else "after"))
        drawn = charts.chart(lines, f"τ, {table.metric}", "share of runs")
        better = "≤" if lower else "≥"
        caption = f"Performance profile: the share of runs with {table.metric} {better} τ."
        figures.append(figure(drawn, shown, caption, f"{table.name} profile {table.metric}"))
    more = (
        f'<p class="note">The best {MOST_LINES} of {len(table.ranked)} are drawn.</p>'
        if len(table.ranked) > MOST_LINES
        else ""
    )
    return f'<div class="pair">{"".join(figures)}</div>{more}'


def learning_curve(table: Table, shown: Sequence[Variant], metric: str) -> str:
    """Return a metric over the cost so far, as a figure; "" if it was measured nowhere."""
    lines = [charts.Series(variant.name, variant.curve(metric, table.unit)) for variant in shown]
    drawn = charts.chart(lines, UNITS[table.unit], arrow(table.better, metric))
    caption = "Mean over the seeds; the band reaches from the lowest to the highest seed."
    return figure(drawn, shown, caption, f"{table.name} {metric}") if drawn else ""


def other_curves(table: Table) -> str:
    """Return the curves of all other metrics, folded away."""
    shown = table.ranked[:MOST_LINES]
    figures = "".join(learning_curve(table, shown, metric) for metric in table.metrics[1:])
    return (
        f'<details><summary>Learning curves of all other metrics</summary><div class="pair">{figures}</div></details>'
        if figures
        else ""
    )


def pictures(table: Table, colours: dict[str, int]) -> str:
    """Return sample grids side by side after as many images, of the first seed that finished; or why there are none."""
    chosen = [(v, next((r for r in v.finished if r.pictures()), None)) for v in table.variants[:MOST_PICTURES]]
    runs = [(v, run) for v, run in chosen if run is not None]
    if not runs:
        return f'<p class="note">{NO_PICTURES}</p>' if any(v.finished for v in table.variants) else ""
    any_real = any(run.real() for _, run in runs)
    common = min(max(run.pictures()) * run.per_step["images"] for _, run in runs)
    rows = []
    for variant, run in runs:
        cells = []
        for stage in STAGES:
            step, path = nearest(run, stage * common)
            seen = step * run.per_step["images"]
            image = f'<img alt="samples of {escape(variant.name)}" src="{embedded(path)}">'
            cells.append(f"<td>{image}<small>{seen:,} images, step {step:,}</small></td>")
        if any_real:
            real = run.real()
            image = f'<img alt="real samples" src="{embedded(real)}">' if real else "–"
            cells.append(f"<td>{image}</td>")
        name = f"{key(colours[variant.name])}{escape(variant.name)}<small>seed {run.seed}</small>"
        rows.append(f"<tr><td>{name}</td>{''.join(cells)}</tr>")
    head = "".join(f"<th>after about {round(stage * common):,} real images</th>" for stage in STAGES)
    head += "<th>real samples</th>" if any_real else ""
    note = "From latents that depend on the seed alone; the grid that was drawn nearest to these numbers of images."
    return (
        f'<h3>Samples after as many images</h3><div class="wide"><table class="grids"><thead><tr><th></th>{head}</tr>'
        f'</thead><tbody>{"".join(rows)}</tbody></table></div>{HINT}<p class="note">{note}</p>'
    )


def nearest(run: Run, images: float) -> tuple[int, Path]:
    """Return the sample grid drawn nearest to a number of images seen, and its step."""
    return min(run.pictures().items(), key=lambda item: (abs(item[0] * run.per_step["images"] - images), item[0]))


def embedded(path: Path) -> str:
    """Return a picture as part of the page; an empty one if the file is no PNG, or too large for a page."""
    try:
        content = files.whole(path, LARGEST)
        width, height = png_size(content)
    except (OSError, ValueError):
        return "data:,"
    if width * height > MOST_PIXELS:
        return "data:,"
    return "data:image/png;base64," + base64.b64encode(content).decode()
