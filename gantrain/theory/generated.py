"""Known distributions in place of the generator's samples, so that the optimal discriminator can be computed."""

from __future__ import annotations

import numpy as np

from gantrain.data import Known, Mixture
from gantrain.errors import ConfigError


class OneGaussian(Mixture):
    """A single Gaussian, like a generator at the start of its training.

    Args:
        data: the real distribution, which gives the number of dimensions.
        std: standard deviation; None for that of the data.
        shift: distance from the data's mean, along the first axis.
    """

    def __init__(self, data: Known, std: float | None, shift: float) -> None:
        mean = data.weights @ data.centers
        if std is not None and not std > 0:
            raise ConfigError(f"generated.std must be above 0, or null, got {std}")
        if std is None:
            spread = data.weights @ (data.centers - mean) ** 2
            std = float(np.sqrt(spread.mean() + data.std**2))
        super().__init__([mean + shift * np.eye(len(mean))[0]], std)


class Moved(Mixture):
    """Places of the data, with its noise around them; of a curve these are many.

    Args:
        data: the real distribution.
        kept: which of its places (K,) bool.
        by: how far they are moved (d,).
        words: what is done to a curve.
    """

    def __init__(self, data: Known, kept: np.ndarray, by: np.ndarray, words: str) -> None:
        super().__init__(data.centers[kept] + by, data.std, list(data.weights[kept]))
        self.words = "" if isinstance(data, Mixture) else f"{data}, {words}"

    def __str__(self) -> str:
        return self.words or super().__str__()


class FewerModes(Moved):
    """The data with only its first ``modes`` components or curves: like a generator that dropped the others."""

    def __init__(self, data: Known, modes: int) -> None:
        if not 1 <= modes <= len(data.mode_shares):
            raise ConfigError(f"generated.modes must lie between 1 and {len(data.mode_shares)}, got {modes}")
        super().__init__(data, data.mode_of < modes, np.zeros(data.shape), f"the first {modes} alone")


class Shifted(Moved):
    """The data, shifted by ``shift`` along the first axis."""

    def __init__(self, data: Known, shift: float) -> None:
        along = shift * np.eye(data.centers.shape[1])[0]
        super().__init__(data, np.ones(len(data.centers), dtype=bool), along, f"shifted by {shift:g}")
