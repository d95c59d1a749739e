"""Measure how much faster large JPEGs are decoded at a part of their size, and how much the pixels differ.

    python scripts/bench/decode.py                  made-up pictures of 12 megapixels
    python scripts/bench/decode.py --images FOLDER  your own

The figures stand in docs/data.md.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np
from PIL import Image

from gantrain.data import decode
from gantrain.data.listing import find


def main() -> None:
    """Decode the same files both ways, and print time and difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="a folder of JPEGs")
    parser.add_argument("--size", type=int, default=64, help="side of the decoded images")
    parser.add_argument("--count", type=int, default=20, help="how many files")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = options.images or made_up(Path(folder), options.count)
        paths = [entry.path for entry in find(root).entries][: options.count]
        parts, seconds = decoded(paths, options.size, decode.MARGIN)
        whole, seconds_whole = decoded(paths, options.size, 10**6)
    difference = np.abs(parts.astype(float) - whole)
    print(
        f"{len(paths)} files to {options.size}×{options.size}: {seconds_whole / len(paths) * 1000:.1f} ms whole, "
        f"{seconds / len(paths) * 1000:.1f} ms at a part of their size, {seconds_whole / seconds:.1f} times as fast; "
        f"the pixels differ by {difference.mean():.2f} of 255 on average, by {difference.max():.0f} at most"
    )


def decoded(paths: list[Path], size: int, margin: int) -> tuple[np.ndarray, float]:
    """Return images (n, size, size, 3) uint8 and the seconds of the fastest of three rounds."""
    decoder, rounds = decode.Decoder(size, "crop", 3, (255, 255, 255)), []
    with mock.patch.object(decode, "MARGIN", margin):
        for _ in range(3):
            began = time.perf_counter()
            pixels = np.stack([decoder(path).pixels for path in paths])
            rounds.append(time.perf_counter() - began)
    return pixels, min(rounds)


def made_up(folder: Path, count: int) -> Path:
    """Write JPEGs 4000×3000 with detail at all scales, as photographs have it: amplitudes fall with frequency."""
    for k in range(count):
        rng, total = np.random.default_rng(k), np.zeros((3000, 4000, 3), dtype=np.float32)
        for cells in (4, 16, 64, 256, 1000):
            small = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
            total += np.asarray(small.resize((4000, 3000), Image.Resampling.BICUBIC), dtype=np.float32) / cells**0.5
        Image.fromarray((total / total.max() * 255).astype(np.uint8)).save(folder / f"{k}.jpg", quality=92)
    return folder


if __name__ == "__main__":
    main()
