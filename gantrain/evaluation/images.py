"""How good generated images are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from gantrain.data import Data, Stacked
from gantrain.errors import ConfigError
from gantrain.evaluation.features import Features
from gantrain.evaluation.protocol import Protocol
from gantrain.evaluation.reference import Reference, pixels
from gantrain.evaluation.result import Interrupted, Result
from gantrain.metrics import (
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

KEPT = 1000  # generated images kept whole, for what is measured between images
PAIRS = 8  # of a generated image and its nearest training image, to be drawn
LEAST = 100  # samples below which scores and neighbourhoods say nothing


@dataclass
class Fakes:
    """Generated images as metrics see them."""

    features: Tensor  # (n, d) float32; (n, 0) without a feature network
    logits: Tensor  # (n, classes) or, of stacks, (n, 3, classes)
    projections: Tensor  # (n, slices)
    kept: Tensor  # the first of them whole, (k, C, H, W) uint8
    nearest_pixels: Nearest | None = field(default=None)  # training image of each kept one, once it was looked for


class ImageQuality:
    """Measures images against a data set, by a protocol.

    Args:
        protocol: how.
        metrics: which, by their names in ``METRICS``.
        data: what the generator was trained on; copies are looked for there.
        features: the feature network; without one, the metrics that need it are left out.
        real: the images to compare with.
        training: the images to look for copies in; others than ``real`` if another split is compared with.

    Raises:
        ConfigError: for a metric that does not exist, or that such data or so few samples cannot give.
    """

    def __init__(
        self,
        protocol: Protocol,
        metrics: Iterable[str],
        data: Data,
        features: Features | None,
        real: Reference,
        training: Reference,
    ) -> None:
        self.protocol, self.data, self.features, self.real, self.training = protocol, data, features, real, training
        self.metrics = [m for name in wanted(metrics, data) if not (m := METRICS[name]).features or features]
        if (n := min(protocol.n_fake, protocol.n_real)) < LEAST:
            raise ConfigError(
                f"evaluation: {n} samples are too few to measure anything; set evaluation.n_fake to {LEAST} or more"
                + ("" if protocol.n_real >= LEAST else f", and have {LEAST} real ones")
            )

    def measure(self, samples: Iterable[Tensor], stop: Callable[[], bool] = lambda: False) -> Result:
        """Return the values of generated images, which come in batches (b, C, H, W) in [-1, 1].

        Raises:
            Interrupted: when ``stop()`` turned true.
        """
        fakes = self._look(samples, stop)
        values: dict[str, float] = {}
        for metric in self.metrics:
            if stop():
                raise Interrupted
            values |= metric.measure(self, fakes)
        return Result(values, None if fakes.nearest_pixels is None else self._pairs(fakes.kept, fakes.nearest_pixels))

    @property
    def gives(self) -> list[str]:
        """The names of the values."""
        return [name for metric in self.metrics for name in metric.gives]

    def _look(self, samples: Iterable[Tensor], stop: Callable[[], bool]) -> Fakes:
        onto = directions(int(np.prod(self.data.shape)), self.protocol.slices, self.protocol.seed)
        features, logits, projections, kept = [], [], [], []
        room = KEPT
        for batch in samples:
            if stop():
                raise Interrupted
            images = as_bytes(batch)
            if self.features:
                found, scores = self.features(images)
                features.append(found)
                logits.append(scores)
            images = images.cpu()
            projections.append(pixels(images) @ onto)
            kept.append(images[:room])
            room -= len(kept[-1])
        nothing = [torch.empty(sum(map(len, projections)), 0)]
        return Fakes(
            torch.cat(features or nothing), torch.cat(logits or nothing), torch.cat(projections), torch.cat(kept)
        )

    def _pairs(self, kept: Tensor, found: Nearest) -> Tensor:
        first = found.distance.argsort()[:PAIRS]
        return torch.stack([kept[first], self.data.at(found.index[first].tolist())])


def as_bytes(images: Tensor) -> Tensor:
    """Return images in [-1, 1] as the bytes 0 to 255 that a picture file would have."""
    return images.add(1).mul(127.5).round_().clamp_(0, 255).to(torch.uint8)


def wanted(metrics: Iterable[str], data: Data) -> list[str]:
    """Return the names of metrics; raise ConfigError for one that does not exist or does not suit the data."""
    names = list(metrics)
    for name in names:
        if name not in METRICS:
            raise ConfigError(f"evaluation.metrics: {name} is not measured on images; there are {', '.join(METRICS)}")
        if name in NEED_STACKS and not isinstance(data, Stacked):
            raise ConfigError(f"evaluation.metrics: {name} needs data whose modes are known, like data=stacked_digits")
        if name in NEED_CLASSES and isinstance(data, Stacked):
            raise ConfigError(f"evaluation.metrics: {name} needs one class per image, and {data} has three")
    return names


def fid(quality: ImageQuality, fakes: Fakes) -> dict[str, float]:
    """Fréchet distance of the features."""
    assert quality.real.gaussian is not None
    return {"fid": frechet_distance(Gaussian.of(fakes.features.numpy()), quality.real.gaussian)}


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
    n = min(quality.protocol.n_neighbours, len(fakes.features), len(quality.real.features))
    real = quality.real.features
    if len(real) > n:  # sets are often sorted by class
        real = real[np.sort(np.random.default_rng([quality.protocol.seed, 3]).permutation(len(real))[:n])]
    return fakes.features[:n], real


def sliced(quality: ImageQuality, fakes: Fakes) -> dict[str, float]:
    """Sliced Wasserstein distance of the pixels."""
    return {"sliced_wasserstein": sliced_wasserstein(fakes.projections, quality.real.projections)}


def likeness(quality: ImageQuality, fakes: Fakes) -> dict[str, float]:
    """MS-SSIM between generated images, on average over pairs."""
    half = len(fakes.kept) // 2
    return {"ms_ssim": float(ms_ssim(fakes.kept[:half], fakes.kept[half : 2 * half]).mean())}


def copies(quality: ImageQuality, fakes: Fakes) -> dict[str, float]:
    """Return the share of generated images that are copies of training images, by their pixels and their features."""
    fakes.nearest_pixels = nearest(pixels(fakes.kept), map(pixels, quality.data.once(500)))
    values = {"memorised_pixels": memorised(fakes.nearest_pixels, quality.training.pixel_limit)}
    if quality.features:
        near = nearest(fakes.features[: len(fakes.kept)], quality.training.features.split(500))
        values["memorised_features"] = memorised(near, quality.training.feature_limit)
    return values


def modes(quality: ImageQuality, fakes: Fakes) -> dict[str, float]:
    """Of stacked images: how many of all triples of classes were seen, and KL(their shares ‖ equal shares)."""
    assert isinstance(quality.data, Stacked)
    classes = quality.data.parts.classes
    triple = fakes.logits.argmax(-1) @ torch.tensor([classes**2, classes, 1])
    weights = torch.full((quality.data.modes,), 1 / quality.data.modes)
    return {"modes": float(len(triple.unique())), "mode_kl": mode_kl(triple, weights)}


@dataclass(frozen=True)
class Metric:
    """One entry of ``evaluation.metrics``."""

    measure: Callable[[ImageQuality, Fakes], dict[str, float]]
    gives: tuple[str, ...]  # the names of its values
    features: bool = True  # whether it needs a feature network


METRICS: dict[str, Metric] = {
    "fid": Metric(fid, ("fid",)),
    "fid_infinity": Metric(fid_at_infinity, ("fid_infinity", "fid_infinity_error")),
    "kid": Metric(kernel_distance, ("kid", "kid_std")),
    "is": Metric(score, ("is", "is_std")),
    "precision_recall": Metric(support, ("precision", "recall")),
    "density_coverage": Metric(robust_support, ("density", "coverage")),
    "sliced_wasserstein": Metric(sliced, ("sliced_wasserstein",), features=False),
    "ms_ssim": Metric(likeness, ("ms_ssim",), features=False),
    "memorised": Metric(copies, ("memorised_pixels", "memorised_features"), features=False),
    "modes": Metric(modes, ("modes", "mode_kl")),
}
NEED_STACKS, NEED_CLASSES = {"modes"}, {"is"}
