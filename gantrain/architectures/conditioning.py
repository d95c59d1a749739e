"""How a network learns of the class: what a generator and a discriminator of any family do with labels.

``conditioning.generator`` and ``conditioning.discriminator`` name what is here; ``configs/conditioning/`` puts the two
and the loss's term together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from gantrain.architectures.layers import norm_2d, weighted
from gantrain.errors import ConfigError

Opinion: TypeAlias = "Tensor | tuple[Tensor | None, ...]"
"""What D returns: scores, or scores and what else stands in ``gantrain.losses.turn.Verdict``."""

OF_G = ("none", "concat", "batch_norm")
OF_D = ("none", "concat", "projection", "classifier", "twin_classifier", "multi_hinge", "proxies")
CODE = 128
"""Length of the code that D compares with the classes' proxies."""


def of_generator(conditioning: str, classes: int, norm: str, own: str) -> str:
    """Return how a generator is told the class: ``auto`` is the family's ``own`` way, if its norm allows it.

    Raises:
        ConfigError: for a word that it does not know, data without classes, or conditional batch norm without norm.
    """
    if conditioning == "auto":
        conditioning = "concat" if own == "batch_norm" and norm != "batch" else own
    check(conditioning, classes, OF_G, "generator")
    if conditioning == "batch_norm" and (own != "batch_norm" or norm != "batch"):
        raise ConfigError(
            "conditioning.generator=batch_norm needs batch norm in G: architecture=dcgan, conv1d or sngan_resnet with "
            "architecture.generator.norm=batch, or architecture=sagan, biggan or biggan_deep; use "
            "conditioning.generator=concat"
        )
    return conditioning


def check(conditioning: str, classes: int, known: tuple[str, ...], role: str) -> None:
    """Raise ConfigError for a word that is not known, or if there are no classes to tell apart."""
    if conditioning not in known:
        raise ConfigError(f"conditioning.{role} must be one of {', '.join(known)}, got {conditioning!r}")
    if conditioning != "none" and classes < 2:
        raise ConfigError(
            f"conditioning.{role}={conditioning} needs data with two classes or more, and these have "
            f"{classes or 'no labels'}; use conditioning=none"
        )


def asked(labels: Tensor | None) -> Tensor:
    """Return labels; raise ConfigError if a conditional network is called without."""
    if labels is None:
        raise ConfigError("this network is conditional: call it with labels (n,) int64 as well")
    return labels


def joined(x: Tensor, labels: Tensor | None, classes: int) -> Tensor:
    """Append the class as a one-hot vector to x (N, d), or as one-hot maps to x (N, C, L) or (N, C, H, W).

    Mirza & Osindero 2014, arXiv:1411.1784, Section 3.2. Before a linear layer this is the same as adding a learned
    embedding of the class to what the layer makes of x.
    """
    # torch's one_hot looks at the largest label, for which a GPU waits and which no recording can hold.
    hot = (asked(labels)[:, None] == torch.arange(classes, device=x.device)).to(x.dtype)
    if x.ndim > 2:
        hot = everywhere(hot, x).expand(-1, -1, *x.shape[2:])
    return torch.cat([x, hot], 1)


def everywhere(numbers: Tensor, x: Tensor) -> Tensor:
    """Return numbers (N, C) with axes of length 1 behind, as many as x (N, C, …) has: (N, C, 1, …)."""
    return numbers.reshape(*numbers.shape, *(1,) * (x.ndim - 2))


class ConditionalBatchNorm2d(nn.Module):
    """Batch norm (N, C, H, W) whose gain and bias are the class's own, 1 and 0 at first.

    Dumoulin et al. 2017, arXiv:1610.07629, Eq. 5; in a GAN: Miyato & Koyama 2018, arXiv:1802.05637.
    """

    takes_labels = True
    plain: type[nn.BatchNorm1d] | type[nn.BatchNorm2d] = nn.BatchNorm2d

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.norm = self.plain(channels, affine=False)
        self.gain, self.bias = nn.Embedding(classes, channels), nn.Embedding(classes, channels)
        nn.init.ones_(self.gain.weight)
        nn.init.zeros_(self.bias.weight)

    def forward(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """Normalise, scale and shift."""
        own = asked(labels)
        gain, bias = (everywhere(part(own), x).to(x.dtype) for part in (self.gain, self.bias))
        result: Tensor = self.norm(x) * gain + bias
        return result


class ConditionalBatchNorm1d(ConditionalBatchNorm2d):
    """The same of (N, C, L)."""

    plain = nn.BatchNorm1d


def norm_for(norm: str, channels: int, classes: int) -> nn.Module:
    """Return a norm of (N, C, H, W), conditional on ``classes`` if there are any."""
    return ConditionalBatchNorm2d(channels, classes) if classes else norm_2d(norm, channels)


def through(layer: nn.Module, x: Tensor, labels: Tensor | None) -> Tensor:
    """Pass x through a layer, with labels if it says ``takes_labels = True``."""
    result: Tensor = layer(x, labels) if getattr(layer, "takes_labels", False) else layer(x)
    return result


class Row(nn.Sequential):
    """Layers in a row; those that are conditional get the labels."""

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Pass x through all."""
        for layer in self:
            x = through(layer, x, labels)
        return x


class Projection(nn.Module):
    """Score + ⟨v_y, φ(x)⟩, φ the features before D's last layer. Miyato & Koyama 2018, arXiv:1802.05637, Section 3.

    The embedding v is spectrally normalised where D's weights are, as in the authors' code.

    Args:
        features: length of φ.
        classes: number of classes.
        norm: D's.
    """

    def __init__(self, features: int, classes: int, norm: str) -> None:
        super().__init__()
        embedding = nn.Embedding(classes, features)
        nn.init.xavier_uniform_(embedding.weight)
        self.embedding = weighted(embedding, norm)

    def forward(self, features: Tensor, scores: Tensor, labels: Tensor | None) -> Tensor:
        """Add the class's part to the scores (N, 1)."""
        own: Tensor = self.embedding(asked(labels))
        return scores + (own * features).sum(1, keepdim=True)


class Logits(nn.Module):
    """Scores, and beside them one logit for each of ``outputs`` classes, from the same features.

    Odena et al. 2017, arXiv:1610.09585, Section 4. Hou et al. 2022, arXiv:2107.10060, have two logits for each class;
    Kavalerov et al. 2021, arXiv:1912.04216, have one more than there are classes.

    Args:
        features: length of D's features.
        outputs: number of logits.
        norm: D's.
    """

    def __init__(self, features: int, outputs: int, norm: str) -> None:
        super().__init__()
        self.layer = weighted(nn.Linear(features, outputs), norm)

    def forward(self, features: Tensor, scores: Tensor, labels: Tensor | None) -> tuple[Tensor, ...]:
        """Return scores and logits."""
        return scores, self.layer(features)


class Proxies(nn.Module):
    """Scores, a code of length 1, and its cosine to a proxy of each class. Kang et al. 2021, arXiv:2111.01118, §3.

    Args:
        features: length of D's features.
        classes: number of classes.
        norm: D's.
    """

    def __init__(self, features: int, classes: int, norm: str) -> None:
        super().__init__()
        self.project = weighted(nn.Linear(features, CODE), norm)
        self.proxies = nn.Embedding(classes, CODE)

    def forward(self, features: Tensor, scores: Tensor, labels: Tensor | None) -> tuple[Tensor, ...]:
        """Return scores, cosines (N, classes), and codes (N, 128) of length 1."""
        code = normalize(self.project(features).float(), dim=1)
        return scores, code @ normalize(self.proxies.weight.float(), dim=1).T, code


class Guesses(nn.Module):
    """Beside all else that D says, its guess of the codes in z, linear in its last features.

    Chen et al. 2016, arXiv:1606.03657, Section 5: Q shares D's layers. (In the authors' experiments one more hidden
    layer stands between.)

    Args:
        features: length of D's features.
        numbers: how many; logits of each categorical code, then the continuous ones.
        norm: D's.
        special: what D has beside its last layer otherwise.
    """

    def __init__(self, features: int, numbers: int, norm: str, special: nn.Module | None) -> None:
        super().__init__()
        self.layer, self.special = weighted(nn.Linear(features, numbers), norm), special

    def forward(self, features: Tensor, scores: Tensor, labels: Tensor | None) -> tuple[Tensor | None, ...]:
        """Return what D says otherwise, and the guesses (N, numbers) last."""
        said = opinion(self.special, features, scores, labels)
        parts = (said,) if isinstance(said, Tensor) else said
        return *parts, *(None,) * (3 - len(parts)), self.layer(features)


HEADS: dict[str, Callable[[int, int, str], nn.Module]] = {
    "projection": Projection,
    "classifier": Logits,
    "twin_classifier": lambda features, classes, norm: Logits(features, 2 * classes, norm),
    "multi_hinge": lambda features, classes, norm: Logits(features, classes + 1, norm),
    "proxies": Proxies,
}


def head(conditioning: str, features: int, classes: int, norm: str, outputs: int, guesses: int = 0) -> nn.Module | None:
    """Return what D has beside its last layer, None if it has nothing.

    Args:
        conditioning: a word of ``OF_D``.
        features: length of D's last features.
        classes: of the data.
        norm: D's.
        outputs: scores a sample.
        guesses: numbers that D says of the codes in z.

    Raises:
        ConfigError: for a word that it does not know, data without classes, or a D of several scores.
    """
    check(conditioning, classes, OF_D, "discriminator")
    special = own_head(conditioning, features, classes, norm, outputs) if conditioning in HEADS else None
    return Guesses(features, guesses, norm, special) if guesses else special


def own_head(conditioning: str, features: int, classes: int, norm: str, outputs: int) -> nn.Module:
    """Return the head of one of ``HEADS``; raise ConfigError for a D of several scores."""
    require_one_score(conditioning, outputs)
    return HEADS[conditioning](features, classes, norm)


def scoring(
    conditioning: str, classes: int, outputs: int, projected: Callable[[], nn.Module], plain: Callable[[], nn.Module]
) -> tuple[nn.Module, str]:
    """Return the last layer of a D whose family has a projection of its own, and what is left for ``head`` to do.

    Args:
        conditioning: a word of ``OF_D``.
        classes: of the data.
        outputs: scores a sample.
        projected: makes the layer of the family's projection, which says ``takes_labels = True``.
        plain: makes the layer of every other conditioning.

    Raises:
        ConfigError: for a projection without classes, or beside several scores.
    """
    if conditioning != "projection":
        return plain(), conditioning
    check(conditioning, classes, OF_D, "discriminator")
    require_one_score(conditioning, outputs)
    return projected(), "none"


def require_one_score(conditioning: str, outputs: int) -> None:
    """Raise ConfigError for a D of several scores, beside which a head of ``HEADS`` says nothing."""
    if outputs != 1:
        raise ConfigError(
            f"conditioning.discriminator={conditioning} goes with one score a sample, not {outputs}; "
            "use conditioning=concat, or a loss that needs a single score"
        )


def judged(layers: nn.Sequential, special: nn.Module | None, x: Tensor, labels: Tensor | None) -> Opinion:
    """Pass x through D's layers, and the features before the last one through its ``special`` head."""
    if special is None:
        scores: Tensor = layers(x)
        return scores
    *body, last = layers
    for layer in body:
        x = layer(x)
    return opinion(special, x, last(x), labels)


def opinion(special: nn.Module | None, features: Tensor, scores: Tensor, labels: Tensor | None) -> Opinion:
    """Return what D says, from its last features (N, f) and the scores (N, outputs) that it gives them."""
    if special is None:
        return scores
    found: Opinion = special(features, scores, labels)
    return found
