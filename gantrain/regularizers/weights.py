"""Regularizers that act on D's weights."""

from __future__ import annotations

import torch
from torch import nn

from gantrain.errors import ConfigError
from gantrain.regularizers.base import Regularizer


class Clip(Regularizer):
    """After every D step clamp each parameter to [-bound, bound]. Arjovsky et al. 2017, arXiv:1701.07875, Alg. 1."""

    def __init__(self, bound: float) -> None:
        super().__init__()
        if bound <= 0:
            raise ConfigError(f"Clip needs bound > 0, got {bound}")
        self.bound = bound

    @torch.no_grad()
    def after_d_step(self, d: nn.Module) -> None:
        """Project D's parameters onto the box."""
        for parameter in d.parameters():
            parameter.clamp_(-self.bound, self.bound)
