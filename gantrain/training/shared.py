"""What the ranks tell one another after a backward: gradients, running statistics, and what a turn cost."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from gantrain.distributed import Alone
from gantrain.errors import RankLostError
from gantrain.losses import Loss
from gantrain.losses.turn import Cost, Scores
from gantrain.training.ema import Ema
from gantrain.training.player import Player


class Game(Protocol):
    """What is asked of ``training.game.Game``."""

    g: Player
    d: Player
    ema: Ema
    loss: Loss
    ranks: Alone


def of_all_ranks(game: Game, player: Player, cost: Cost) -> Cost:
    """Replace a player's gradients by their means over the ranks, which are the gradients of the whole batch.

    With them go, in the same collective, the running statistics of batch norms and the values of the cost's terms, so
    that every rank finds a cost that is not finite, and finds it in the same turn.

    Returns the cost of the whole batch, without a graph; on D's turn with everybody's scores.
    """
    of_d = player is game.d
    terms = {name: term.detach().clone() for name, term in cost.terms.items()}
    own = {} if of_d else {name: value.detach().clone() for name, value in cost.readings.items()}
    gradients = [weight.grad for weight in player.weights if weight.grad is not None]
    buffers = game.ranks.buffers(game.g.net, game.d.net)
    game.ranks.average([*gradients, *buffers, *terms.values(), *own.values()])
    if not of_d:
        return Cost(terms, cost.turn, own)
    assert cost.turn.scores is not None
    real, fake = everybody(game.ranks, *cost.turn.scores)
    readings = game.loss.readings(real, fake) if cost.turn.measure else {}
    return Cost(terms, replace(cost.turn, scores=Scores(real, fake)), readings)


def everybody(ranks: Alone, real: Tensor, fake: Tensor) -> list[Tensor]:
    """Return the scores of all ranks, without a graph."""
    return [scores.contiguous() for scores in ranks.seen(torch.stack([real, fake], 1)).unbind(1)]


def refuse_apart(game: Game) -> None:
    """Raise RankLostError unless all ranks hold the same networks, averages and loss: what is saved is the first's."""
    parts = {"G": game.g.net, "D": game.d.net, "G's average": game.ema.net, "loss": game.loss}
    tensors = {f"{part}: {name}": t for part, module in parts.items() for name, t in module.state_dict().items()}
    if (found := game.ranks.differing(tensors)) is not None:
        rank, name = found
        raise RankLostError(
            f"the ranks have come apart: {name} is not the same on rank {rank} as on rank 0. Does a module of your own "
            "keep statistics of the samples that it sees? Let its class name running means in running_means, or train "
            "on one rank"
        )
