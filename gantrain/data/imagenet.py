"""ImageNet: photographs of the thousand classes of ILSVRC 2012."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Unpack

import torch

from gantrain.data import listing
from gantrain.data.benchmarks import check, check_choice, holding
from gantrain.data.files import ImageFiles
from gantrain.data.form import Formed
from gantrain.data.names import plain
from gantrain.errors import DataError, first_line
from gantrain.terminal import say

PUBLISHED = {"train": 1_281_167, "val": 50_000}
CLASSES = 1_000
ARCHIVES = {"train": "ILSVRC2012_img_train.tar", "val": "ILSVRC2012_img_val.tar"}
GIGABYTES = {"train": 138, "val": 6.3}
DEVKIT = "ILSVRC2012_devkit_t12.tar.gz"
WNID = re.compile(r"n\d{8}")
"""Name of a class: the number of a noun in WordNet."""
INSIDE = ("", "ILSVRC2012", "ILSVRC/Data/CLS-LOC")
"""Folders in which those of the splits lie, the last one as Kaggle hands them out."""
META = "meta.bin"
"""What torchvision writes beside the images: the words of each class, and the class of each image of val."""


class ImageNet(ImageFiles):
    """1,281,167 (train) or 50,000 (val) photographs of 1,000 classes. Russakovsky et al. 2015, arXiv:1409.0575.

    Args:
        root: folder that holds ``train/`` and ``val/``, in which each class has a folder; or one around it.
        split: train or val.
        check_count: refuse another number of images or classes than was published.
        formed: settings that all sets of image files have; see ``gantrain.data.form.FormedFiles``.

    Raises:
        ConfigError: for a setting that makes no sense.
        DataError: for files that are missing, damaged or of another data set.
    """

    def __init__(self, root: str, split: str, check_count: bool = True, **formed: Unpack[Formed]) -> None:
        check_choice("data.split", split, tuple(PUBLISHED))
        where = holding(root, ("imagenet",), lambda place: is_there(place, split))
        folder = of_split(where, split)
        if folder is None:
            raise DataError(missing(where, split))
        check_folders(folder, split)
        found = listing.find(folder, labels="folders")
        labels, wnids = torch.tensor(found.labels), found.class_names or ()
        if check_count and len(wnids) != CLASSES:
            raise DataError(
                f"ImageNet has {CLASSES:,} classes, and {plain(folder)} has {len(wnids):,}; if you mean these, "
                "add data.check_count=false"
            )
        count = PUBLISHED[split] if check_count else None
        check("ImageNet", split, count, len(found.entries), labels, range(len(wnids)))
        words = first_words(folder.parent)
        names = {wnid: f"{wnid}_{words[wnid]}" if wnid in words else wnid for wnid in wnids}
        found.class_names = tuple(names.values())
        if isinstance(chosen := formed.get("classes"), str | int):
            chosen = [chosen]
        if chosen is not None:
            formed["classes"] = [names.get(name, name) if isinstance(name, str) else name for name in chosen]
        super().__init__(found, **formed)


def is_there(place: Path, split: str) -> bool:
    """Return whether a split lies in a place, in folders or packed."""
    return of_split(place, split) is not None or (place / ARCHIVES[split]).is_file()


def of_split(place: Path, split: str) -> Path | None:
    """Return the folder of a split's images in a place, None if there is none."""
    return next((place / inside / split for inside in INSIDE if (place / inside / split).is_dir()), None)


def missing(where: Path, split: str) -> str:
    """Return what to do about a split that is not there: its archive holds archives, which nobody reads in place."""
    archive = ARCHIVES[split]
    unpack = f'''python -c "from torchvision.datasets import ImageNet; ImageNet('{plain(where)}', '{split}')"'''
    if (where / archive).is_file():
        return f"{plain(where / archive)} must be unpacked first, with {DEVKIT} beside it: {unpack}"
    return (
        f"ImageNet's {split} split is not in {plain(where)}, and may not be downloaded without an account at "
        f"image-net.org: put {archive} ({GIGABYTES[split]} GB) and {DEVKIT} there and unpack them with {unpack}, "
        "or set data.root"
    )


def check_folders(folder: Path, split: str) -> None:
    """Raise DataError unless the folders of a split are named as the classes are."""
    try:
        names = sorted(path.name for path in folder.iterdir() if path.is_dir() and listing.is_meant(path))
    except OSError as error:
        raise DataError(f"{plain(folder)} cannot be read ({error.strerror})") from error
    if not names:
        raise DataError(
            f"{plain(folder)} holds no folders of classes, n01440764 and so on; move each image into that of its "
            f"class, as torchvision.datasets.ImageNet does when it unpacks {ARCHIVES[split]}"
        )
    if wrong := [name for name in names if not WNID.fullmatch(name)]:
        raise DataError(
            f"{plain(folder)} is not of ImageNet: its classes are called n01440764 and so on, and there is "
            f"{plain(wrong[0])}; data=image_folder reads any folders"
        )


def first_words(where: Path) -> dict[str, str]:
    """Return the first word of each class by its number in WordNet; none if torchvision's file is not there."""
    from torchvision.datasets.imagenet import load_meta_file

    if not (where / META).is_file():
        return {}
    try:
        words, _ = load_meta_file(where)  # without pickle: torch.load with weights_only=True
        return {wnid: words[wnid][0].replace(" ", "_") for wnid in words}
    except Exception as error:  # damaged files bring up all kinds
        say(f"{plain(where / META)} cannot be read ({plain(first_line(error))}); classes keep their numbers as names")
        return {}
