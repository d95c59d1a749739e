"""Two small games in which a regularizer is tried: points in the plane, and images whose D scores patches."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from gantrain.inputs import Codes
from gantrain.losses.loss import Loss
from gantrain.losses.turn import Critic, Precision, Turn
from gantrain.losses.wasserstein import Wasserstein
from gantrain.testing.proof import seeded

CPU = Precision(torch.device("cpu"))


CLASSES = 4
"""Logits of the Ds that tell classes: those of four, or the real and the generated samples of two."""


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

    def styles(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the numbers (N, 1, k) after the first two layers, for a regularizer of a G in two halves."""
        w: Tensor = self.layers[:2](z)
        return w[:, None]

    def synthesis(self, styles: Tensor) -> Tensor:
        """Return the samples that the other layers make of them."""
        result: Tensor = self.layers[2:](styles.flatten(1))
        return result


class Telling(nn.Module):
    """A D that gives scores, logits and codes of length 1, all of them of one network's codes (N, k).

    Args:
        network: whose scores and codes it takes.
        k: length of the codes.
    """

    def __init__(self, network: Network, k: int) -> None:
        super().__init__()
        self.network, self.logits = network, nn.Linear(k, CLASSES, bias=False)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Return the three."""
        code = normalize(self.network.encode(x), dim=1)
        return self.network(x), self.logits(code), code


class Guessing(nn.Module):
    """A D that gives scores and guesses of the codes in z, both of one network's codes (N, k).

    Args:
        network: whose scores and codes it takes.
        k: length of the codes.
        numbers: how many it guesses.
    """

    def __init__(self, network: Network, k: int, numbers: int) -> None:
        super().__init__()
        self.network, self.guesses = network, nn.Linear(k, numbers)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, None, None, Tensor]:
        """Return both, each in its place of a ``Verdict``."""
        return self.network(x), None, None, self.guesses(self.network.encode(x))


@dataclass
class World:
    """A pair of networks without normalization, smooth everywhere, and what they play with."""

    name: str
    d: nn.Module
    g: nn.Module
    real: Tensor  # (N, *shape)
    latents: Tensor  # (N, 5), or as long as codes need
    labels: Tensor | None = None  # (N,) int64

    def copy(self, dtype: torch.dtype = torch.float64, scale: float = 1.0) -> World:
        """Return the same world with networks of its own, in ``dtype``, their weights ``scale`` times as large."""
        d, g = copy.deepcopy(self.d).to(dtype), copy.deepcopy(self.g).to(dtype)
        with torch.no_grad():
            for weight in (*d.parameters(), *g.parameters()):
                weight.mul_(scale)
        return World(self.name, d, g, self.real.to(dtype), self.latents.to(dtype), self.labels)

    def of_one(self) -> World:
        """Return the same world with batches of one sample."""
        labels = None if self.labels is None else self.labels[:1]
        return replace(self, real=self.real[:1], latents=self.latents[:1], labels=labels)

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
        critic = Critic(self.d, CPU, CPU.forward, self.labels)
        return Turn(critic, self.g, self.real, fake, index, measure=False, z=self.latents)


def worlds(latent_dim: int = 5) -> list[World]:
    """Return points in the plane, and images of 1 × 8 × 8 whose D scores 2 × 2 patches; the same on every call."""
    with seeded(1):
        points = World(
            "points",
            d=Network(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1)),
            g=Network(nn.Linear(latent_dim, 16), nn.Tanh(), nn.Linear(16, 2)),
            real=torch.randn(6, 2),
            latents=torch.randn(6, latent_dim),
        )
        images = World(
            "images",
            d=Network(nn.Conv2d(1, 4, 4, 2, 1), nn.Tanh(), nn.Conv2d(4, 1, 4, 2, 1)),
            g=Network(
                *(nn.Linear(latent_dim, 64), nn.Tanh(), nn.Unflatten(1, (4, 4, 4))),
                *(nn.ConvTranspose2d(4, 1, 4, 2, 1), nn.Tanh()),
            ),
            real=torch.rand(6, 1, 8, 8) * 2 - 1,
            latents=torch.randn(6, latent_dim),
        )
    return [points, images]


def worlds_of_classes() -> list[World]:
    """Return the same worlds with two classes and a D that tells them."""
    labels = torch.tensor([0, 1, 1, 0, 1, 0])
    with seeded(2):
        return [
            replace(world, d=Telling(world.d, k), labels=labels)
            for world, k in zip(worlds(), (16, 64), strict=True)
            if isinstance(world.d, Network)
        ]


def worlds_of_codes(categories: Sequence[int], continuous: int) -> list[World]:
    """Return the same worlds with codes in z, beside three numbers of noise, and a D that guesses them."""
    numbers = sum(categories) + continuous
    latents = Codes(3 + numbers, categories, continuous).fixed(6, seed=3)
    with seeded(4):
        return [
            replace(world, d=Guessing(world.d, k, numbers), latents=latents)
            for world, k in zip(worlds(3 + numbers), (16, 64), strict=True)
            if isinstance(world.d, Network)
        ]
