"""In a notebook: the curves of both losses and the newest grid, shown as they come."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gantrain.training.callbacks import Moment

SECONDS = 0.5
"""Between two pictures."""
POINTS = 300
"""Of a curve, at most."""
WIDTH, HEIGHT, SMALLEST = 420, 160, 256
COLOURS = {"d/loss": "#1f77b4", "g/loss": "#d62728"}


class Display:
    """Shows one output that changes: the losses, and the averaged generator's grid."""

    def __init__(self) -> None:
        self.curves: dict[str, list[tuple[int, float]]] = {name: [] for name in COLOURS}
        self.grid: Path | None = None
        self.shown: Any = None
        self.last = 0.0

    def on_log(self, moment: Moment) -> None:
        """Add a point to each curve."""
        for name, curve in self.curves.items():
            if name in moment.values:
                curve.append((moment.step, moment.values[name]))
        self._show(moment)

    def on_samples(self, moment: Moment) -> None:
        """Take the newest grid."""
        self.grid = moment.file
        self._show(moment)

    def on_end(self, moment: Moment) -> None:
        """Show all that has come."""
        self._show(moment, at_once=True)

    def _show(self, moment: Moment, at_once: bool = False) -> None:
        if not at_once and time.monotonic() < self.last + SECONDS:
            return
        from IPython.display import HTML, display

        self.last = time.monotonic()
        drawn = picture(self.grid) if self.grid is not None and self.grid.is_file() else ""
        text = f"<div>step {moment.step:,} of {moment.total_steps:,}<br>{lines(self.curves)}{drawn}</div>"
        content = HTML(text)  # type: ignore[no-untyped-call]
        if self.shown is None:
            self.shown = display(content, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self.shown.update(content)


def picture(file: Path) -> str:
    """Return a PNG as HTML, its pixels enlarged where it is small."""
    data = base64.b64encode(file.read_bytes()).decode()
    style = f"min-width:{SMALLEST}px;max-width:100%;image-rendering:pixelated"
    return f'<img style="{style}" alt="samples" src="data:image/png;base64,{data}">'


def lines(curves: dict[str, list[tuple[int, float]]]) -> str:
    """Return curves of values over steps as SVG, "" before two points of one."""
    drawn = {name: curve for name, curve in curves.items() if len(curve) > 1}
    if not drawn:
        return ""
    steps = [step for curve in drawn.values() for step, _ in curve]
    values = sorted(value for curve in drawn.values() for _, value in curve)
    low, high = values[len(values) // 50], values[-1 - len(values) // 50]  # a few peaks do not flatten the rest
    first, last, room = min(steps), max(steps), high - low or 1.0

    def at(step: int, value: float) -> str:
        x = 4 + (step - first) / max(last - first, 1) * (WIDTH - 8)
        y = HEIGHT - 20 - min(max((value - low) / room, 0.0), 1.0) * (HEIGHT - 28)
        return f"{x:.1f},{y:.1f}"

    parts = []
    for k, (name, curve) in enumerate(drawn.items()):
        points = " ".join(at(*point) for point in curve[:: -(-len(curve) // POINTS)])
        parts.append(f'<polyline fill="none" stroke="{COLOURS[name]}" points="{points}"/>')
        label = f"{name} {curve[-1][1]:.3g}"
        parts.append(f'<text x="{4 + 120 * k}" y="{HEIGHT - 4}" fill="{COLOURS[name]}" font-size="12">{label}</text>')
    scale = f"{low:.3g} … {high:.3g}"
    parts.append(f'<text x="{WIDTH - 4}" y="{HEIGHT - 4}" font-size="12" text-anchor="end" fill="#888">{scale}</text>')
    return f'<svg width="{WIDTH}" height="{HEIGHT}" role="img">{"".join(parts)}</svg><br>'
