"""Which files of a folder are images, or recordings, and of which class each of them is."""

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
    """A file that is read."""

    path: Path
    size: int
    written: int  # in nanoseconds since 1970


@dataclass(frozen=True)
class Sought:
    """What is looked for in a folder."""

    name: str  # in the plural
    suffixes: frozenset[str]  # in lower case


@dataclass
class Listing:
    """The files that were looked for in a folder, in a fixed order, class by class, and what else lies there."""

    top: Path
    entries: list[Entry]
    labels: list[int] | None  # of each file; None if the folder is flat
    class_names: tuple[str, ...] | None
    passed_over: list[str] = field(default_factory=list)  # a line each


@dataclass
class Others:
    """What lies beside the files that are looked for: counted by kind, and listed by name."""

    sought: Sought
    kinds: Counter[str] = field(default_factory=Counter)
    lines: list[str] = field(default_factory=list)

    def add(self, kind: str, path: Path) -> None:
        """Count a file or folder."""
        self.kinds[kind] += 1
        self.lines.append(f"{plain(path)}: {kind}")

    def __str__(self) -> str:
        return ", ".join(f"{n:,} {kind}{'s' if n > 1 else ''}" for kind, n in self.kinds.most_common())


def find(root: object, sought: Sought | None = None) -> Listing:
    """Return the images in a folder, or other files that are sought.

    Its subfolders are the classes, in the order in which people sort names, and files may lie deeper in them. Links
    are followed. Hidden folders, those of the system and those of runs are passed over.

    Raises:
        DataError: if the folder is missing, cannot be read, holds no such file, mixes loose files with class folders,
            or holds the parts of a data set (train, val) in place of classes.
    """
    top, others = folder_named(root), Others(sought or Sought("images", suffixes()))
    if not top.is_dir():
        raise DataError(f"data.root={plain(top)} is not a folder")
    flat, folders = of_folder(top, others)
    status = top.stat()
    above = frozenset({(status.st_dev, status.st_ino)})
    by_class = {folder: below(folder, others, above) for folder in sorted(folders, key=lambda f: natural(f.name))}
    by_class = {folder: entries for folder, entries in by_class.items() if entries}
    check_layout(top, flat, by_class, others)
    if others.kinds:
        say(f"{plain(top)} holds more than {others.sought.name}; passed over: {others}{hint(others)}")
    if flat:
        return Listing(top, flat, None, None, others.lines)
    labels = [k for k, own in enumerate(by_class.values()) for _ in own]
    entries = [entry for own in by_class.values() for entry in own]
    return Listing(top, entries, labels, tuple(plain(folder.name) for folder in by_class), others.lines)


def hint(others: Others) -> str:
    """Return what to know about files that often come with images."""
    if any("dataset.json: " in line for line in others.lines):
        return "; the labels in dataset.json are not read, a folder for each class is"
    return ""


def of_folder(folder: Path, others: Others) -> tuple[list[Entry], list[Path]]:
    """Return the sought files that lie in a folder itself, sorted, and its subfolders.

    Raises:
        DataError: if the folder cannot be read.
    """
    sought, folders = [], []
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
            elif path.suffix.lower() in others.sought.suffixes:
                status = entry.stat()
                sought.append(Entry(path, status.st_size, status.st_mtime_ns))
            else:
                others.add(f"{plain(path.suffix.lower())} file" if path.suffix else "file without a suffix", path)
    except OSError as error:
        reason = error.strerror or first_line(error)
        raise DataError(f"{plain(error.filename or folder)} cannot be read ({reason})") from error
    return sorted(sought, key=lambda entry: entry.path), folders


def below(folder: Path, others: Others, above: frozenset[Identity]) -> list[Entry]:
    """Return the sought files in a folder and in its subfolders, sorted by path."""
    return sorted(walk(folder, others, above), key=lambda entry: entry.path)


def walk(folder: Path, others: Others, above: frozenset[Identity]) -> Iterator[Entry]:
    """Yield the sought files in a folder and in its subfolders; a link that leads back is passed over."""
    try:
        status = folder.stat()
        is_run = all((folder / name).is_file() for name in OF_A_RUN)
    except OSError as error:
        raise DataError(f"{plain(folder)} cannot be read ({error.strerror})") from error
    here = (status.st_dev, status.st_ino)
    if here in above or is_run:
        others.add("run folder" if is_run else "circular link", folder)
        return
    entries, folders = of_folder(folder, others)
    yield from entries
    for subfolder in folders:
        yield from walk(subfolder, others, above | {here})


def check_layout(top: Path, flat: Sequence[Entry], by_class: dict[Path, list[Entry]], others: Others) -> None:
    """Raise DataError unless the folder holds either files or classes of files; say what a better root would be."""
    name = others.sought.name
    if flat and by_class:
        raise DataError(
            f"data.root={plain(top)} holds both {name} ({plain(flat[0].path.name)}) and folders of {name} "
            f"({plain(next(iter(by_class)).name)}); keep one kind, or point data.root at a subfolder"
        )
    if not flat and not by_class:
        there = f"; there are {others}" if others.kinds else ""
        raise DataError(f"data.root={plain(top)} holds no {name} ({', '.join(sorted(others.sought.suffixes))}){there}")
    if len(parts := [folder for folder in by_class if SPLIT.fullmatch(folder.name)]) > 1:
        names = " and ".join(plain(folder.name) for folder in parts)
        raise DataError(
            f"data.root={plain(top)} holds {names}, which are parts of a data set and no classes; "
            f"name one of them: data.root={plain(better(parts))}"
        )
    if len(by_class) == 1:
        check_only_folder(top, next(iter(by_class.items())), name)


def better(parts: Sequence[Path]) -> Path:
    """Return the part to train on."""
    return next((folder for folder in parts if folder.name.lower().startswith("train")), parts[0])


def check_only_folder(top: Path, only: tuple[Path, list[Entry]], name: str) -> None:
    """Raise DataError if a folder's only class holds folders of files itself; say so if it holds files."""
    folder, entries = only
    inner = sorted({entry.path.relative_to(folder).parts[0] for entry in entries}, key=natural)
    if any(entry.path.parent == folder for entry in entries):
        say(
            f"all {name} of {plain(top)} are of one class, {plain(folder.name)}; "
            f"data.root={plain(folder)} reads them without labels"
        )
        return
    names = ", ".join(map(plain, inner[:3])) + (", …" if len(inner) > 3 else "")
    within = [folder / part for part in inner if SPLIT.fullmatch(part)]
    raise DataError(
        f"data.root={plain(top)} holds one folder, {plain(folder.name)}, whose folders ({names}) would all be one "
        f"class; name the folder of the classes: data.root={plain(better(within) if within else folder)}"
    )
