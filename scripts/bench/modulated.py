"""Compare the two forms of StyleGAN2's modulated convolution, forward and backward, at 32×32 with a batch of 32.

    python scripts/bench/modulated.py                       on the CPU, 64, 256 and 512 channels
    python scripts/bench/modulated.py --device cuda --autocast bfloat16

Rounds of the two forms alternate; printed is the median of the ratios of their times, with the least and the largest.
"""

from __future__ import annotations

import argparse
import time
from contextlib import nullcontext
from statistics import median

import torch

from gantrain.architectures.stylegan2_layers import modulated

SIDE, BATCH = 32, 32


def main() -> None:
    """Measure and print a line for each width."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--autocast", choices=("float32", "bfloat16", "float16"), default="float32")
    parser.add_argument("--channels", type=int, nargs="+", default=[64, 256, 512])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    for channels in options.channels:
        times = [measured(options.device, options.autocast, channels) for _ in range(options.rounds + 1)][1:]
        ratios = sorted(by_groups / scaled for scaled, by_groups in times)
        print(
            f"{channels} channels, {options.autocast}: by groups takes {median(ratios):.2f} [{ratios[0]:.2f}, "
            f"{ratios[-1]:.2f}] of the time of scaled features ({median(scaled for scaled, _ in times):.3f} s)"
        )


def measured(device: str, autocast: str, channels: int) -> tuple[float, float]:
    """Return the seconds that scaled features and groups take, forward and backward."""
    x = torch.randn(BATCH, channels, SIDE, SIDE, device=device).to(memory_format=torch.channels_last)
    weight = torch.randn(channels, channels, 3, 3, device=device).to(memory_format=torch.channels_last)
    styles = torch.randn(BATCH, channels, device=device)
    inputs = x.requires_grad_(), weight.requires_grad_(), styles.requires_grad_()
    mixed = torch.autocast(device, getattr(torch, autocast)) if autocast != "float32" else nullcontext()
    seconds = []
    for by_groups in (False, True):
        synchronize(device)
        began = time.perf_counter()
        with mixed:
            h = modulated(*inputs, True, False, by_groups)
        torch.autograd.grad(h.float().square().sum(), inputs)
        synchronize(device)
        seconds.append(time.perf_counter() - began)
    return seconds[0], seconds[1]


def synchronize(device: str) -> None:
    """Wait for a GPU."""
    if device != "cpu":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
