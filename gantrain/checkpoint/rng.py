"""The global random number generators, as one thing that can be seeded, saved and restored."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

from gantrain.distributed import ALONE, Alone


class Rng:
    """The global random number generators of Python, numpy, and torch on the CPU and on one device.

    Of a game on several ranks, torch's own are what a rank draws for itself; beside them are those that all draw alike.

    Args:
        device: where the networks are.
        ranks: that play the game.
    """

    def __init__(self, device: torch.device, ranks: Alone = ALONE) -> None:
        self.device, self.ranks = device, ranks

    def seed(self, *seeds: int) -> None:
        """Seed all generators with one number, or with a hash of several."""
        seed = seeds[0] if len(seeds) == 1 else int(np.random.SeedSequence(seeds).generate_state(1, np.uint64)[0] >> 1)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)

    def divide(self, seed: int) -> None:
        """Let every rank draw numbers of its own from here on, but for those of the whole batch."""
        self.ranks.begin(self.device, seed)

    def state_dict(self) -> dict[str, Any]:
        """Return every generator's state; where there are several ranks, ``ranks`` has what each draws for itself."""
        name, key, *rest = np.random.get_state(legacy=True)
        state = {
            "python": random.getstate(),
            "numpy": (name, torch.from_numpy(np.asarray(key).astype(np.int64)), *rest),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
        }
        if (shared := self.ranks.generator) is None:
            return state
        own = "cuda" if self.device.type == "cuda" else "torch"
        return state | {own: shared.get_state(), "ranks": self.ranks.numbers()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore every generator; a state saved on another kind of device leaves the device's own generator alone."""
        random.setstate(state["python"])
        name, key, *rest = state["numpy"]
        np.random.set_state((name, key.numpy().astype(np.uint32), *rest))
        torch.set_rng_state(state["torch"])
        if state["cuda"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda"], self.device)
        self.ranks.set_numbers(state.get("ranks", []), self.device)
