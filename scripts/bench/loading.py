"""Measure how fast images are read: gantrain's ways beside torchvision's ImageFolder and WebDataset's shards.

    python scripts/bench/loading.py FOLDER             JPEGs in class folders, such as CIFAR-10's 50,000
    python scripts/bench/loading.py FOLDER --passes 5
    python scripts/bench/loading.py [--quick]          2,000 made-up ones, or 500

A pass gives every image once, in whole shuffled batches of 64, as float32 in [-1, 1]. The first one includes finding
and decoding the files; gantrain decodes no file again after it. Without the package webdataset its row is left out.

Then an array of made-up images is written and read once, mapped, in a process of its own that says how much memory it
took at most. The system counts the file's pages that it has just read with the process, and takes them back when it
needs the room; what the process has allocated itself must not grow with the file.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))

from loops import write_jpegs

from gantrain.data import Array, ImageFolder

BATCH = 64
SIDE = 32
Passes = Callable[[], Callable[[], Iterable[Any]]]
"""Opens a set, and returns what gives one pass over it."""


def ours(root: Path, **settings: Any) -> Callable[[], Iterable[Any]]:
    """Return a pass over what gantrain reads."""
    chosen: dict[str, Any] = {"size": SIDE, "fit": "crop", "channels": 3, "flip": False, "on_bad": "error"}
    data = ImageFolder(str(root), **chosen, timeout=300, **{"in_memory": None, **settings})
    batches = data.stream(BATCH, 0, torch.device("cpu"))
    return lambda: (batches.next() for _ in range(data.count // BATCH))


def torchvisions(root: Path, workers: int) -> Callable[[], Iterable[Any]]:
    """Return a pass over torchvision's ImageFolder."""
    from torchvision import datasets, transforms

    change = transforms.Compose([transforms.ToTensor(), transforms.Normalize(0.5, 0.5)])
    data = datasets.ImageFolder(str(root), change)
    loader = DataLoader(data, BATCH, shuffle=True, drop_last=True, num_workers=workers)
    return lambda: loader


def webdatasets(shards: Path) -> Callable[[], Iterable[Any]]:
    """Return a pass over a tar by WebDataset, shuffled in a buffer of a thousand."""
    import webdataset
    from torchvision import transforms

    change = transforms.Compose([transforms.ToTensor(), transforms.Normalize(0.5, 0.5)])
    data = webdataset.WebDataset(str(shards), shardshuffle=False).shuffle(1000).decode("pil").to_tuple("jpg")
    return lambda: data.map_tuple(change).batched(BATCH, partial=False)


def write_shard(root: Path, file: Path) -> Path:
    """Write the images of a folder into a tar as WebDataset reads it: numbered files."""
    import webdataset

    with webdataset.TarWriter(str(file)) as tar:
        for k, path in enumerate(sorted(root.rglob("*.jpg"))):
            tar.write({"__key__": f"{k:08}", "jpg": path.read_bytes()})
    return file


def measured(begin: Passes, passes: int) -> tuple[float, list[float]]:
    """Return the seconds of the first pass, with all that goes before it, and of each of the later ones."""
    began = time.perf_counter()
    one = begin()
    consume(one())
    first, later = time.perf_counter() - began, []
    for _ in range(passes):
        began = time.perf_counter()
        consume(one())
        later.append(time.perf_counter() - began)
    return first, later


def consume(batches: Iterable[Any]) -> None:
    """Take every batch."""
    for _ in batches:
        pass


def ways(root: Path, folder: Path) -> Iterator[tuple[str, Passes]]:
    """Yield each way of reading and its name; those of gantrain that decode into its cache find it empty, then full."""
    yield "gantrain, in memory", lambda: ours(root, in_memory=True)
    yield "gantrain, mapped from its cache, empty", lambda: ours(root, in_memory=False, copy=True)
    yield "the same, filled", lambda: ours(root, in_memory=False, copy=True)
    packed = Path(shutil.make_archive(str(folder / "images"), "zip", root))
    yield "gantrain, a zip, in memory", lambda: ours(packed, in_memory=True)
    yield "gantrain, from files each time", lambda: ours(root, in_memory=False, copy=False)
    yield "ImageFolder, no workers", lambda: torchvisions(root, 0)
    yield "ImageFolder, two workers", lambda: torchvisions(root, 2)
    try:
        shard = write_shard(root, folder / "shard.tar")
    except ImportError:
        return
    yield "WebDataset, no workers", lambda: webdatasets(shard)
    yield "gantrain, the same shard, in memory", lambda: ours(shard, in_memory=True)
    yield "gantrain, the same shard, each time", lambda: ours(shard, in_memory=False, copy=False)


def write_array(file: Path, images: int) -> None:
    """Write made-up images (images, 3, 32, 32) uint8 as ``numpy.save`` would, a part at a time."""
    array = np.lib.format.open_memmap(file, "w+", np.uint8, (images, 3, SIDE, SIDE))
    rng = np.random.default_rng(0)
    for start in range(0, images, 10_000):
        part = array[start : start + 10_000]
        part[:] = rng.integers(0, 256, part.shape, dtype=np.uint8)
    array.flush()


def memory_of(name: str) -> float:
    """Return a line of this process's memory in GiB: RssAnon is its own, VmHWM the most with the pages of files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 2**20


def stream(file: Path) -> None:
    """Give every image of a mapped array once, and print how fast that is and how much memory it takes."""
    data = Array(str(file), in_memory=False)
    before = own = memory_of("RssAnon")
    batches, count, began = data.stream(BATCH, 0, torch.device("cpu")), len(data.pixels) // BATCH, time.perf_counter()
    for k in range(count):
        batches.next()
        if k % 50 == 0:
            own = max(own, memory_of("RssAnon"))
    rate = count * BATCH / (time.perf_counter() - began)
    print(
        f"\n{len(data.pixels):,} images in an array of {file.stat().st_size / 2**30:.2f} GiB, mapped: {rate:,.0f} "
        f"images/s\nmemory of the process: {before:.2f} GiB of its own before the pass, {own:.2f} at most within it, "
        f"{memory_of('VmHWM'):.2f} with pages of files"
    )


def compare(images: Path, passes: int, folder: Path) -> None:
    """Measure every way and print a table."""
    count = sum(1 for _ in images.rglob("*.jpg"))
    print(
        f"{count:,} images, {os.cpu_count()} cores, torch {torch.__version__} with {torch.get_num_threads()} threads\n"
    )
    print("| reader | first pass, s | later passes, s | images/s, later |\n|---|---|---|---|")
    for name, begin in ways(images, folder):
        first, later = measured(begin, passes)
        spread = f"{min(later):.2f} to {max(later):.2f}"
        print(f"| {name} | {first:.1f} | {spread} | {count / sorted(later)[len(later) // 2]:,.0f} |", flush=True)


def main() -> None:
    """Measure every way, and the memory that streaming takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, nargs="?", help="JPEGs in class folders; without it some are made up")
    parser.add_argument("--passes", type=int, default=3, help="later passes")
    parser.add_argument("--array", type=int, metavar="N", help="images in the array; by default 1,000,000: 2.9 GiB")
    parser.add_argument("--quick", action="store_true", help="few images and an array of 100,000")
    parser.add_argument("--stream", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stream:
        return stream(options.stream)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GANTRAIN_CACHE"] = f"{folder}/cache"
        images = options.images or write_jpegs(Path(folder) / "jpegs", 500 if options.quick else 2000)
        compare(images, options.passes, Path(folder))
        write_array(file := Path(folder) / "array.npy", options.array or (100_000 if options.quick else 1_000_000))
        subprocess.run([sys.executable, __file__, "--stream", str(file)], check=True)  # with a peak of its own
    return None


if __name__ == "__main__":
    main()
