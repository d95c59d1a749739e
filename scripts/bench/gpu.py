"""SNGAN-32, 5:1, batch 64 on one GPU: the Trainer with CUDA graphs beside eager loops and the best plain-torch graph.

    python scripts/bench/gpu.py [--rounds 5] [--json FILE|-]
    python scripts/bench/gpu.py --families   the published recipes instead, 200 steps each with CUDA graphs and without

Every loop plays the same game on data that lie on the GPU (the peers' loop reads JPEGs). Rounds take turns; the table
has medians and quartiles of the times of a cycle, ratios, images a second, peak memory, and the share of the rate that
a large matrix product reaches. ``--smoke`` plays everything once, small, even on a CPU, which cannot capture graphs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))

from loops import Loop, d_cost, g_cost, make, peer_loop, seconds, set_gradients, write_jpegs

from gantrain.performance.cost import count_flops
from gantrain.performance.profiling import best_rate
from gantrain.training.eager import Eager

SNGAN = ["architecture=sngan_resnet", "data=image_folder", "loss=sngan", "batch_size=64", "precision=bf16"]
WGAN_GP = [*SNGAN[:2], "loss=wgan_gp", "architecture.discriminator.pool=mean", *SNGAN[3:]]
SMALL = ["architecture.generator.width=8", "architecture.discriminator.width=8", "batch_size=8"]
FAMILIES = {
    # A recipe as published, and what makes it small for --smoke.
    "sagan_cifar10": SMALL,
    "biggan_cifar10": SMALL,
    "stylegan2_ada_cifar10": ["architecture.generator.channel_max=8", "batch_size=8"],
    "r3gan_cifar10": ["architecture.generator.width=16", "architecture.generator.groups=4", "batch_size=8"],
    "cifar10_gpu_minutes": SMALL,
}
MINE = "trainer, CUDA graphs"
GOAL_SECONDS = 900 / 100_000  # 100,000 steps in 15 minutes


def captured(turn: Callable[[], None], on_gpu: bool) -> Callable[[], None]:
    """Return ``turn`` as one CUDA graph, which holds ``turn``: it owns optimizers whose state the graph writes to."""
    if not on_gpu:
        return turn
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            turn()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        turn()

    def replay(owner: Callable[[], None] = turn) -> None:
        graph.replay()

    return replay


def plain_graph_loop(overrides: list[str]) -> Loop:
    """Return the best loop of plain torch: a whole cycle, 5 turns of D and one of G with its average, in one graph."""
    parts = make([*overrides, "performance.cuda_graphs=false"])
    g, d, ema, device = parts.g.net, parts.d.net, parts.ema.net, parts.precision.device
    adam: dict[str, Any] = {"lr": 2e-4, "betas": (0.0, 0.9), "fused": True, "capturable": device.type == "cuda"}
    d_optimizer, g_optimizer = torch.optim.Adam(d.parameters(), **adam), torch.optim.Adam(g.parameters(), **adam)
    n, latent_dim = parts.batch_size, parts.grid.z.shape[1]
    reals = [parts.data.next()[0].clone() for _ in range(parts.d_steps)]
    d_weights: list[Tensor] = list(d.parameters())
    g_weights: list[Tensor] = list(g.parameters())
    ema_weights: list[Tensor] = list(ema.parameters())
    mine: list[Tensor] = [b for b in ema.buffers() if b.is_floating_point()]
    theirs: list[Tensor] = [b for b in g.buffers() if b.is_floating_point()]

    def cycle() -> None:
        for real in reals:
            with torch.autocast(device.type, torch.bfloat16, cache_enabled=False):
                with torch.no_grad():
                    fake = g(torch.randn(n, latent_dim, device=device)).float()
                scores = d(torch.cat([real, fake])).float()
            d_optimizer.zero_grad()
            d_cost("sngan", *scores.chunk(2)).backward()
            d_optimizer.step()
        set_gradients(d_weights, False)
        with torch.autocast(device.type, torch.bfloat16, cache_enabled=False):
            scores = d(g(torch.randn(n, latent_dim, device=device)).float()).float()
        g_optimizer.zero_grad()
        g_cost("sngan", scores).backward()
        g_optimizer.step()
        set_gradients(d_weights, True)
        with torch.no_grad():
            torch._foreach_lerp_(ema_weights, g_weights, 0.01)
            torch._foreach_copy_(mine, theirs)

    replay = captured(cycle, device.type == "cuda")

    def loop(steps: int) -> None:
        for _ in range(steps):
            for real in reals:
                real.copy_(parts.data.next()[0])
            parts.data.next()
            replay()

    return loop


def package_loop(overrides: list[str]) -> Loop:
    """Return a loop of the Trainer's steps; the first steps, which record, are not timed."""
    trainer = make(overrides)
    for _ in range(3):
        trainer.play()
    if trainer.perform.replays:
        print(f"  recorded: {not trainer.perform.failed}", file=sys.stderr)

    def loop(steps: int) -> None:
        for _ in range(steps):
            trainer.play()

    return loop


def measured(loops: dict[str, Loop], rounds: int, steps: dict[str, int]) -> dict[str, dict[str, float]]:
    """Return each loop's seconds a cycle; rounds take turns, in alternating order."""
    times: dict[str, list[float]] = {name: [] for name in loops}
    for k in range(rounds):
        for name in list(loops) if k % 2 else list(loops)[::-1]:
            times[name].append(seconds(loops[name], steps[name]))
    found = {}
    for name, values in times.items():
        low, middle, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
        found[name] = {"seconds": middle, "low": low, "high": high, "images_per_s": 5 * 64 / middle}
    return found


def families(extra: list[str], smoke: bool) -> dict[str, dict[str, float]]:
    """Return the seconds of a step of every published recipe, with CUDA graphs and without; print them."""
    found: dict[str, dict[str, float]] = {}
    steps = 2 if smoke else 200
    for name, small in FAMILIES.items():
        overrides = [f"experiment={name}", "data=image_folder", "evaluation=none", *extra, *(small if smoke else [])]
        found[name] = {}
        for way, setting in {"graphs": "null", "eager": "false"}.items():
            found[name][way] = seconds(package_loop([*overrides, f"performance.cuda_graphs={setting}"]), steps)
        graphs, eager = 1e3 * found[name]["graphs"], 1e3 * found[name]["eager"]
        print(
            f"{name:<24} {graphs:8.2f} ms a step with graphs, {eager:8.2f} without, {eager / graphs:.2f} times as long",
            file=sys.stderr,
        )
    return found


def write_line(found: dict[str, Any], to: str | None) -> None:
    """Write the figures as one JSON line where ``to`` says; - is standard output."""
    line = json.dumps(found)
    if to == "-":
        print(line)
    elif to:
        Path(to).write_text(line + "\n")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", metavar="FILE", help="also write the figures as one JSON line; - for standard output")
    parser.add_argument("--only", metavar="NAME", help="one loop, for its memory")
    parser.add_argument("--smoke", action="store_true", help="play everything once, small")
    parser.add_argument("--families", action="store_true", help="every published recipe, with graphs and without")
    options = parser.parse_args()
    if not (torch.cuda.is_available() or options.smoke):
        sys.exit("gpu.py needs a GPU that torch can use; --smoke tries the loops without one")
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(kind)
    with tempfile.TemporaryDirectory() as folder:
        images = write_jpegs(Path(folder) / "images", 200 if options.smoke else 5000)
        if options.families:
            return write_line(families([f"data.root={images}", f"device={kind}"], options.smoke), options.json)
        extra = [f"data.root={images}", f"device={kind}", *(SMALL if options.smoke else [])]
        makers: dict[str, Callable[[], Loop]] = {
            MINE: lambda: package_loop([*SNGAN, *extra]),
            "trainer, eager": lambda: package_loop([*SNGAN, *extra, "performance.cuda_graphs=false"]),
            "trainer, plain fp32": lambda: package_loop([*SNGAN, *extra, "precision=fp32", "performance=plain"]),
            "trainer, compiled": lambda: package_loop([*SNGAN, *extra, "compile=step"]),
            "plain torch, one graph": lambda: plain_graph_loop([*SNGAN, *extra]),
            "trainer, WGAN-GP, CUDA graphs": lambda: package_loop([*WGAN_GP, *extra]),
        }
        if not options.smoke:
            makers["peer, fp32, JPEGs"] = lambda: peer_loop(images, "sngan", kind)
        loops = {name: make_loop() for name, make_loop in makers.items() if options.only in (None, name)}
        steps = {name: 1 if options.smoke else 10 if "peer" in name else 50 for name in loops}
        for name, loop in loops.items():
            loop(steps[name])
        found: dict[str, Any] = measured(loops, 2 if options.smoke else options.rounds, steps)
        trainer = make([*SNGAN, *extra])
        trainer.perform = Eager()
        flops, rate = count_flops(trainer), best_rate(device, torch.bfloat16)
    report(found, flops, rate, device)
    return write_line(found, options.json)


def report(found: dict[str, Any], flops: float, rate: float, device: torch.device) -> None:
    """Print the table."""
    mine = found.get(MINE, next(iter(found.values())))["seconds"]
    for name, r in found.items():
        share = f"{flops / r['seconds'] / rate:.1%} of the matrix peak" if "WGAN" not in name else ""
        print(
            f"{name:<32} {1e3 * r['seconds']:9.3f} ms a cycle ({1e3 * r['low']:.3f}-{1e3 * r['high']:.3f})  "
            f"{r['images_per_s']:9,.0f} images/s  {r['seconds'] / mine:6.2f} × the trainer's time  {share}",
            file=sys.stderr,
        )
    print(
        f"100,000 steps: {1e5 * mine / 60:.1f} minutes, goal 15 ({1e3 * GOAL_SECONDS:.0f} ms a cycle)", file=sys.stderr
    )
    print(f"{flops / 1e12:.3f} TFLOP a cycle, matrix peak {rate / 1e12:.1f} TFLOP/s in bfloat16", file=sys.stderr)
    found["flops"], found["rate"] = flops, rate
    if device.type == "cuda":
        found["reserved_gib"] = torch.cuda.max_memory_reserved() / 2**30
        tf32 = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
        print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, TF32 in products, convolutions: {tf32}")
        print(f"{found['reserved_gib']:.2f} GiB reserved for the loops above; one alone: --only NAME")


if __name__ == "__main__":
    main()
