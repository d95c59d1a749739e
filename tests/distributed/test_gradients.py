"""D's gradient on two ranks is that of one process, in the places where DistributedDataParallel's is silently wrong."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from gantrain.distributed import ALONE, Alone
from gantrain.distributed.batch_norm import SyncBatchNorm, synchronised
from tests.distributed.world import difference, on_ranks

N = 8


def net() -> nn.Module:
    """A small D in float64; its last bias has no part in any penalty."""
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(2, 16), nn.Softplus(), nn.Linear(16, 16), nn.Softplus(), nn.Linear(16, 1)).double()


def batches() -> tuple[Tensor, Tensor]:
    numbers = torch.Generator().manual_seed(2)
    return tuple(torch.randn(N, 2, generator=numbers, dtype=torch.float64) for _ in range(2))  # type: ignore[return-value]


def penalty(d: nn.Module, x: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(d(x).sum(), x, create_graph=True)
    return (gradient.square().sum(1) + 1e-12).sqrt().sub(1).square().mean()


def score(d: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    return softplus(-d(real)).mean() + softplus(d(fake)).mean()


def one_backward(d: nn.Module, real: Tensor, fake: Tensor) -> None:
    scores = d(torch.cat([real, fake])).squeeze(1)
    (softplus(-scores[: len(real)]).mean() + softplus(scores[len(real) :]).mean() + penalty(d, real)).backward()


def two_forwards(d: nn.Module, real: Tensor, fake: Tensor) -> None:
    (score(d, real, fake) + penalty(d, torch.lerp(real, fake, 0.3))).backward()


def penalty_alone(d: nn.Module, real: Tensor, fake: Tensor) -> None:
    penalty(d, real).backward()


def two_backwards(d: nn.Module, real: Tensor, fake: Tensor) -> None:
    score(d, real, fake).backward()
    penalty(d, fake).backward()


TURNS: dict[str, Callable[[nn.Module, Tensor, Tensor], None]] = {
    "score and penalty in one backward": one_backward,
    "two forwards and a penalty": two_forwards,
    "penalty alone": penalty_alone,
    "score backward, then penalty backward": two_backwards,
}


def gradients(ranks: Alone) -> dict[str, list[Tensor | None]]:
    """D's gradients by each way of writing a turn, twice over: a second iteration finds what the first left."""
    found = {}
    for name, turn in TURNS.items():
        d = net()
        for _ in range(2):
            d.zero_grad(set_to_none=True)
            turn(d, *(ranks.own(batch) for batch in batches()))
            ranks.average([p.grad for p in d.parameters() if p.grad is not None])
        found[name] = [p.grad for p in d.parameters()]
    return found


def shared(ranks: Alone) -> dict[str, Any]:
    """Gradients of first and second order through what ranks share."""
    numbers = torch.Generator().manual_seed(3)
    x = torch.randn(N, 3, generator=numbers, dtype=torch.float64)
    weight = torch.randn(3, 3, generator=numbers, dtype=torch.float64).requires_grad_()
    every = ranks.share(torch.tanh(ranks.own(x) @ weight))
    loss = torch.cdist(every, every.flip(0)).square().mean().sin()  # compares each sample with each other
    (slope,) = torch.autograd.grad(loss, weight, create_graph=True)
    (slope,) = ranks.mean([slope])
    slope.square().sum().backward()
    ranks.average([weight.grad])
    return {"slope": slope.detach(), "second": weight.grad, "std": ranks.std(ranks.own(x)), "order": every.detach(),
            "drawn": ranks.seen(ranks.draw(torch.rand, N // ranks.world, 2))}  # fmt: skip


def normalised(ranks: Alone) -> dict[str, Any]:
    """What batch norm over all ranks gives, its gradients of first and second order, and its statistics."""
    found: dict[str, Any] = {}
    for shape, norm in (((N, 3), nn.BatchNorm1d(3)), ((N, 3, 2, 2), nn.BatchNorm2d(3, momentum=None))):
        numbers = torch.Generator().manual_seed(4)
        x = torch.randn(*shape, generator=numbers, dtype=torch.float64)
        target = torch.randn(*shape, generator=numbers, dtype=torch.float64)
        layer = copy.deepcopy(norm).double()
        with torch.no_grad():
            layer.weight.uniform_(0.5, 1.5, generator=numbers), layer.bias.uniform_(-1, 1, generator=numbers)
        layer = synchronised(nn.Sequential(layer), ranks) if ranks.world > 1 else nn.Sequential(layer)
        own = ranks.own(x).clone().requires_grad_()
        y = layer(own)
        loss = (y * ranks.own(target)).square().mean()
        (gradient,) = torch.autograd.grad(loss, own, create_graph=True)
        # Each rank's loss is the mean of its share, so its gradient by a sample is ``world`` times the whole batch's.
        (gradient.square().sum() / ranks.world + loss).backward()
        learned = [p.grad for p in layer.parameters()]
        ranks.average(learned)
        layer.eval()
        found[str(shape)] = [
            ranks.seen(y),
            ranks.seen(gradient) / ranks.world,
            learned,
            layer.state_dict(),
            layer(x).detach(),
        ]
    return found


def everything(ranks: Alone) -> dict[str, Any]:
    return {"gradients": gradients(ranks), "shared": shared(ranks), "normalised": normalised(ranks)}


@cache
def found() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    torch.manual_seed(0)
    return everything(ALONE), on_ranks(2, everything)


@pytest.mark.xdist_group("gradients")
@pytest.mark.parametrize("turn", TURNS)
def test_the_gradient_of_two_ranks_is_that_of_one(turn: str) -> None:
    alone, each = found()
    expected = alone["gradients"][turn]
    assert (expected[-1] is None) == (turn == "penalty alone")
    for rank in each:
        got = rank["gradients"][turn]
        assert [g is None for g in got] == [g is None for g in expected]
        assert difference([g for g in got if g is not None], [g for g in expected if g is not None])[0] < 1e-15


@pytest.mark.xdist_group("gradients")
def test_shared_samples_carry_gradients_of_both_orders_to_all_ranks() -> None:
    alone, each = found()
    for rank in each:
        assert difference(alone["shared"], rank["shared"])[0] < 1e-14


@pytest.mark.xdist_group("gradients")
def test_batch_norm_over_ranks_is_torch_s_on_the_whole_batch() -> None:
    alone, each = found()
    for rank in each:
        found_there, where = difference(alone["normalised"], rank["normalised"])
        assert found_there < 1e-12, where


def test_a_synchronised_network_keeps_its_names_and_its_weights() -> None:
    plain = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.BatchNorm1d(3), nn.ReLU()))
    before = dict(plain.named_parameters())
    net = synchronised(plain, ALONE)
    assert isinstance(net[1][0], SyncBatchNorm)
    assert all(p is before[name] for name, p in net.named_parameters()) and len(before) == 4
