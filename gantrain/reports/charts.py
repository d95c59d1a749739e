"""Pictures of numbers as SVG that follows the page: its colours, light or dark, and its width."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 640, 340
LEFT, RIGHT, TOP, BOTTOM = 62, 12, 12, 44
COLOURS = 8  # --c0 to --c7 in page.css, repeated with other dashes
DASHES = ("", "6 3", "2 3", "8 3 2 3")
LOG_FROM = 10.0  # ratio of the largest to the smallest value from where an axis is logarithmic


@dataclass(frozen=True)
class Series:
    """A line through (x, y), and a band from ``low`` to ``high`` around it."""

    name: str
    points: Sequence[tuple[float, float, float, float]]  # x, y, low, high
    steps: str = ""  # of a step function: it jumps "at" its points, or right "after" them


def stroke(k: int) -> str:
    """Return the SVG attributes of the k-th line's colour and dashes."""
    dash = DASHES[k // COLOURS % len(DASHES)]
    return f'stroke="var(--c{k % COLOURS})"' + (f' stroke-dasharray="{dash}"' if dash else "")


class Scale:
    """From values to pixels, linear or logarithmic."""

    def __init__(self, values: Sequence[float], start: float, end: float, may_be_log: bool = False) -> None:
        low, high = min(values), max(values)
        self.log = may_be_log and low > 0 and high / low >= LOG_FROM
        if self.log:
            low, high = math.log10(low), math.log10(high)
        if high - low <= 1e-12 * max(abs(low), abs(high)):
            low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
        margin = 0.04 * (high - low)
        self.low, self.high = low - margin, high + margin
        self.start, self.end = start, end

    def __call__(self, value: float) -> float:
        """Return the pixel of a value."""
        value = math.log10(value) if self.log else value
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return about five round values within the scale."""
        if self.log:
            whole = [10.0**k for k in range(math.ceil(self.low), math.floor(self.high) + 1)]
            if len(whole) >= 2:
                return whole
            finer = [m * 10.0**k for k in range(math.floor(self.low), math.ceil(self.high)) for m in (1, 2, 5)]
            return [v for v in finer if self.low <= math.log10(v) <= self.high]
        rough = (self.high - self.low) / 6
        unit = 10.0 ** math.floor(math.log10(rough))
        step = next(m * unit for m in (1, 2, 5, 10) if m * unit >= rough)
        first = math.ceil(self.low / step)
        return [k * step for k in range(first, math.floor(self.high / step) + 1)]


def chart(series: Sequence[Series], x_label: str, y_label: str) -> str:
    """Return lines with their bands; "" if there is nothing to draw."""
    points = [p for line in series for p in line.points]
    if not points:
        return ""
    x = Scale([p[0] for p in points], LEFT, WIDTH - RIGHT)
    y = Scale([v for p in points for v in p[1:]], HEIGHT - BOTTOM, TOP, may_be_log=True)
    said = f"{escape(y_label)} over {escape(x_label)}"
    parts = [f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{said}">']
    for value in y.ticks():
        at = y(value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{short(value)}</text>')
    for value in x.ticks():
        parts.append(f'<text x="{x(value):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{short(value)}</text>')
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM}"/>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text class="label" x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_label)}</text>')
    turned = f'transform="rotate(-90 14 {HEIGHT / 2})"'
    log = " (log)" if y.log else ""
    parts.append(
        f'<text class="label" x="14" y="{HEIGHT / 2}" text-anchor="middle" {turned}>{escape(y_label)}{log}</text>'
    )
    for k, line in enumerate(series):
        parts += drawn(line, k, x, y)
    return "".join([*parts, "</svg>"])


def drawn(line: Series, k: int, x: Scale, y: Scale) -> list[str]:
    """Return a series' band and line; a single point is a dot."""
    if not line.points:
        return []
    upper = [f"{x(p[0]):.1f},{y(p[3]):.1f}" for p in line.points]
    lower = [f"{x(p[0]):.1f},{y(p[2]):.1f}" for p in reversed(line.points)]
    path = [(x(p[0]), y(p[1])) for p in line.points]
    if line.steps and len(path) > 1:
        at = line.steps == "at"
        between = [((c, b) if at else (a, d)) for (a, b), (c, d) in itertools.pairwise(path)]
        path = [path[0], *(corner for pair in zip(between, path[1:], strict=True) for corner in pair)]
    title = f"<title>{escape(line.name)}</title>"
    found = []
    if any(p[2] < p[3] for p in line.points):
        found.append(f'<polygon class="band" fill="var(--c{k % COLOURS})" points="{" ".join(upper + lower)}"/>')
    if len(path) == 1:
        found.append(
            f'<circle cx="{path[0][0]:.1f}" cy="{path[0][1]:.1f}" r="4" fill="var(--c{k % COLOURS})">{title}</circle>'
        )
    else:
        corners = " ".join(f"{a:.1f},{b:.1f}" for a, b in path)
        found.append(f'<polyline class="line" {stroke(k)} points="{corners}">{title}</polyline>')
    return found


def strip(values: Sequence[float], mean: float, low: float, high: float, span: tuple[float, float], k: int) -> str:
    """Return a small picture: every seed a dot, the interval a bar, the mean a tick, on the span of the whole table."""
    width, height = 170, 22
    scale = Scale(span, 6, width - 6, may_be_log=True)
    colour, middle = f"var(--c{k % COLOURS})", height / 2
    # An interval may reach beyond the picture, and below 0, which has no place on a logarithmic axis.
    left, right = (min(max(scale(v) if v > 0 or not scale.log else 0.0, 0.0), width) for v in (low, high))
    dots = "".join(f'<circle class="dot" cx="{scale(v):.1f}" cy="{middle}" r="3.2" stroke="{colour}"/>' for v in values)
    return (
        f'<svg class="strip" viewBox="0 0 {width} {height}" width="{width}" height="{height}" aria-hidden="true">'
        f'<rect class="bar" x="{left:.1f}" y="{middle - 4}" width="{max(right - left, 1):.1f}" height="8" '
        f'fill="{colour}"/>{dots}'
        f'<rect x="{scale(mean) - 1:.1f}" y="{middle - 8}" width="2" height="16" fill="{colour}"/></svg>'
    )


def standalone(drawn: str, style: str) -> str:
    """Return a picture as an SVG file of its own: light colours, in which ``style``, the page's CSS, has them first."""
    colours = dict(reversed(re.findall(r"--(\w+): (#\w+)", style)))
    rules = (
        "text{font:12px sans-serif;fill:var(--soft)}.label{fill:var(--ink)}.grid{stroke:var(--rule)}"
        ".axis{stroke:var(--soft)}.line{fill:none;stroke-width:2;stroke-linejoin:round}.band{opacity:.15}"
    )
    start = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}"'
    text = drawn.replace("<svg", start, 1).replace(">", f"><style>{rules}</style>", 1)
    return re.sub(r"var\(--(\w+)\)", lambda found: colours[found[1]], text)


def short(value: float) -> str:
    """Return a number as axes show it."""
    for size, letter in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if (abs(value) >= size and size != 1e3) or (abs(value) >= 1e4 and size == 1e3):
            return f"{value / size:.4g}{letter}"
    return f"{value:.4g}"
