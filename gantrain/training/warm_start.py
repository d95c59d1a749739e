"""Warm start: weights of another run taken into new networks, and the first layers of D held (FreezeD)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList, is_parametrized

from gantrain.errors import ConfigError

MOST_NAMED = 4  # of the tensors that were not taken


@torch.no_grad()
def take(net: nn.Module, weights: Mapping[str, Tensor], whose: str) -> str:
    """Copy weights into a network where name and shape agree, and return in words what was taken and what was not.

    Args:
        net: the new network; what is not taken stays as it was initialised.
        weights: of another network, by their ``state_dict`` names.
        whose: of which network, for the sentence.

    Raises:
        ConfigError: if not a single weight fits.
    """
    own = net.state_dict()
    fitting = {name: value for name, value in weights.items() if name in own and own[name].shape == value.shape}
    for name, value in fitting.items():
        own[name].copy_(value)
    parameters = [name for name, _ in net.named_parameters()]
    if parameters and not fitting.keys() & set(parameters):
        raise ConfigError(f"init_from: no weight of {whose} there has a name and a shape of the new {whose}")
    left = [name if name not in weights else f"{name} (of another shape)" for name in own if name not in fitting]
    if not left:
        return f"{whose} wholly"
    named = ", ".join(left[:MOST_NAMED]) + (f" and {len(left) - MOST_NAMED} more" if len(left) > MOST_NAMED else "")
    return f"{whose} but for {named}"


def freeze(d: nn.Module, layers: int) -> None:
    """Let the first ``layers`` layers of D keep their weights. Mo et al. 2020, arXiv:2002.10964 (FreezeD).

    A layer is a module with weights of its own, in the order in which the network holds them; norms count too.

    Raises:
        ConfigError: if no layer would be left to learn.
    """
    found = [module for module in d.modules() if has_weights(module)]
    if layers >= len(found):
        raise ConfigError(f"freeze_d={layers}: D has {len(found)} layers with weights, and one at least must learn")
    for module in found[:layers]:
        for weight in module.parameters():
            weight.requires_grad_(False)
            weight.held = True  # type: ignore[attr-defined]  # for projections and look-aheads, which ask no gradient


def has_weights(module: nn.Module) -> bool:
    """Tell whether a module is a layer: it has weights of its own, or a normalised one."""
    if isinstance(module, ParametrizationList):
        return False  # it holds the weight of the layer around it
    return is_parametrized(module) or next(module.parameters(recurse=False), None) is not None
