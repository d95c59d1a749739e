"""Weights of ajbrock/BigGAN-PyTorch (its BigGAN.py) under gantrain's names, for ``gantrain.architectures.biggan``.

    state = torch.load("G_ema.pth", weights_only=True)
    generator = biggan.Generator(shape, classes, latent_dim, …)   # of the run's --G_ch, --hier, --shared_dim, …
    generator.load_state_dict(biggan_weights.generator(state))

Its spectral norm keeps W, one vector u0 of length (1, outputs), and sv0, the last singular value, for its log only. In
evaluation it makes one power iteration from u0 without keeping it: v = Wᵀu / |Wᵀu|, u' = Wv / |Wv|, and divides W by
u'ᵀWv. torch's keeps W, u and v, and divides by uᵀWv in evaluation. So u' and v are stored here, and both networks are
one function in evaluation. Its code iterates by rows; W is (outputs, inputs · height · width), the classes' number
standing for the outputs of an embedding.

What it calls gain and bias of a conditional norm are layers (weight of W_g and W_b); of the last norm they are vectors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

OF_BLOCKS = (
    (r"^(blocks\.\d+\.0)\.conv_sc$", r"\1.shortcut"),
    (r"^(blocks\.\d+\.0)\.bn([12])$", r"\1.norm\2.norm"),
    (r"^(blocks\.\d+\.0)\.bn([12])\.(gain|bias)$", r"\1.norm\2.\3"),
)
OF_G = (
    *OF_BLOCKS,
    (r"^linear$", "dense"),
    (r"^output_layer\.0$", "norm"),
    (r"^output_layer\.2$", "to_image"),
)
OF_D = (*OF_BLOCKS, (r"^linear$", "score"), (r"^embed$", "special.embedding"))
"""Names of layers there, as patterns, and here; a name that none fits is the same."""
LEAVES = {"stored_mean": "running_mean", "stored_var": "running_var"}
"""Names of tensors there and here."""


def generator(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state of ``biggan.Generator`` from one of theirs."""
    return renamed(state, OF_G)


def discriminator(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state of ``biggan.Discriminator`` with ``conditioning=projection`` from one of theirs."""
    return renamed(state, OF_D)


def renamed(state: Mapping[str, Tensor], names: Sequence[tuple[str, str]]) -> dict[str, Tensor]:
    """Return every tensor under its name here."""
    found: dict[str, Tensor] = {}
    for key, tensor in state.items():
        layer, _, leaf = key.rpartition(".")
        if leaf in ("u0", "sv0"):
            continue
        if leaf in ("gain", "bias") and f"{layer}.stored_mean" in state:  # of the last norm
            leaf = {"gain": "weight"}.get(leaf, leaf)
        here = name_of(layer, names)
        if leaf == "stored_mean":
            found[f"{here}.num_batches_tracked"] = torch.zeros((), dtype=torch.int64)
        if leaf == "weight" and f"{layer}.u0" in state:
            found |= normalised(f"{here}.parametrizations.weight", tensor, state[f"{layer}.u0"])
        else:
            found[".".join(filter(None, (here, LEAVES.get(leaf, leaf))))] = tensor
    return found


def name_of(layer: str, names: Sequence[tuple[str, str]]) -> str:
    """Return a layer's name here."""
    for theirs, here in names:
        if re.match(theirs, layer):
            return re.sub(theirs, here, layer)
    return layer


def normalised(name: str, weight: Tensor, u: Tensor) -> dict[str, Tensor]:
    """Return W with the vectors that give torch's spectral norm, in evaluation, the value that theirs computes."""
    matrix = weight.flatten(1)
    v = normalize(u @ matrix, eps=1e-12)
    u = normalize(v @ matrix.T, eps=1e-12)
    return {f"{name}.original": weight, f"{name}.0._u": u[0], f"{name}.0._v": v[0]}
