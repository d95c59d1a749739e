"""Weights in the layout of NVlabs/stylegan2-ada-pytorch: our networks give what that layout's description says.

The reference is the general route: zeros between pixels, the filter, and then the convolution, while our layers let a
transposed convolution come before the filter.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d, leaky_relu, pad

from gantrain.architectures import stylegan2
from scripts.weights import stylegan2 as weights

State = dict[str, Tensor]
Z, W, CLASSES, BASE, MOST, CLAMP = 5, 6, 4, 64, 7, 256.0


def channels(side: int) -> int:
    return min(BASE // side, MOST)


def dense(state: State, name: str, inputs: int, outputs: int, rate: float = 1.0, bias: float = 0.0) -> None:
    state[f"{name}.weight"] = torch.randn(outputs, inputs) / rate
    state[f"{name}.bias"] = bias + torch.randn(outputs) / rate / 3


def their_mapping(state: State, z: int, classes: int, w: int, layers: int) -> None:
    if classes:
        dense(state, "mapping.embed", classes, w)
    for k in range(layers):
        dense(state, f"mapping.fc{k}", z + (w if classes else 0) if k == 0 else w, w, rate=0.01)


def their_generator(side: int, classes: int, layers: int) -> State:
    """Random weights under the names and in the shapes of their Generator."""
    state: State = {"mapping.w_avg": torch.randn(W)}
    their_mapping(state, Z, classes, W, layers)
    state["synthesis.b4.const"] = torch.randn(channels(4), 4, 4)
    for size in (2**k for k in range(2, side.bit_length())):
        c, name = channels(size), f"synthesis.b{size}"
        state[f"{name}.resample_filter"] = torch.zeros(4, 4)
        for conv, i in (("conv0", channels(size // 2)), ("conv1", c))[size == 4 :]:
            dense(state, f"{name}.{conv}.affine", W, i, bias=1.0)
            state |= {f"{name}.{conv}.weight": torch.randn(c, i, 3, 3), f"{name}.{conv}.bias": torch.randn(c) / 3}
            state |= {
                f"{name}.{conv}.noise_const": torch.randn(size, size),
                f"{name}.{conv}.noise_strength": torch.randn(()),
            }
            state[f"{name}.{conv}.resample_filter"] = torch.zeros(4, 4)
        dense(state, f"{name}.torgb.affine", W, c, bias=1.0)
        state |= {f"{name}.torgb.weight": torch.randn(3, c, 1, 1), f"{name}.torgb.bias": torch.randn(3)}
    return state


def convolution(state: State, name: str, i: int, o: int, k: int, bias: bool = True) -> None:
    state[f"{name}.weight"] = torch.randn(o, i, k, k)
    state[f"{name}.resample_filter"] = torch.zeros(4, 4)
    if bias:
        state[f"{name}.bias"] = torch.randn(o) / 3


def their_discriminator(side: int, classes: int, residual: bool, deviation: bool) -> State:
    """Random weights under the names and in the shapes of their Discriminator."""
    state: State = {}
    convolution(state, f"b{side}.fromrgb", 3, channels(side), 1)
    size, c = side, channels(4)
    while size > 4:
        convolution(state, f"b{size}.conv0", channels(size), channels(size), 3)
        convolution(state, f"b{size}.conv1", channels(size), channels(size // 2), 3)
        if residual:
            convolution(state, f"b{size}.skip", channels(size), channels(size // 2), 1, bias=False)
        size //= 2
    if classes:
        their_mapping(state, 0, classes, c, 8)
    convolution(state, "b4.conv", c + deviation, c, 3)
    dense(state, "b4.fc", c * 16, c)
    dense(state, "b4.out", c, c if classes else 1)
    return state


def filtered(x: Tensor, up: int = 1, down: int = 1, before: int = 1, after: int = 1, gain: float = 1.0) -> Tensor:
    """Zeros between the pixels and around, the filter [1, 3, 3, 1], every ``down``-th pixel."""
    n, c, h, w = x.shape
    wide = x.new_zeros(n, c, h * up, w * up)
    wide[:, :, ::up, ::up] = x
    row = torch.tensor([1.0, 3, 3, 1], dtype=x.dtype) / 8
    kernel = (gain * torch.outer(row, row))[None, None].expand(c, 1, 4, 4)
    return conv2d(pad(wide, [before, after, before, after]), kernel, groups=c)[:, :, ::down, ::down]


def activated(x: Tensor, gain: float = 1.0) -> Tensor:
    return (leaky_relu(x, 0.2) * math.sqrt(2) * gain).clamp(-CLAMP * gain, CLAMP * gain)


def fc(state: State, name: str, x: Tensor, rate: float = 1.0) -> Tensor:
    weight = state[f"{name}.weight"]
    return x @ (weight.T * rate / math.sqrt(weight.shape[1])) + state[f"{name}.bias"] * rate


def unit(x: Tensor) -> Tensor:
    return x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt()


def mapped(state: State, z: Tensor | None, labels: Tensor | None, layers: int) -> Tensor:
    parts = [] if z is None else [unit(z)]
    if labels is not None:
        parts.append(unit(fc(state, "mapping.embed", torch.eye(CLASSES, dtype=torch.float64)[labels])))
    x = torch.cat(parts, 1)
    for k in range(layers):
        x = leaky_relu(fc(state, f"mapping.fc{k}", x, 0.01), 0.2) * math.sqrt(2)
    return x


def synthesis_layer(state: State, name: str, x: Tensor, w: Tensor, up: bool) -> Tensor:
    weight, styles = state[f"{name}.weight"], fc(state, f"{name}.affine", w)
    maps = []
    for sample, style in zip(x, styles, strict=True):
        own = weight * style[None, :, None, None]
        own = own / (own.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if up:  # a true convolution of the doubled map, which has the filter's and the kernel's margins
            maps.append(conv2d(filtered(sample[None], up=2, before=3, after=2, gain=4), own.flip(2, 3))[0])
        else:
            maps.append(conv2d(sample[None], own, padding=1)[0])
    h = torch.stack(maps) + state[f"{name}.noise_const"] * state[f"{name}.noise_strength"]
    return activated(h + state[f"{name}.bias"][:, None, None])


def generated(state: State, z: Tensor, labels: Tensor | None, side: int, layers: int, psi: float = 1.0) -> Tensor:
    """What their Generator makes with constant noise, by its description."""
    state = {name: tensor.double() for name, tensor in state.items()}
    w = mapped(state, z.double(), labels, layers)
    w = state["mapping.w_avg"] + psi * (w - state["mapping.w_avg"])
    x = state["synthesis.b4.const"][None].expand(len(z), -1, -1, -1)
    image: Tensor | None = None
    for size in (2**k for k in range(2, side.bit_length())):
        name = f"synthesis.b{size}"
        if size > 4:
            x = synthesis_layer(state, f"{name}.conv0", x, w, up=True)
        x = synthesis_layer(state, f"{name}.conv1", x, w, up=False)
        weight = state[f"{name}.torgb.weight"]
        styles = fc(state, f"{name}.torgb.affine", w) / math.sqrt(weight.shape[1])
        colours = torch.einsum("oi,ni,nihw->nohw", weight[:, :, 0, 0], styles, x)
        colours = (colours + state[f"{name}.torgb.bias"][:, None, None]).clamp(-CLAMP, CLAMP)
        image = colours if image is None else filtered(image, up=2, before=2, after=1, gain=4) + colours
    assert image is not None
    return image


def convolved(state: State, name: str, x: Tensor, down: bool = False, gain: float = 1.0, active: bool = True) -> Tensor:
    weight = state[f"{name}.weight"]
    k = weight.shape[2]
    if down:
        x = filtered(x, before=k // 2 + 1, after=k // 2 + 1)
        h = conv2d(x, weight / math.sqrt(weight[0].numel()))[:, :, ::2, ::2]
    else:
        h = conv2d(x, weight / math.sqrt(weight[0].numel()), padding=k // 2)
    return activated(h + state[f"{name}.bias"][:, None, None], gain) if active else h * gain


def scored(state: State, x: Tensor, labels: Tensor | None, side: int, group: int) -> Tensor:
    """What their Discriminator says, by its description."""
    state = {name: tensor.double() for name, tensor in state.items()}
    h, size = convolved(state, f"b{side}.fromrgb", x.double()), side
    while size > 4:
        residual = f"b{size}.skip.weight" in state
        gain = math.sqrt(0.5) if residual else 1.0
        past = convolved(state, f"b{size}.skip", h, True, gain, active=False) if residual else 0
        h = convolved(state, f"b{size}.conv1", convolved(state, f"b{size}.conv0", h), True, gain) + past
        size //= 2
    if group:
        y = h.reshape(group, -1, *h.shape[1:])
        y = ((y - y.mean(0)).square().mean(0) + 1e-8).sqrt().mean((1, 2, 3))
        h = torch.cat([h, y.repeat(group)[:, None, None, None].expand(-1, 1, 4, 4)], 1)
    features = activated(fc(state, "b4.fc", convolved(state, "b4.conv", h).flatten(1)))
    out = fc(state, "b4.out", features)
    if labels is None:
        return out
    return (out * mapped(state, None, labels, 8)).sum(1, keepdim=True) / math.sqrt(out.shape[1])


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize(("side", "layers"), [(8, 2), (32, 3)])
def test_a_generators_weights_give_its_images(side: int, layers: int, conditional: bool) -> None:
    state = their_generator(side, CLASSES if conditional else 0, layers)
    way = "concat" if conditional else "none"
    g = stylegan2.Generator((3, side, side), CLASSES, Z, W, layers, BASE, MOST, 0.9, 0.995, CLAMP, way).eval()
    g.load_state_dict(weights.generator(state))
    z, labels = torch.randn(4, Z), torch.tensor([0, 3, 1, 3]) if conditional else None
    expected = generated(state, z, labels, side, layers)
    with torch.no_grad():
        assert relative(g(z, labels), expected) < 1e-5
        assert relative(g.truncated(z, labels, 0.4), generated(state, z, labels, side, layers, 0.4)) < 1e-5
    assert expected.std() > 0.1


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize(("side", "residual", "group"), [(8, False, 2), (32, True, 4), (16, True, 0), (32, False, 4)])
def test_a_discriminators_weights_give_its_scores(side: int, residual: bool, group: int, conditional: bool) -> None:
    state = their_discriminator(side, CLASSES if conditional else 0, residual, bool(group))
    blocks, way = "resnet" if residual else "orig", "projection" if conditional else "none"
    d = stylegan2.Discriminator((3, side, side), CLASSES, BASE, MOST, blocks, group, CLAMP, conditioning=way)
    d.load_state_dict(weights.discriminator(state))
    x, labels = torch.rand(8, 3, side, side) * 2 - 1, torch.arange(8) % CLASSES if conditional else None
    expected = scored(state, x, labels, side, group)
    with torch.no_grad():
        assert relative(d(x, labels), expected) < 1e-5
    assert expected.std() > 1e-3


def test_no_name_of_theirs_is_left_and_every_tensor_is_taken_once() -> None:
    state = their_discriminator(32, CLASSES, True, True)
    there = [name for name in state if not name.endswith("resample_filter")]
    assert len(weights.discriminator(state)) == len(there)
    found = weights.generator(their_generator(16, CLASSES, 2))
    assert not [name for name in found if "affine" in name or "noise_" in name or "torgb" in name]
