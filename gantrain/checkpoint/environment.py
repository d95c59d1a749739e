"""The facts beside the configuration that bit-exact repetition depends on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from gantrain.losses.arithmetic import has_tf32


def environment(device: torch.device, data: str) -> dict[str, Any]:
    """Return the facts by name; a resumed run prints those that have changed."""
    gpu = f" ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else ""
    return {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "device": f"{device}{gpu}",
        **({"tf32": has_tf32()} if device.type == "cuda" else {}),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "data": data,
    }


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the facts that differ, a phrase each."""
    return [f"{key} {before.get(key)} → {value}" for key, value in now.items() if before.get(key) != value]
