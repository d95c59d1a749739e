"""Batch norm whose statistics are those of the whole batch, of which each rank sees a part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

if TYPE_CHECKING:
    from gantrain.distributed.ranks import Alone


class SyncBatchNorm(_BatchNorm):
    """Batch norm over all ranks' samples, which may be differentiated any number of times, on any device.

    Mean and variance of equally many samples of each rank are put together as Chan et al. 1979 do (Eq. 2.1): the
    variance is the mean of the ranks' variances plus the variance of their means. torch's SyncBatchNorm is for GPUs,
    and has no second derivative, which penalties on G's gradient need.
    """

    ranks: Alone

    @classmethod
    def like(cls, norm: _BatchNorm, ranks: Alone) -> SyncBatchNorm:
        """Return one with the tensors and settings of another batch norm."""
        new = cls.__new__(cls)
        new.__dict__.update(norm.__dict__)
        new.ranks = ranks
        return new

    def _check_input_dim(self, x: Tensor) -> None:
        """Accept what any batch norm accepts: (N, C) and (N, C, …)."""
        if x.dim() < 2:
            raise ValueError(f"batch norm needs (N, C, …), got {tuple(x.shape)}")

    def forward(self, x: Tensor) -> Tensor:
        """Return normalised features, by the statistics of all ranks' samples in training."""
        if not self.training:
            return super().forward(x)
        over = [k for k in range(x.dim()) if k != 1]
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        own = torch.stack([wide.mean(over), wide.var(over, correction=0)])
        means, variances = self.ranks.share(own[None]).unbind(1)
        mean = means.mean(0)
        variance = variances.mean(0) + (means - mean).square().mean(0)
        self._move(mean.detach(), variance.detach(), x.numel() // x.shape[1] * self.ranks.world)
        shape = [1, -1] + [1] * (x.dim() - 2)
        scale = (variance + self.eps).rsqrt()
        shift = -mean * scale
        if self.affine:
            scale, shift = scale * self.weight, shift * self.weight + self.bias
        return (wide * scale.view(shape) + shift.view(shape)).to(x.dtype)

    @torch.no_grad()
    def _move(self, mean: Tensor, variance: Tensor, n: int) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_((variance * n / max(n - 1, 1)).to(self.running_var.dtype), share)


def synchronised(net: nn.Module, ranks: Alone) -> nn.Module:
    """Return a network whose batch norms take the statistics of the whole batch; its other modules are the same."""
    if isinstance(net, _BatchNorm):
        return SyncBatchNorm.like(net, ranks)
    for name, child in list(net.named_children()):
        setattr(net, name, synchronised(child, ranks))
    return net
