"""Regularizers that act on D's scores."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import relu

from gantrain.distributed import ALONE, Alone
from gantrain.errors import ConfigError
from gantrain.kinds import Images, kind_of
from gantrain.losses.numerics import move_if_finite
from gantrain.losses.turn import Turn
from gantrain.regularizers.base import Regularizer, require


class LeCam(Regularizer):
    """weight · (E(r - α_F)² + E(f - α_R)²), α the moving averages of mean scores. For few images.

    Tseng et al. 2021, arXiv:2104.03310. Early on the averages are plain means of the turns so far.

    The authors' code has E relu(r - α_F)² + E relu(α_R - f)² instead: only scores that lie on their own side of the
    other's average cost something. There the term begins after 1,000 iterations.

    Args:
        weight: λ.
        decay: share of an average that stays at each turn of D, in [0, 1).
        relu: True: the authors' code. None or False: the paper's equation.
        start: turns of D before the term begins, while the averages move already; None for none. The first turn, before
            there is an average, never has the term.
    """

    kind = "scores near moving averages"

    average_real: Tensor
    average_fake: Tensor
    turns: Tensor

    def __init__(self, weight: float, decay: float, relu: bool | None = None, start: int | None = None) -> None:
        super().__init__()
        require(self, weight=weight, start=start or 0)
        if not 0 <= decay < 1:
            raise ConfigError(f"LeCam needs 0 <= decay < 1, got {decay}")
        self.weight, self.decay, self.relu, self.first = weight, decay, bool(relu), max(start or 0, 1)
        self.register_buffer("average_real", torch.zeros(()))
        self.register_buffer("average_fake", torch.zeros(()))
        self.register_buffer("turns", torch.zeros(()))

    def over_batch(self, shape: tuple[int, ...]) -> bool:
        """No: the averages stay during a turn."""
        return False

    def phase(self, index: int) -> int:
        """Return 0 for the turns before the term begins, 1 for all others."""
        return int(index >= self.first)

    def for_d(self, turn: Turn) -> Tensor | None:
        """Return the term; None before it begins."""
        if not self.phase(turn.index):
            return None
        assert turn.scores is not None
        above, below = turn.scores.real - self.average_fake, self.average_real - turn.scores.fake
        if self.relu:
            above, below = relu(above), relu(below)
        return self.weight * (above.square().mean() + below.square().mean())

    def after_d_step(self, turn: Turn) -> None:
        """α ← decay · α + (1 - decay) · mean score."""
        assert turn.scores is not None
        self.turns += 1
        share = self.turns.reciprocal().clamp_min(1 - self.decay)
        for average, scores in zip((self.average_real, self.average_fake), turn.scores, strict=True):
            move_if_finite(average, average.lerp(scores.mean().to(average.dtype), share.to(average.dtype)))


class Consistency(Regularizer):
    """weight · E(C(x) - C(T(x)))² on real samples, T a change that should not matter. Zhang et al. 2020, CR-GAN.

    arXiv:1910.12027. T shifts an image by up to ``shift`` pixels each way (the border is repeated) and,
    if asked, mirrors half of the images; to other samples it adds normal noise of ``jitter`` standard deviations of the
    batch.

    Args:
        weight: λ.
        shift: largest shift, in pixels.
        flip: mirror half of the images.
        jitter: size of the noise, for samples that are no images.
    """

    kind = "equal scores for changed samples"
    over_ranks = True

    def __init__(self, weight: float, shift: int, flip: bool, jitter: float) -> None:
        super().__init__()
        require(self, weight=weight, shift=shift, jitter=jitter)
        self.weight, self.shift, self.flip, self.jitter = weight, shift, flip, jitter

    def over_batch(self, shape: tuple[int, ...]) -> bool:
        """Only for samples that are no images: their noise follows the batch's standard deviation."""
        return not isinstance(kind_of(shape), Images)

    def for_d(self, turn: Turn) -> Tensor | None:
        """Return the term; one more forward of D."""
        assert turn.scores is not None
        changed = turn.critic(self.change(turn.real, turn.ranks))
        return self.weight * (turn.scores.real - changed).square().mean()

    def change(self, x: Tensor, ranks: Alone = ALONE) -> Tensor:
        """T(x), (N, *shape)."""
        if not isinstance(kind_of(x.shape[1:]), Images):
            return x + self.jitter * ranks.std(x) * ranks.normal_like(x)
        n, _, height, width = x.shape
        down, right = (ranks.draw(self.shifts, n, 1, device=x.device) for _ in range(2))
        rows = (torch.arange(height, device=x.device) + down).clamp(0, height - 1)
        columns = (torch.arange(width, device=x.device) + right).clamp(0, width - 1)
        if self.flip:
            mirrored = ranks.draw(torch.rand, n, 1, device=x.device) < 0.5
            columns = torch.where(mirrored, columns.flip(1), columns)
        index = torch.arange(n, device=x.device)[:, None, None]
        return x.permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)

    def shifts(self, *size: int, **options: Any) -> Tensor:
        """Return random shifts in pixels."""
        return torch.randint(-self.shift, self.shift + 1, size, **options)
