"""Collectives that autograd follows, any number of times: torch's own have no second derivative."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd import Function


class Gathered(Function):
    """(n, …) of every rank → (world · n, …) on all: sample i of rank r becomes sample i · world + r.

    Each rank's loss may depend on everybody's samples, so a rank's samples get the sum of all ranks' gradients.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: dist.ProcessGroup) -> Tensor:
        """Return everybody's samples."""
        ctx.group = group
        return interleaved(x, group)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Return the sum of the gradients by this rank's own samples."""
        own: Tensor = OwnOfSum.apply(gradients[0], ctx.group)
        return own, None


class OwnOfSum(Function):
    """(world · n, …) of every rank → (n, …): the rank's own samples of the sum over all ranks."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: dist.ProcessGroup) -> Tensor:
        """Return the own samples of the sum."""
        ctx.group = group
        total = x.contiguous().clone()
        dist.all_reduce(total, group=group)
        return total[dist.get_rank(group) :: dist.get_world_size(group)].clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Return everybody's gradients."""
        every: Tensor = Gathered.apply(gradients[0], ctx.group)
        return every, None


class Averaged(Function):
    """x of every rank → their mean on all; so is the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: dist.ProcessGroup) -> Tensor:
        """Return the mean."""
        ctx.group = group
        total = x.contiguous().clone()
        dist.all_reduce(total, group=group)
        return total / dist.get_world_size(group)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Return the mean of the gradients."""
        mean: Tensor = Averaged.apply(gradients[0], ctx.group)
        return mean, None


def interleaved(x: Tensor, group: dist.ProcessGroup) -> Tensor:
    """Return (world · n, …) of (n, …), samples of the ranks in turn, without a graph."""
    x = x.detach().contiguous()
    world = dist.get_world_size(group)
    found = x.new_empty(world, *x.shape)
    dist.all_gather(list(found.unbind()), x, group=group)
    return found.transpose(0, 1).reshape(world * x.shape[0], *x.shape[1:])


@torch.no_grad()
def average(tensors: list[Tensor], group: dist.ProcessGroup) -> None:
    """Replace tensors by their means over the ranks, in one collective for each dtype."""
    world = dist.get_world_size(group)
    for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
        those = [tensor for tensor in tensors if tensor.dtype == dtype]
        flat = torch.cat([tensor.reshape(-1) for tensor in those])
        dist.all_reduce(flat, group=group)
        flat /= world
        parts = flat.split([tensor.numel() for tensor in those])
        torch._foreach_copy_(those, [part.view(t.shape) for part, t in zip(parts, those, strict=True)])
