"""The facts beside the configuration that bit-exact repetition depends on."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gantrain.losses.arithmetic import has_tf32


def environment(device: torch.device, data: str, ranks: int = 1) -> dict[str, Any]:
    """Return the facts by name; a resumed run prints those that have changed."""
    gpu = f" ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else ""
    return {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "device": f"{device}{gpu}",
        **({"tf32": has_tf32()} if device.type == "cuda" else {}),
        "ranks": ranks,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "data": data,
    }


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the facts that differ, a phrase each; checkpoints of before name neither the processor nor the ranks."""
    before = {"ranks": 1, **before}
    known = {key: value for key, value in now.items() if key in before or key != "processor"}
    return [f"{key} {before.get(key)} → {value}" for key, value in known.items() if before.get(key) != value]


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor's model: two that have the same instructions may still round differently.

    Args:
        cpuinfo: what Linux says about the processor; elsewhere the system's own word.
    """
    try:
        lines = cpuinfo.read_text(errors="replace").split("\n\n")[0].splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    numbers = [facts[key] for key in ("cpu family", "model", "stepping") if key in facts]
    name = facts.get("model name") or platform.machine()
    return f"{name} {'.'.join(numbers)}".rstrip()
