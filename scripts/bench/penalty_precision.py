"""Measure the error that half precision makes in a gradient penalty, against float32.

    python scripts/bench/penalty_precision.py            on the CPU; --device cuda on a GPU

Each penalty alone, for the MLP on the ring and the DCGAN on 32×32 images, at initial weights: its gradient by D's
parameters with the penalty in float32 (the default, inside autocast or not) and in the half-precision dtype
(as with precision.penalty=bfloat16), relative to the norm of the exact one; median of ten batches.
"""

from __future__ import annotations

import argparse
from statistics import median

import torch
from torch import Tensor, nn

from gantrain.architectures import dcgan, mlp
from gantrain.losses.turn import Critic, Precision, Turn
from gantrain.regularizers import R1, Dragan, GradientPenalty

PENALTIES = {
    "gradient_penalty": GradientPenalty(10.0),
    "dragan": Dragan(10.0, slope=1.0, scale=0.5),
    "r1": R1(10.0),
}


def gradient(penalty: nn.Module, d: nn.Module, precision: Precision, real: Tensor, fake: Tensor) -> Tensor:
    """Return the penalty's gradient by all parameters of D, as one vector; the same points for the same seed."""
    torch.manual_seed(0)
    turn = Turn(Critic(d, precision, precision.forward), nn.Identity(), real, fake, 0)
    with precision.autocast(precision.forward):
        term = penalty.for_d(turn)
    parts = torch.autograd.grad(term, list(d.parameters()), allow_unused=True, materialize_grads=True)
    return torch.cat([part.double().flatten() for part in parts])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    device = torch.device(parser.parse_args().device)
    torch.manual_seed(0)
    networks: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
        "MLP, points": (mlp.Discriminator((2,), 0, 128, 3, "none"), (256, 2)),
        "DCGAN, 32×32": (dcgan.Discriminator((3, 32, 32), 0, 64, 512, "none"), (64, 3, 32, 32)),
    }
    print("| network | penalty | format | penalty in float32 | penalty in the half format |\n|---|---|---|---|---|")
    for network, (d, shape) in networks.items():
        d.to(device)
        for name, penalty in PENALTIES.items():
            for half in (torch.bfloat16, torch.float16):
                errors: dict[str, list[float]] = {"float32": [], "half": []}
                for batch in range(10):
                    torch.manual_seed(batch + 1)
                    real, fake = torch.randn(2, *shape, device=device)
                    exact = gradient(penalty, d, Precision(device), real, fake)
                    for kind, dtype in (("float32", torch.float32), ("half", half)):
                        found = gradient(penalty, d, Precision(device, half, dtype), real, fake)
                        errors[kind].append(((found - exact).norm() / exact.norm()).item())
                cells = " | ".join(f"{median(errors[kind]):.1e}" for kind in ("float32", "half"))
                print(f"| {network} | `{name}` | {str(half).removeprefix('torch.')} | {cells} |")


if __name__ == "__main__":
    main()
