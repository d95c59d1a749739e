"""Two small games in which a regularizer is tried: points in the plane, and images whose D scores patches."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from gantrain.losses.loss import Loss
from gantrain.losses.turn import Critic, Precision, Turn
from gantrain.losses.wasserstein import Wasserstein
from gantrain.testing.proof import seeded

CPU = Precision(torch.device("cpu"))


class Network(nn.Module):
    """Layers in a row, called as gantrain calls both networks: (input, labels)."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return samples (N, *shape) of latents (N, 5), or scores (N, …) of samples."""
        result: Tensor = self.layers(x)
        return result

    def encode(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the numbers before the last layer as codes (N, k), for a regularizer of codes."""
        code: Tensor = self.layers[:-1](x).flatten(1)
        return code


@dataclass
class World:
    """A pair of networks without normalization, smooth everywhere, and what they play with."""

    name: str
    d: nn.Module
    g: nn.Module
    real: Tensor  # (N, *shape)
    latents: Tensor  # (N, 5)

    def copy(self, dtype: torch.dtype = torch.float64, scale: float = 1.0) -> World:
        """Return the same world with networks of its own, in ``dtype``, their weights ``scale`` times as large."""
        d, g = copy.deepcopy(self.d).to(dtype), copy.deepcopy(self.g).to(dtype)
        with torch.no_grad():
            for weight in (*d.parameters(), *g.parameters()):
                weight.mul_(scale)
        return World(self.name, d, g, self.real.to(dtype), self.latents.to(dtype))

    def of_one(self) -> World:
        """Return the same world with batches of one sample."""
        return replace(self, real=self.real[:1], latents=self.latents[:1])

    def d_turn(self, regularizer: nn.Module, index: int) -> tuple[Tensor | None, Turn]:
        """Return the regularizer's term of D's turn, and the turn with D's scores, as a training makes them."""
        with torch.no_grad():
            fake = self.g(self.latents)
        cost = Loss(Wasserstein(), {"term": regularizer}).for_d(self.turn(fake, index))
        return cost.terms.get("term"), cost.turn

    def g_turn(self, regularizer: nn.Module, index: int) -> Tensor | None:
        """Return the regularizer's term of G's turn, through a D whose weights are frozen, as in a training."""
        self.d.requires_grad_(False)
        try:
            cost = Loss(Wasserstein(), {"term": regularizer}).for_g(self.turn(self.g(self.latents), index))
        finally:
            self.d.requires_grad_(True)
        return cost.terms.get("term")

    def turn(self, fake: Tensor, index: int) -> Turn:
        """Return what a player sees."""
        return Turn(Critic(self.d, CPU, CPU.forward), self.g, self.real, fake, index, measure=False)


def worlds() -> list[World]:
    """Return points in the plane, and images of 1 × 8 × 8 whose D scores 2 × 2 patches; the same on every call."""
    with seeded(1):
        points = World(
            "points",
            d=Network(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1)),
            g=Network(nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 2)),
            real=torch.randn(6, 2),
            latents=torch.randn(6, 5),
        )
        images = World(
            "images",
            d=Network(nn.Conv2d(1, 4, 4, 2, 1), nn.Tanh(), nn.Conv2d(4, 1, 4, 2, 1)),
            g=Network(
                nn.Linear(5, 64), nn.Tanh(), nn.Unflatten(1, (4, 4, 4)), nn.ConvTranspose2d(4, 1, 4, 2, 1), nn.Tanh()
            ),
            real=torch.rand(6, 1, 8, 8) * 2 - 1,
            latents=torch.randn(6, 5),
        )
    return [points, images]
