"""The global random number generators, as one thing that can be seeded, saved and restored."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


class Rng:
    """The global random number generators of Python, numpy, and torch on the CPU and on one device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def seed(self, *seeds: int) -> None:
        """Seed all generators with one number, or with a hash of several."""
        seed = seeds[0] if len(seeds) == 1 else int(np.random.SeedSequence(seeds).generate_state(1, np.uint64)[0] >> 1)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)

    def state_dict(self) -> dict[str, Any]:
        """Return every generator's state."""
        name, key, *rest = np.random.get_state(legacy=True)
        return {
            "python": random.getstate(),
            "numpy": (name, torch.from_numpy(np.asarray(key).astype(np.int64)), *rest),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore every generator; a state saved on another kind of device leaves the device's own generator alone."""
        random.setstate(state["python"])
        name, key, *rest = state["numpy"]
        np.random.set_state((name, key.numpy().astype(np.uint32), *rest))
        torch.set_rng_state(state["torch"])
        if state["cuda"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda"], self.device)
