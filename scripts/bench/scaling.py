"""Measure one and two ranks on the CPU beside the model of their speed, and count what more GPUs would have to do.

    python scripts/bench/scaling.py            measured and predicted, five minutes on two cores
    python scripts/bench/scaling.py --counts   bytes and operations of the published recipes, and 8 and 64 GPUs on paper

The model: t(n) = compute / n + the sum over turns of 2 (n - 1) / n · bytes / bandwidth. ``compute`` is the time of one
rank, ``bytes`` the gradients of a turn, ``bandwidth`` that of an average of as many bytes between the same processes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from hydra import compose, initialize_config_module
from omegaconf import DictConfig

from gantrain.build import build
from gantrain.data import Images
from gantrain.distributed import ALONE, Alone, Ranks
from gantrain.performance.cost import count_flops
from gantrain.schema import fill_cadences, validated
from gantrain.training.trainer import Trainer

ROUNDS, SECONDS = 5, 4.0
GAMES = {
    "ring, MLP 128 wide, batch 256": ("data=ring", "batch_size=256"),
    "digits, DCGAN, batch 64": ("data=digits", "batch_size=64"),
    "32×32, DCGAN 32 wide, batch 64": ("data=cifar10", "architecture.generator.width=32",
                                       "architecture.discriminator.width=32", "batch_size=64"),
    "32×32, SNGAN ResNet 64 wide, WGAN-GP, batch 32": ("data=cifar10", "architecture=sngan_resnet", "loss=wgan_gp",
                                                       "architecture.generator.width=64", "batch_size=32",
                                                       "architecture.discriminator.width=64"),
}  # fmt: skip
SMALL = 8  # samples in a batch that is counted; operations grow with the batch
PAPER: dict[str, tuple[tuple[int, int, int], int, int, tuple[str, ...]]] = {
    "DCGAN 32×32": ((3, 32, 32), 0, 128, ("data=cifar10", "experiment=dcgan")),
    "SNGAN 32×32": ((3, 32, 32), 10, 64, ("experiment=sngan_cifar10",)),
    "WGAN-GP ResNet 32×32": ((3, 32, 32), 10, 64, ("experiment=wgan_gp_cifar10",)),
    "StyleGAN2-ADA 32×32": ((3, 32, 32), 10, 64, ("experiment=stylegan2_ada_cifar10",)),
    "R3GAN 32×32": ((3, 32, 32), 10, 512, ("experiment=r3gan_cifar10",)),
    "BigGAN 128×128": ((3, 128, 128), 1000, 2048, ("data=imagenet", "data.root=.", "data.size=128",
                                "architecture=biggan", "loss=hinge", "conditioning=projection", "ratio.d_steps=2")),
}  # fmt: skip
"""Shape, classes, batch and overrides of the recipes that are counted."""
PEAK, INSIDE, BETWEEN = 400e12, 300e9, 40e9
"""Assumed of a GPU: bfloat16 operations a second that such networks reach, and bytes a second of an average among the 8
of a machine and among machines."""


def config(*overrides: str) -> DictConfig:
    """Return what the command would compose."""
    with initialize_config_module("gantrain.configs", version_base="1.3"):
        cfg = validated(compose("train", [*overrides, "evaluation=none", "device=cpu", "total_steps=100000"]))
    fill_cadences(cfg)
    return cfg


def pictures(shape: tuple[int, int, int], classes: int, count: int) -> Images:
    """Return random pictures."""
    numbers = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % classes if classes else None
    return Images(torch.randint(256, (count, *shape), dtype=torch.uint8, generator=numbers), labels, classes)


def trainer(overrides: tuple[str, ...], ranks: Alone) -> Trainer:
    """Return a game, on random pictures where it needs some."""
    data = pictures((3, 32, 32), 10, 1024) if "data=cifar10" in overrides else None
    return build(config(*overrides), data, ranks).trainer


def seconds_a_step(game: Trainer) -> float:
    """Return the time of a step on all ranks, over some seconds of the first one's clock."""
    game.play()
    began, steps = time.perf_counter(), 0
    while game.ranks.from_first(time.perf_counter() - began < SECONDS):
        for _ in range(3):
            game.play()
        steps += 3
    return (time.perf_counter() - began) / steps


def bytes_of_turns(game: Trainer) -> list[int]:
    """Return the bytes of gradients that each turn of a step averages."""
    of_d, of_g = (sum(w.numel() * w.element_size() for w in player.weights) for player in (game.d, game.g))
    return [of_d] * game.d_steps + [of_g] * game.g_steps


def seconds_of_averages(game: Trainer) -> float:
    """Return the time of a step's averages alone, of as many numbers as the gradients are."""
    tensors = [[torch.zeros(n // 4)] for n in bytes_of_turns(game)]
    times = []
    for _ in range(20):
        began = time.perf_counter()
        for each in tensors:
            game.ranks.average(each)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def measure(ranks: Alone) -> dict[str, dict[str, float]]:
    """Return the times of every game."""
    found = {}
    for name, overrides in GAMES.items():
        game = trainer(overrides, ranks)
        found[name] = {"step": seconds_a_step(game), "averages": seconds_of_averages(game),
                       "bytes": float(sum(bytes_of_turns(game)))}  # fmt: skip
    return found


def on_ranks(world: int) -> dict[str, dict[str, float]]:
    """Return what ``measure`` finds on some processes, one thread each."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--rank"]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        processes = [
            subprocess.Popen([*command, str(rank), str(world), folder], env=environment) for rank in range(world)
        ]
        if any(process.wait() for process in processes):
            raise SystemExit("a rank failed")
        found: dict[str, dict[str, float]] = json.loads(Path(folder, "found").read_text())
        return found


def as_rank(rank: int, world: int, folder: str) -> None:
    """Measure as one of the ranks."""
    torch.set_num_threads(1)
    ranks: Alone = ALONE
    if world > 1:
        dist.init_process_group("gloo", store=dist.FileStore(f"{folder}/store", world), rank=rank, world_size=world)
        assert dist.group.WORLD is not None
        ranks = Ranks(dist.group.WORLD)
    found = measure(ranks)
    if rank == 0:
        Path(folder, "found").write_text(json.dumps(found))


def compare() -> None:
    """Print the measured speed of two ranks beside the model's."""
    rounds = [(on_ranks(1), on_ranks(2)) for _ in range(ROUNDS)]
    print("| game | MB a step | one rank | two ranks | model | speed-up | model |\n|---|---|---|---|---|---|---|")
    for name in GAMES:
        one = statistics.median(r[0][name]["step"] for r in rounds)
        two = statistics.median(r[1][name]["step"] for r in rounds)
        spent = statistics.median(r[1][name]["averages"] for r in rounds)
        ups = sorted(r[0][name]["step"] / r[1][name]["step"] for r in rounds)
        size = rounds[0][0][name]["bytes"] / 1e6
        model = one / 2 + spent
        print(f"| {name} | {size:.1f} | {1e3 * one:.1f} ms | {1e3 * two:.1f} ms | {1e3 * model:.1f} ms | "
              f"{statistics.median(ups):.2f} [{ups[1]:.2f}, {ups[-2]:.2f}] | {one / model:.2f} |")  # fmt: skip


def on_paper() -> None:
    """Print what the published recipes compute and send, and what that would be on 8 and 64 GPUs."""
    print("| recipe | batch | GFLOP a step | G, D (million) | MB a step | 1 GPU | 8 GPUs | 64 GPUs | sent of 8, 64 |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, (shape, classes, batch, overrides) in PAPER.items():
        game = build(config(*overrides, f"batch_size={SMALL}"), pictures(shape, classes, 64)).trainer
        flops, size = count_flops(game) * batch / SMALL, sum(bytes_of_turns(game))
        times, shares = [flops / PEAK], []
        for n in (8, 64):
            # Within a machine first, then among machines, where each GPU sends its eighth of the gradients.
            sent = 2 * 7 / 8 * size / INSIDE + (2 * (n / 8 - 1) / (n / 8) * size / 8 / BETWEEN if n > 8 else 0)
            times.append(flops / PEAK / n + sent)
            shares.append(sent / times[-1])
        sizes = " and ".join(f"{sum(w.numel() for w in p.weights) / 1e6:.1f}" for p in (game.g, game.d))
        shown = [f"{1e3 * t:.2f} ms" for t in times]
        print(f"| {name} | {batch:,} | {flops / 1e9:,.0f} | {sizes} | {size / 1e6:,.0f} | {' | '.join(shown)} | "
              f"{shares[0]:.0%}, {shares[1]:.0%} |")  # fmt: skip


def main() -> None:
    """Measure or count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", action="store_true", help="count the recipes instead of measuring")
    parser.add_argument("--rank", nargs=3, help=argparse.SUPPRESS)
    chosen: Any = parser.parse_args()
    if chosen.rank:
        as_rank(int(chosen.rank[0]), int(chosen.rank[1]), chosen.rank[2])
    elif chosen.counts:
        on_paper()
    else:
        compare()


if __name__ == "__main__":
    main()
