"""Which files of a folder are images, and of which class each of them is."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gantrain.data.decode import suffixes
from gantrain.data.names import folder_named, natural, plain
from gantrain.errors import DataError, first_line
from gantrain.terminal import say

OF_SYSTEMS = {"__macosx", "@eadir", "@recycle", "#recycle", "$recycle.bin", "system volume information", "lost+found"}
"""Folders, in lower case, that archivers, network storage and file systems leave behind."""
FILES_OF_SYSTEMS = {"thumbs.db", "desktop.ini"}
OF_A_RUN = {"config.yaml", "metrics.jsonl"}
"""Files by which a run's folder is known: the pictures in it are no data."""
SPLIT = re.compile(
    r"(train(ing)?|val(id(ation)?)?|test(ing)?|dev|eval(uation)?|holdout|unlabell?ed)"
    r"([-_ ]?(set|data|images))?([-_ ]?\d+)?",
    re.IGNORECASE,
)
"""Names of the parts that data sets are handed out in."""
Identity = tuple[int, int]
"""Device and inode of a folder."""


@dataclass(frozen=True)
class Entry:
    """An image file."""

    path: Path
    size: int
    written: int  # in nanoseconds since 1970


@dataclass
class Listing:
    """The images of a folder in a fixed order, class by class, and what else lies there."""

    top: Path
    images: list[Entry]
    labels: list[int] | None  # of each image; None if the folder is flat
    class_names: tuple[str, ...] | None
    passed_over: list[str] = field(default_factory=list)  # a line each


@dataclass
class Others:
    """What lies beside the images: counted by kind, and listed by name."""

    kinds: Counter[str] = field(default_factory=Counter)
    lines: list[str] = field(default_factory=list)

    def add(self, kind: str, path: Path) -> None:
        """Count a file or folder."""
        self.kinds[kind] += 1
        self.lines.append(f"{plain(path)}: {kind}")

    def __str__(self) -> str:
        return ", ".join(f"{n:,} {kind}{'s' if n > 1 else ''}" for kind, n in self.kinds.most_common())


def find(root: object) -> Listing:
    """Return the images in a folder.

    Its subfolders are the classes, in the order in which people sort names, and images may lie deeper in them. Links
    are followed. Hidden folders, those of the system and those of runs are passed over.

    Raises:
        DataError: if the folder is missing, cannot be read, holds no image, mixes loose images with class folders, or
            holds the parts of a data set (train, val) in place of classes.
    """
    top, others = folder_named(root), Others()
    if not top.is_dir():
        raise DataError(f"data.root={plain(top)} is not a folder")
    flat, folders = of_folder(top, others)
    status = top.stat()
    above = frozenset({(status.st_dev, status.st_ino)})
    by_class = {folder: below(folder, others, above) for folder in sorted(folders, key=lambda f: natural(f.name))}
    by_class = {folder: images for folder, images in by_class.items() if images}
    check_layout(top, flat, by_class, others)
    if others.kinds:
        say(f"{plain(top)} holds more than images; passed over: {others}{hint(others)}")
    if flat:
        return Listing(top, flat, None, None, others.lines)
    labels = [k for k, images in enumerate(by_class.values()) for _ in images]
    images = [entry for images in by_class.values() for entry in images]
    return Listing(top, images, labels, tuple(plain(folder.name) for folder in by_class), others.lines)


def hint(others: Others) -> str:
    """Return what to know about files that often come with images."""
    if any("dataset.json: " in line for line in others.lines):
        return "; the labels in dataset.json are not read, a folder for each class is"
    return ""


def of_folder(folder: Path, others: Others) -> tuple[list[Entry], list[Path]]:
    """Return the images that lie in a folder itself, sorted, and its subfolders.

    Raises:
        DataError: if the folder cannot be read.
    """
    images, folders = [], []
    try:
        with os.scandir(folder) as entries:
            found = list(entries)
        for entry in found:
            path, name = folder / entry.name, entry.name.lower()
            if name.startswith(".") or name in OF_SYSTEMS | FILES_OF_SYSTEMS:
                continue
            if entry.is_symlink() and not path.exists():
                others.add("broken link", path)
            elif entry.is_dir():
                folders.append(path)
            elif not entry.is_file():
                others.add("pipe or device", path)
            elif path.suffix.lower() in suffixes():
                status = entry.stat()
                images.append(Entry(path, status.st_size, status.st_mtime_ns))
            else:
                others.add(f"{plain(path.suffix.lower())} file" if path.suffix else "file without a suffix", path)
    except OSError as error:
        reason = error.strerror or first_line(error)
        raise DataError(f"{plain(error.filename or folder)} cannot be read ({reason})") from error
    return sorted(images, key=lambda entry: entry.path), folders


def below(folder: Path, others: Others, above: frozenset[Identity]) -> list[Entry]:
    """Return the images in a folder and in its subfolders, sorted by path."""
    return sorted(walk(folder, others, above), key=lambda entry: entry.path)


def walk(folder: Path, others: Others, above: frozenset[Identity]) -> Iterator[Entry]:
    """Yield the images in a folder and in its subfolders; a link that leads back is passed over."""
    try:
        status = folder.stat()
        is_run = all((folder / name).is_file() for name in OF_A_RUN)
    except OSError as error:
        raise DataError(f"{plain(folder)} cannot be read ({error.strerror})") from error
    here = (status.st_dev, status.st_ino)
    if here in above or is_run:
        others.add("run folder" if is_run else "circular link", folder)
        return
    images, folders = of_folder(folder, others)
    yield from images
    for subfolder in folders:
        yield from walk(subfolder, others, above | {here})


def check_layout(top: Path, flat: Sequence[Entry], by_class: dict[Path, list[Entry]], others: Others) -> None:
    """Raise DataError unless the folder holds either images or classes of images; say what a better root would be."""
    if flat and by_class:
        raise DataError(
            f"data.root={plain(top)} holds both images ({plain(flat[0].path.name)}) and folders of images "
            f"({plain(next(iter(by_class)).name)}); keep one kind, or point data.root at a subfolder"
        )
    if not flat and not by_class:
        there = f"; there are {others}" if others.kinds else ""
        raise DataError(f"data.root={plain(top)} holds no images ({', '.join(sorted(suffixes()))}){there}")
    if len(parts := [folder for folder in by_class if SPLIT.fullmatch(folder.name)]) > 1:
        names = " and ".join(plain(folder.name) for folder in parts)
        raise DataError(
            f"data.root={plain(top)} holds {names}, which are parts of a data set and no classes; "
            f"name one of them: data.root={plain(better(parts))}"
        )
    if len(by_class) == 1:
        check_only_folder(top, *by_class.items())


def better(parts: Sequence[Path]) -> Path:
    """Return the part to train on."""
    return next((folder for folder in parts if folder.name.lower().startswith("train")), parts[0])


def check_only_folder(top: Path, only: tuple[Path, list[Entry]]) -> None:
    """Raise DataError if a folder's only class holds folders of images itself; say so if it holds images."""
    folder, images = only
    inner = sorted({entry.path.relative_to(folder).parts[0] for entry in images}, key=natural)
    if any(entry.path.parent == folder for entry in images):
        say(
            f"all images of {plain(top)} are of one class, {plain(folder.name)}; "
            f"data.root={plain(folder)} reads them without labels"
        )
        return
    names = ", ".join(map(plain, inner[:3])) + (", …" if len(inner) > 3 else "")
    within = [folder / name for name in inner if SPLIT.fullmatch(name)]
    raise DataError(
        f"data.root={plain(top)} holds one folder, {plain(folder.name)}, whose folders ({names}) would all be one "
        f"class; name the folder of the classes: data.root={plain(better(within) if within else folder)}"
    )
