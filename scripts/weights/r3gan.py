"""Weights of brownvc/R3GAN (its R3GAN/Networks.py) under gantrain's names, for ``gantrain.architectures.r3gan``.

    state = …  # of the G or D of their pickle, keys without "Model."
    generator = r3gan.Generator(shape, classes, latent_dim, …)   # of their preset
    generator.load_state_dict(r3gan_weights.generator(state))

| there                                                   | here                                     |
|---------------------------------------------------------|------------------------------------------|
| MainLayers.s.Layers.k: LinearLayer1, 2, 3 of a block    | layers.n.branch.0, 2, 4                  |
| … NonLinearity1, 2                                      | layers.n.branch.1, 3                     |
| … LinearLayer of a stage's change of size               | layers.n, before doubling, after halving |
| … Basis, LinearLayer of G's first layer                 | layers.0.maps, layers.0.weigh            |
| … Basis, LinearLayer of D's last                        | layers.n, score                          |
| G's AggregationLayer, D's ExtractionLayer               | layers.n, layers.0                       |
| EmbeddingLayer, (dimension, classes)                    | embedding, score.embedding, transposed   |

Their layers count within a stage, ours through the network; their constant Kernel of the filter is left out.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

State = Mapping[str, Tensor]

OF_A_BLOCK = {
    "LinearLayer1.Layer.weight": "branch.0.weight",
    "NonLinearity1.Bias": "branch.1.bias",
    "LinearLayer2.Layer.weight": "branch.2.weight",
    "NonLinearity2.Bias": "branch.3.bias",
    "LinearLayer3.Layer.weight": "branch.4.weight",
}
CHANGE = "LinearLayer.Layer.weight"


def generator(state: State) -> dict[str, Tensor]:
    """Return a state of ``r3gan.Generator`` from one of theirs."""
    first = "MainLayers.0.Layers.0"
    found = {"layers.0.maps": state[f"{first}.Basis"], "layers.0.weigh.weight": state[f"{first}.LinearLayer.weight"]}
    place = 1
    for stage in range(stages(state)):
        prefix = f"MainLayers.{stage}.Layers"
        if stage:
            if (change := f"{prefix}.0.{CHANGE}") in state:
                found[f"layers.{place}.weight"] = state[change]
                place += 1
            place += 1  # the doubling has no weights
        place = take_blocks(state, prefix, 1, found, place)
    found[f"layers.{place}.weight"] = state["AggregationLayer.Layer.weight"]
    if "EmbeddingLayer.weight" in state:
        found["embedding.weight"] = state["EmbeddingLayer.weight"].T
    return found


def discriminator(state: State) -> dict[str, Tensor]:
    """Return a state of ``r3gan.Discriminator``, with ``conditioning=projection`` if theirs has classes."""
    found, place = {"layers.0.weight": state["ExtractionLayer.Layer.weight"]}, 1
    for stage in range(stages(state)):
        prefix = f"MainLayers.{stage}.Layers"
        last = blocks(state, prefix, 0)
        place = take_blocks(state, prefix, 0, found, place)
        if (basis := f"{prefix}.{last}.Basis.weight") in state:
            found[f"layers.{place}.weight"] = state[basis]
            conditional = "EmbeddingLayer.weight" in state
            found["score.weigh.weight" if conditional else "score.weight"] = state[
                f"{prefix}.{last}.LinearLayer.weight"
            ]
            if conditional:
                found["score.embedding.weight"] = state["EmbeddingLayer.weight"].T
            continue
        place += 1  # the halving has no weights
        if (change := f"{prefix}.{last}.{CHANGE}") in state:
            found[f"layers.{place}.weight"] = state[change]
            place += 1
    return found


def stages(state: State) -> int:
    """Return how many sizes of feature maps there are."""
    return len({key.split(".")[1] for key in state if key.startswith("MainLayers.")})


def blocks(state: State, prefix: str, first: int) -> int:
    """Return the number behind the last block of a stage whose first has the number ``first``."""
    number = first
    while f"{prefix}.{number}.LinearLayer1.Layer.weight" in state:
        number += 1
    return number


def take_blocks(state: State, prefix: str, first: int, found: dict[str, Tensor], place: int) -> int:
    """Put the blocks of a stage at ``place`` and behind; return the place after them."""
    for number in range(first, blocks(state, prefix, first)):
        for theirs, ours in OF_A_BLOCK.items():
            found[f"layers.{place}.{ours}"] = state[f"{prefix}.{number}.{theirs}"]
        place += 1
    return place
