"""Does going faster cost quality? Compare fast and plain trainings by the distance of their samples from the data.

    python scripts/bench/same_quality.py [--seeds 4] [--json FILE|-]

DCGAN on the digits, full runs, in two ways: performance=plain precision=fp32, and performance=auto precision=bf16. The
measure is the Fréchet distance (the formula of FID) between Gaussians fitted to the 64 pixels of 1,797 real digits and
of 10,000 samples of the averaged generator, in float64; it needs no network and no download. For
comparison, the last line is the distance between two halves of the real digits.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # one training a core

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

WAYS = {"plain fp32": ["performance=plain"], "auto bf16": ["performance=auto", "precision=bf16"]}


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """Return the Fréchet distance of samples (n, d)."""
    from gantrain.metrics import Gaussian, frechet_distance

    return frechet_distance(Gaussian.of(a), Gaussian.of(b))


def trained(job: tuple[str, int]) -> float:
    """Train one generator to the end and return its distance."""
    import torch
    from loops import make

    from gantrain.data import Digits

    way, seed = job
    trainer = make(["data=digits", "device=cpu", f"seed={seed}", *WAYS[way]])
    for _ in range(trainer.total_steps):
        trainer.play()
    with torch.no_grad():
        samples = trainer.ema.net(*trainer.inputs.fixed(10_000, 0))
    real = Digits().pixels.flatten(1).double().numpy() / 127.5 - 1
    return frechet(real, samples.flatten(1).double().numpy())


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--json", metavar="FILE", help="also write the figures as one JSON line; - for standard output")
    options = parser.parse_args()
    jobs = [(way, seed) for seed in range(options.seeds) for way in WAYS]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        distances = list(pool.map(trained, jobs))
    found = {way: [d for (w, _), d in zip(jobs, distances, strict=True) if w == way] for way in WAYS}
    for way, values in found.items():
        shown = ", ".join(f"{v:.3f}" for v in values)
        print(f"{way}: {statistics.mean(values):.3f} ± {statistics.stdev(values):.3f} ({shown})", file=sys.stderr)
    from gantrain.data import Digits

    real = Digits().pixels.flatten(1).double().numpy() / 127.5 - 1
    order = np.random.default_rng(0).permutation(len(real))
    print(f"two halves of the data: {frechet(real[order[::2]], real[order[1::2]]):.3f}", file=sys.stderr)
    if options.json:
        line = json.dumps(found)
        print(line) if options.json == "-" else Path(options.json).write_text(line + "\n")


if __name__ == "__main__":
    main()
