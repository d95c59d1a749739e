"""LSUN: photographs of ten kinds of scenes, a database of the LMDB kind for each."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Unpack, overload

import numpy as np
import torch

from gantrain.data.benchmarks import check, check_choice, holding
from gantrain.data.files import ImageFiles
from gantrain.data.form import Formed
from gantrain.data.listing import Listing
from gantrain.data.names import plain
from gantrain.data.places import Entry, Store
from gantrain.errors import ConfigError, DataError, first_line
from gantrain.inputs import class_numbers

TRAIN = {
    **{"bedroom": 3_033_042, "bridge": 818_687, "church_outdoor": 126_227, "classroom": 168_103},
    **{"conference_room": 229_069, "dining_room": 657_571, "kitchen": 2_212_277, "living_room": 1_315_802},
    **{"restaurant": 626_331, "tower": 708_264},
}
"""Number of images of each class in the split train."""
VAL = 300
"""The same of every class in the split val."""
NAMES = tuple(TRAIN)
KEY = re.compile(rb"[\w.-]+")
"""Of an image: 40 hexadecimal digits in the published databases."""
HOME = "http://dl.yf.io/lsun/scenes"


class LSUN(ImageFiles):
    """Up to 3,033,042 photographs of a kind of scene, 256 pixels along the shorter side. Yu et al. 2015.

    Source: arXiv:1506.03365.

    Args:
        root: folder that holds ``bedroom_train_lmdb/`` and its like, or in which ``lsun/`` holds them.
        split: train or val.
        check_count: refuse databases that hold another number of images.
        formed: settings that all sets of image files have; see ``gantrain.data.form.FormedFiles``. Of the ten classes
            only the databases of those in ``classes`` are needed.

    Raises:
        ConfigError: for a setting that makes no sense, or without the package lmdb.
        DataError: for files that are missing or damaged.
    """

    def __init__(self, root: str, split: str, check_count: bool = True, **formed: Unpack[Formed]) -> None:
        check_choice("data.split", split, ("train", "val"))
        names = chosen(formed.pop("classes", None))
        folders = [f"{name}_{split}_lmdb" for name in names]
        where = holding(root, ("lsun",), lambda place: any((place / folder).is_dir() for folder in folders))
        keys = [keys_of(where, folder) for folder in folders]
        for name, found in zip(names, keys, strict=True):
            count = (TRAIN[name] if split == "train" else VAL) if check_count else None
            check(f"LSUN's {name}", split, count, len(found), torch.zeros(len(found)), range(1))
        entries = Entries([where / folder for folder in folders], keys)
        super().__init__(Listing(Databases(where), entries, entries.of.tolist(), tuple(names)), **formed)


def chosen(classes: Sequence[int | str] | None) -> list[str]:
    """Return the names of the classes that are wanted.

    Raises:
        ConfigError: for one that does not exist or is named twice.
    """
    numbers = class_numbers(NAMES if classes is None else classes, len(NAMES), NAMES, "data.classes")
    if len(set(numbers)) < len(numbers):
        raise ConfigError(f"data.classes={list(classes or ())} names a class twice")
    return [NAMES[k] for k in numbers]


class Databases(Store):
    """Folders that are databases; the path of an image goes on with its key."""

    def source(self, path: Path) -> BinaryIO:
        """Return an image's bytes."""
        return io.BytesIO(value(path.parent, path.name.encode()))


class Entries(Sequence[Entry]):
    """The images of some databases; those that nobody asks for cost no more than their keys.

    Args:
        folders: the databases.
        keys: of the images in each of them.
    """

    def __init__(self, folders: Sequence[Path], keys: Sequence[Sequence[bytes]]) -> None:
        self.folders, self.keys = folders, keys
        self.of = np.repeat(np.arange(len(keys)), [len(k) for k in keys])  # which database an image lies in
        self.first = np.cumsum([0, *(len(k) for k in keys)])
        self.written = [(folder / "data.mdb").stat().st_mtime_ns for folder in folders]

    def __len__(self) -> int:
        return len(self.of)

    @overload
    def __getitem__(self, k: int) -> Entry: ...
    @overload
    def __getitem__(self, k: slice) -> list[Entry]: ...
    def __getitem__(self, k: int | slice) -> Entry | list[Entry]:
        """Return an image as a file: its path is that of the database, with the key behind."""
        if isinstance(k, slice):
            return [self[j] for j in range(*k.indices(len(self)))]
        of = int(self.of[k])
        folder, key = self.folders[of], self.keys[of][int(k - self.first[of])]
        return Entry(folder / key.decode("ascii"), size(folder, key), self.written[of])


def keys_of(where: Path, name: str) -> list[bytes]:
    """Return the keys of a database in their order.

    Raises:
        ConfigError: without the package lmdb.
        DataError: if it is not there or damaged.
    """
    folder = where / name
    if not (folder / "data.mdb").is_file():
        archive = f"{name}.zip"
        packed = f"unzip {plain(where / archive)} first" if (where / archive).is_file() else ""
        raise DataError(
            f"LSUN's {name} is not in {plain(where)}: "
            + (packed or f"put {HOME}/{archive} there, unzip it and run the same command again, or set data.root")
        )
    try:
        with opened(folder).begin(buffers=True) as transaction:
            keys = [bytes(key) for key in transaction.cursor().iternext(values=False)]
        if wrong := [key for key in keys if not KEY.fullmatch(key)]:
            raise ValueError(f"it has the key {wrong[0]!r:.50}")
    except (ConfigError, MemoryError):
        raise
    except Exception as error:  # lmdb's own errors all come from one class that is no other's
        raise DataError(
            f"{plain(folder)} is no whole database of images ({plain(first_line(error))}); unzip {name}.zip anew"
        ) from error
    return keys


@cache
def opened(folder: Path) -> Any:
    """Return a database, open for reading: a process can open each one only once.

    Raises:
        ConfigError: without the package lmdb.
        ValueError, lmdb.Error: if it is cut off, or none.
    """
    try:
        import lmdb
    except ImportError as error:
        raise ConfigError("data=lsun needs the package lmdb: pip install 'gantrain[lsun]'") from error
    database = lmdb.open(str(folder), readonly=True, lock=False, readahead=False, meminit=False)
    needed = (database.info()["last_pgno"] + 1) * database.stat()["psize"]
    if (folder / "data.mdb").stat().st_size < needed:  # reading beyond its end would end the process
        database.close()
        raise ValueError("it is cut off")
    return database


def value(folder: Path, key: bytes) -> bytes:
    """Return the bytes of an image; raise KeyError if they are not there."""
    with opened(folder).begin() as transaction:
        found: bytes | None = transaction.get(key)
    if found is None:
        raise KeyError(f"there is no {key.decode()} in it")
    return found


def size(folder: Path, key: bytes) -> int:
    """Return how many bytes an image has, of which none is read."""
    with opened(folder).begin(buffers=True) as transaction:
        return len(transaction.get(key))
