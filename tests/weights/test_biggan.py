"""Weights in the layout of ajbrock/BigGAN-PyTorch: our networks give what that layout's description says."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, batch_norm, conv2d, interpolate, linear, max_pool2d, normalize

from gantrain.architectures import biggan
from scripts.weights import biggan as weights

State = dict[str, Tensor]
CLASSES, CH, EPS = 5, 2, 1e-12


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape) / max(shape[-1], 1) ** 0.5


def spectral(state: State, name: str, *shape: int, bias: bool = True) -> None:
    """A layer as their SNConv2d, SNLinear and SNEmbedding store it; sv0 is wrong on purpose: it is for the log."""
    state |= {f"{name}.weight": draw(*shape), f"{name}.u0": torch.randn(1, shape[0]), f"{name}.sv0": torch.rand(1)}
    if bias:
        state[f"{name}.bias"] = draw(shape[0])


def statistics(state: State, name: str, channels: int) -> None:
    state |= {f"{name}.stored_mean": torch.randn(channels) / 2, f"{name}.stored_var": torch.rand(channels) + 0.5}


def attention(state: State, name: str, c: int) -> None:
    for part, shape in (("theta", (c // 8, c)), ("phi", (c // 8, c)), ("g", (c // 2, c)), ("o", (c, c // 2))):
        spectral(state, f"{name}.{part}", *shape, 1, 1, bias=False)
    state[f"{name}.gamma"] = torch.tensor(0.7)


def their_generator(table: list[int], z: int, shared: int, chunks: bool, attending: int | None) -> State:
    """Random weights under the names and in the shapes of their Generator."""
    state: State = {}
    chunk = z // len(table) if chunks else z
    if shared:
        state["shared.weight"] = draw(CLASSES, shared)
    spectral(state, "linear", table[0] * CH * 16, chunk)
    for k, (i, o) in enumerate(pairwise(table)):
        name, (i, o) = f"blocks.{k}.0", (i * CH, o * CH)
        for conv, shape in (("conv1", (o, i, 3, 3)), ("conv2", (o, o, 3, 3)), ("conv_sc", (o, i, 1, 1))):
            spectral(state, f"{name}.{conv}", *shape)
        for bn, c in (("bn1", i), ("bn2", o)):
            statistics(state, f"{name}.{bn}", c)
            for part in ("gain", "bias"):
                if shared:
                    spectral(state, f"{name}.{bn}.{part}", c, shared + (chunk if chunks else 0), bias=False)
                else:
                    state[f"{name}.{bn}.{part}.weight"] = draw(CLASSES, c)
        if 8 * 2**k == attending:
            attention(state, f"blocks.{k}.1", o)
    statistics(state, "output_layer.0", table[-1] * CH)
    state |= {"output_layer.0.gain": draw(table[-1] * CH), "output_layer.0.bias": draw(table[-1] * CH)}
    spectral(state, "output_layer.2", 3, table[-1] * CH, 3, 3)
    return state


def their_discriminator(table: list[int], halve: list[bool], attending: int | None, side: int) -> State:
    state: State = {}
    for k, (i, o) in enumerate(zip([3, *(CH * c for c in table)], (CH * c for c in table), strict=False)):
        for conv, shape in (("conv1", (o, i, 3, 3)), ("conv2", (o, o, 3, 3))):
            spectral(state, f"blocks.{k}.0.{conv}", *shape)
        if i != o or halve[k]:
            spectral(state, f"blocks.{k}.0.conv_sc", o, i, 1, 1)
        side //= 2 if halve[k] else 1
        if side == attending:
            attention(state, f"blocks.{k}.1", o)
            attending = None
    spectral(state, "linear", 1, CH * table[-1])
    spectral(state, "embed", CLASSES, CH * table[-1], bias=False)
    return state


class Theirs:
    """The published description in that layout, without a module: one power iteration from u0, then W / σ."""

    def __init__(self, state: State) -> None:
        self.state = state

    def weight(self, name: str) -> Tensor:
        weight = self.state[f"{name}.weight"]
        if f"{name}.u0" not in self.state:
            return weight
        matrix = weight.reshape(len(weight), -1)
        v = normalize(self.state[f"{name}.u0"] @ matrix, eps=EPS)
        u = normalize(v @ matrix.T, eps=EPS)
        return weight / (v @ matrix.T @ u.T)

    def conv(self, name: str, x: Tensor) -> Tensor:
        weight = self.weight(name)
        return conv2d(x, weight, self.state.get(f"{name}.bias"), padding=weight.shape[-1] // 2)

    def normed(self, name: str, x: Tensor) -> Tensor:
        return batch_norm(x, self.state[f"{name}.stored_mean"], self.state[f"{name}.stored_var"], eps=1e-5)

    def conditional(self, name: str, x: Tensor, y: Tensor) -> Tensor:
        gain, bias = (
            self.weight(f"{name}.{part}")[y] if y.ndim == 1 else linear(y, self.weight(f"{name}.{part}"))
            for part in ("gain", "bias")
        )
        return self.normed(name, x) * (1 + gain)[:, :, None, None] + bias[:, :, None, None]

    def attend(self, name: str, x: Tensor) -> Tensor:
        if f"{name}.gamma" not in self.state:
            return x
        n, c, h, w = x.shape
        theta = self.conv(f"{name}.theta", x).reshape(n, c // 8, h * w)
        phi = max_pool2d(self.conv(f"{name}.phi", x), 2).reshape(n, c // 8, h * w // 4)
        g = max_pool2d(self.conv(f"{name}.g", x), 2).reshape(n, c // 2, h * w // 4)
        beta = torch.einsum("ncp,ncq->npq", theta, phi).softmax(-1)
        return x + self.state[f"{name}.gamma"] * self.conv(
            f"{name}.o", torch.einsum("ncq,npq->ncp", g, beta).reshape(n, c // 2, h, w)
        )

    def blocks(self) -> int:
        return len({key.split(".")[1] for key in self.state if key.startswith("blocks.")})

    def generate(self, z: Tensor, labels: Tensor, chunks: bool) -> Tensor:
        y = self.state["shared.weight"][labels] if "shared.weight" in self.state else labels
        first, *rest = z.split(z.shape[1] // (self.blocks() + 1), 1) if chunks else [z]
        h = linear(first, self.weight("linear"), self.state["linear.bias"]).reshape(len(z), -1, 4, 4)
        for k in range(self.blocks()):
            name, told = f"blocks.{k}.0", torch.cat([y, rest[k]], 1) if chunks else y
            a = interpolate(self.conditional(f"{name}.bn1", h, told).relu(), scale_factor=2)
            a = self.conv(f"{name}.conv2", self.conditional(f"{name}.bn2", self.conv(f"{name}.conv1", a), told).relu())
            h = self.attend(f"blocks.{k}.1", a + self.conv(f"{name}.conv_sc", interpolate(h, scale_factor=2)))
        gain, bias = (self.state[f"output_layer.0.{part}"][:, None, None] for part in ("gain", "bias"))
        return self.conv("output_layer.2", (self.normed("output_layer.0", h) * gain + bias).relu()).tanh()

    def score(self, x: Tensor, labels: Tensor, halve: list[bool]) -> Tensor:
        for k in range(self.blocks()):
            name = f"blocks.{k}.0"
            a = self.conv(f"{name}.conv2", self.conv(f"{name}.conv1", x.relu() if k else x).relu())
            shortcut = avg_pool2d(x, 2) if halve[k] and not k else x
            shortcut = self.conv(f"{name}.conv_sc", shortcut) if f"{name}.conv_sc.weight" in self.state else shortcut
            if halve[k]:
                a, shortcut = avg_pool2d(a, 2), avg_pool2d(shortcut, 2) if k else shortcut
            x = self.attend(f"blocks.{k}.1", a + shortcut)
        h = x.relu().sum((2, 3))
        out = linear(h, self.weight("linear"), self.state["linear.bias"])
        return out + (self.weight("embed")[labels] * h).sum(1, keepdim=True)


SETTINGS = [
    (32, [4, 4, 4, 4], 6, 0, False, None),  # as their script for CIFAR-10
    (32, [4, 4, 4, 4], 8, 7, True, 16),  # as StudioGAN
    (64, [16, 16, 8, 4, 2], 15, 7, True, 32),  # as their scripts for ImageNet
    (64, [16, 16, 8, 4, 2], 6, 7, False, None),  # --G_shared without --hier
]


@pytest.mark.parametrize(("side", "table", "z", "shared", "chunks", "attending"), SETTINGS)
def test_a_generators_weights_give_its_samples(
    side: int, table: list[int], z: int, shared: int, chunks: bool, attending: int | None
) -> None:
    state = their_generator(table, z, shared, chunks, attending)
    g = biggan.Generator(
        (3, side, side), CLASSES, z, CH, None, attending, shared or None, chunks, "N02", True, "batch_norm"
    )
    g.load_state_dict(weights.generator(state))
    latents, labels = torch.randn(3, z), torch.tensor([0, 3, 1])
    expected = Theirs(state).generate(latents, labels, chunks)
    assert 0.05 < expected.std() < 0.95  # neither grey nor saturated
    torch.testing.assert_close(g.eval()(latents, labels), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("side", "table", "halve", "attending"),
    [
        (32, [4, 4, 4, 4], [True, True, False, False], None),
        (32, [4, 4, 4, 4], [True, True, False, False], 8),
        (64, [1, 2, 4, 8, 16], [True] * 4 + [False], 8),
    ],
)
def test_a_discriminators_weights_give_its_scores(
    side: int, table: list[int], halve: list[bool], attending: int | None
) -> None:
    state = their_discriminator(table, halve, attending, side)
    d = biggan.Discriminator(
        (3, side, side), CLASSES, CH, None, "spectral", attending, "N02", conditioning="projection"
    )
    d.load_state_dict(weights.discriminator(state))
    images, labels = torch.rand(3, 3, side, side) * 2 - 1, torch.tensor([0, 3, 1])
    expected = Theirs(state).score(images, labels, halve)
    assert expected.std() > 1e-2
    torch.testing.assert_close(d.eval()(images, labels), expected, rtol=1e-5, atol=1e-5)


def test_their_power_iteration_counts() -> None:
    """Without the iteration that evaluation makes there, σ would be another one: the stored u is an early one."""
    weight, u = draw(6, 4, 3, 3), torch.randn(1, 6)
    found = weights.normalised("w", weight, u)
    v = normalize(u @ weight.flatten(1))
    early = (normalize(u) @ weight.flatten(1) @ v.T).item()
    sigma = (found["w.0._u"] @ weight.flatten(1) @ found["w.0._v"]).item()
    assert sigma > early * 1.001 and sigma <= torch.linalg.svdvals(weight.flatten(1))[0] * 1.000001
