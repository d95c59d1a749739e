"""What the Trainer costs over a bare loop: the same networks, loss, precision and data, with nothing but torch.

    python scripts/bench/train_step.py [--quick] [--json FILE|-]

Both loops run in one process in alternating rounds; the table shows the median time per step, the median of the
rounds' ratios, and their quartiles. Neighbours on the machine move single times by tens of percent, ratios far less.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from hydra import compose, initialize_config_module
from torch.nn.functional import softplus

from gantrain.build import build
from gantrain.schema import validated
from gantrain.trainer import Trainer

Loop = Callable[[int], None]

WORK = {
    "ring MLP, batch 256": ["data=ring"],
    "digits DCGAN, batch 64": ["data=digits"],
}


def make(overrides: list[str]) -> Trainer:
    """Build a trainer as the command line would."""
    with initialize_config_module("gantrain.configs", version_base="1.3"):
        return build(validated(compose("train", overrides))).trainer


def trainer_loop(overrides: list[str]) -> Loop:
    """Return the package's own turns."""
    trainer = make(overrides)

    def loop(steps: int) -> None:
        for _ in range(steps):
            trainer.d_turn(*trainer.data.next())
            trainer.g_turn(*trainer.data.next())

    return loop


def bare_loop(overrides: list[str]) -> Loop:
    """Return the shortest loop that trains the same game: non-saturating, one D step per G step, EMA of G."""
    parts = make(overrides)
    g, d, ema, data = parts.g.net, parts.d.net, parts.ema.net, parts.data
    d_optimizer, g_optimizer = parts.d.optimizer, parts.g.optimizer
    n, latent_dim = parts.batch_size, parts.grid_latents.shape[1]
    d_weights, g_weights, ema_weights = (list(net.parameters()) for net in (d, g, ema))
    buffers = list(zip(ema.buffers(), g.buffers(), strict=True))

    def loop(steps: int) -> None:
        for _ in range(steps):
            real, _ = data.next()
            with torch.no_grad():
                fake = g(torch.randn(n, latent_dim))
            loss = softplus(-d(real)).mean() + softplus(d(fake)).mean()
            d_optimizer.zero_grad()
            loss.backward()
            d_optimizer.step()
            for weight in d_weights:
                weight.requires_grad_(False)
            data.next()
            loss = softplus(-d(g(torch.randn(n, latent_dim)))).mean()
            g_optimizer.zero_grad()
            loss.backward()
            g_optimizer.step()
            for weight in d_weights:
                weight.requires_grad_(True)
            with torch.no_grad():
                torch._foreach_lerp_(ema_weights, g_weights, 0.01)
                for mine, theirs in buffers:
                    mine.copy_(theirs)

    return loop


def seconds(loop: Loop, steps: int) -> float:
    """Return the time per step."""
    start = time.perf_counter()
    loop(steps)
    return (time.perf_counter() - start) / steps


def measure(overrides: list[str], rounds: int, steps: int) -> dict[str, float]:
    """Time both loops in alternating rounds."""
    trainer, bare = trainer_loop(overrides), bare_loop(overrides)
    seconds(trainer, 20), seconds(bare, 20)  # warm-up
    pairs = []
    for k in range(rounds):
        first, second = (trainer, bare) if k % 2 else (bare, trainer)
        times = {first: seconds(first, steps), second: seconds(second, steps)}
        pairs.append((times[trainer], times[bare]))
    ratios = [a / b for a, b in pairs]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return {
        "trainer_ms": 1e3 * statistics.median(a for a, _ in pairs),
        "bare_ms": 1e3 * statistics.median(b for _, b in pairs),
        "trainer_over_bare": middle,
        "quartile_low": low,
        "quartile_high": high,
    }


def main() -> None:
    """Measure every kind of work and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--json", metavar="FILE", help="also write the figures as one JSON line; - for standard output")
    options = parser.parse_args()
    rounds, steps = (10, 30) if options.quick else (40, 60)
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {rounds} rounds of {steps} steps",
        file=sys.stderr,
    )
    results = {}
    for name, overrides in WORK.items():
        results[name] = r = measure([*overrides, "device=cpu"], rounds, steps)
        print(
            f"{name:<24} trainer {r['trainer_ms']:6.2f} ms   bare {r['bare_ms']:6.2f} ms   "
            f"ratio {r['trainer_over_bare']:.3f} (quartiles {r['quartile_low']:.3f}-{r['quartile_high']:.3f})",
            file=sys.stderr,
        )
    line = json.dumps(results)
    if options.json == "-":
        print(line)
    elif options.json:
        Path(options.json).write_text(line + "\n")


if __name__ == "__main__":
    main()
