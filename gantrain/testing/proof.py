"""What all proofs share: the error they raise, repeatable random numbers, and a record of an object's attributes."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from gantrain.errors import ConfigError, GantrainError, first_line

T = TypeVar("T")
INTERNAL = set(vars(nn.Module()))
"""Attributes that torch keeps in every module: its parameters, buffers and hooks among them."""


class ProofError(AssertionError):
    """A class does not keep its contract. The text is one sentence: what fails, and what to do.

    An AssertionError, so pytest and unittest report a failed test and not an error of the test.
    """


@contextmanager
def seeded(seed: int = 0) -> Iterator[None]:
    """Seed the generators that a checkpoint keeps (Python, numpy, torch's on the CPU), and restore them afterwards."""
    python, numbers, torch_state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed GPUs too, which are not restored
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numbers)
        torch.set_rng_state(torch_state)


def run_proofs(proofs: Mapping[str, Callable[[T], None]], subject: T, skip: Collection[str]) -> None:
    """Run each named proof on ``subject``, but those in ``skip``.

    Raises:
        ConfigError: if ``skip`` names a proof that is not there.
        ProofError: from the first proof that fails.
    """
    if unknown := sorted(set(skip) - set(proofs)):
        raise ConfigError(f"skip names no proof: {', '.join(unknown)}. The proofs are {', '.join(proofs)}")
    for name, proof in proofs.items():
        if name not in skip:
            with seeded():
                proof(subject)


@contextmanager
def calling(what: str, circumstances: str, pass_on: type[Exception] | tuple[()] = ()) -> Iterator[None]:
    """Turn an error of the class under test into a ProofError that names the method and the circumstances.

    Errors of the kind ``pass_on`` pass as they are.
    """
    try:
        yield
    except ProofError:
        raise
    except pass_on:
        raise
    except NotImplementedError as error:
        raise ProofError(f"{what} is not implemented: write it, as gantrain's own classes do") from error
    except Exception as error:
        said = str(error) if isinstance(error, GantrainError) else f"{type(error).__name__}: {first_line(error)}"
        raise ProofError(f"{what} fails {circumstances} ({said}): make it work there") from error


def require_scalar(what: str, value: object, dtype: torch.dtype, circumstances: str) -> Tensor:
    """Return ``value`` if it is a scalar tensor of ``dtype``; raise ProofError if not."""
    if not isinstance(value, Tensor):
        raise ProofError(f"{what} returns a {type(value).__name__} {circumstances}: return a scalar tensor")
    if value.ndim:
        shape = tuple(value.shape)
        raise ProofError(f"{what} returns shape {shape} {circumstances}: return a scalar, for example with .mean()")
    if value.dtype != dtype:
        raise ProofError(
            f"{what} returns {value.dtype} {circumstances}: return {dtype}, the dtype of the scores, "
            "for example by making constants with scores.new_tensor"
        )
    return value


def frozen(value: Any, depth: int = 4) -> Any:
    """Return a copy of ``value`` that stays as it is now, made of what ``same`` can compare."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, torch.Generator):
        return value.get_state()
    if isinstance(value, nn.Module):
        return frozen(dict(value.state_dict()), depth)
    if depth and isinstance(value, Mapping):
        return {key: frozen(item, depth - 1) for key, item in value.items()}
    if depth and isinstance(value, list | tuple | set | frozenset | deque):
        return [frozen(item, depth - 1) for item in value]
    if depth and hasattr(value, "__dict__") and not callable(value):
        return {key: frozen(item, depth - 1) for key, item in vars(value).items()}
    return value


def same(a: Any, b: Any) -> bool:
    """Tell whether two values of ``frozen`` are equal; NaN equals NaN."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and a.dtype == b.dtype and torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return np.array_equal(a, b)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a is b or (type(a) is type(b) and bool(a == b))


def attributes(module: nn.Module) -> dict[str, Any]:
    """Return the Python attributes of a module and of those inside, by dotted name: what no checkpoint keeps."""
    return {
        f"{prefix}.{name}".lstrip("."): frozen(value)
        for prefix, part in module.named_modules()
        for name, value in vars(part).items()
        if name not in INTERNAL
    }


def state(module: nn.Module) -> dict[str, Tensor]:
    """Return what a checkpoint keeps of a module, copied."""
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return the names whose values differ, or which only one of the two has."""
    return [
        name
        for name in before | after
        if name not in before or name not in after or not same(before[name], after[name])
    ]


@contextmanager
def keeping_attributes(what: str, module: nn.Module) -> Iterator[None]:
    """Raise ProofError if a Python attribute of ``module`` changes inside."""
    before = attributes(module)
    yield
    if names := changed(before, attributes(module)):
        raise ProofError(
            f"{what} changes self.{names[0]}, a Python attribute, which a checkpoint does not keep: "
            "make it a buffer with register_buffer and change it in place"
        )


@contextmanager
def keeping_state(what: str, module: nn.Module, remedy: str) -> Iterator[None]:
    """Raise ProofError if a buffer or parameter of ``module`` changes inside."""
    before = {name: frozen(value) for name, value in (*module.named_buffers(), *module.named_parameters())}
    yield
    after = dict((*module.named_buffers(), *module.named_parameters()))
    if names := changed(before, {name: value.detach() for name, value in after.items()}):
        raise ProofError(f"{what} changes the state {names[0]}: {remedy}")


@contextmanager
def keeping_inputs(what: str, **tensors: Tensor | None) -> Iterator[None]:
    """Raise ProofError if one of the tensors changes inside."""
    before = {name: frozen(tensor) for name, tensor in tensors.items() if tensor is not None}
    yield
    for name, tensor in before.items():
        now = tensors[name]
        assert now is not None
        if not same(tensor, now.detach()):
            raise ProofError(
                f"{what} changes {name} in place, which the other terms read too: work on new tensors, "
                "for example with mul instead of mul_"
            )
