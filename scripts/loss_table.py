"""Train every loss with its own recipe and measure it: the ring of 8 Gaussians, and the digits.

    python scripts/loss_table.py                      all losses, 3 seeds, then writes docs/losses.md's table
    python scripts/loss_table.py --losses hinge mmd   some of them
    python scripts/loss_table.py --write-only         the table again from docs/losses.json

Each training runs on one thread, as many side by side as there are cores. Results are kept in docs/losses.json with
the configuration they belong to; a training is not repeated while its configuration stays the same.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import re
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parent.parent
RESULTS = REPOSITORY / "docs" / "losses.json"
DOCUMENT = REPOSITORY / "docs" / "losses.md"
MARKS = ("<!-- table: written by scripts/loss_table.py -->", "<!-- end of table -->")
PICTURES = REPOSITORY / "docs" / "images" / "losses"
STEPS = {"ring": 4000, "digits": 500}
FEWER_STEPS = {"cramer": 1500, "mmd": 1500}
"""On the ring: kernels over all pairs of a batch of 256 take ten times as long as everything else."""
SAMPLES = {"ring": 10_000, "digits": 1000}

VARIANTS = (
    "wgan_gp loss.regularizers.gp.weight=0.1",
    "unrolled experiment=unrolled_ring loss.lookahead.steps=0",
    "unrolled experiment=unrolled_ring",
    "unrolled experiment=unrolled_ring loss.lookahead.steps=10",
)
"""Losses with other settings than their own, on the ring only."""

Job = tuple[str, str, int]
"""Data, loss with further overrides, seed."""


def composed(job: Job) -> Any:
    """Return the configuration of a job, as the command line would compose it."""
    from hydra import compose, initialize_config_module

    from gantrain.schema import validated

    data, loss, seed = job
    length = FEWER_STEPS.get(loss, STEPS[data]) if data == "ring" else STEPS[data]
    steps = [] if "experiment=" in loss else [f"total_steps={length}"]
    overrides = [f"data={data}", *f"loss={loss}".split(), f"seed={seed}", *steps, "device=cpu"]
    with initialize_config_module("gantrain.configs", version_base="1.3"):
        return validated(compose("train", overrides))


def digest(job: Job) -> str:
    """Return a short hash of everything in the configuration that a training depends on."""
    from omegaconf import OmegaConf

    cfg = OmegaConf.to_container(composed(job))
    assert isinstance(cfg, dict)
    speed = ("performance", "compile", "profile")  # the table was measured before there were any
    for unimportant in ("run", "log", "samples", "checkpoint", "nonfinite", "deterministic", *speed):
        cfg.pop(unimportant)
    if not any(cfg["schedule"].values()):
        cfg.pop("schedule")
    return hashlib.sha256(json.dumps(cfg, sort_keys=True).encode()).hexdigest()[:12]


def train(job: Job, picture: Path | None = None) -> dict[str, Any]:
    """Train on one thread, draw samples of the averaged generator, and return the measurements."""
    import torch
    from torchvision.utils import save_image

    from gantrain.build import build
    from gantrain.kinds import Images
    from gantrain.kinds.points import draw_points, half_width
    from gantrain.metrics import coverage

    torch.set_num_threads(1)
    built = build(composed(job))
    trainer = built.trainer
    start = time.monotonic()
    while trainer.step < trainer.total_steps:
        trainer.play(measure=trainer.step + 1 == trainer.total_steps)
    seconds = time.monotonic() - start
    finite = all(torch.isfinite(value).item() for value in trainer.scalars.values())
    with torch.no_grad():
        samples = trainer.ema.net(*trainer.inputs.fixed(SAMPLES[job[0]], job[2]))
    is_image = isinstance(kind := built.data.kind, Images)
    if picture is not None:
        picture.parent.mkdir(parents=True, exist_ok=True)
        drawn = kind.draw(samples[:36]) if is_image else draw_points(samples[:2000], half_width(built.preview), 160)
        save_image(drawn, picture)
    measured: dict[str, Any] = {"steps": trainer.total_steps, "seconds": round(seconds, 1), "finite": finite}
    if is_image:
        return measured | {"readable": round(readable(samples), 4), "nearness": round(nearness(samples), 3)}
    return measured | asdict(coverage(samples, torch.from_numpy(built.data.centers), built.data.std))


@cache
def reader() -> Callable[[Any], Any]:
    """Return a function from images (N, 1, 8, 8) in [-1, 1] to the probability (N, 10) of each digit; all low if none.

    One classifier for each digit against the rest, so that noise is allowed to be no digit at all. Trained on one half
    of the real digits, it reads 98% of the other half, and half a percent of uniform noise.
    """
    import numpy as np
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.svm import SVC

    from gantrain.data import Digits

    digits = Digits()
    pixels, labels = digits.pixels.flatten(1).double().numpy() / 255, digits.labels.numpy()
    one_digit = CalibratedClassifierCV(SVC(gamma="scale", C=10), ensemble=False)
    classifier = OneVsRestClassifier(one_digit).fit(pixels[::2], labels[::2])

    def probabilities(images: Any) -> Any:
        flat = (images.flatten(1).double().numpy() + 1) / 2
        return np.stack([one.predict_proba(flat)[:, 1] for one in classifier.estimators_], axis=1)

    real = probabilities(digits.pixels[1::2].double() / 127.5 - 1)
    assert (real.argmax(1) == labels[1::2]).mean() > 0.98
    return probabilities


def readable(images: Any) -> float:
    """Return the share of images (N, 1, 8, 8) in [-1, 1] that the reader is sure of: a probability above a half."""
    return float((reader()(images).max(1) > 0.5).mean())


def nearness(images: Any) -> float:
    """Return the median distance from images (N, 1, 8, 8) in [-1, 1] to their nearest real digit.

    Unseen real digits lie at 1 by definition, the mean of all at 1.4, gray noise at 2.3, uniform noise at 3.3.
    """
    import numpy as np
    from scipy.spatial import cKDTree

    from gantrain.data import Digits

    pixels = Digits().pixels.flatten(1).double().numpy() / 127.5 - 1
    known = cKDTree(pixels[::2])
    distances = known.query(images.flatten(1).double().numpy())[0]
    return float(np.median(distances) / np.median(known.query(pixels[1::2])[0]))


def measure(job: Job, pictures: Path) -> tuple[Job, dict[str, Any]]:
    """Train one job; with the first seed, draw its picture too."""
    data, loss, seed = job
    picture = pictures / picture_name(loss, data) if seed == 0 else None
    return job, train(job, picture) | {"config": digest(job)}


def picture_name(loss: str, data: str) -> str:
    """Return the file name of a loss's picture."""
    return re.sub(r"\W+", "_", f"{loss} {data}") + ".png"


def key(job: Job) -> str:
    """Return the name of a job in the results."""
    return "/".join(map(str, job))


def run(jobs: list[Job], workers: int, path: Path = RESULTS, pictures: Path = PICTURES) -> dict[str, Any]:
    """Train the jobs missing from ``path``, side by side, store each result at once, and return all results."""

    def stored() -> dict[str, Any]:
        return json.loads(path.read_text()) if path.exists() else {}

    results = stored()
    missing = [job for job in jobs if results.get(key(job), {}).get("config") != digest(job)]
    os.environ["OMP_NUM_THREADS"] = "1"  # spinning threads of several trainings would slow each other tenfold
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        for done in as_completed([pool.submit(measure, job, pictures) for job in missing]):
            job, measured = done.result()
            results = stored() | {key(job): measured}  # another process may have written meanwhile
            path.write_text(json.dumps(dict(sorted(results.items())), indent=0) + "\n")
            print(key(job), {k: v for k, v in measured.items() if k not in ("counts", "config")}, flush=True)
    return results


def all_jobs(losses: list[str], data: list[str], seeds: int) -> list[Job]:
    """Return the jobs of the table: every loss with every seed on the ring, with the first seed on the digits."""
    return [
        (d, loss, seed)
        for seed in range(seeds)
        for d in data
        for loss in losses
        if d == "ring" or (seed == 0 and loss not in VARIANTS)
    ]


def first_words(kind: type) -> str:
    """Return the equations at the start of a class's docstring, as one line of a table."""
    text = (kind.__doc__ or "").strip().split("\n\n")[0]
    return " ".join(text.split()).replace("|", "\\|")


def formula(loss: str) -> str:
    """Return a loss's formula, from the docstrings of its parts."""
    from hydra import compose, initialize_config_module
    from hydra.utils import get_class
    from omegaconf import OmegaConf

    with initialize_config_module("gantrain.configs", version_base="1.3"):
        cfg = compose("train", [f"loss={loss}"]).loss
    parts = [cfg.objective, *(cfg.get("regularizers") or {}).values()]
    if "lookahead" in cfg:
        parts.append(cfg.lookahead)
    words = [first_words(get_class(part._target_)) for part in parts]
    values = {k: v for part in parts for k, v in OmegaConf.to_container(part).items() if k not in ("_target_", "every")}
    shown = ", ".join(f"`{name}={value}`" for name, value in values.items() if value is not None)
    return "<br>+ ".join(words) + (f"<br>{shown}" if shown else "")


def spread(values: list[float], digits: int = 0) -> str:
    """Return the mean and, of several values, the sample standard deviation."""
    mean = f"{statistics.mean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


def row(loss: str, seeds: int, results: dict[str, Any]) -> str:
    """Return one line of the table."""
    runs = [results[key(("ring", loss, k))] for k in range(seeds) if key(("ring", loss, k)) in results]
    if not runs:
        return f"| `{loss}` | | | | | | not measured |"
    pictures = [
        f"![{loss} on the {data}]({(PICTURES / picture_name(loss, data)).relative_to(DOCUMENT.parent)})"
        for data in STEPS
        if (PICTURES / picture_name(loss, data)).exists()
    ]
    name, *settings = loss.split()
    label = f"[`{name}`](../configs/loss/{name}.yaml)" + "".join(f"<br>`{setting}`" for setting in settings)
    cells = [
        label,
        ", ".join(str(run["modes"]) for run in runs),
        spread([100 * run["high_quality"] for run in runs]) + "%",
        spread([run["seconds"] for run in runs]) + f" ({runs[0]['steps']:,})",
        f"{100 * results[key(('digits', loss, 0))]['readable']:.0f}%" if key(("digits", loss, 0)) in results else "",
        " ".join(pictures),
        formula(name) if not settings else "",
    ]
    return f"| {' | '.join(cells)} |"


def write(seeds: int) -> None:
    """Replace the table in docs/losses.md, between its two marks."""
    results = json.loads(RESULTS.read_text())
    head = "| `loss=` | modes of 8, each seed | high quality | seconds (steps) | digits read | ring, digits | formula |"
    lines = [head, "|---|---|---|---|---|---|---|", *(row(loss, seeds, results) for loss in names())]
    before, _, rest = DOCUMENT.read_text().partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    DOCUMENT.write_text(before + MARKS[0] + "\n" + "\n".join(lines) + "\n" + MARKS[1] + after)


def names() -> list[str]:
    """Return every loss, and the variants."""
    return [*sorted(path.stem for path in (REPOSITORY / "configs" / "loss").glob("*.yaml")), *VARIANTS]


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--losses", nargs="+", default=names(), choices=names(), metavar="LOSS")
    parser.add_argument("--data", nargs="+", default=list(STEPS), choices=list(STEPS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--write-only", action="store_true")
    arguments = parser.parse_args()
    if not arguments.write_only:
        run(all_jobs(arguments.losses, arguments.data, arguments.seeds), arguments.workers)
    write(arguments.seeds)


if __name__ == "__main__":
    main()
