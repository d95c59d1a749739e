"""Terms of conditional GANs: what D's opinion of the class adds to either player's loss."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, relu

from gantrain.errors import ConfigError
from gantrain.losses.turn import Turn, Verdict
from gantrain.regularizers.base import Regularizer, require


class ClassTerm(Regularizer):
    """Base of the terms: it finds D's verdicts and the labels of the turn.

    Args:
        weight: of the term in either player's loss.
    """

    kind: ClassVar[str | None] = "classes as D tells them"
    needs: ClassVar[str] = "logits"
    """Which part of D's verdict."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        require(self, weight=weight)
        self.weight = weight

    def over_batch(self, shape: tuple[int, ...]) -> bool:
        """No: the term is a mean over samples."""
        return False

    def outputs(self, classes: int) -> int:
        """Return how many logits D must give for this many classes."""
        return classes

    def of(self, verdict: Verdict | None, labels: Tensor | None) -> tuple[Verdict, Tensor]:
        """Return a verdict and labels that are there.

        Raises:
            ConfigError: if D gives no such verdict, or the data have no labels.
        """
        if labels is None:
            raise ConfigError(f"{type(self).__name__} needs data with labels")
        if verdict is None or getattr(verdict, self.needs) is None:
            raise ConfigError(
                f"{type(self).__name__} needs a discriminator that gives {self.needs}; choose conditioning=…, which "
                "brings both"
            )
        return verdict, labels

    def on_real(self, turn: Turn) -> tuple[Verdict, Tensor]:
        """Return D's verdict on the real batch, and its labels."""
        return self.of(None if turn.verdicts is None else turn.verdicts.real, turn.labels)

    def on_fake(self, turn: Turn) -> tuple[Verdict, Tensor]:
        """Return D's verdict on the generated batch, and the labels that were asked for."""
        return self.of(None if turn.verdicts is None else turn.verdicts.fake, turn.labels)


def logits(verdict: Verdict) -> Tensor:
    """Return the logits (N, k) of a verdict."""
    assert verdict.logits is not None
    return verdict.logits


class AuxiliaryClassifier(ClassTerm):
    """AC-GAN. D and G: -weight · E log C(y|x); D on real and generated samples, G on generated ones.

    Odena et al. 2017, arXiv:1610.09585, Eqs. 2 and 3. At C's optimum the term of G is the cross-entropy of G's classes
    to those of real and generated samples together, H(y|x) where G has learnt the data. So G gains by leaving out
    samples that two classes share; Gong et al. 2019, arXiv:1907.02690, find the same bias.
    """

    def for_d(self, turn: Turn) -> Tensor:
        """Return the cross-entropies of both batches."""
        (real, labels), (fake, asked) = self.on_real(turn), self.on_fake(turn)
        return self.weight * (cross_entropy(logits(real), labels) + cross_entropy(logits(fake), asked))

    def for_g(self, turn: Turn) -> Tensor:
        """Return the cross-entropy of the generated batch."""
        fake, asked = self.on_fake(turn)
        return self.weight * cross_entropy(logits(fake), asked)


class DiscriminativeClassifier(ClassTerm):
    """ADC-GAN. C tells 2 K classes apart, the real and the generated samples of each.

    D: -weight · (E_p log C(y⁺|x) + E_q log C(y⁻|x)). G: -weight · E_q (log C(y⁺|x) - log C(y⁻|x)), which at the optimum
    of C is KL(q(x, y) ‖ p(x, y)). Hou et al. 2022, arXiv:2107.10060, Section 3. Logit y is y⁺, logit K + y is y⁻.
    """

    def outputs(self, classes: int) -> int:
        """Return twice the number of classes."""
        return 2 * classes

    def for_d(self, turn: Turn) -> Tensor:
        """Return the cross-entropies of both batches."""
        (real, labels), (fake, asked) = self.on_real(turn), self.on_fake(turn)
        classes = logits(fake).shape[1] // 2
        return self.weight * (cross_entropy(logits(real), labels) + cross_entropy(logits(fake), asked + classes))

    def for_g(self, turn: Turn) -> Tensor:
        """Return the mean of log C(y⁻|x) - log C(y⁺|x): its normalization cancels."""
        fake, asked = self.on_fake(turn)
        found = logits(fake)
        own, other = (found.gather(1, index[:, None]) for index in (asked, asked + found.shape[1] // 2))
        return self.weight * (other - own).mean()


class MultiHinge(ClassTerm):
    """Multi-class hinge. C has K + 1 logits, the last for generated samples. Kavalerov et al. 2021, arXiv:1912.04216.

    With ¬y the largest other logit: D: weight · E max(0, 1 - C_y(x) + C_¬y(x)) on real samples, and the same with y =
    K + 1 on generated ones; G: with y as asked for. Section 3. An adversarial term stands beside it, here that of the
    chosen loss without classes; the authors' MHingeGAN keeps a projection critic there and a small weight.
    """

    def outputs(self, classes: int) -> int:
        """Return one more than the number of classes."""
        return classes + 1

    def for_d(self, turn: Turn) -> Tensor:
        """Return the margins of both batches."""
        (real, labels), (fake, asked) = self.on_real(turn), self.on_fake(turn)
        last = torch.full_like(asked, logits(fake).shape[1] - 1)
        return self.weight * (margin(logits(real), labels) + margin(logits(fake), last))

    def for_g(self, turn: Turn) -> Tensor:
        """Return the margin of the generated batch."""
        fake, asked = self.on_fake(turn)
        return self.weight * margin(logits(fake), asked)


def margin(found: Tensor, labels: Tensor) -> Tensor:
    """Return E max(0, 1 - C_y + max_{k≠y} C_k) of logits (N, k): Crammer & Singer 2001."""
    own = found.gather(1, labels[:, None]).squeeze(1)
    others = found.scatter(1, labels[:, None], -torch.inf).amax(1)
    return relu(1 - own + others).mean()


class DataToData(ClassTerm):
    """ReACGAN's cross-entropy between samples. Kang et al. 2021, arXiv:2111.01118, Section 3.

    -weight/N Σ_i log( e_i / (e_i + Σ_{j: y_j≠y_i} exp([f_iᵀf_j - m_n]₊/τ)) ), e_i = exp([f_iᵀv_{y_i} - m_p]₋/τ), with
    codes f and proxies v of length 1, [t]₋ = min(t, 0), [t]₊ = max(t, 0). D on real samples, G on generated ones. The
    margins leave out what is easy enough: a sample near its proxy, and pairs far apart.

    Args:
        weight: λ.
        temperature: τ.
        positive: m_p; m_n is 1 - m_p.
    """

    needs = "codes"
    over_ranks = True

    def __init__(self, weight: float, temperature: float, positive: float) -> None:
        super().__init__(weight)
        if not temperature > 0 or not -1 <= positive <= 1:
            raise ConfigError(
                "DataToData needs temperature > 0 and -1 <= positive <= 1, "
                f"got temperature={temperature}, positive={positive}"
            )
        self.temperature, self.positive = temperature, positive

    def over_batch(self, shape: tuple[int, ...]) -> bool:
        """Yes: the samples of a batch are compared with one another."""
        return True

    def for_d(self, turn: Turn) -> Tensor:
        """Return the cross-entropy of the real batch."""
        return self.cost(turn, *self.on_real(turn))

    def for_g(self, turn: Turn) -> Tensor:
        """Return the cross-entropy of the generated batch."""
        return self.cost(turn, *self.on_fake(turn))

    def cost(self, turn: Turn, verdict: Verdict, labels: Tensor) -> Tensor:
        """Return the weighted term of one batch."""
        assert verdict.codes is not None
        near = turn.ranks.share(logits(verdict).gather(1, labels[:, None]).squeeze(1))
        codes, labels = turn.ranks.share(verdict.codes), turn.ranks.seen(labels)
        own = (near - self.positive).clamp(max=0) / self.temperature
        pairs = relu(codes @ codes.T - (1 - self.positive)) / self.temperature
        pairs = pairs.masked_fill(labels[:, None] == labels[None], -torch.inf)
        everything = torch.cat([own[:, None], pairs], 1).logsumexp(1)
        return self.weight * (everything - own).mean()
