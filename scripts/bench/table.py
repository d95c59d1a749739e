"""How like a real table a generated one is: marginals, correlations, and a picture of both.

    python scripts/bench/table.py write .                                  # wine.csv and cancer.csv, of scikit-learn
    gantrain experiment=table data.root=cancer.csv run.dir=run
    gantrain-sample run=run n=2000 out=drawn
    python scripts/bench/table.py compare cancer.csv drawn/table.csv picture.png

The picture has the histograms of the first columns, real ones in grey, and the correlations of all columns: real ones
above the diagonal, generated ones below. Beside the values stand those of as many real rows drawn with replacement, as
a perfect generator would draw them from the real table.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from gantrain.data import Table
from gantrain.metrics import correlation_errors, correlations, marginal_distances

SHOWN = 8
"""Columns whose histograms are drawn."""


def write(folder: Path) -> None:
    """Write two of scikit-learn's tables, the class in the last column."""
    from sklearn.datasets import load_breast_cancer, load_wine

    for name, found in (("wine", load_wine()), ("cancer", load_breast_cancer())):
        lines = [",".join([*found.feature_names, "class"])]
        for row, label in zip(found.data, found.target, strict=True):
            lines.append(",".join([*map(str, row), str(found.target_names[label])]))
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")


def rows_of(path: Path, columns: list[str] | None = None) -> Table:
    """Return the rows of a file as they are."""
    return Table(str(path), columns, None, standardise=False, header=True, delimiter=",")


def said(name: str, rows: torch.Tensor, real: torch.Tensor) -> str:
    """Return the values of some rows in a line."""
    marginal, pairs = marginal_distances(rows, real), correlation_errors(rows, real)
    off, wide = ((rows.mean(0) - real.mean(0)) / real.std(0)).abs(), rows.std(0) / real.std(0)
    return (
        f"{name:<28} W1 of a column {marginal.mean():.3f}, at most {marginal.max():.3f}; "
        f"error of a correlation {pairs.mean():.3f}, at most {pairs.max():.3f}; "
        f"mean of a column off by {off.max():.3f} at most, its deviation × {wide.min():.3f} to {wide.max():.3f}"
    )


def compare(real_path: Path, drawn_path: Path, picture: Path) -> None:
    """Print both tables' distances, and draw them."""
    table = rows_of(real_path)
    names, real = list(table.columns), table.rows
    drawn = rows_of(drawn_path, names).rows
    again = torch.from_numpy(np.random.default_rng(0).integers(len(real), size=len(drawn)))
    print(said(f"{len(drawn):,} generated rows", drawn, real))
    print(said(f"{len(drawn):,} real ones, drawn again", real[again], real))
    draw(names, real.numpy(), drawn.numpy(), picture)


def draw(names: list[str], real: np.ndarray, drawn: np.ndarray, path: Path) -> None:
    """Write histograms and correlations into a picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), dpi=80, layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.35, 1))
    for k, axes in enumerate(left.subplots(2, SHOWN // 2).flat[: len(names)]):
        bins = np.linspace(*np.quantile(real[:, k], (0, 1)), 25)
        axes.hist(real[:, k], bins, density=True, color="0.8")
        axes.hist(drawn[:, k], bins, density=True, histtype="step", color="#1f5ab2")
        axes.set_title(names[k], fontsize=7)
        axes.tick_params(labelsize=6)
        axes.set_yticks([])
    axes = right.subplots()
    both = np.triu(correlations(torch.from_numpy(real)), 1) + np.tril(correlations(torch.from_numpy(drawn)))
    shown = axes.imshow(both, cmap="RdBu_r", vmin=-1, vmax=1)
    axes.set_title("correlations: real above, generated below", fontsize=8)
    axes.set_xticks([]), axes.set_yticks([])
    right.colorbar(shown, ax=axes, shrink=0.8).ax.tick_params(labelsize=6)
    figure.savefig(path)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="what", required=True)
    parts.add_parser("write").add_argument("folder", type=Path)
    comparing = parts.add_parser("compare")
    for name in ("real", "drawn", "picture"):
        comparing.add_argument(name, type=Path)
    given = parser.parse_args()
    if given.what == "write":
        write(given.folder)
    else:
        compare(given.real, given.drawn, given.picture)


if __name__ == "__main__":
    main()
