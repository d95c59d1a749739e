"""D at its optimum, without a network: a critic that is a table of scores, optimised to float64's last digits."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from gantrain.losses.objective import Objective
from gantrain.testing.proof import state

ClosedForm = Callable[[np.ndarray, np.ndarray], float]
"""(p, q) -> the value of D's loss at its optimum; p and q (symbols,) float64, each summing to 1."""

PAIRS: dict[str, tuple[list[int], list[int]]] = {
    "asymmetric": ([7, 2, 1], [1, 3, 6]),
    "a rare symbol": ([1, 8, 1], [4, 3, 3]),
    "equal": ([2, 3, 5], [2, 3, 5]),
}
"""p and q on three symbols as counts, so that plain means over samples are exact expectations."""


def probabilities(counts: list[int]) -> np.ndarray:
    """Return counts as shares, (symbols,) float64."""
    return np.array(counts, dtype=np.float64) / sum(counts)


def all_pairs(p: list[int], q: list[int]) -> tuple[Tensor, Tensor]:
    """Return the symbols of real and fake samples, (n m,) int64 each: every real beside every fake.

    For an objective that pairs its samples, as RelativisticPaired does, the batch then is the product of p and q.
    """
    real, fake = (torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts)) for counts in (p, q))
    return real.repeat_interleave(len(fake)), fake.repeat(len(real))


def optimum(
    objective: Objective, p: list[int], q: list[int], scores: Callable[[Tensor], Tensor]
) -> tuple[float, Tensor]:
    """Minimise D's loss over one free number per symbol. Returns the loss and the scores (symbols,) float64.

    An objective with state, as Fisher's multiplier, is minimised and then moves it with ``after_d_step``, over and over
    until the state stays: the method of multipliers.
    """
    real, fake = all_pairs(p, q)
    table = torch.linspace(-0.5, 0.6, len(p), dtype=torch.float64).requires_grad_()

    def d_loss() -> Tensor:
        found = scores(table)
        return objective.d_loss(found[real], found[fake])

    if not moves(objective, scores(table.detach())[real], scores(table.detach())[fake]):
        annealed(table, d_loss)
    else:
        multiplied(objective, table, d_loss, lambda: (scores(table)[real], scores(table)[fake]))
    return d_loss().item(), scores(table).detach()


def moves(objective: Objective, real: Tensor, fake: Tensor) -> bool:
    """Tell whether ``after_d_step`` changes the objective's state; the state is put back."""
    before = state(objective)
    with torch.no_grad():
        objective.after_d_step(real, fake)
    different = any(not torch.equal(value, before[name]) for name, value in objective.state_dict().items())
    objective.load_state_dict(before)
    return different


def annealed(table: Tensor, d_loss: Callable[[], Tensor]) -> None:
    """Minimise by Adam, whose rate falls by nine orders of magnitude: kinks, as hinge has, stop other methods."""
    optimizer = torch.optim.Adam([table], lr=0.5, betas=(0.5, 0.9))
    for step in range(650):
        optimizer.param_groups[0]["lr"] = 0.5 * 10 ** (-9 * max(0, step - 200) / 450)
        (table.grad,) = torch.autograd.grad(d_loss(), table)
        optimizer.step()


def multiplied(
    objective: Objective, table: Tensor, d_loss: Callable[[], Tensor], samples: Callable[[], tuple[Tensor, Tensor]]
) -> None:
    """Minimise, then move the objective's state, until its state moves no more."""

    def gradient() -> Tensor:
        loss = d_loss()
        (table.grad,) = torch.autograd.grad(loss, table)
        return loss

    states = [state(objective)]
    for _ in range(100):
        optimizer = torch.optim.LBFGS(
            [table], max_iter=100, tolerance_grad=0, tolerance_change=0, line_search_fn="strong_wolfe"
        )
        optimizer.step(gradient)
        with torch.no_grad():
            objective.after_d_step(*samples())
        states = [*states[-1:], state(objective)]
        if all(torch.allclose(a[name], b[name], rtol=0, atol=1e-9) for a, b in pairwise(states) for name in a):
            return
