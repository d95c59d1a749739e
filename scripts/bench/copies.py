"""Measure what gantrain-data takes for near copies: pairs that it finds in a folder, and altered images that it knows.

    python scripts/bench/copies.py --images FOLDER            counts
    python scripts/bench/copies.py --images FOLDER --draw F   also a picture of every pair, to be judged by eye

The figures stand in docs/data.md.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageEnhance

from gantrain.data import ImageFolder
from gantrain.data.source import channels_first
from gantrain.inspection import duplicates
from gantrain.inspection.tally import Tally
from gantrain.kinds import kind_of

ACROSS = 25
"""Pairs in a row of the picture."""


def jpeg(quality: int) -> Callable[[Image.Image], Image.Image]:
    """Return what saves an image as a JPEG and reads it again."""

    def again(image: Image.Image) -> Image.Image:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        return Image.open(file).convert("RGB")

    return again


def cropped(share: float) -> Callable[[Image.Image], Image.Image]:
    """Return what cuts a share of each side off, half of it on either end, and resizes the rest."""

    def cut(image: Image.Image) -> Image.Image:
        w, h = image.size
        box = (w * share / 2, h * share / 2, w - w * share / 2, h - h * share / 2)
        return image.resize(image.size, Image.Resampling.BICUBIC, box)

    return cut


ALTERED: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG of quality 75": jpeg(75),
    "JPEG of quality 30": jpeg(30),
    "halved and enlarged": lambda i: i.resize((i.width // 2, i.height // 2), Image.Resampling.BICUBIC).resize(i.size),
    "contrast × 0.8": lambda i: ImageEnhance.Contrast(i).enhance(0.8),
    "brightness × 1.1": lambda i: ImageEnhance.Brightness(i).enhance(1.1),
    "gray": lambda i: i.convert("L").convert("RGB"),
    "3% cropped off": cropped(0.03),
    "6% cropped off": cropped(0.06),
    "mirrored": lambda i: i.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
}


def main() -> None:
    """Print the pairs that are found, and the share of altered images that are known again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", required=True, help="a folder of images")
    parser.add_argument("--size", type=int, default=32, help="side of the decoded images")
    parser.add_argument("--count", type=int, default=1000, help="how many are altered")
    parser.add_argument("--draw", type=Path, help="a PNG of every pair")
    options = parser.parse_args()
    data = ImageFolder(options.images, options.size, "crop", 3, False, "error", 60.0, True)
    pixels = data.at(range(data.count or 0))
    groups = found(pixels)
    pairs = [(group[0], other) for group in groups for other in group[1:]]
    labels = data.labels
    across = "" if labels is None else f", {sum(bool(labels[a] != labels[b]) for a, b in pairs)} of two classes"
    print(f"{len(pairs)} near copies among {len(pixels):,} images{across}")
    if options.draw and pairs:
        drawn(pixels, pairs).save(options.draw)
    some = np.random.default_rng(0).permutation(len(pixels))[: options.count]
    chosen = [Image.fromarray(image) for image in pixels[some].permute(0, 2, 3, 1).numpy()]
    for name, alter in ALTERED.items():
        others = channels_first(np.stack([np.asarray(alter(image)) for image in chosen]))
        known = sum(alike(pixels[k], other) for k, other in zip(some.tolist(), others, strict=True))
        print(f"{name:<22}{known / len(chosen):.1%}")


def found(pixels: torch.Tensor) -> duplicates.Groups:
    """Return the groups of near copies among images (n, 3, h, w) uint8."""
    tally = Tally(pixels.shape[1:], kind_of(pixels.shape[1:]))
    for part in pixels.split(500):
        tally.add(part)
    return duplicates.near(tally.thumbnails, tally.colours, duplicates.exact(tally.digests))


def alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Tell whether an altered image counts as a copy; one that did not change does."""
    return torch.equal(one, other) or bool(found(torch.stack([one, other])))


def drawn(pixels: torch.Tensor, pairs: list[tuple[int, int]]) -> Image.Image:
    """Return a picture of pairs, one above the other."""
    cells = [torch.cat([pixels[a], pixels[b], torch.full_like(pixels[a, :, :4], 255)], 1) for a, b in pairs]
    cells += [torch.full_like(cells[0], 255)] * (-len(cells) % ACROSS)
    rows = [torch.cat(cells[k : k + ACROSS], 2) for k in range(0, len(cells), ACROSS)]
    return Image.fromarray(torch.cat(rows, 1).permute(1, 2, 0).numpy())


if __name__ == "__main__":
    main()
