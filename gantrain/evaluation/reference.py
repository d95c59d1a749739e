"""Statistics of the real images, computed once for a data set and a feature network, and cached."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gantrain.data import Data
from gantrain.evaluation.cache import Cache, Content
from gantrain.evaluation.features import Features
from gantrain.evaluation.rows import Rows
from gantrain.metrics import Gaussian, directions, nearest, threshold
from gantrain.metrics.memorisation import QUERIES
from gantrain.run.protocol import IMAGES_VERSION
from gantrain.terminal import each

BATCH = 500
ELEMENTS = 2**23  # pixel values in a batch


@dataclass(frozen=True)
class Reference:
    """Statistics of the real images that metrics compare with."""

    features: Tensor  # (m, d) float32 of at most ``n_pool`` of them, at random; (m, 0) without a feature network
    all_features: Callable[[], Tensor]  # returns those of all (n, d), mapped from the cache while they are read
    projections: Tensor  # (n, slices) float32
    gaussian: Gaussian | None  # of the features of all
    pixel_limit: float  # ``Nearest.ratio`` up to which an image counts as a copy
    feature_limit: float  # the same of its features
    labels: Tensor | None = None  # class (n,) of each, if they have one


def reference(
    data: Data, count: int, features: Features | None, resizer: str, slices: int, pool: int, seed: int, cache: Cache
) -> Reference:
    """Return the statistics of ``count`` images of a data set, from the cache if they are there.

    Args:
        data: the real images.
        count: how many, drawn at random by ``seed`` if there are more.
        features: the feature network, None for pixels alone.
        resizer: how the network resizes images.
        slices: random directions to project images on.
        pool: number of images whose features are held in memory.
        seed: of the choice and of the directions.
        cache: where the statistics are kept.
    """
    identity: dict[str, object] = {
        "data": [data.identity(), data.freshness()],
        "count": count,
        "network": features.digest if features else "",
        "resizer": resizer,
        "slices": slices,
        "seed": seed,
        "version": IMAGES_VERSION,
    }

    chosen = torch.as_tensor(chosen_numbers(data.count or 0, count, seed))

    def check(content: Content) -> None:
        check_shapes(content[0], len(chosen), slices, features is not None)

    def fetched() -> dict[str, Tensor]:
        return cache.fetch("reference", identity, lambda: measure(data, count, features, slices, seed), check)[0]

    tensors = fetched()
    found = tensors["features"]
    unkept = None if cache.keeps("reference", identity) else found  # else each evaluation would compute them again
    return Reference(
        features=found[torch.as_tensor(chosen_numbers(len(found), pool, seed))],
        all_features=lambda: fetched()["features"] if unkept is None else unkept,
        projections=tensors["projections"].clone(),
        # Copies: a part of the mapped file would hold all of it in memory.
        gaussian=Gaussian(tensors["mean"].clone().numpy(), tensors["factor"].clone().numpy()) if features else None,
        pixel_limit=float(tensors["limits"][0]),
        feature_limit=float(tensors["limits"][1]),
        labels=None if data.labels is None else data.labels[chosen],
    )


def measure(data: Data, count: int, features: Features | None, slices: int, seed: int) -> Content:
    """Compute the statistics, batch by batch."""
    onto = directions(int(np.prod(data.shape)), slices, seed)
    chosen = chosen_numbers(data.count or 0, count, seed)
    found, projected = Rows(len(chosen)), Rows(len(chosen))
    batch = at_once(data)
    starts = range(0, len(chosen), batch)
    for start in each(starts, "looking at the real images", "batch"):
        images = data.at(chosen[start : start + batch])
        projected.add(pixels(images) @ onto)
        found.add(features(images)[0] if features else torch.empty(len(images), 0))
    tensors = {"features": found.all(), "projections": projected.all()}
    if features:
        gaussian = Gaussian.of(tensors["features"].numpy())
        tensors |= {"mean": torch.from_numpy(gaussian.mean), "factor": torch.from_numpy(gaussian.factor)}
    limits = [pixel_limit(data, seed), feature_limit(tensors["features"], seed) if features else 0.0]
    return tensors | {"limits": torch.tensor(limits, dtype=torch.float64)}, {"data": data.fingerprint()}


def check_shapes(tensors: dict[str, Tensor], n: int, slices: int, has_network: bool) -> None:
    """Raise KeyError or ValueError unless tensors are the statistics of ``n`` images."""
    d = tensors["features"].shape[-1]
    wanted = {"features": (n, d), "projections": (n, slices), "limits": (2,)}
    if has_network:
        wanted |= {"mean": (d,), "factor": (len(tensors["factor"]), d)}
    for name, shape in wanted.items():
        if tuple(tensors[name].shape) != shape or not tensors[name].is_floating_point():
            raise ValueError(f"its {name} are of shape {tuple(tensors[name].shape)}")


def chosen_numbers(available: int, count: int, seed: int) -> range | list[int]:
    """Return the numbers of the images to use: all in their order, or ``count`` at random."""
    if count >= available:
        return range(available)
    chosen: list[int] = np.sort(np.random.default_rng([seed, 2]).permutation(available)[:count]).tolist()
    return chosen


def at_once(data: Data) -> int:
    """Return the size of a batch: smaller for larger images."""
    return max(1, min(BATCH, ELEMENTS // int(np.prod(data.shape))))


def once(data: Data) -> Iterator[Tensor]:
    """Yield all images of a data set (b, C, H, W) uint8, in batches that fit into memory."""
    return data.once(at_once(data))


def pixels(images: Tensor) -> Tensor:
    """Return images (n, C, H, W) uint8 as vectors (n, C·H·W) float32 in [-1, 1]."""
    return images.flatten(1).float().div(127.5).sub(1)


def pixel_limit(data: Data, seed: int) -> float:
    """Return the ratio of distances between vectors of bytes up to which an image counts as a copy."""
    own = torch.tensor(list(chosen_numbers(data.count or 0, QUERIES, seed)))
    return threshold(nearest(data.at(own.tolist()).flatten(1), (part.flatten(1) for part in once(data)), own))


def feature_limit(features: Tensor, seed: int) -> float:
    """Return the ratio of distances between features up to which an image counts as a copy."""
    own = torch.tensor(list(chosen_numbers(len(features), QUERIES, seed)))
    return threshold(nearest(features[own], features.split(BATCH), own))
