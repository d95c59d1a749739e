"""How good generated images are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from gantrain.data import Data, Stacked
from gantrain.distributed import ALONE, Alone
from gantrain.evaluation.features import Features
from gantrain.evaluation.metric import Measured, Metric, asked_for, joined, values_of
from gantrain.evaluation.reference import Reference, chosen_numbers, once, pixels
from gantrain.evaluation.result import Interrupted, Result
from gantrain.evaluation.rows import Rows
from gantrain.kinds.images import as_bytes
from gantrain.metrics import (
    Fitting,
    Gaussian,
    Nearest,
    density_coverage,
    directions,
    frechet_distance,
    frechet_infinity,
    inception_score,
    kid,
    memorised,
    mode_kl,
    ms_ssim,
    nearest,
    precision_recall,
    sliced_wasserstein,
)
from gantrain.run.directions import AS_REAL, BESIDE, HIGHEST, LOWEST
from gantrain.run.protocol import Protocol
from gantrain.terminal import say

ELEMENTS = 2**18  # of images at a time in float64, each in a score of copies
KEPT = 1000  # generated images kept whole, for metrics that compare images
PAIRS = 8  # of a generated image and its nearest training image, to be drawn
LEAST_OF_A_CLASS = 20  # samples of a class, of either side, below which it is left out
LEAST = 100  # samples below which scores and neighbourhoods say nothing


@dataclass
class Fakes:
    """Generated images as metrics see them."""

    features: Tensor  # of the first ``n_pool`` of them (m, d) float32; (m, 0) without a feature network
    fitted: Fitting  # the features of all
    logits: Tensor  # (n, classes) or, of stacks, (n, 3, classes)
    read: Tensor  # the class that the network reads each as, (n,) or, of stacks, (n, 3)
    projections: Tensor  # (n, slices)
    kept: Tensor  # the first of them whole, (k, C, H, W) uint8
    nearest_pixels: Nearest | None = field(default=None)  # training image of each kept one, once it was looked for


class ImageQuality:
    """Measures images against a data set, by a protocol.

    Args:
        protocol: how.
        metrics: which, by their names in ``METRICS``, or metrics of your own.
        data: what the generator was trained on; copies are looked for there.
        features: the feature network; None if no metric needs it.
        real: the images to compare with.
        training: all that it was trained on.
    """

    def __init__(
        self,
        protocol: Protocol,
        metrics: Iterable[str | Metric],
        data: Data,
        features: Features | None,
        real: Reference,
        training: Reference,
    ) -> None:
        self.protocol, self.data, self.features, self.real, self.training = protocol, data, features, real, training
        self.metrics: list[Metric] = asked_for(metrics, METRICS, "images")
        self.gives = joined(self.metrics)
        """The name of each value, and its direction."""

        self.asked: Tensor | None = None
        self.told = False  # of classes that are left out
        """The classes (n,) that the images being measured were asked to be of; None of an unconditional generator."""

    def measure(
        self, samples: Iterable[Tensor], stop: Callable[[], bool] = lambda: False, asked: Tensor | None = None
    ) -> Result:
        """Return the values of generated images, which come in batches (b, C, H, W) in [-1, 1].

        Args:
            samples: the images.
            stop: asked between the batches.
            asked: their classes (n,), if the generator was told them.

        Raises:
            Interrupted: when ``stop()`` turned true.
        """
        return self.judge(self.look(samples, stop), stop, asked)

    def judge(self, fakes: Fakes, stop: Callable[[], bool] = lambda: False, asked: Tensor | None = None) -> Result:
        """Return the values of generated images that have been looked at; the arguments are those of ``measure``."""
        self.asked = asked
        values: dict[str, float] = {}
        for metric in self.metrics:
            if stop():
                raise Interrupted
            values |= values_of(metric, self, fakes)
        values = {name: value for name, value in values.items() if math.isfinite(value)}
        return Result(values, None if fakes.nearest_pixels is None else self._pairs(fakes.kept, fakes.nearest_pixels))

    def look(self, samples: Iterable[Tensor], stop: Callable[[], bool], ranks: Alone = ALONE) -> Fakes:
        """Return what the metrics need of generated images, which come in batches (b, C, H, W) in [-1, 1].

        Of several ranks each looks at its own batches, and the first returns what all have seen; the others' is empty.

        Raises:
            Interrupted: when the first rank's ``stop()`` turned true.
        """
        onto = directions(int(np.prod(self.data.shape)), self.protocol.slices, self.protocol.seed)
        n, pool = self.protocol.n_fake, min(self.protocol.n_fake, self.protocol.n_pool)
        features, logits, projections, kept = Rows(pool), Rows(n), Rows(n), Rows(min(n, KEPT))
        fitted = Fitting()
        stopped = False

        def asked() -> bool:
            nonlocal stopped
            stopped = stop()
            return stopped

        for images, seen in ranks.collected(map(self._seen, samples), asked):
            if seen is not None:
                found, scores = seen
                fitted.add(found.numpy())
                features.add(found)
                logits.add(scores)
            projections.add(pixels(images) @ onto)
            kept.add(images)
        if stopped:
            raise Interrupted
        read = logits.all().argmax(-1) if self.features and ranks.is_first else torch.empty(0, dtype=torch.int64)
        return Fakes(features.all(), fitted, logits.all(), read, projections.all(), kept.all())

    def _seen(self, batch: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
        images = as_bytes(batch)
        return images.cpu(), self.features(images) if self.features else None

    def _pairs(self, kept: Tensor, found: Nearest) -> Tensor:
        first = found.ratio.argsort()[:PAIRS]
        return torch.stack([kept[first], self.data.at(found.index[first].tolist())])


def fid(quality: ImageQuality, fakes: Fakes) -> dict[str, float]:
    """Fréchet distance of the features."""
    assert quality.real.gaussian is not None
    return {"fid": frechet_distance(fakes.fitted.gaussian(), quality.real.gaussian)}


def fid_at_infinity(quality: ImageQuality, fakes: Fakes) -> dict[str, float]:
    """Fréchet distance extrapolated to infinitely many generated images."""
    assert quality.real.gaussian is not None
    value, error = frechet_infinity(fakes.features.numpy(), quality.real.gaussian, quality.protocol.seed)
    return {"fid_infinity": value, "fid_infinity_error": error}


def kernel_distance(quality: ImageQuality, fakes: Fakes) -> dict[str, float]:
    """Kernel distance of the features."""
    p = quality.protocol
    mean, spread = kid(fakes.features, quality.real.features, p.kid_subsets, p.kid_subset_size, p.seed)
    return {"kid": mean, "kid_std": spread}


def score(quality: ImageQuality, fakes: Fakes) -> dict[str, float]:
    """Inception Score of the logits."""
    mean, spread = inception_score(fakes.logits, quality.protocol.is_splits, quality.protocol.seed)
    fakes.logits = torch.empty(0)  # of 50,000 images they are 200 MB, which the neighbourhoods need now
    return {"is": mean, "is_std": spread}


def support(quality: ImageQuality, fakes: Fakes) -> dict[str, float]:
    """Improved precision and recall."""
    fake, real = neighbourhoods(quality, fakes)
    precision, recall = precision_recall(fake, real, quality.protocol.k_precision_recall)
    return {"precision": precision, "recall": recall}


def robust_support(quality: ImageQuality, fakes: Fakes) -> dict[str, float]:
    """Density and coverage."""
    density, coverage = density_coverage(*neighbourhoods(quality, fakes), quality.protocol.k_density_coverage)
    return {"density": density, "coverage": coverage}


def neighbourhoods(quality: ImageQuality, fakes: Fakes) -> tuple[Tensor, Tensor]:
    """Return the features of as many generated as real images, at most ``n_neighbours``: neighbours depend on both."""
    real = quality.real.features
    n = min(quality.protocol.n_neighbours, len(fakes.features), len(real))
    if n < len(real):
        real = real[torch.as_tensor(chosen_numbers(len(real), n, quality.protocol.seed))]
    return fakes.features[:n], real


def sliced(quality: ImageQuality, fakes: Fakes) -> dict[str, float]:
    """Sliced Wasserstein distance of the pixels."""
    return {"sliced_wasserstein": sliced_wasserstein(fakes.projections, quality.real.projections)}


def likeness(quality: ImageQuality, fakes: Fakes) -> dict[str, float]:
    """MS-SSIM between generated images, on average over pairs."""
    half = len(fakes.kept) // 2
    some = max(1, ELEMENTS // fakes.kept[0].numel())
    pairs = zip(fakes.kept[:half].split(some), fakes.kept[half : 2 * half].split(some), strict=True)
    return {"ms_ssim": float(torch.cat([ms_ssim(*pair) for pair in pairs]).mean())}


def copies(quality: ImageQuality, fakes: Fakes) -> dict[str, float]:
    """Return the share of generated images that are copies of training images, by their pixels and their features."""
    fakes.nearest_pixels = nearest(fakes.kept.flatten(1), (part.flatten(1) for part in once(quality.data)))
    values = {"memorised_pixels": memorised(fakes.nearest_pixels, quality.training.pixel_limit)}
    if quality.features:
        near = nearest(fakes.features[: len(fakes.kept)], quality.training.all_features().split(500))
        values["memorised_features"] = memorised(near, quality.training.feature_limit)
    return values


def as_asked(quality: ImageQuality, fakes: Fakes) -> dict[str, float]:
    """Return the share of images that the classifier reads as the class asked for."""
    if quality.asked is None:
        return {}
    return {"conditional_accuracy": float((fakes.read == quality.asked).double().mean())}


def by_class(quality: ImageQuality, fakes: Fakes) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the features of the generated and of the real images of each class that has enough of both."""
    if quality.asked is None or quality.real.labels is None:
        return
    features, asked = quality.real.all_features(), quality.asked[: len(fakes.features)]
    left_out = 0
    for label in range(quality.data.classes):
        fake, real = fakes.features[asked == label], features[quality.real.labels == label]
        if min(len(fake), len(real)) >= LEAST_OF_A_CLASS:
            yield fake, real
        else:
            left_out += 1
    if left_out and not quality.told:
        quality.told = True
        say(
            f"{left_out} of {quality.data.classes} classes have fewer than {LEAST_OF_A_CLASS} samples here, real or "
            "generated, and are left out of intra_fid and intra_coverage; raise evaluation.n_fake and evaluation.n_real"
        )


def within_classes(quality: ImageQuality, fakes: Fakes) -> dict[str, float]:
    """Mean over the classes of the Fréchet distance within each: intra FID, Miyato & Koyama 2018, Section 5."""
    found = [
        frechet_distance(Gaussian.of(fake.numpy()), Gaussian.of(real.numpy()))
        for fake, real in by_class(quality, fakes)
    ]
    return {"intra_fid": float(np.mean(found))} if found else {}


def covered_within_classes(quality: ImageQuality, fakes: Fakes) -> dict[str, float]:
    """Mean over the classes of the coverage within each, with equally many of both sides."""
    k, most, found = quality.protocol.k_density_coverage, quality.protocol.n_neighbours, []
    for fake, real in by_class(quality, fakes):
        n = min(len(fake), len(real), most)
        if n > k:
            some = torch.as_tensor(chosen_numbers(len(real), n, quality.protocol.seed))
            found.append(density_coverage(fake[:n], real[some], k)[1])
    return {"intra_coverage": float(np.mean(found))} if found else {}


def modes(quality: ImageQuality, fakes: Fakes) -> dict[str, float]:
    """Of stacked images: how many of all triples of classes were seen, and KL(their shares ‖ equal shares)."""
    assert isinstance(quality.data, Stacked)
    classes = quality.data.parts.classes
    triple = fakes.read @ torch.tensor([classes**2, classes, 1])
    weights = torch.full((quality.data.modes,), 1 / quality.data.modes)
    seen, there = float(len(triple.unique())), float(quality.data.modes)
    return {"modes": seen, "modes_of_data": there, "mode_kl": mode_kl(triple, weights)}


def of_network(measure: Callable[[ImageQuality, Fakes], dict[str, float]], **gives: str) -> Measured:
    """Return a metric that needs a feature network."""
    return Measured(measure, gives, features=True)


def of_classes(measure: Callable[[ImageQuality, Fakes], dict[str, float]], **gives: str) -> Measured:
    """Return a metric of conditional generators that needs a feature network."""
    return Measured(measure, gives, features=True, of_classes=True)


METRICS: dict[str, Measured] = {
    "fid": of_network(fid, fid=LOWEST),
    "fid_infinity": of_network(fid_at_infinity, fid_infinity=LOWEST, fid_infinity_error=BESIDE),
    "kid": of_network(kernel_distance, kid=LOWEST, kid_std=BESIDE),
    "is": of_network(score, **{"is": HIGHEST, "is_std": BESIDE}),
    "precision_recall": of_network(support, precision=HIGHEST, recall=HIGHEST),
    "density_coverage": of_network(robust_support, density=HIGHEST, coverage=HIGHEST),
    "sliced_wasserstein": Measured(sliced, {"sliced_wasserstein": LOWEST}),
    "ms_ssim": Measured(likeness, {"ms_ssim": AS_REAL}),
    "memorised": Measured(copies, {"memorised_pixels": LOWEST, "memorised_features": LOWEST}),
    "conditional_accuracy": of_classes(as_asked, conditional_accuracy=HIGHEST),
    "intra_fid": of_classes(within_classes, intra_fid=LOWEST),
    "intra_coverage": of_classes(covered_within_classes, intra_coverage=HIGHEST),
    "modes": of_network(modes, modes=HIGHEST, modes_of_data=BESIDE, mode_kl=LOWEST),
}
NEED_STACKS, NEED_CLASSES = {"modes"}, {"is"}
NEED_CLASSIFIER = {"conditional_accuracy"}
"""Metrics that read the data's own classes."""
