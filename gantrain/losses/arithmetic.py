"""What float32 and bfloat16 mean and cost on a device: the one place that knows torch's names for that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

SWITCHES: tuple[Any, ...] = (torch.backends.cudnn, torch.backends.cuda.matmul)
"""Of convolutions and of products. torch's newer ``fp32_precision`` must not be set beside their ``allow_tf32``, which
torch.export reads and which then raises.
"""


def set_tf32(wanted: bool) -> None:
    """Let convolutions and matrix products of float32 on a GPU round their factors to TF32's 10 bits, or not.

    torch's own default is TF32 in convolutions and not in products. A CPU is not concerned.
    """
    for switch in SWITCHES:
        switch.allow_tf32 = wanted


@contextmanager
def full_precision() -> Iterator[None]:
    """Switch TF32 off inside the block: with it a GPU's features differ from a CPU's by more than rounding."""
    before = [switch.allow_tf32 for switch in SWITCHES]
    set_tf32(False)
    try:
        yield
    finally:
        for switch, allowed in zip(SWITCHES, before, strict=True):
            switch.allow_tf32 = allowed


@contextmanager
def kept() -> Iterator[None]:
    """Set TF32, and whether a CPU flushes numbers below 1e-38 to 0, after the block to what they were before it."""
    flushes = not (torch.tensor([1e-40]) * 1).any()  # torch does not tell
    before = [switch.allow_tf32 for switch in SWITCHES]
    try:
        yield
    finally:
        torch.set_flush_denormal(flushes)
        for switch, allowed in zip(SWITCHES, before, strict=True):
            switch.allow_tf32 = allowed


def has_tf32() -> bool:
    """Tell whether convolutions and matrix products of float32 are in TF32 now."""
    return all(switch.allow_tf32 for switch in SWITCHES)


def fastest_format(device: torch.device) -> str:
    """Return the format in which networks train fastest there without a scaler: bfloat16 or float32."""
    return "bfloat16" if bfloat16_pays(device) else "float32"


def bfloat16_pays(device: torch.device) -> bool:
    """Tell whether a device multiplies bfloat16 faster than float32: GPUs from Ampere on, CPUs with AMX."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return bool(torch.cpu._is_amx_tile_supported())
