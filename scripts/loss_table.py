"""Train every loss with its own recipe and measure it: the ring of 8 Gaussians, and the digits.

    python scripts/loss_table.py                      all losses, 3 seeds, then writes docs/losses.md's table
    python scripts/loss_table.py --losses hinge mmd   some of them
    python scripts/loss_table.py --write-only         the table again from docs/losses.json

Each training runs on one thread, as many side by side as there are cores. What was measured is kept in docs/losses.json
with the configuration it was measured with; a training whose configuration is still the same is not repeated.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parent.parent
RESULTS = REPOSITORY / "docs" / "losses.json"
PICTURES = REPOSITORY / "docs" / "images" / "losses"
STEPS = {"ring": 5000, "digits": 500}
SAMPLES = {"ring": 10_000, "digits": 1000}

Job = tuple[str, str, int]
"""Data, loss, seed."""


def composed(job: Job) -> Any:
    """Return the configuration of a job, as the command line would compose it."""
    from hydra import compose, initialize_config_module

    from gantrain.schema import validated

    data, loss, seed = job
    overrides = [f"data={data}", f"loss={loss}", f"seed={seed}", f"total_steps={STEPS[data]}", "device=cpu"]
    with initialize_config_module("gantrain.configs", version_base="1.3"):
        return validated(compose("train", overrides))


def digest(job: Job) -> str:
    """Return a short hash of everything in the configuration that a training depends on."""
    from omegaconf import OmegaConf

    cfg = OmegaConf.to_container(composed(job))
    assert isinstance(cfg, dict)
    for unimportant in ("run", "log", "samples", "checkpoint"):
        cfg.pop(unimportant)
    return hashlib.sha256(json.dumps(cfg, sort_keys=True).encode()).hexdigest()[:12]


def train(job: Job, picture: Path | None = None) -> dict[str, Any]:
    """Train on one thread, draw samples of the averaged generator, and return what was measured."""
    import torch
    from torchvision.utils import save_image

    from gantrain.build import build
    from gantrain.metrics import coverage
    from gantrain.records import draw_images, draw_points

    torch.set_num_threads(1)
    built = build(composed(job))
    trainer = built.trainer
    start = time.monotonic()
    while trainer.step < trainer.total_steps:
        last = trainer.step + 1 == trainer.total_steps
        for _ in range(trainer.d_steps):
            trainer.d_turn(*trainer.data.next(), last)
        for _ in range(trainer.g_steps):
            trainer.g_turn(*trainer.data.next(), last)
        trainer.step += 1
    seconds = time.monotonic() - start
    finite = all(torch.isfinite(value).item() for value in trainer.scalars.values())
    torch.manual_seed(job[2])
    with torch.no_grad():
        samples = trainer.ema.net(torch.randn(SAMPLES[job[0]], trainer.grid_latents.shape[1]))
    is_image = samples.ndim == 4
    if picture is not None:
        picture.parent.mkdir(parents=True, exist_ok=True)
        save_image(draw_images(samples[:36]) if is_image else draw_points(samples[:2000], built.limits, 160), picture)
    measured: dict[str, Any] = {"seconds": round(seconds, 1), "finite": finite}
    if is_image:
        return measured | {"readable": round(readable(samples), 4)}
    return measured | asdict(coverage(samples, torch.from_numpy(built.data.centers), built.data.std))


def readable(images: Any) -> float:
    """Return the share of digits (N, 1, 8, 8) in [-1, 1] that a classifier, 99% right on unseen real ones, is sure of.

    Sure: it gives one digit a probability above a half. Of uniform noise it is sure in less than 1% of the cases.
    """
    from sklearn.svm import SVC

    from gantrain.data import Digits

    digits = Digits()
    pixels, labels = digits.pixels.flatten(1).double().numpy() / 255, digits.labels.numpy()
    classifier = SVC(gamma="scale", C=10, probability=True, random_state=0).fit(pixels[::2], labels[::2])
    assert classifier.score(pixels[1::2], labels[1::2]) > 0.98
    sure: float = (classifier.predict_proba((images.flatten(1).double().numpy() + 1) / 2).max(1) > 0.5).mean()
    return sure


def measure(job: Job) -> tuple[Job, dict[str, Any]]:
    """Train one job; the first seed also leaves its picture."""
    data, loss, seed = job
    return job, train(job, PICTURES / f"{loss}_{data}.png" if seed == 0 else None) | {"config": digest(job)}


def key(job: Job) -> str:
    """Return the name of a job in the results."""
    return "/".join(map(str, job))


def run(jobs: list[Job], workers: int) -> None:
    """Train what is missing, side by side, and keep each result at once."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    missing = [job for job in jobs if results.get(key(job), {}).get("config") != digest(job)]
    os.environ["OMP_NUM_THREADS"] = "1"  # spinning threads of several trainings would slow each other tenfold
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        for done in as_completed([pool.submit(measure, job) for job in missing]):
            job, measured = done.result()
            results[key(job)] = measured
            RESULTS.write_text(json.dumps(dict(sorted(results.items())), indent=0) + "\n")
            print(key(job), {k: v for k, v in measured.items() if k not in ("counts", "config")}, flush=True)


def main() -> None:
    """Measure and write."""
    names = sorted(path.stem for path in (REPOSITORY / "configs" / "loss").glob("*.yaml"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--losses", nargs="+", default=names, choices=names, metavar="LOSS")
    parser.add_argument("--data", nargs="+", default=list(STEPS), choices=list(STEPS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    run(
        [
            (data, loss, seed)
            for seed in range(arguments.seeds)
            for data in arguments.data
            for loss in arguments.losses
            if data == "ring" or seed == 0
        ],
        arguments.workers,
    )


if __name__ == "__main__":
    main()
