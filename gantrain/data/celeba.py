"""CelebA: faces of celebrities, aligned, 178×218, with forty attributes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import chain
from pathlib import Path
from typing import Any, Unpack

import torch
from PIL import Image

from gantrain.data.benchmarks import check, check_choice, holding, remove_empty
from gantrain.data.decode import Decoder
from gantrain.data.files import ImageFiles
from gantrain.data.form import Formed
from gantrain.data.listing import Listing, Others, of_folder, place_named
from gantrain.data.names import plain
from gantrain.data.places import Entry, Place
from gantrain.errors import ConfigError, DataError, first_line
from gantrain.terminal import tell

PUBLISHED = {"train": 162_770, "valid": 19_867, "test": 19_962, "all": 202_599}
NUMBERS = {"train": 0, "valid": 1, "test": 2}
"""Of the splits in the list of splits."""
WIDTH = 178
SPLITS, ATTRIBUTES, PACKED = "list_eval_partition.txt", "list_attr_celeba.txt", "img_align_celeba.zip"
MEGABYTES = {PACKED: 1_443, ATTRIBUTES: 27, SPLITS: 3}
FOLDERS = ("", "Img", "Anno", "Eval")
"""Where files lie in the authors' own folder."""
HOME = "mmlab.ie.cuhk.edu.hk/projects/CelebA.html"


@dataclass(frozen=True)
class Cropped(Decoder):
    """Cuts the middle square of ``crop`` pixels out of an image before anything else."""

    crop: int = 0

    @property
    def way(self) -> str:
        """How images are made square."""
        return f"the middle {self.crop}"

    def cut(self, image: Image.Image) -> Image.Image:
        """Return the middle square; its corner is where torchvision's CenterCrop has it."""
        if min(image.size) < self.crop:
            raise ValueError(f"it has {image.width}×{image.height} pixels, less than data.crop={self.crop}")
        left, top = (round((side - self.crop) / 2) for side in image.size)
        return image.crop((left, top, left + self.crop, top + self.crop))


class CelebA(ImageFiles):
    """202,599 faces of 10,177 people, in colour. Liu et al. 2015, arXiv:1411.7766.

    Args:
        root: folder that holds, or will hold, ``celeba/``; or that folder. In it are the images, as a folder or zip,
            the list of splits and the list of attributes.
        split: train, valid, test or all.
        crop: side of the middle square that is cut out before the image is resized; None: what ``fit`` does.
        labels_of: the attribute that makes two classes, without it (0) and with it (1); None: no labels.
        download: fetch what is missing.
        check_count: refuse lists and numbers of images other than those that were published.
        formed: settings that all sets of image files have; see ``gantrain.data.form.FormedFiles``.

    Raises:
        ConfigError: for a setting that makes no sense.
        DataError: for files that are missing, damaged or of another data set.
    """

    def __init__(
        self,
        root: str,
        split: str,
        crop: int | None,
        labels_of: str | None,
        download: bool,
        check_count: bool = True,
        **formed: Unpack[Formed],
    ) -> None:
        check_choice("data.split", split, tuple(PUBLISHED))
        if crop is not None and (not isinstance(crop, int) or isinstance(crop, bool) or not 1 <= crop <= WIDTH):
            raise ConfigError(f"data.crop must be a whole number from 1 to {WIDTH}, or null, got {crop!r}")
        self.crop = crop
        where = holding(root, ("celeba",), lambda place: located(place, SPLITS) is not None)
        fetch(where, [SPLITS, PACKED, *([] if labels_of is None else [ATTRIBUTES])], download)
        names = [
            name
            for name, number in column(where, SPLITS, "partition", check_count).items()
            if split == "all" or number == NUMBERS[split]
        ]
        place, entries = images(where)
        if missing := [name for name in names if name not in entries]:
            raise DataError(
                f"CelebA is damaged: {len(missing):,} images of its {split} split are not in {plain(place.top)}, "
                f"the first of them {plain(missing[0])}"
            )
        labels = None if labels_of is None else of_attribute(where, labels_of, names, check_count)
        count = PUBLISHED[split] if check_count else None
        check("CelebA", split, count, len(names), torch.tensor(labels or [0] * len(names)), range(2))
        classes = None if labels_of is None else (f"not_{labels_of}", labels_of)
        super().__init__(Listing(place, [entries[name] for name in names], labels, classes), **formed)

    def made_decoder(self, decoder: Decoder) -> Decoder:
        """Return what decodes the files: it cuts first, if that is wanted."""
        if self.crop is None:
            return decoder
        return Cropped(**{field.name: getattr(decoder, field.name) for field in fields(decoder)}, crop=self.crop)


def located(folder: Path, name: str) -> Path | None:
    """Return where a file of the data set lies, as torchvision, the authors and Kaggle name it; None: nowhere."""
    stem = name.rpartition(".")[0]
    ways = (stem, name) if name == PACKED else (name, f"{stem}.csv")
    paths = [folder / inside / way for way in ways for inside in FOLDERS]
    return next((path for path in paths if path.exists()), None)


def fetch(where: Path, names: Sequence[str], download: bool) -> None:
    """Download the files that are missing from Google Drive, by torchvision; a line says when that begins.

    Raises:
        DataError: if one is not there and could not be downloaded; the text says which file to put where.
    """
    if not (absent := [name for name in names if located(where, name) is None]):
        return
    missing = [folder for folder in (where, *where.parents) if not folder.exists()]
    try:
        if not download:
            raise RuntimeError("data.download=false")
        download_all(where, absent)
    except Exception as error:  # gdown has errors of its own, and brings up those of other packages
        for name in absent:
            (where / name).unlink(missing_ok=True)  # torchvision leaves what has the wrong checksum
        remove_empty(missing)
        raise DataError(
            f"CelebA is not in {plain(where)}, or not whole, and could not be downloaded ({plain(first_line(error))}). "
            f"Put {', '.join(absent)} of {HOME} into {plain(where)} and run the same command again, or set data.root"
        ) from error


def download_all(where: Path, absent: Sequence[str]) -> None:
    """Download files; whatever is raised is the reason why that failed."""
    from torchvision.datasets import CelebA as Published
    from torchvision.datasets.utils import download_file_from_google_drive

    try:
        import gdown  # noqa: F401  torchvision imports it
    except ImportError as error:
        raise RuntimeError("gdown is not installed: pip install 'gantrain[celeba]'") from error
    megabytes = sum(MEGABYTES[name] for name in absent)
    tell(f"downloading CelebA ({megabytes:,} MB) from Google Drive ({', '.join(absent)}) into {where}")
    for file, md5, name in Published.file_list:
        if name in absent:
            download_file_from_google_drive(file, str(where), name, md5)


def column(where: Path, name: str, head: str, check_digest: bool) -> dict[str, int]:
    """Return a column of one of the lists: the number of each image.

    Args:
        where: the folder of the data set.
        name: of the list.
        head: of the column.
        check_digest: refuse a list that is not as published; Kaggle's, in another format, have no checksum.

    Raises:
        ConfigError: if there is no such column.
        DataError: if the list is damaged.
    """
    from torchvision.datasets import CelebA as Published
    from torchvision.datasets.utils import check_integrity

    path = located(where, name)
    assert path is not None
    digests = {file: md5 for _, md5, file in Published.file_list}
    if check_digest and path.name in digests and not check_integrity(path, digests[path.name]):
        raise DataError(
            f"{plain(path)} is damaged: it has not the published checksum; remove it, and it is downloaded again, "
            "or add data.check_count=false if you mean it"
        )
    try:
        rows = (line.replace(",", " ").split() for line in path.read_text(encoding="utf-8").splitlines())
        heads, rows = heads_of(rows, head)
        if head not in heads:
            raise ConfigError(f"data.labels_of={head}: CelebA has the attributes {', '.join(heads[1:])}, or use null")
        at = heads.index(head)
        return {row[0]: int(row[at]) for row in rows if row}
    except (OSError, ValueError, IndexError, StopIteration) as error:
        if isinstance(error, ConfigError):
            raise
        raise DataError(f"{plain(path)} is damaged ({plain(first_line(error))}); remove or replace it") from error


def heads_of(rows: Any, only: str) -> tuple[list[str], Any]:
    """Return the heads of a list's columns, and the rows; the authors' list of splits has none but ``only``."""
    first = next(rows)
    if len(first) == 1:  # the number of rows
        return ["image_id", *next(rows)], rows
    return (first, rows) if first[0] == "image_id" else (["image_id", only], chain([first], rows))


def of_attribute(where: Path, name: str, images: Sequence[str], check_digest: bool) -> list[int]:
    """Return whether each image has an attribute, 0 or 1.

    Raises:
        ConfigError, DataError: as ``column`` does; for an image of which it is not known.
    """
    found = column(where, ATTRIBUTES, name, check_digest)
    for image in images:
        if found.get(image) not in (-1, 1):
            raise DataError(f"CelebA is damaged: {name} of {plain(image)} must be -1 or 1, got {found.get(image)}")
    return [(1 + found[image]) // 2 for image in images]


def images(where: Path) -> tuple[Place, dict[str, Entry]]:
    """Return the place with the images, and the file of each name; folders of the same name may lie in each other.

    Raises:
        DataError: if it cannot be read.
    """
    top = located(where, PACKED)
    assert top is not None
    place = place_named(top)
    while True:
        files, folders = of_folder(place, top, Others())
        inner = [folder for folder in folders if folder.name == PACKED.removesuffix(".zip")]
        if files or not inner:
            return place, {entry.path.name: entry for entry in files}
        top = inner[0]
