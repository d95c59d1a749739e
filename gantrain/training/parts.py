"""A batch that goes through the networks in parts: the update of the whole for the memory of a part (``accumulate``).

If the objective is a mean over samples, its gradient is the mean of the parts' gradients. Any other objective is a
function of the batch's scores all the same, so D scores the batch twice: first part by part without a graph, for the
gradient of the objective by each score; then again with one, which carries these gradients on. Gao et al. 2021,
arXiv:2101.06983, do this for contrastive losses.

Every part begins with the buffers that the networks had before the turn: spectral norms are those of the whole batch,
and running statistics move once. Batch norm itself takes its statistics from a part.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gantrain.distributed import Alone
from gantrain.inputs import Given, Inputs
from gantrain.losses import Loss
from gantrain.losses.turn import Cost, Precision, Scores, Turn, Verdicts, Whole
from gantrain.training.player import Player


class Game(Protocol):
    """What is asked of ``training.game.Game``."""

    g: Player
    d: Player
    loss: Loss
    inputs: Inputs
    precision: Precision
    accumulate: int
    ranks: Alone

    def made_of(self, given: Given) -> Tensor:
        """Return G's samples."""

    def turn(self, player: Player, real: Tensor, z: Tensor, fake: Tensor, labels: Tensor | None, measure: bool) -> Turn:
        """Return the view that a player has when it moves."""


class Part(NamedTuple):
    """What a player sees of a batch at a time."""

    real: Tensor
    labels: Tensor | None
    given: Given


def differentiated_in_parts(game: Game, player: Player, real: Tensor, labels: Tensor | None, measure: bool) -> Cost:
    """Compute a player's gradients on a batch of which ``game.accumulate`` parts are seen one after another.

    Returns the cost of the whole batch, without a graph.
    """
    parts = split(real, labels, game.inputs.draw(len(real), labels, game.precision.device, game.ranks), game.accumulate)
    buffers = Buffers(game.g.net, game.d.net)
    of_d = player is game.d
    twice = game.loss.objective.over_batch
    numbers: list[list[Tensor]] = []
    wholes: Sequence[Whole | None] = [None] * len(parts)
    if twice:
        numbers, wholes = first_look(game, of_d, parts, buffers)
    player.forget()
    costs = []
    for k, part in enumerate(parts):
        buffers.restore()
        if twice:
            with torch.random.fork_rng(devices(real)):  # what is drawn at random here was drawn in the first look too
                set_numbers(numbers[k], real)
                turn = judged(game, of_d, part, measure)
        else:
            turn = seen(game, of_d, part, measure)
        cost = (game.loss.for_d if of_d else game.loss.for_g)(turn, wholes[k])
        player.accumulate(cost.total / len(parts))
        costs.append(without_graph(cost))
    return joined(game, of_d, costs, real, labels, measure)


def taking_parts(nets: Iterable[nn.Module]) -> list[str]:
    """Return the kinds of layers that compare the samples of a batch, and so see only those of a part."""
    compares = (m for net in nets for m in net.modules() if isinstance(m, _BatchNorm) or hasattr(m, "mixes_samples"))
    return sorted({type(module).__name__ for module in compares})


def split(real: Tensor, labels: Tensor | None, given: Given, count: int) -> list[Part]:
    """Return a batch in equal parts."""
    each = [[None] * count if whole is None else whole.chunk(count) for whole in (labels, given.labels)]
    pairs = zip(real.chunk(count), each[0], given.z.chunk(count), each[1], strict=True)
    return [Part(r, c, Given(z, asked)) for r, c, z, asked in pairs]


def seen(game: Game, of_d: bool, part: Part, measure: bool) -> Turn:
    """Return the turn of a part: its fakes carry G's graph on G's turn only. Of D's, readings are of the whole."""
    with torch.set_grad_enabled(torch.is_grad_enabled() and not of_d):
        fake = game.made_of(part.given)
    player = game.d if of_d else game.g
    return game.turn(player, part.real, part.given.z, fake, part.labels, measure and not of_d)


def judged(game: Game, of_d: bool, part: Part, measure: bool) -> Turn:
    """Return the turn of a part, with what D says of it."""
    turn = seen(game, of_d, part, measure)
    loss = game.loss
    return replace(turn, verdicts=loss.judged_for_d(turn) if of_d else loss.judged_for_g(turn, turn.critic))


def first_look(
    game: Game, of_d: bool, parts: Sequence[Part], buffers: Buffers
) -> tuple[list[list[Tensor]], list[Whole]]:
    """Let D score every part without a graph.

    Returns, for each part, the state of the random numbers before it, and its share of the objective's loss.
    """
    numbers, reals, fakes = [], [], []
    for part in parts:
        buffers.restore()
        numbers.append(numbers_of(part.real))
        with torch.no_grad():
            verdicts = judged(game, of_d, part, False).verdicts
        assert verdicts is not None
        reals.append(verdicts.real.scores if verdicts.real is not None else None)
        fakes.append(verdicts.fake.scores)
    ranks, count = game.ranks, len(parts) * game.ranks.world
    fake = ranks.seen(torch.cat(fakes)).requires_grad_()
    real = None if reals[0] is None else ranks.seen(torch.cat([r for r in reals if r is not None])).requires_grad_(of_d)
    objective = game.loss.objective
    if of_d:
        assert real is not None
        loss, by = objective.d_loss(real, fake), [real, fake]
    else:
        loss, by = objective.g_loss(fake, real), [fake]
    gradients = torch.autograd.grad(loss, by, allow_unused=True)
    found = [ranks.own(torch.zeros_like(b) if g is None else g) for b, g in zip(by, gradients, strict=True)]
    loss, of_fakes = loss.detach(), found[-1].chunk(len(parts))
    of_reals = found[0].chunk(len(parts)) if of_d else [None] * len(parts)
    return numbers, [Whole(loss, r, f, count) for r, f in zip(of_reals, of_fakes, strict=True)]


def without_graph(cost: Cost) -> Cost:
    """Return a cost as numbers, so that the graph of its part can go."""

    def plain(verdicts: Verdicts | None) -> Scores | None:
        if verdicts is None or verdicts.real is None:
            return None
        return Scores(verdicts.real.scores.detach(), verdicts.fake.scores.detach())

    turn = replace(cost.turn, fake=cost.turn.fake.detach(), scores=plain(cost.turn.verdicts), verdicts=None)
    return Cost({name: term.detach() for name, term in cost.terms.items()}, turn, cost.readings)


def joined(game: Game, of_d: bool, costs: Sequence[Cost], real: Tensor, labels: Tensor | None, measure: bool) -> Cost:
    """Return the cost of the whole batch: terms and G's readings are means, D's readings are of all scores."""

    def means(each: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
        return {name: torch.stack([one[name] for one in each]).mean(0) for name in each[0]}

    turns = [cost.turn for cost in costs]
    z = None if turns[0].z is None else torch.cat([turn.z for turn in turns if turn.z is not None])
    scores = [turn.scores for turn in turns if turn.scores is not None]
    turn = replace(
        turns[0],
        critic=replace(turns[0].critic, labels=labels),
        real=real,
        fake=torch.cat([turn.fake for turn in turns]),
        z=z,
        measure=measure,
        scores=Scores(torch.cat([s.real for s in scores]), torch.cat([s.fake for s in scores])) if of_d else None,
    )
    readings = means([cost.readings for cost in costs])
    if of_d and measure:
        assert turn.scores is not None
        readings = game.loss.readings(*turn.scores)
    return Cost(means([cost.terms for cost in costs]), turn, readings)


class Buffers:
    """The buffers of networks as they were, to be given back to them."""

    def __init__(self, *nets: nn.Module) -> None:
        self.live = [buffer for net in nets for buffer in net.buffers()]
        self.kept = [buffer.detach().clone() for buffer in self.live]

    @torch.no_grad()
    def restore(self) -> None:
        """Give every buffer its value of before."""
        for buffer, kept in zip(self.live, self.kept, strict=True):
            buffer.copy_(kept)


def devices(x: Tensor) -> list[torch.device]:
    """Return where random numbers are drawn beside the CPU."""
    return [x.device] if x.is_cuda else []


def numbers_of(x: Tensor) -> list[Tensor]:
    """Return the state of the random numbers on the CPU and on the device of ``x``."""
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state(device) for device in devices(x))]


def set_numbers(numbers: Sequence[Tensor], x: Tensor) -> None:
    """Restore what ``numbers_of`` returned."""
    torch.set_rng_state(numbers[0])
    for device, state in zip(devices(x), numbers[1:], strict=True):
        torch.cuda.set_rng_state(state, device)
