"""Weights of NVlabs/stylegan2-ada-pytorch under gantrain's names, for ``gantrain.architectures.stylegan2``.

    generator.load_state_dict(stylegan2_weights.generator(state))       # of G_ema, of the same sizes
    discriminator.load_state_dict(stylegan2_weights.discriminator(state))

``state`` is the state_dict of one of their networks: their pickles hold whole modules, which only their own code opens.
It must have their default wiring, skips to colours in G and ``orig`` or ``resnet`` blocks in D. Its filters are left
out, for they are constant. With constant noise and in float32, both networks then are one function.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

OF_LAYERS = (
    (r"\.affine\.", ".style."),
    (r"\.noise_strength$", ".strength"),
    (r"\.noise_const$", ".noise"),
)
OF_MAPPING = (
    (r"(^|\.)mapping\.embed\.", r"\1mapping.embedding."),
    (r"(^|\.)mapping\.fc(\d+)\.", r"\1mapping.layers.\2."),
)
OF_G = (*OF_MAPPING, (r"^mapping\.w_avg$", "average"), (r"^synthesis\.b4\.const$", "synthesis.constant"), *OF_LAYERS)
OF_D = (
    *((rf"^b4\.{there}\.", f"{here}.") for there, here in (("conv", "convolution"), ("fc", "dense"), ("out", "score"))),
    (r"^mapping\.", "score.mapping."),
    *OF_MAPPING,
)
"""Names there, as patterns, and here; what stands in a block is named by ``block``, too."""
IN_BLOCK = {"conv0": "first", "conv1": "second", "skip": "skip"}


def generator(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state of ``stylegan2.Generator`` from one of theirs."""
    return {renamed(block_of_g(key), OF_G): as_here(key, tensor) for key, tensor in kept(state).items()}


def discriminator(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state of ``stylegan2.Discriminator`` from one of theirs, with classes of ``conditioning=projection``."""
    sides = sorted({int(found[1]) for key in state if (found := re.match(r"b(\d+)\.conv0\.", key))}, reverse=True)
    names = {key: renamed(block_of_d(key, sides), OF_D) for key in kept(state)}
    if any(key.startswith("mapping.") for key in state):  # its last layer is one of two that make a score
        names = {key: re.sub(r"^score\.(weight|bias)$", r"score.dense.\1", name) for key, name in names.items()}
    return {name: as_here(key, state[key]) for key, name in names.items()}


def kept(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state without the filters."""
    return {key: tensor for key, tensor in state.items() if not key.endswith("resample_filter")}


def renamed(name: str, patterns: Sequence[tuple[str, str]]) -> str:
    """Return a name after all patterns."""
    for there, here in patterns:
        name = re.sub(there, here, name)
    return name


def block_of_g(name: str) -> str:
    """Return a name with the number of its layer in place of its block's side."""
    found = re.match(r"synthesis\.b(\d+)\.(conv[01]|torgb)\.(.*)", name)
    if found is None:
        return name
    place = int(found[1]).bit_length() - 3
    if found[2] == "torgb":
        return f"synthesis.to_image.{place}.{found[3]}"
    return f"synthesis.convolutions.{2 * place - (found[2] == 'conv0')}.{found[3]}"


def block_of_d(name: str, sides: Sequence[int]) -> str:
    """Return a name with the number of its block in place of its side, one of falling ``sides``."""
    if re.match(r"b\d+\.fromrgb\.", name):
        return re.sub(r"^b\d+\.fromrgb\.", "from_image.", name)
    found = re.match(r"b(\d+)\.(conv0|conv1|skip)\.(.*)", name)
    return name if found is None else f"blocks.{sides.index(int(found[1]))}.{IN_BLOCK[found[2]]}.{found[3]}"


def as_here(name: str, tensor: Tensor) -> Tensor:
    """Return a tensor as it is here: an embedding has a row for each class, there a column."""
    return tensor.T.contiguous() if name.endswith("embed.weight") else tensor
