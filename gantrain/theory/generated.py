"""Known distributions in place of the generator's samples, so that the optimal discriminator can be computed."""

from __future__ import annotations

import numpy as np

from gantrain.data import Mixture
from gantrain.errors import ConfigError


class OneGaussian(Mixture):
    """A single Gaussian, like a generator at the start of its training.

    Args:
        data: the real distribution, which gives the number of dimensions.
        std: standard deviation; None for that of the data.
        shift: distance from the data's mean, along the first axis.
    """

    def __init__(self, data: Mixture, std: float | None, shift: float) -> None:
        mean = data.weights @ data.centers
        if std is not None and not std > 0:
            raise ConfigError(f"generated.std must be above 0, or null, got {std}")
        if std is None:
            spread = data.weights @ (data.centers - mean) ** 2
            std = float(np.sqrt(spread.mean() + data.std**2))
        super().__init__([mean + shift * np.eye(len(mean))[0]], std)


class FewerModes(Mixture):
    """The data with only its first ``modes`` components: like a generator that dropped the others."""

    def __init__(self, data: Mixture, modes: int) -> None:
        if not 1 <= modes <= len(data.centers):
            raise ConfigError(f"generated.modes must lie between 1 and {len(data.centers)}, got {modes}")
        super().__init__(data.centers[:modes], data.std, list(data.weights[:modes]))


class Shifted(Mixture):
    """The data, shifted by ``shift`` along the first axis."""

    def __init__(self, data: Mixture, shift: float) -> None:
        super().__init__(data.centers + shift * np.eye(data.centers.shape[1])[0], data.std, list(data.weights))
