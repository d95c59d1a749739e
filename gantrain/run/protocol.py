"""How a number was measured: everything that, changed, would change it, and a short hash of that."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from gantrain.run.read import described
from gantrain.schema import ProtocolSettings

IMAGES_VERSION, POINTS_VERSION, SIGNALS_VERSION, TABLE_VERSION = 2, 1, 1, 1
"""Of the definitions by which images, points, signals and tables are measured: moved when a number would change."""


@dataclass(kw_only=True)
class Protocol(ProtocolSettings):
    """What was compared with what. Numbers of two protocols are never shown in one table or under one tag.

    Which metrics were asked for is not part of it: leaving one out does not change the others.
    """

    data: str  # digest of the real samples
    features: str  # inception | classifier | pixels (no network) | points | signals | table
    network: str  # digest of the feature network's weights, "" if there is none
    resizer: str
    n_fake: int
    n_real: int
    version: int = IMAGES_VERSION

    @property
    def hash(self) -> str:
        """Eight hexadecimal digits."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:8]

    @property
    def tag(self) -> str:
        """The first part of every name under which its numbers are recorded, like ``eval_classifier_1a2b3c4d``."""
        return f"eval_{self.features}_{self.hash}"

    def recorded(self) -> dict[str, Any]:
        """Return everything, with the hash, as ``evaluation.json`` holds it."""
        return {"hash": self.hash, **asdict(self)}

    def __str__(self) -> str:
        return described(self.recorded())
