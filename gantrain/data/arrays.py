"""Arrays from files of numpy and torch, by name; nothing in a file is run as code."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gantrain.data import memory
from gantrain.data.names import plain
from gantrain.errors import ConfigError, DataError, first_line

UNREADABLE = (
    *(OSError, EOFError, ValueError, TypeError, SyntaxError),
    *(OverflowError, MemoryError, RecursionError),
)
"""What numpy raises for a file that is cut off, or whose header is no dictionary, or a hostile one."""
DAMAGED = (*UNREADABLE, RuntimeError, KeyError, zipfile.BadZipFile, zlib.error)
SAMPLES = ("images", "image", "x", "x_train", "train_images", "data", "samples", "arr_0")
"""Names under which samples are usually stored, the likeliest first."""
LABELS = ("labels", "label", "y", "y_train", "train_labels", "targets", "classes", "arr_1")


def array_in(path: Path, key: str, kinds: str = "fiu") -> np.ndarray:
    """Return the array in a .npy file, mapped; nothing in it is run as code.

    Args:
        path: of the file.
        key: of the setting that names it.
        kinds: of numpy's data types that are taken.

    Raises:
        DataError: if there is no such file, or it holds no array of numbers.
    """
    try:
        if not path.is_file():
            raise DataError(f"{key}={plain(path)} is not a file")
        with path.open("rb") as file:
            begin = file.read(6)
        if begin[:2] == b"PK":
            raise DataError(
                f"{plain(path)} holds several arrays (.npz); write the one with numpy.save into a .npy file"
            )
        if begin != b"\x93NUMPY":
            raise DataError(f"{plain(path)} is no .npy file; write the array with numpy.save")
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except UNREADABLE as error:
        what = (
            "holds Python objects instead of numbers"
            if "bject" in str(error)
            else f"cannot be read ({first_line(error)})"
        )
        raise DataError(f"{plain(path)} {what}; write it with numpy.save again") from error
    if array.dtype.kind not in kinds:
        raise DataError(f"{plain(path)} holds values of type {array.dtype}, real numbers are needed")
    return array


def check_whole(path: Path, size: int) -> None:
    """Raise DataError if a mapped file has not its size any more: reading beyond its end would end the process."""
    try:
        whole = path.stat().st_size == size
    except OSError:
        whole = False
    if not whole:
        raise DataError(f"{plain(path)} was changed or removed while it was read; put it back, or start anew")


def arrays_in(path: Path) -> Mapping[str, Any]:
    """Return what a file holds, by name; a .npy file and a .pt file of one tensor hold "".

    Arrays of a .npy file are mapped, all others are read when they are asked for, or at once from a .pt file.

    Raises:
        DataError: if the file is missing, damaged, of another kind, or too large for the memory.
    """
    if not path.is_file():
        raise DataError(f"data.root={plain(path)} is not a file")
    try:
        if path.suffix.lower() in (".pt", ".pth"):
            return of_torch(path)
        with path.open("rb") as file:
            is_zip = file.read(2) == b"PK"
        if not is_zip:
            return {"": array_in(path, "data.root", "fiub")}
        check_npz(path)
        found: Mapping[str, Any] = np.load(path, allow_pickle=False)
        return found
    except DAMAGED as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> DataError:
    """Return the error that names a file."""
    return DataError(f"{plain(path)} cannot be read ({plain(first_line(error))}); write it again")


def check_npz(path: Path) -> None:
    """Raise DataError if an array of a .npz file would not fit into memory: a small file can claim any size."""
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.file_size > memory.limit() / 2:
                raise DataError(
                    f"{plain(path)}: {plain(info.filename)} takes {info.file_size:,} bytes unpacked, more than half of "
                    "the memory; write it with numpy.save, from which it is read in parts"
                )


def of_torch(path: Path) -> Mapping[str, Any]:
    """Return the tensors that ``torch.save`` has written: one, a dictionary, or a tuple, which numpy's names number."""
    try:
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except MemoryError:
        raise
    except Exception as error:  # damaged files bring up all kinds; torch's own text recommends to run the file's code
        raise DataError(f"{plain(path)} cannot be read as tensors; write those alone with torch.save") from error
    if isinstance(found, Tensor):
        found = {"": found}
    if isinstance(found, list | tuple):
        found = {f"arr_{k}": value for k, value in enumerate(found)}
    if not isinstance(found, dict):
        raise DataError(f"{plain(path)} holds a {type(found).__name__}; a tensor, or a dictionary of some, is needed")
    tensors = {str(name): value for name, value in found.items() if isinstance(value, Tensor)}
    return {name: value.detach().float().numpy() if value.dtype == torch.bfloat16 else value.detach().numpy()
            for name, value in tensors.items()}  # fmt: skip


def pick(found: Mapping[str, Any], key: str | None, usual: Sequence[str], path: Path, setting: str) -> str:
    """Return the name of an array: ``key``, or the one of a usual name, or the only one.

    Raises:
        ConfigError: if there is no array of that name, or none that is the one.
    """
    names = list(found)
    named = f"{plain(path)} holds {', '.join(map(plain, names)) or 'no array'}"
    if key is not None:
        if key not in names:
            raise ConfigError(f"{setting}={key}: {named}" if names != [""] else f"{setting}={key}: there is one array")
        return key
    if len(names) == 1:
        return names[0]
    for name in usual:
        if name in names:
            return name
    raise ConfigError(f"{named}; name one: {setting}=…")


def get(found: Mapping[str, Any], name: str, path: Path) -> np.ndarray:
    """Return an array of real numbers; raise DataError if it is damaged or holds anything else."""
    try:
        array: np.ndarray = found[name]
    except DAMAGED as error:
        what = "holds Python objects; images of several sizes?" if "bject" in str(error) else None
        raise DataError(f"{plain(path)} {what} Write one array of numbers") if what else damaged(path, error) from error
    if array.dtype.kind not in "fiub":
        raise DataError(f"{plain(path)} holds values of type {array.dtype}, real numbers are needed")
    return array


def labels_in(array: np.ndarray, count: int, path: Path) -> tuple[Tensor, tuple[str, ...]]:
    """Return the class of each sample (count,) int64 and the names of the classes: the whole numbers that occur.

    Raises:
        DataError: unless there is one whole number for each sample.
    """
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.shape != (count,) or array.dtype.kind not in "iub":
        hint = "; of one-hot rows take argmax(1)" if array.ndim == 2 else ""
        raise DataError(
            f"{plain(path)} must hold a whole number for each of the {count:,} samples as labels, got {array.dtype} of "
            f"shape {array.shape}{hint}"
        )
    found, number = np.unique(array, return_inverse=True)
    if len(found) > max(1000, count // 2):
        raise DataError(
            f"{plain(path)} has {len(found):,} different labels for {count:,} samples, which are no classes"
        )
    return torch.from_numpy(number.astype(np.int64)), tuple(map(str, found.tolist()))
