"""Weights in the layout of brownvc/R3GAN: our networks give what that layout's description says."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu

from gantrain.architectures import r3gan
from scripts.weights import r3gan as weights

State = dict[str, Tensor]
CLASSES, LATENT, BLOCKS, EXPANSION = 5, 6, 2, 2


def draw(*shape: int) -> Tensor:
    """A weight that keeps the size of what it is applied to."""
    return torch.randn(*shape) / max(Tensor.numel(torch.empty(shape)[0]), 1) ** 0.5


def blocks(state: State, stage: int, first: int, width: int, groups: int) -> None:
    wide = EXPANSION * width
    for k in range(first, first + BLOCKS):
        name = f"MainLayers.{stage}.Layers.{k}"
        state |= {
            f"{name}.LinearLayer1.Layer.weight": draw(wide, width, 1, 1),
            f"{name}.LinearLayer2.Layer.weight": draw(wide, wide // groups, 3, 3),
            f"{name}.LinearLayer3.Layer.weight": draw(width, wide, 1, 1),
            f"{name}.NonLinearity1.Bias": torch.randn(wide) / 4,
            f"{name}.NonLinearity2.Bias": torch.randn(wide) / 4,
        }


def their_generator(sizes: list[tuple[int, int]], conditional: bool) -> State:
    """Random weights under the names and in the shapes of their Generator; ``sizes`` from 4×4 on."""
    state: State = {}
    for stage, (width, groups) in enumerate(sizes):
        name = f"MainLayers.{stage}.Layers.0"
        if stage == 0:
            state[f"{name}.Basis"] = torch.randn(width, 4, 4)
            state[f"{name}.LinearLayer.weight"] = draw(width, LATENT * (1 + conditional))
        else:
            state[f"{name}.Resampler.Kernel"] = torch.ones(4, 4)
            if sizes[stage - 1][0] != width:
                state[f"{name}.LinearLayer.Layer.weight"] = draw(width, sizes[stage - 1][0], 1, 1)
        blocks(state, stage, 1, width, groups)
    state["AggregationLayer.Layer.weight"] = draw(3, sizes[-1][0], 1, 1)
    if conditional:
        state["EmbeddingLayer.weight"] = torch.randn(LATENT, CLASSES)
    return state


def their_discriminator(sizes: list[tuple[int, int]], conditional: bool) -> State:
    """The same of their Discriminator; ``sizes`` from the image on."""
    state: State = {"ExtractionLayer.Layer.weight": draw(sizes[0][0], 3, 1, 1)}
    for stage, (width, groups) in enumerate(sizes):
        blocks(state, stage, 0, width, groups)
        name = f"MainLayers.{stage}.Layers.{BLOCKS}"
        if stage == len(sizes) - 1:
            state[f"{name}.Basis.weight"] = draw(width, 1, 4, 4)
            state[f"{name}.LinearLayer.weight"] = draw(width if conditional else 1, width)
        else:
            state[f"{name}.Resampler.Kernel"] = torch.ones(4, 4)
            if sizes[stage + 1][0] != width:
                state[f"{name}.LinearLayer.Layer.weight"] = draw(sizes[stage + 1][0], width, 1, 1)
    if conditional:
        state["EmbeddingLayer.weight"] = draw(sizes[-1][0], CLASSES)
    return state


KERNEL = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64


def resized(x: Tensor, up: bool) -> Tensor:
    """The filter on each channel by itself, as images of one channel."""
    n, c, h, w = x.shape
    flat = x.reshape(n * c, 1, h, w)
    if up:
        return conv_transpose2d(flat, 4 * KERNEL[None, None], stride=2, padding=1).reshape(n, c, 2 * h, 2 * w)
    return conv2d(flat, KERNEL[None, None], stride=2, padding=1).reshape(n, c, h // 2, w // 2)


def block(state: State, name: str, x: Tensor) -> Tensor:
    part = {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}
    y = conv2d(x, part["LinearLayer1.Layer.weight"])
    y = leaky_relu(y + part["NonLinearity1.Bias"][:, None, None], 0.2)
    middle = part["LinearLayer2.Layer.weight"]
    y = conv2d(y, middle, padding=1, groups=y.shape[1] // middle.shape[1])
    y = leaky_relu(y + part["NonLinearity2.Bias"][:, None, None], 0.2)
    return x + conv2d(y, part["LinearLayer3.Layer.weight"])


def changed(state: State, name: str, x: Tensor) -> Tensor:
    weight = state.get(f"{name}.LinearLayer.Layer.weight")
    return x if weight is None else conv2d(x, weight)


def generate(state: State, stages: int, z: Tensor, labels: Tensor | None) -> Tensor:
    if labels is not None:
        z = torch.cat([z, state["EmbeddingLayer.weight"].T[labels]], 1)
    first = "MainLayers.0.Layers.0"
    x = state[f"{first}.Basis"] * (z @ state[f"{first}.LinearLayer.weight"].T)[:, :, None, None]
    for stage in range(stages):
        if stage:
            x = resized(changed(state, f"MainLayers.{stage}.Layers.0", x), up=True)
        for k in range(1, BLOCKS + 1):
            x = block(state, f"MainLayers.{stage}.Layers.{k}", x)
    return conv2d(x, state["AggregationLayer.Layer.weight"])


def score(state: State, stages: int, x: Tensor, labels: Tensor | None) -> Tensor:
    x = conv2d(x, state["ExtractionLayer.Layer.weight"])
    for stage in range(stages):
        for k in range(BLOCKS):
            x = block(state, f"MainLayers.{stage}.Layers.{k}", x)
        name = f"MainLayers.{stage}.Layers.{BLOCKS}"
        if stage < stages - 1:
            x = changed(state, name, resized(x, up=False))
    features = conv2d(x, state[f"{name}.Basis.weight"], groups=x.shape[1]).flatten(1)
    out = features @ state[f"{name}.LinearLayer.weight"].T
    return out if labels is None else (out * state["EmbeddingLayer.weight"].T[labels]).sum(1, keepdim=True)


SIZES = {16: [(8, 4)] * 3, 64: [(8, 4)] * 4 + [(4, 2)]}


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("side", SIZES)
def test_weights_of_theirs_give_their_samples_and_scores(side: int, conditional: bool) -> None:
    torch.manual_seed(side)
    classes, sizes = (CLASSES if conditional else 0), SIZES[side]
    settings = {"width": 8, "groups": 4, "full_side": 32, "blocks": BLOCKS, "expansion": EXPANSION}
    ways = ("concat", "projection") if conditional else ("none", "none")
    g = r3gan.Generator((3, side, side), classes, LATENT, **settings, conditioning=ways[0])
    d = r3gan.Discriminator((3, side, side), classes, **settings, conditioning=ways[1])
    of_g, of_d = their_generator(sizes, conditional), their_discriminator(sizes[::-1], conditional)
    g.load_state_dict(weights.generator(of_g))
    d.load_state_dict(weights.discriminator(of_d))
    z, labels = torch.randn(3, LATENT), torch.tensor([0, 3, 1]) if conditional else None
    images = generate(of_g, len(sizes), z, labels)
    assert 0.1 < images.std() < 100
    torch.testing.assert_close(g(z, labels), images, rtol=1e-5, atol=1e-5)
    x = torch.rand(3, 3, side, side) * 2 - 1
    scores = score(of_d, len(sizes), x, labels)
    assert scores.std() > 1e-2
    torch.testing.assert_close(d(x, labels), scores, rtol=1e-5, atol=1e-5)
