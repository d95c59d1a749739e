"""How a number was measured: everything that, changed, would change it, and a short hash of that."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

VERSION = 1  # of the definitions in gantrain.metrics and of the classifier's training; moved when a number would change


@dataclass(frozen=True)
class Protocol:
    """What was compared with what. Numbers of two protocols are never shown in one table or under one tag.

    Which metrics were asked for is not part of it: leaving one out does not change the others.
    """

    data: str  # digest of the real samples
    features: str  # inception | classifier | pixels (no network) | points
    network: str  # digest of the feature network's weights, "" if there is none
    resizer: str
    n_fake: int
    n_real: int
    split: str | None
    generator: str
    truncation: float | None
    seed: int
    kid_subsets: int
    kid_subset_size: int
    is_splits: int
    k_precision_recall: int
    k_density_coverage: int
    n_neighbours: int
    n_pool: int
    slices: int
    n_w2: int
    version: int = VERSION

    @property
    def hash(self) -> str:
        """Eight hexadecimal digits."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:8]

    @property
    def tag(self) -> str:
        """The first part of every name under which its numbers are recorded, like ``eval_classifier_1a2b3c4d``."""
        return f"eval_{self.features}_{self.hash}"

    def __str__(self) -> str:
        weights = f"{self.n_fake:,} of the {'averaged' if self.generator == 'ema' else 'raw'} generator"
        cut = "" if self.truncation is None else f", |z| ≤ {self.truncation:g}"
        split = "" if self.split is None else f" ({self.split})"
        return f"{self.features} {self.hash}: {weights}{cut} against {self.n_real:,} real{split}"
