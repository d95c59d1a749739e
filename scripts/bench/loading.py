"""Measure how fast images are read: gantrain's ways beside torchvision's ImageFolder and WebDataset's shards.

    python scripts/bench/loading.py FOLDER             JPEGs in class folders, such as CIFAR-10's 50,000
    python scripts/bench/loading.py FOLDER --passes 5

A pass gives every image once, in whole shuffled batches of 64, as float32 in [-1, 1]. The first one includes finding
and decoding the files; gantrain decodes no file again after it. Without the package webdataset its row is left out.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from gantrain.data import ImageFolder

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


def main() -> None:
    """Measure every way and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, help="JPEGs in class folders")
    parser.add_argument("--passes", type=int, default=3, help="later passes")
    options = parser.parse_args()
    count = sum(1 for _ in options.images.rglob("*.jpg"))
    print(
        f"{count:,} images, {os.cpu_count()} cores, torch {torch.__version__} with {torch.get_num_threads()} threads\n"
    )
    print("| reader | first pass, s | later passes, s | images/s, later |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GANTRAIN_CACHE"] = f"{folder}/cache"
        for name, begin in ways(options.images, Path(folder)):
            first, later = measured(begin, options.passes)
            spread = f"{min(later):.2f} to {max(later):.2f}"
            print(f"| {name} | {first:.1f} | {spread} | {count / sorted(later)[len(later) // 2]:,.0f} |", flush=True)
    print(f"\npeak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
