"""From the settings ``evaluation=…`` to the object that measures."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import torch
from omegaconf import OmegaConf

from gantrain.data import Data, Known, Stacked
from gantrain.errors import ConfigError, DataError
from gantrain.evaluation.cache import Cache
from gantrain.evaluation.classifier import Classifier
from gantrain.evaluation.features import Features
from gantrain.evaluation.images import LEAST, METRICS, NEED_CLASSES, NEED_CLASSIFIER, NEED_STACKS, ImageQuality
from gantrain.evaluation.inception import Inception
from gantrain.evaluation.metric import Metric, asked_for, joined
from gantrain.evaluation.points import PointQuality
from gantrain.evaluation.reference import reference
from gantrain.evaluation.signals import NEED_MODES, SignalQuality
from gantrain.evaluation.table import TableQuality
from gantrain.kinds import Images, Points, Signals
from gantrain.metrics import samples_for_infinity
from gantrain.run.directions import ranked
from gantrain.run.protocol import IMAGES_VERSION, POINTS_VERSION, SIGNALS_VERSION, TABLE_VERSION, Protocol
from gantrain.schema import ProtocolSettings
from gantrain.terminal import say

MOST = 10_000  # generated samples where n_fake is null and there are more real ones


VERSIONS = {
    **{"pixels": IMAGES_VERSION, "points": POINTS_VERSION},
    **{"signals": SIGNALS_VERSION, "table": TABLE_VERSION},
}

Quality = ImageQuality | PointQuality | SignalQuality
"""What measures samples of one kind."""
Wanted = Sequence[str | Metric]
"""What is to be measured: metrics by their names, or metrics of your own."""


def prepare(
    settings: Any, metrics: Wanted, data: Data, compared: Data, device: torch.device, live: bool
) -> Quality | None:
    """Return the object that measures; train or load the network and look at real samples, unless they are cached.

    Args:
        settings: the node ``evaluation`` of a configuration.
        metrics: its ``metrics``, those of your own built.
        data: what the generator is trained on.
        compared: what it is compared with; another split of the same, or the same.
        device: where the feature network runs.
        live: a training goes on, with a warning, without what cannot be had: the network's weights, or enough images.

    Raises:
        ConfigError: for settings that do not suit the data or each other.
        DataError: if the weights of the feature network are missing or mean nothing.
    """
    if settings.weights is not None and settings.features is None:
        raise ConfigError("evaluation.weights is given, but evaluation.features is null: no network is used")
    kind = compared.kind
    if settings.features is not None and not isinstance(kind, Images):
        raise ConfigError(f"evaluation.features={settings.features} is for images; use evaluation={kind.evaluation}")
    if isinstance(compared, Known) and isinstance(kind, Points):
        protocol = protocol_of(settings, compared, "points", None, settings.n_fake or MOST, settings.n_real or MOST)
        return checked(PointQuality(protocol, metrics, compared), settings)
    if isinstance(kind, Signals | Points) and (isinstance(kind, Signals) or compared.count is not None):
        return of_vectors(settings, metrics, data, compared, live)
    if compared.count is None or not isinstance(kind, Images):
        raise ConfigError(
            f"evaluation cannot measure {compared}: it is neither a set of images, signals or rows nor points of a "
            "known distribution; use evaluation=none"
        )
    if settings.features == "inception" and compared.shape[0] not in (1, 3):
        raise ConfigError(
            f"evaluation=inception is for gray or colour images, and these have {compared.shape[0]} channels; "
            "use evaluation=pixels, or evaluation=classifier with classes"
        )
    n_real = min(settings.n_real or compared.count, compared.count)
    n_fake = settings.n_fake or min(MOST, n_real)
    if too_few(n_real, kind.name, live):
        return None
    check_metrics(settings, metrics, data)
    check_counts(settings, n_fake, n_real)
    import torch_fidelity  # noqa: F401  (takes seconds, which would count as the first evaluation's)

    cache = Cache(settings.cache)
    try:
        features = network(settings, data, cache, device)
    except DataError as error:
        if not live:
            raise
        say(f"{error}. Training goes on; without features only pixels are compared")
        return without_features(settings, metrics, data, compared, device)
    protocol = protocol_of(settings, compared, "pixels", features, n_fake, n_real)
    look = (features, protocol.resizer, settings.slices, settings.n_pool, settings.seed, cache)
    real = reference(compared, n_real, *look)
    whole = compared is data and n_real == data.count  # copies are looked for among all that it was trained on
    training = real if whole else reference(data, data.count or 0, *look)
    metrics = without_infinity(settings, metrics, n_fake, real.features.shape[1])
    return checked(ImageQuality(protocol, metrics, data, features, real, training), settings)


def of_vectors(settings: Any, metrics: Wanted, data: Data, compared: Data, live: bool) -> Quality | None:
    """Return the object that measures signals, or rows of a table, as ``prepare`` does."""
    plain = "signals" if isinstance(compared.kind, Signals) else "table"
    n_real = settings.n_real or (MOST if compared.count is None else compared.count)
    n_real = min(n_real, compared.count or n_real)
    n_fake = settings.n_fake or min(MOST, n_real)
    if too_few(n_real, compared.kind.name, live):
        return None
    if data.count is None and settings.best == "memorised":
        raise ConfigError(f"evaluation.best=memorised: nothing can be copied from {data}, drawn fresh without end")
    for name in NEED_MODES.intersection(metric for metric in metrics if isinstance(metric, str)):
        if isinstance(compared.kind, Signals) and not isinstance(data, Known):
            raise ConfigError(f"evaluation.metrics: {name} needs data whose modes are known, like data=waves")
    check_counts(settings, n_fake, n_real)
    protocol = protocol_of(settings, compared, plain, None, n_fake, n_real)
    measures = {"signals": SignalQuality, "table": TableQuality}[plain]
    return checked(measures(protocol, metrics, data, compared), settings)


def too_few(n_real: int, name: str, live: bool) -> bool:
    """Tell whether there are too few real samples to measure by, with a warning.

    Raises:
        ConfigError: in place of the warning if no training goes on.
    """
    if n_real >= LEAST:
        return False
    reason = f"{n_real} real {name} are too few to measure anything by, {LEAST} are needed"
    if not live:
        raise ConfigError(reason)
    say(f"{reason}; training goes on without evaluation, as with evaluation=none")
    return True


def without_infinity(settings: Any, metrics: Wanted, n_fake: int, d: int) -> Wanted:
    """Return the metrics without ``fid_infinity``, with a warning, if it has too few samples of d features."""
    n, least = min(n_fake, settings.n_pool), samples_for_infinity(d)
    if "fid_infinity" not in metrics or n >= least:
        return metrics
    key = "n_fake" if n_fake < least else "n_pool"
    say(
        f"fid_infinity is left out: {n:,} samples of {d:,} features are too few to extrapolate from; "
        f"evaluation.{key}={least} or more is enough"
    )
    return [metric for metric in metrics if metric != "fid_infinity"]


def without_features(
    settings: Any, metrics: Wanted, data: Data, compared: Data, device: torch.device
) -> Quality | None:
    """Return an object that measures pixels alone, None if no such metric was asked for."""
    left = [metric for metric in metrics if not needs_features(metric)]
    best = settings.best if settings.best in joined(asked_for(left, METRICS, "images")) else None
    changed = OmegaConf.merge(settings, {"features": None, "weights": None, "best": best})
    return prepare(changed, left, data, compared, device, live=True) if left else None


def needs_features(metric: str | Metric) -> bool:
    """Tell whether a metric needs a feature network: one of your own says so by ``features = True``."""
    return bool(getattr(METRICS[metric] if isinstance(metric, str) else metric, "features", False))


def checked(quality: Quality, settings: Any) -> Quality:
    """Return ``quality``; raise ConfigError if it does not measure the value that the best step is chosen by."""
    known = ranked(quality.gives)
    if settings.best is not None and settings.best not in known:
        raise ConfigError(f"evaluation.best={settings.best} is not measured; there are {', '.join(known)}, or null")
    return quality


def check_metrics(settings: Any, metrics: Wanted, data: Data) -> None:
    """Raise ConfigError for a metric that cannot be measured on these images, or needs features that are missing."""
    for metric in metrics:
        asked_for([metric], METRICS, "images")
        name = metric if isinstance(metric, str) else type(metric).__name__
        if name in NEED_STACKS and not isinstance(data, Stacked):
            raise ConfigError(f"evaluation.metrics: {name} needs data whose modes are known, like data=stacked_digits")
        if name in NEED_CLASSES and isinstance(data, Stacked):
            raise ConfigError(f"evaluation.metrics: {name} needs one class per image, and {data} has three")
        if name in NEED_CLASSIFIER and settings.features not in (None, "classifier"):
            raise ConfigError(
                f"evaluation.metrics: {name} needs evaluation.features=classifier, which reads the classes"
            )
        if needs_features(metric) and settings.features is None:
            raise ConfigError(f"evaluation.metrics: {name} needs evaluation.features=classifier or inception")


def check_counts(settings: Any, n_fake: int, n_real: int) -> None:
    """Raise ConfigError for more neighbours or parts than there are samples for."""
    n = min(n_fake, n_real, settings.n_neighbours, settings.n_pool)
    for key in ("k_precision_recall", "k_density_coverage"):
        if settings[key] >= n:
            raise ConfigError(f"evaluation.{key}={settings[key]} must be below the number of samples, {n}")
    if settings.is_splits > n_fake // 10:
        raise ConfigError(f"evaluation.is_splits={settings.is_splits}: {n_fake} samples have at most {n_fake // 10}")


def network(settings: Any, data: Data, cache: Cache, device: torch.device) -> Features | None:
    """Return the feature network, None for pixels alone."""
    makers: dict[str, Callable[[], Features]] = {
        "inception": lambda: Inception(settings.weights, settings.resizer, device),
        "classifier": lambda: Classifier(data, settings.weights, cache, device),
    }
    return None if settings.features is None else makers[settings.features]()


def protocol_of(
    settings: Any, compared: Data, plain: str, features: Features | None, n_fake: int, n_real: int
) -> Protocol:
    """Return the protocol of settings, data and network; ``plain`` is its name without a network."""
    return Protocol(
        data=hashlib.sha256(compared.identity().encode()).hexdigest()[:12],
        features=features.name if features else plain,
        network=features.digest if features else "",
        resizer=features.resizer if features else Features.resizer,
        n_fake=n_fake,
        n_real=n_real,
        version=VERSIONS[plain],
        **{entry.name: settings[entry.name] for entry in fields(ProtocolSettings)},
    )
