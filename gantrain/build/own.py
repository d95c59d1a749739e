"""Objects that Python code gives instead of a configuration's ``_target_``: a network, a loss, data, a callback."""

from __future__ import annotations

import copy
import hashlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch
from hydra.utils import get_object
from omegaconf import DictConfig
from torch import Tensor, nn

from gantrain.errors import ConfigError, first_line

TARGET = "gantrain.build.own.Own"
_lent: ContextVar[Mapping[str, Any]] = ContextVar("lent", default={})  # noqa: B039  (never changed in place)


class Own:
    """Stands in a configuration where Python code gives an object, by its ``key``.

    A network or a loss is copied for each use, so that a run begins with the weights that were given, and leaves them
    as they are.

    Raises:
        ConfigError: if no object is given: such a run goes on from Python alone.
    """

    def __new__(cls, key: str, kind: str, digest: str | None = None, **facts: Any) -> Any:
        """Return the object itself; ``facts`` are what a class of a configuration is told, like the data's shape."""
        given = object_of(key, kind)
        return copy.deepcopy(given) if isinstance(given, nn.Module) else given


@contextmanager
def lent(objects: Mapping[str, Any]) -> Iterator[None]:
    """Let configurations inside the block find objects by their keys."""
    token = _lent.set({**_lent.get(), **objects})
    try:
        yield
    finally:
        _lent.reset(token)


def object_of(key: str, kind: str) -> Any:
    """Return the object of a key; raise ConfigError if none is given, as to whoever has the run's files alone."""
    if key not in (objects := _lent.get()):
        raise ConfigError(
            f"{key} is an object of Python's, {kind}, so the run goes on from Python alone: give it again, as in "
            f"gantrain.train({key}=…) or gantrain.Run(path, {key}=…)"
        )
    return objects[key]


def class_of(node: DictConfig) -> Any:
    """Return the class or function that a node is made of; of an object that is given, its class."""
    if node._target_ == TARGET:
        return type(unwrapped(object_of(node.key, node.kind)))
    return get_object(node._target_)


def node(key: str, given: Any) -> dict[str, Any]:
    """Return what stands for an object in a configuration."""
    return {"_target_": TARGET, "key": key, "kind": kind_of(given), "digest": digest(given)}


def kind_of(given: Any) -> str:
    """Return the dotted name of an object's class, of a network's that a wrapper calls."""
    own = unwrapped(given)
    return f"{type(own).__module__}.{type(own).__qualname__}"


def class_name(given: Any) -> str:
    """Return the name of an object's class, as a run's folder has it."""
    return type(unwrapped(given)).__name__


def unwrapped(given: Any) -> Any:
    """Return the object that was given, where a wrapper calls it."""
    return given.net if type(given) in WRAPPERS.values() else given


class Rows:
    """Samples that are held as one tensor or array: x (n, *shape), and labels (n,) of whole numbers, or none.

    Raises:
        ConfigError: for what no tensor can be made of, or labels that are not one for each sample.
    """

    def __init__(self, x: Any, labels: Any | None = None) -> None:
        self.x = tensor_of(x, "samples")
        self.labels = None if labels is None else tensor_of(labels, "labels")
        if not self.x.dim():
            raise ConfigError("data: samples must be (n, *shape), got a single number")
        if self.labels is not None and self.labels.shape != self.x.shape[:1]:
            raise ConfigError(f"data: {len(self.x)} samples, and labels of shape {tuple(self.labels.shape)}")

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, k: int) -> Tensor | tuple[Tensor, int]:
        return self.x[k] if self.labels is None else (self.x[k], int(self.labels[k]))

    def facts(self) -> Iterator[str]:
        """Yield what distinguishes them from others: shape, dtype and every bit."""
        for held in (self.x, self.labels):
            if held is not None:
                bits = held.contiguous().flatten().view(torch.uint8).numpy().data
                yield f"{tuple(held.shape)} {held.dtype} {hashlib.sha256(bits).hexdigest()}"


def tensor_of(given: Any, what: str) -> Tensor:
    """Return a tensor on the CPU; raise ConfigError for what none can be made of."""
    if isinstance(given, np.ndarray) and (not given.flags.writeable or min((0, *given.strides)) < 0):
        given = given.copy()  # torch takes no such view
    try:
        found = torch.as_tensor(given).detach().to("cpu")
        return found.to_dense() if found.layout != torch.strided else found
    except (TypeError, ValueError, RuntimeError, NotImplementedError) as error:
        raise ConfigError(f"data: no tensor can be made of the {what}: {first_line(error)}") from error


def digest(given: Any) -> str:
    """Return a digest of what an object is: a module's class, layers, plain settings and shapes; of rows, every bit.

    Not of the weights: they are where a run begins, and a process that goes on takes them from the checkpoint.
    """
    facts = [kind_of(given)]
    if isinstance(given, Rows):
        facts += given.facts()
    if isinstance(given, nn.Module):
        facts.append(re.sub(r" at 0x[0-9a-f]+", "", repr(given)))
        facts += [f"{name} {tuple(tensor.shape)} {tensor.dtype}" for name, tensor in given.state_dict().items()]
        for name, module in given.named_modules():
            plain = {k: v for k, v in vars(module).items() if type(v) in (bool, int, float, str) and k != "training"}
            facts.append(f"{name} {sorted(plain.items())}")
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:8]


class OfLatentsAlone(nn.Module):
    """A generator of somebody's own that takes no labels: ``net(z)`` (n, latent_dim) -> samples (n, *shape)."""

    conditional = False

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return samples of latents."""
        samples: Tensor = self.net(z)
        return samples


class OfSamplesAlone(nn.Module):
    """A discriminator of somebody's own that takes no labels: ``net(x)`` (n, *shape) -> scores (n,) or (n, 1)."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Any:
        """Return scores (n,) of samples, or whatever else the network says of them."""
        found = self.net(x)
        return found.squeeze(-1) if isinstance(found, Tensor) and found.dim() == 2 and found.shape[1] == 1 else found


WRAPPERS: dict[str, Callable[[nn.Module], nn.Module]] = {"generator": OfLatentsAlone, "discriminator": OfSamplesAlone}


def as_player(role: str, net: Any) -> nn.Module:
    """Return a network as gantrain calls it: with labels beside z or x, which one of somebody's own may not take.

    Raises:
        ConfigError: for what is no ``torch.nn.Module``, or whose forward takes nothing, or more than two inputs.
    """
    if not isinstance(net, nn.Module):
        raise ConfigError(f"{role} must be a torch.nn.Module, got {type(net).__name__}")
    refuse_unready(role, net)
    inputs = inspect.signature(net.forward).parameters.values()
    several = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in inputs)
    positional = [p for p in inputs if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = [p for p in positional if p.default is p.empty]
    if len(needed) > 2 or not (positional or several):
        what = "z, or z and labels" if role == "generator" else "x, or x and labels"
        raise ConfigError(f"{role}: {type(net).__name__}.forward must take {what}; it takes {len(needed)} inputs")
    is_setting = len(positional) > 1 and positional[1].default not in (None, inspect.Parameter.empty)
    if len(positional) == 1 or several or is_setting:  # forward(z, temperature=1.0)
        return WRAPPERS[role](net)
    return net


def refuse_unready(role: str, net: nn.Module) -> None:
    """Raise ConfigError for a network whose weights are not there yet, are no float32, or cannot be copied."""
    if isinstance(net, torch.jit.ScriptModule):
        raise ConfigError(f"{role} is a ScriptModule of torch.jit, which cannot be trained; give the module itself")
    for name, tensor in (*net.named_parameters(), *net.named_buffers()):
        if nn.parameter.is_lazy(tensor):
            raise ConfigError(f"{role}.{name} has no shape yet; call the network once before")
        if tensor.is_meta:
            raise ConfigError(f"{role}.{name} is on the meta device and has no values; make it on the CPU")
        if isinstance(tensor, nn.Parameter) and tensor.dtype != torch.float32:
            raise ConfigError(
                f"{role}.{name} is {tensor.dtype}; weights are float32, call .float(), and precision=… says in what "
                "networks compute"
            )
    try:
        copy.deepcopy(net)
    except Exception as error:  # somebody's own attributes
        raise ConfigError(f"{role}: {type(net).__name__} cannot be copied: {first_line(error)}") from error
