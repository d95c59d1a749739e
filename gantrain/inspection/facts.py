"""Everything that `gantrain-data` says of a data set, as plain data that becomes JSON as it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gantrain.data import Data
from gantrain.data.source import channels_first
from gantrain.data.survey import FolderSurvey
from gantrain.errors import DataError
from gantrain.inspection import advice, duplicates
from gantrain.inspection.duplicates import Groups
from gantrain.inspection.folders import FilesSeen
from gantrain.inspection.tally import THUMBNAIL, Tally
from gantrain.kinds import Images, Kind, kind_of
from gantrain.kinds.images import as_bytes
from gantrain.terminal import each

DRAWN = 10_000
"""Samples that are looked at where they are drawn fresh."""
NUMBERS = 2**21
"""Of samples that are looked at in one go."""


@dataclass
class Facts:
    """What was found, and how to draw some of it.

    Attributes:
        found: what JSON gets.
        kind: what a sample is.
        shape: of a sample; () if no image could be read.
        at: returns samples of some numbers, as ``Data.at`` does.
        labels: of each sample that ``at`` knows (n,), or None.
        mean: the mean sample.
        white: what stands for white in images.
    """

    found: dict[str, Any]
    kind: Kind
    shape: tuple[int, ...]
    at: Callable[[Sequence[int]], Tensor]
    labels: Tensor | None
    mean: Tensor
    white: int


def inspect_data(data: Data, batch_size: int) -> Facts:
    """Look at every sample of a data set once, or at ``DRAWN`` of those that are drawn fresh.

    Args:
        data: any data set.
        batch_size: the usual one.

    Raises:
        DataError: if its samples cannot be read, or are not of the shape that it says.
    """
    numbered = data.count is not None and (type(data).at is not Data.at or type(data).once is not Data.once)
    tally = Tally(data.shape, data.kind, finds_copies=numbered)
    drawn: list[Tensor] = []
    labels = data.labels
    if numbered:
        assert data.count is not None
        n = batch_of(data.shape)
        for batch in each(data.once(n), "looking at the samples", "batch", -(-data.count // n)):
            tally.add(batch)
    else:
        drawn, labels = some_of(data)
        for batch in drawn:
            tally.add(batch)
    every = torch.cat(drawn) if drawn else None
    found = {
        "described": str(data),
        "kind": data.kind.name,
        "shape": list(data.shape),
        "samples": data.count,
        "looked_at": tally.count,
        **classes_of(labels, data.classes, data.class_names, data.shares()),
        "values": tally.values(),
        "duplicates": copies(tally, labels, str) if numbered else None,
        "files": None,
        "unreadable": list(data.skipped),
        "passed_over": list(data.passed_over),
    }
    found["suggestions"] = {"batch_size": advice.batch_size(data.count, batch_size)}
    at = data.at if every is None else lambda index: every[list(index)]
    return Facts(found, data.kind, data.shape, at, labels, tally.mean, tally.white)


def some_of(data: Data) -> tuple[list[Tensor], Tensor | None]:
    """Return samples as they are drawn, in batches, images as bytes, and their labels."""
    n = min(batch_of(data.shape), data.count or DRAWN)
    stream = data.stream(n, 0, torch.device("cpu"))
    drawn = [stream.next() for _ in range(-(-min(DRAWN, data.count or DRAWN) // n))]
    samples = [as_bytes(batch) if isinstance(data.kind, Images) else batch for batch, _ in drawn]
    labels = [label for _, label in drawn if label is not None]
    return samples, torch.cat(labels) if labels else None


def batch_of(shape: Sequence[int]) -> int:
    """Return how many samples of a shape are looked at in one go."""
    return max(1, min(1000, NUMBERS // max(1, int(np.prod(shape)))))


def inspect_files(survey: FolderSurvey, batch_size: int) -> Facts:
    """Look at every file of a folder of images once; those that cannot be read are listed, however many they are.

    Raises:
        DataError: if a file is not there in time.
    """
    side, wanted = survey.decoder.size, survey.decoder.channels
    kind = kind_of((wanted or 3, side, side))
    tally, seen = Tally((wanted or 3, side, side), kind), FilesSeen(survey)
    good, bad = [], []
    waiting: list[np.ndarray] = []

    def looked() -> None:
        tally.add(channels_first(np.stack(waiting)))
        waiting.clear()

    for number, image in enumerate(survey.look()):
        if isinstance(image, DataError):
            bad.append((number, str(image)))
            continue
        good.append(number)
        seen.add(image)
        waiting.append(np.broadcast_to(image.pixels, (side, side, wanted or 3)))
        if len(waiting) == batch_of(tally.shape):
            looked()
    if waiting:
        looked()
    labels = None if survey.labels is None else survey.labels[good]
    channels = wanted or seen.channels
    shape = (channels, side, side) if good else ()
    found = {
        "described": f"{len(good):,} images",
        "kind": kind.name,
        "shape": list(shape),
        "samples": len(good),
        "looked_at": len(good),
        **classes_of(labels, survey.classes, survey.class_names, None),
        "values": {
            name: value[:channels] if isinstance(value, list) else value for name, value in tally.values().items()
        },
        "duplicates": copies(tally, labels, lambda k: survey.name(good[k])),
        "files": seen.facts(),
        "unreadable": [reason for _, reason in bad],
        "passed_over": survey.passed_over,
        "suggestions": suggested(survey, seen, tally, len(bad), batch_size),
    }

    def at(index: Sequence[int]) -> Tensor:
        images = [np.broadcast_to(survey.image(good[k]).pixels, (side, side, channels)) for k in index]
        return channels_first(np.stack(images))

    return Facts(found, kind, shape, at, labels, tally.mean[:channels], tally.white)


def suggested(survey: FolderSurvey, seen: FilesSeen, tally: Tally, bad: int, batch_size: int) -> dict[str, Any]:
    """Return settings that suit the files, by their keys."""
    median = seen.median_side()
    if median is None:
        return {}
    settings: dict[str, Any] = {"batch_size": advice.batch_size(tally.count, batch_size)}
    settings["data.size"] = advice.side(median)
    settings["data.channels"] = 3 if tally.coloured else 1
    if bad:
        settings["data.on_bad"] = "skip"
        if bad > survey.skip_limit * len(survey.paths):
            settings["data.skip_limit"] = advice.skip_limit(bad, len(survey.paths))
    return settings


def classes_of(
    labels: Tensor | None, classes: int, names: Sequence[str] | None, shares: Sequence[float] | None
) -> dict[str, Any]:
    """Return the number of samples of each class, and how many times more the largest has than the smallest."""
    if labels is None or not classes:
        return {"classes": None, "balance": None}
    counts = np.bincount(labels.numpy(), minlength=classes).tolist()
    listed = [
        {"name": names[k] if names else str(k), "samples": n} | ({"share": shares[k]} if shares else {})
        for k, n in enumerate(counts)
    ]
    return {"classes": listed, "balance": max(counts) / min(counts) if min(counts) else None}


def copies(tally: Tally, labels: Tensor | None, name: Callable[[int], str]) -> dict[str, Any]:
    """Return the groups of exact copies and, of images, of near ones, as names."""
    same = duplicates.exact(tally.digests)
    found = {"exact": described(same, labels, name), "near": None}
    if isinstance(tally.kind, Images) and tally.count:
        alike = duplicates.near(tally.thumbnails, tally.colours, same)
        found["near"] = described(alike, labels, name) | {
            "thumbnail": [min(THUMBNAIL, side) for side in tally.shape[1:]],
            "difference": duplicates.DIFFERENCE,
            "colour": duplicates.COLOUR,
        }
    return found


def described(groups: Groups, labels: Tensor | None, name: Callable[[int], str]) -> dict[str, Any]:
    """Return groups by names, how many samples could go, and how many groups have samples of several classes."""
    across = 0 if labels is None else sum(len(set(labels[group].tolist())) > 1 for group in groups)
    return {
        "groups": len(groups),
        "superfluous": sum(len(group) - 1 for group in groups),
        "across_classes": across,
        "members": [[name(k) for k in group] for group in groups],
    }
