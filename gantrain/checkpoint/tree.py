"""Nested Python state as plain JSON plus named tensors, exactly, without pickle.

Leaves are None, bool, int, float, str and tensors; containers are list, tuple and dict (keys: str or int). Anything
else is refused at the save, so that a load finds nothing missing.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def flatten(value: Any, path: str = "") -> tuple[Any, dict[str, Tensor]]:
    """Return a JSON-ready twin of ``value`` and its tensors by dotted path, on the CPU and contiguous.

    Raises:
        TypeError: for a leaf or key of any other type; the text names its path.
    """
    tensors: dict[str, Tensor] = {}
    return _flatten(value, path, tensors, set()), tensors


def _flatten(value: Any, path: str, tensors: dict[str, Tensor], stored: set[int]) -> Any:
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Tensor):
        tensor = value.detach().cpu().contiguous()
        # Tied weights are stored twice: safetensors has no way to say that two names are one tensor.
        tensors[path] = tensor.clone() if tensor.data_ptr() in stored else tensor
        if tensor.numel():
            stored.add(tensor.data_ptr())
        return {"tensor": path}
    if type(value) in (list, tuple):
        return {type(value).__name__: [_flatten(item, f"{path}.{k}", tensors, stored) for k, item in enumerate(value)]}
    if isinstance(value, dict):
        for key in value:
            if type(key) not in (str, int):
                raise TypeError(f"cannot save {path}: key {key!r} is neither str nor int")
        pairs = [
            [key, _flatten(item, f"{path}.{key}" if path else str(key), tensors, stored)] for key, item in value.items()
        ]
        return {"dict": pairs}
    raise TypeError(f"cannot save {path}: {type(value).__name__} is not plain data")


def unflatten(twin: Any, tensors: dict[str, Tensor]) -> Any:
    """Return the value that ``flatten`` took apart.

    Raises:
        KeyError, TypeError, ValueError: if ``flatten`` did not make ``twin``, or a tensor is missing.
    """
    if not isinstance(twin, dict):
        if twin is None or type(twin) in (bool, int, float, str):
            return twin
        raise TypeError(f"unexpected {type(twin).__name__}")
    ((kind, content),) = twin.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: unflatten(item, tensors) for key, item in content}
    items = [unflatten(item, tensors) for item in content]
    return {"list": list, "tuple": tuple}[kind](items)


def first_nonfinite(tensors: dict[str, Tensor]) -> str | None:
    """Return the path of a floating-point tensor that holds NaN or infinity, or None."""
    for path, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            return path
    return None


OPTIONAL = "state.rng."  # Python's generator may hold no second normal number, and a machine no GPU


ON_ONE_SIDE = {"state.rng": {"ranks"}, "state": {"callbacks"}}
"""Keys, by path, that may be there on one side only: a run may go on with another number of ranks, other callbacks."""


def misfit(own: Any, stored: Any, path: str = "state") -> str | None:
    """Return in words the first place where ``stored`` does not fit ``own``, None if it fits.

    Names, types, shapes and dtypes must agree. Values may differ, but where ``own`` is an int of 0 or more, ``stored``
    must not be negative. A dict that is empty on one side fits: an optimizer has no moments before its first step.
    """
    if own is None or (stored is None and path.startswith(OPTIONAL)):
        return None
    if isinstance(own, dict) and isinstance(stored, dict) and not (own and stored):
        return None
    if isinstance(own, Tensor) and isinstance(stored, Tensor):
        if (own.shape, own.dtype) == (stored.shape, stored.dtype):
            return None
        return f"{path} is {describe(own)} here and {describe(stored)} there"
    if isinstance(own, dict) and isinstance(stored, dict):
        apart = ON_ONE_SIDE.get(path, set())
        if differing := sorted(map(str, (own.keys() ^ stored.keys()) - apart)):
            return f"{path}.{differing[0]} exists on one side only"
        pairs = [(f"{path}.{key}", own[key], stored[key]) for key in own if key not in apart]
    elif isinstance(own, list | tuple) and type(own) is type(stored) and len(own) == len(stored):
        pairs = [(f"{path}.{k}", *both) for k, both in enumerate(zip(own, stored, strict=True))]
    elif type(own) is int and type(stored) is int and own >= 0 > stored:
        return f"{path} is {stored}"
    elif type(own) is type(stored) or (type(own) is float and type(stored) is int):
        return None
    else:
        return f"{path} is a {type(own).__name__} here and a {type(stored).__name__} there"
    return next((text for name, a, b in pairs if (text := misfit(a, b, name)) is not None), None)


def describe(tensor: Tensor) -> str:
    """Return a tensor's shape and dtype in words."""
    return f"{'×'.join(map(str, tensor.shape)) or 'one'} {str(tensor.dtype).removeprefix('torch.')}"
