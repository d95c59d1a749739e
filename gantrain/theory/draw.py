"""Pictures of a study: the learned D beside the optimal one, the critic's surface, the estimate beside the truth."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gantrain.theory.integration import Array
from gantrain.theory.study import Curves, Study, shown

REAL, GENERATED, LEARNED = "#1f5fb4", "#d1622b", "#222222"
NO_PROBABILITY = "this objective's critic\ntells no probability"


def picture(study: Study) -> Tensor:
    """Return the whole study as one picture (3, h, w) in [0, 1]."""
    # Once on each machine, matplotlib logs that it builds its list of fonts.
    logging.getLogger("matplotlib").setLevel(logging.WARNING)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    line = study.real.shape == (1,)
    figure = Figure(figsize=(13, 4) if line else (13, 8), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(1, 3) if line else figure.subplots(2, 3)
    if line:
        on_a_line(axes, study.curves(1001))
    else:
        in_the_plane(axes.ravel(), study.curves(161))
    history(axes.ravel()[2 if line else 5], study)
    title = f"{type(study.loss.objective).__name__}, {study.step:,} updates of D"
    figure.suptitle(f"{title}: p = {study.real}; q = {study.generated}")
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255


def on_a_line(axes: Any, curves: Curves) -> None:
    """Draw p, q, D and D* over one axis, the critic and its derivative over another."""
    x = curves.points[:, 0]
    left, right = axes[0], axes[1]
    top = max(curves.real.max(), curves.generated.max())
    left.fill_between(x, curves.real / top, color=REAL, alpha=0.25, label="p, real")
    left.fill_between(x, curves.generated / top, color=GENERATED, alpha=0.25, label="q, generated")
    left.plot(x, curves.optimal, color=REAL, linestyle="--", label="optimal D* = p/(p+q)")
    if curves.learned is None:
        left.set_title(f"densities, optimal D ({NO_PROBABILITY.replace(chr(10), ' ')})", fontsize=9)
    else:
        left.plot(x, curves.learned, color=LEARNED, label="learned D")
        left.set_title(f"learned D and optimal D*: {curves.apart:.3f} apart on average")
    left.legend(fontsize=8, loc="upper left")
    right.plot(x, curves.critic, color=LEARNED, label="critic")
    right.plot(x, curves.gradient[:, 0], color="#7a9b3f", linewidth=1, label="its derivative")
    right.set_title("critic")
    right.legend(fontsize=8)


def in_the_plane(axes: Any, curves: Curves) -> None:
    """Draw the densities, D, D*, their difference, and the critic with its gradient field as maps."""
    side = round(len(curves.points) ** 0.5)
    reach = curves.points.max()

    def show(axis: Any, values: Array, title: str, **style: Any) -> Any:
        image = axis.imshow(
            values.reshape(side, side).T, origin="lower", extent=[-reach, reach, -reach, reach], **style
        )
        axis.set_title(title, fontsize=10)
        axis.figure.colorbar(image, ax=axis, shrink=0.8)
        return image

    show(axes[0], curves.real / curves.real.max() - curves.generated / curves.generated.max(),
         "p (blue) and q (red), each by its maximum", cmap="RdBu", vmin=-1, vmax=1)  # fmt: skip
    if curves.learned is None:
        axes[1].text(0.5, 0.5, NO_PROBABILITY, ha="center", va="center", transform=axes[1].transAxes)
        axes[1].set_axis_off()
        show(axes[3], np.sign(curves.real - curves.generated), "sign of p - q", cmap="RdBu", vmin=-1, vmax=1)
    else:
        show(axes[1], curves.learned, "learned D", cmap="RdBu", vmin=0, vmax=1)
        error = np.abs(curves.learned - curves.optimal)
        show(axes[3], error, f"|D - D*|: {curves.apart:.3f} on average under (p+q)/2",
             cmap="Greys", vmin=0, vmax=1)  # fmt: skip
    show(axes[2], curves.optimal, "optimal D* = p/(p+q)", cmap="RdBu", vmin=0, vmax=1)
    show(axes[4], curves.critic, "critic and its gradient", cmap="viridis")
    every = slice(side // 20 // 2, None, side // 20)
    grid, gradient = (a.reshape(side, side, 2)[every, every].reshape(-1, 2) for a in (curves.points, curves.gradient))
    axes[4].quiver(*grid.T, *gradient.T, color="white", width=0.004)


def history(axis: Any, study: Study) -> None:
    """Draw each estimate over the steps beside its truth, and list the true distances."""
    steps = [step for step, _ in study.history]
    for name in study.history[0][1]:
        truth = study.truth_of(name)
        if truth is None and len(study.history[0][1]) > 1 and name != next(iter(study.history[0][1])):
            continue  # a multiplier or a balance, in the logs only
        (line,) = axis.plot(
            steps, [values[name] for _, values in study.history], linewidth=1, label=f"estimate: {name}"
        )
        if truth is not None:
            style = {"color": line.get_color(), "linestyle": "--", "label": f"truth: {shown(truth, '.4f')}"}
            if np.isfinite(truth):
                axis.axhline(truth, **style)
            else:
                axis.plot([], [], **style)  # in the legend alone, because it has no height
    listed = {"KL": "kl_nats", "JS": "js_nats", "TV": "total_variation_unitless", "W1": "wasserstein_1_data_units"}
    axis.set_title("   ".join(f"{short} {study.truths[name]:.4f}" for short, name in listed.items()), fontsize=10)
    axis.set_xlabel("updates of D")
    axis.legend(fontsize=7)
