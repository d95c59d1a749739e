"""How fast a training step is: the Trainer beside a bare loop of plain torch, and beside a loop as peers write it.

    python scripts/bench/train_step.py [--quick|--families] [--images FOLDER] [--json FILE|-]

Loops of one network take turns, in one process or, where allocator and memory are compared, in fresh processes. The
figures are medians of the rounds' ratios with their quartiles: neighbours on the machine move single times by tens of
percent, ratios far less. ``--quick`` takes less than five minutes on two cores; where a CPU multiplies bfloat16 no
faster than float32 it says so and leaves the figures of bfloat16 out. Without it every way of going faster is
also measured alone, and docs/performance.md gets the tables. ``--guard`` fails if one of two ratios is too high.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))

from loops import Loop, bare_loop, make, peer_loop, seconds, trainer_loop, write_jpegs

from gantrain.losses.arithmetic import bfloat16_pays

RESNET = ["architecture=sngan_resnet", "data=image_folder", "batch_size=64", "device=cpu"]
SNGAN, WGAN_GP = [*RESNET, "loss=sngan"], [*RESNET, "loss=wgan_gp", "architecture.discriminator.pool=mean"]
NARROW = ["architecture.generator.width=32", "architecture.discriminator.width=32"]
FAMILIES = {
    # A narrow one of each architecture: the less its networks take, the more a step around them shows.
    "sngan_resnet": NARROW,
    "sagan": ["architecture=sagan", *NARROW],
    "biggan": ["architecture=biggan", "architecture.generator.width=8", "architecture.discriminator.width=8"],
    "r3gan": ["architecture=r3gan", "architecture.generator.width=64", "architecture.generator.groups=4"],
    "stylegan2": ["architecture=stylegan2", "architecture.generator.channel_max=32"],
    "dcgan": ["architecture=dcgan"],
}
SMALL = {"ring": ["data=ring", "device=cpu"], "digits": ["data=digits", "device=cpu"]}
Figures = dict[str, float]
HAS_FAST_BFLOAT16 = bfloat16_pays(torch.device("cpu"))
DOCS = Path(__file__).parents[2] / "docs"
RESULTS, DOCUMENT = DOCS / "performance.json", DOCS / "performance.md"

PROCESSES: dict[str, tuple[str, list[str]]] = {
    # name: (kind of loop, overrides)
    "sngan peer": ("peer", ["sngan"]),
    "sngan bf16": ("trainer", [*SNGAN, "precision=bf16"]),
    "sngan bf16 bare": ("bare", [*SNGAN, "precision=bf16"]),
    "sngan fp32": ("trainer", SNGAN),
    "sngan bf16 plain": ("trainer", [*SNGAN, "precision=bf16", "performance=plain"]),
    "wgan_gp peer": ("peer", ["wgan_gp"]),
    "wgan_gp bf16": ("trainer", [*WGAN_GP, "precision=bf16"]),
    "wgan_gp bf16 penalty too": ("trainer", [*WGAN_GP, "precision=bf16", "precision.penalty=bfloat16"]),
    "wgan_gp fp32": ("trainer", WGAN_GP),
}
ALONE = {
    "channels last": "performance.channels_last=false",
    "one D forward": "performance.one_forward=false",
    "memory kept": "performance.keep_memory=false",
    "shortcuts commuted": "architecture.generator.commute=false architecture.discriminator.commute=false",
    "fused Adam": "optimizer.g.fused=false optimizer.d.fused=false",
}
"""Each way of going faster, and the overrides that switch it off."""


def worker(kind: str, overrides: list[str], images: Path, cycles: int) -> None:
    """Time cycles of one loop in this process, and print a JSON line: their seconds, and the peak memory."""
    if kind == "peer":
        loop = peer_loop(images, overrides[0])
    else:
        overrides = [*overrides, f"data.root={images}"]
        loss = next(o.split("=")[1] for o in overrides if o.startswith("loss="))
        loop = trainer_loop(overrides) if kind == "trainer" else bare_loop(overrides, loss)
    loop(1)  # the first cycle allocates the memory, the optimizers' too
    times = [seconds(loop, 1) for _ in range(cycles)]
    print(json.dumps({"seconds": times, "peak_gib": peak_memory()}))


def peak_memory() -> float:
    """Return the most GiB this process has held; getrusage would count its parent's memory from before it started."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**20


def in_process(
    name: str, images: Path, cycles: int, extra: str = "", timeout: float | None = None
) -> dict[str, Any] | None:
    """Run a worker in a fresh process and return its measurements; None if it takes more than ``timeout`` seconds."""
    kind, overrides = PROCESSES[name]
    overrides = [*overrides, *extra.split()]
    command = [sys.executable, __file__, "--worker", kind, *overrides, "--images", str(images), "--cycles", str(cycles)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    log(f"  {name} {extra}: {statistics.median(found['seconds']):.2f} s a cycle, {found['peak_gib']:.2f} GiB")
    return found


def summary(values: list[float]) -> Figures:
    """Return the median and the quartiles."""
    low, middle, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
    return {"median": middle, "low": low, "high": high}


def side_by_side(a: Loop, b: Loop, rounds: int, steps: int) -> tuple[Figures, float, float]:
    """Return the ratio of the times of ``a`` to those of ``b`` in alternating rounds, and both medians in seconds."""
    a(steps), b(steps)  # warm-up
    pairs = []
    for k in range(rounds):
        first, second = (a, b) if k % 2 else (b, a)
        times = {first: seconds(first, steps), second: seconds(second, steps)}
        pairs.append((times[a], times[b]))
    return (
        summary([x / y for x, y in pairs]),
        statistics.median(x for x, _ in pairs),
        statistics.median(y for _, y in pairs),
    )


def trainer_over_bare(images: Path, quick: bool) -> dict[str, Figures]:
    """Return the ratio of the Trainer's time to the bare loop's, for each network.

    In a hurry, a CPU that is slow at bfloat16 gets a narrow SNGAN-32 in float32. That is the harder test: the networks
    take less of the time.
    """
    found = {}
    for name, overrides in SMALL.items():
        found[name], mine, bare = side_by_side(
            trainer_loop(overrides), bare_loop(overrides), *((16, 20) if quick else (40, 50))
        )
        log(f"  {name}: trainer {1e3 * mine:.2f} ms, bare {1e3 * bare:.2f} ms, {told(found[name])}")
    here = [*NARROW, "precision=fp32"] if quick and not HAS_FAST_BFLOAT16 else ["precision=bf16"]
    overrides = [*SNGAN, *here, f"data.root={images}"]
    found["sngan"], mine, bare = side_by_side(
        trainer_loop(overrides), bare_loop(overrides, "sngan"), *((6, 1) if quick else (16, 1))
    )
    log(f"  sngan: trainer {mine:.2f} s, bare {bare:.2f} s a cycle, {told(found['sngan'])}")
    return found


def families_over_bare(images: Path, rounds: int) -> dict[str, Figures]:
    """Return the ratio of the Trainer's time to the bare loop's for a narrow one of each family, 32×32, hinge, 1:1."""
    found = {}
    for name, networks in FAMILIES.items():
        overrides = [*RESNET[1:], "loss=hinge", "ratio=1to1", "precision=fp32", *networks, f"data.root={images}"]
        overrides = ["architecture=sngan_resnet", *overrides] if networks is NARROW else overrides
        found[name], mine, bare = side_by_side(trainer_loop(overrides), bare_loop(overrides, "sngan"), rounds, 2)
        log(f"  {name}: trainer {mine / 2:.3f} s, bare {bare / 2:.3f} s a step, {told(found[name])}")
    return found


def compiled_speedups() -> dict[str, Figures]:
    """Return how much faster ``compile=step`` is than the bare eager loop."""
    found = {}
    for name, overrides in SMALL.items():
        found[name], bare, mine = side_by_side(bare_loop(overrides), trainer_loop([*overrides, "compile=step"]), 40, 50)
        log(f"  {name}: bare {1e3 * bare:.2f} ms, compiled {1e3 * mine:.2f} ms, {told(found[name])}")
    return found


def against_peers(names: list[str], images: Path, rounds: int, deadline: float) -> dict[str, Any]:
    """Return, for each name, its speed-up over its peer, seconds a cycle and peak memory; processes take turns."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for k in range(rounds):
        if k and time.monotonic() > deadline:
            break
        for name in names:
            slow = name.endswith(("peer", "fp32"))
            run = in_process(name, images, (1 if deadline < float("inf") else 2) if slow else 5)
            assert run is not None  # there was no limit
            found[name].append(run)
    seconds_of = {name: [statistics.median(r["seconds"]) for r in runs] for name, runs in found.items()}
    result = {}
    for name in names:
        peer = seconds_of[f"{name.split()[0]} peer"]
        result[name] = {
            "speedup": summary([p / s for p, s in zip(peer, seconds_of[name], strict=True)]),
            "seconds": statistics.median(seconds_of[name]),
            "peak_gib": statistics.median(r["peak_gib"] for r in found[name]),
        }
    return result


def each_alone(images: Path, rounds: int) -> dict[str, Figures]:
    """Return the gain of each way of going faster, in bf16 SNGAN-32: the time without it over the time with all."""
    ratios: dict[str, list[float]] = {name: [] for name in ALONE}
    for _ in range(rounds):
        runs = {name: in_process("sngan bf16", images, 4, off) for name, off in {"": "", **ALONE}.items()}
        times = {name: statistics.median(run["seconds"]) for name, run in runs.items() if run is not None}
        for name in ALONE:
            ratios[name].append(times[name] / times[""])
    return {name: summary(values) for name, values in ratios.items()}


def guard() -> None:
    """Fail if the Trainer costs far more over the bare loop than it should; the bounds leave room for noise."""
    for name, most in {"ring": 1.3, "digits": 1.2}.items():
        ratio, *_ = side_by_side(trainer_loop(SMALL[name]), bare_loop(SMALL[name]), 24, 20)
        log(f"{name}: trainer over bare {told(ratio)}, at most {most}")
        if ratio["median"] > most:
            sys.exit(f"a training step has become slow: {name} takes {ratio['median']:.2f} times a bare loop's time")


def records_share(name: str, steps: int, rounds: int) -> Figures:
    """Return the share of time that logs, grids and checkpoints take at their default cadence, over ``steps`` steps."""
    from gantrain.checkpoint import Checkpoints, Retention
    from gantrain.loggers import TensorBoard, guarded
    from gantrain.run.directory import RunDirectory
    from gantrain.run.records import Records

    trainer, shares = make(SMALL[name]), []
    trainer.step = 1  # the first picture belongs to no window
    with tempfile.TemporaryDirectory() as folder:
        run = RunDirectory(folder)
        checkpoints = Checkpoints(run.path / "checkpoints", Retention(3))
        with Records(run, 0, outlets=guarded({"tensorboard": TensorBoard()}, run)) as records:
            for _ in range(rounds):
                trainer.total_steps = -(-trainer.step // steps) * steps
                trainer.train(records, checkpoints)
                trainer.total_steps += steps
                start = time.perf_counter()
                trainer.train(records, checkpoints)
                whole = time.perf_counter() - start
                alone = steps * seconds(lambda n: [trainer.play() for _ in range(n)] and None, steps)
                shares.append(whole / alone - 1)
    return summary(shares)


def started(arguments: list[str], rounds: int) -> Figures:
    """Return the seconds that a command takes from its start to its end."""
    times = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            subprocess.run([sys.executable, "-m", "gantrain", *arguments], cwd=folder, capture_output=True, check=True)
            times.append(time.perf_counter() - start)
    return summary(times)


def told(ratio: Figures) -> str:
    """Return a median and its quartiles in words."""
    return f"{ratio['median']:.3f} ({ratio['low']:.3f}-{ratio['high']:.3f})"


def log(text: str) -> None:
    """Print progress on standard error; standard output is for the result."""
    print(text, file=sys.stderr, flush=True)


def quick(images: Path) -> dict[str, Any]:
    """Measure the headline figures."""
    start = time.monotonic()
    over_bare = trainer_over_bare(images, quick=True)
    found = {f"trainer_over_bare_{name}": over_bare[name]["median"] for name in SMALL}
    found |= {"trainer_over_bare": over_bare["sngan"]["median"]}
    if HAS_FAST_BFLOAT16:
        names = ["sngan peer", "sngan bf16", "wgan_gp peer", "wgan_gp bf16"]
        peers = against_peers(names, images, 2, deadline=start + 130)
        found["speedup_over_eager_fp32"] = peers["sngan bf16"]["speedup"]["median"]
        found["wgan_gp_speedup_over_eager_fp32"] = peers["wgan_gp bf16"]["speedup"]["median"]
        found["images_per_s"] = 5 * 64 / peers["sngan bf16"]["seconds"]
    else:
        log("this CPU multiplies bfloat16 no faster than float32: its figures are left out, sngan is 32 wide")
        found |= in_float32(images, deadline=start + 240)
    return found | {"seconds": time.monotonic() - start}


def in_float32(images: Path, deadline: float) -> Figures:
    """Return the speed in float32 beside the peers' loop, as far as the time suffices."""
    cycle = []
    for name in ("sngan fp32", "sngan peer"):
        found = in_process(name, images, 1, timeout=max(1.0, deadline - time.monotonic()))
        if found is None:
            log(f"  {name}: two cycles take too long here; left out")
            break
        cycle.append(statistics.median(found["seconds"]))
    speed = {"images_per_s": 5 * 64 / cycle[0]} if cycle else {}
    return speed | ({"fp32_speedup_over_eager_fp32": cycle[1] / cycle[0]} if len(cycle) == 2 else {})


def full(images: Path) -> dict[str, Any]:
    """Measure everything that docs/performance.md states."""
    return {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "start_up": {"help": started(["--help"], 9), "first_step": started(["data=ring", "total_steps=1"], 5)},
        "trainer_over_bare": trainer_over_bare(images, quick=False),
        "families": families_over_bare(images, 16),
        "compiled": compiled_speedups(),
        "records": {"digits": records_share("digits", 500, 5), "ring": records_share("ring", 1000, 5)},
        "peers": against_peers(list(PROCESSES), images, 2, deadline=float("inf")),
        "alone": each_alone(images, 2),
    }


def by_row(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the tables of docs/performance.md: a name for each, and its text."""
    over = [f"| {name} | {told(r)} |" for name, r in found["trainer_over_bare"].items()]
    over += [f"| {name}, narrow, float32 | {told(r)} |" for name, r in found["families"].items()]
    over += [f"| {name}, `compile=step`: bare over compiled | {told(r)} |" for name, r in found["compiled"].items()]
    peers = ["| loop | s a cycle | real images/s | speed over peer (quartiles) | peak GiB |", "|---|---|---|---|---|"]
    peers += [
        f"| {name} | {r['seconds']:.2f} | {320 / r['seconds']:.0f} | {told(r['speedup'])} | {r['peak_gib']:.2f} |"
        for name, r in found["peers"].items()
    ]
    alone = [f"| {name} | {told(r)} |" for name, r in found["alone"].items()]
    rest = [f"| `gantrain --help` | {told(found['start_up']['help'])} s |"]
    rest += [f"| ring, from the command to the end of its first step | {told(found['start_up']['first_step'])} s |"]
    rest += [f"| records of {name}, share of the time | {told(r)} |" for name, r in found["records"].items()]
    tables = {
        "overhead": ["| work | ratio (quartiles) |", "|---|---|", *over],
        "peers": peers,
        "alone": ["| switched off | time of a cycle over that with everything on (quartiles) |", "|---|---|", *alone],
        "rest": ["| what | measured (quartiles) |", "|---|---|", *rest],
    }
    return [(name, "\n".join(lines)) for name, lines in tables.items()]


def write_document(found: dict[str, Any]) -> None:
    """Put the tables between their marks in docs/performance.md."""
    text = DOCUMENT.read_text()
    for name, table in by_row(found):
        start, end = f"<!-- {name}: written by make bench -->", f"<!-- end of {name} -->"
        before, rest = text.split(start)
        text = f"{before}{start}\n{table}\n{end}{rest.split(end)[1]}"
    DOCUMENT.write_text(text)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the headline figures only, in at most five minutes")
    parser.add_argument("--guard", action="store_true", help="fail if a step costs far more than a bare loop's")
    parser.add_argument("--families", action="store_true", help="measure the architectures again and keep all else")
    parser.add_argument("--images", metavar="FOLDER", help="JPEGs in class folders; without it random ones are made")
    parser.add_argument("--json", metavar="FILE", help="also write the figures as one JSON line; - for standard output")
    parser.add_argument("--worker", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--cycles", type=int, default=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return worker(options.worker[0], options.worker[1:], Path(options.images), options.cycles)
    if options.guard:
        return guard()
    with tempfile.TemporaryDirectory() as folder:
        images = Path(options.images) if options.images else write_jpegs(Path(folder) / "images")
        log(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
        if options.families:
            found = {"families": families_over_bare(images, 16)}
        else:
            found = (quick if options.quick else full)(images)
    if options.families:
        found = json.loads(RESULTS.read_text()) | found
    if not options.quick:
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
        write_document(found)
        for _, table in by_row(found):
            print(table + "\n", file=sys.stderr)
    line = json.dumps(found)
    if options.json == "-":
        print(line)
    elif options.json:
        Path(options.json).write_text(line + "\n")
    return None


if __name__ == "__main__":
    main()
