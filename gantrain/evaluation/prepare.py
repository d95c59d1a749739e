"""From the settings ``evaluation=…`` to what measures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from gantrain.data import Data, Mixture
from gantrain.errors import ConfigError, DataError
from gantrain.evaluation.cache import Cache
from gantrain.evaluation.classifier import Classifier
from gantrain.evaluation.features import Features
from gantrain.evaluation.images import ImageQuality
from gantrain.evaluation.inception import Inception
from gantrain.evaluation.points import PointQuality
from gantrain.evaluation.protocol import Protocol
from gantrain.evaluation.reference import reference
from gantrain.progress import say

MOST = 10_000  # generated samples where n_fake is null and there are more real ones


def prepare(
    settings: Any, data: Data, compared: Data, device: torch.device, without_network: bool = False
) -> ImageQuality | PointQuality:
    """Return what measures: trains, loads and looks at real samples as far as the cache does not have it.

    Args:
        settings: the node ``evaluation`` of a configuration.
        data: what the generator is trained on.
        compared: what it is compared with; another split of the same, or the same.
        device: where the feature network runs.
        without_network: go on with the metrics that need none, and a warning, if the network's weights are missing.

    Raises:
        ConfigError: for settings that do not suit the data.
        DataError: if the weights of the feature network are missing.
    """
    if isinstance(compared, Mixture):
        if settings.features is not None:
            raise ConfigError(f"evaluation.features={settings.features} is for images; use evaluation=points")
        protocol = protocol_of(settings, "points", "", settings.n_fake or MOST, settings.n_real or MOST)
        return PointQuality(protocol, settings.metrics, compared)
    if compared.count is None or len(compared.shape) != 3:
        raise ConfigError(f"evaluation cannot measure {compared}: it is neither images nor a known mixture")
    import torch_fidelity  # noqa: F401  (takes seconds, which would count as the first evaluation's)

    cache = Cache(settings.cache)
    features = None
    try:
        features = network(settings, data, cache, device)
    except DataError as error:
        if not without_network:
            raise
        say(f"{error}. Training goes on; without them only pixels are compared")
    n_real = min(settings.n_real or compared.count, compared.count)
    n_fake = settings.n_fake or min(MOST, n_real)
    name = features.name if features else "pixels"
    protocol = protocol_of(settings, name, features.digest if features else "", n_fake, n_real)
    look = (features, settings.resizer, settings.slices, settings.seed, cache)
    real = reference(compared, n_real, *look)
    training = real if compared is data else reference(data, min(data.count or 0, MOST * 10), *look)
    return ImageQuality(protocol, settings.metrics, data, features, real, training)


def network(settings: Any, data: Data, cache: Cache, device: torch.device) -> Features | None:
    """Return the feature network, None for pixels alone."""
    makers: dict[str, Callable[[], Features]] = {
        "inception": lambda: Inception(settings.weights, settings.resizer, device),
        "classifier": lambda: Classifier(data, settings.weights, cache, device),
    }
    if settings.features is None:
        return None
    if settings.features not in makers:
        raise ConfigError(f"evaluation.features must be one of {', '.join(makers)} or null, got {settings.features}")
    return makers[settings.features]()


def protocol_of(settings: Any, features: str, digest: str, n_fake: int, n_real: int) -> Protocol:
    """Return the protocol of settings, with what is only known now."""
    as_they_are = (
        *("split", "generator", "truncation", "seed", "resizer", "kid_subsets", "kid_subset_size", "is_splits"),
        *("k_precision_recall", "k_density_coverage", "n_neighbours", "slices", "n_w2"),
    )
    same = {name: getattr(settings, name) for name in as_they_are}
    return Protocol(features=features, network=digest, n_fake=n_fake, n_real=n_real, **same)
