"""What all published benchmarks share: torchvision reads them, downloads them and checks their checksums."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gantrain.data.names import folder_named, plain
from gantrain.errors import ConfigError, DataError, first_line
from gantrain.terminal import tell

# URLError is an OSError; torchvision raises RuntimeError for checksums and asserts the magic numbers of files.
UNREADABLE = (OSError, RuntimeError, EOFError, ValueError, TypeError, AssertionError, KeyError, IndexError)
SPLITS = ("train", "test")


def check_choice(key: str, value: object, among: Sequence[str]) -> None:
    """Raise ConfigError if a setting is none of some words."""
    if value not in among:
        raise ConfigError(f"{key} must be {', '.join(among[:-1])} or {among[-1]}, got {value!r}")


def fetch(
    dataset: Any,
    root: Path,
    where: Path,
    files: Mapping[str, str],
    megabytes: int,
    changes: Mapping[str, Any],
    **arguments: Any,
) -> Any:
    """Return torchvision's ``dataset``, downloaded if that is asked for and needed; a line says when it begins.

    Args:
        dataset: its class.
        root: the folder that torchvision is given.
        where: the folder that holds the downloaded files, or will hold them.
        files: what is downloaded: the MD5 of each URL.
        megabytes: how much that is.
        changes: attributes in which the data set differs from torchvision's.
        arguments: what the class takes beside ``root``.

    Raises:
        DataError: if it is not there and could not be downloaded; the text says which file to put where.
    """
    here = type(dataset.__name__, (dataset,), {**changes, "download": announcing(dataset, where, files, megabytes)})
    missing = [folder for folder in (where, *where.parents) if not folder.exists()]
    try:
        return here(str(root), **arguments)
    except UNREADABLE as error:
        remove_empty(missing)  # torchvision makes them before it downloads
        put = f"put {', '.join(files)} into {plain(where)} and run the same command again, or set data.root"
        reason = plain(first_line(error))
        if not arguments.get("download"):
            why = "" if "download=True" in reason else f" ({reason})"  # torchvision's own advice is for Python
            remedy = f"and data.download=false. Set data.download=true ({megabytes:,} MB), or {put}"
        else:
            why, remedy = "", f"and could not be downloaded ({reason}). P{put[1:]}"
        raise DataError(f"{dataset.__name__} is not in {plain(where)}, or damaged{why}, {remedy}") from error


def announcing(dataset: Any, where: Path, files: Mapping[str, str], megabytes: int) -> Callable[[Any], None]:
    """Return ``dataset.download`` with a line before it, if it is going to download and not only to unpack."""
    from torchvision.datasets.utils import check_integrity

    def download(self: Any) -> None:
        if (self._check_exists if hasattr(self, "_check_exists") else self._check_integrity)():
            return
        absent = [url for url, md5 in files.items() if not check_integrity(where / url.rpartition("/")[2], md5)]
        if absent:
            tell(f"downloading {dataset.__name__} ({megabytes:,} MB) from {absent[0]} into {where}")
        dataset.download(self)

    return download


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove those of the folders, the deepest first, that are there and empty."""
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def holding(root: object, inside: Sequence[str], is_there: Callable[[Path], bool]) -> Path:
    """Return the folder with a data set's files: ``root`` or one inside of it; if none has them, where they belong.

    Args:
        root: the folder that was named; of a file, its folder.
        inside: the path, folder by folder, at which the files belong inside of it.
        is_there: whether a folder holds the files.
    """
    top = folder_named(root)
    top = top.parent if top.is_file() else top
    places = [top.joinpath(*inside[k:]) for k in range(len(inside) + 1)]
    return next((place for place in places if is_there(place)), places[0])


def check(name: str, split: str, count: int | None, images: int, labels: Tensor, classes: range) -> None:
    """Raise DataError if images and labels do not belong together, or are not those that were published.

    Args:
        name: of the data set.
        split: of it.
        count: of the images that were published; None: any number will do.
        images: how many there are.
        labels: of each (N,) int64.
        classes: the labels that there may be.
    """
    if len(labels) != images:
        raise DataError(f"{name} is damaged: its {split} split has {images:,} images and {len(labels):,} labels")
    if count is not None and images != count:
        raise DataError(
            f"{name} has {count:,} images in its {split} split, and these files hold {images:,}: "
            "they are damaged or of another data set; if you mean them all the same, add data.check_count=false"
        )
    wrong = labels[(labels < classes.start) | (labels >= classes.stop)]
    if len(wrong):
        raise DataError(
            f"{name} is damaged: its labels go from {classes.start} to {classes.stop - 1}, and there is {int(wrong[0])}"
        )


def check_balance(name: str, split: str, labels: Tensor) -> None:
    """Raise DataError if the classes of a data set that has equally many images of each are not equally large."""
    counts = torch.bincount(labels)
    if counts.min() != counts.max():
        raise DataError(
            f"{name} has equally many images of each class in its {split} split, and these files hold {counts.min():,} "
            f"to {counts.max():,}: they are of another data set, whose files have the same names; "
            "if you mean them all the same, add data.check_count=false"
        )
