"""Which files of a folder or an archive are images, or others that are sought, and of which class each is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from gantrain.data.archives import Archive, Shards, is_archive
from gantrain.data.decode import suffixes
from gantrain.data.labelling import LIST, Labelled, by_folders, by_list, by_sibling, check_labelling, sibling
from gantrain.data.names import folder_named, natural, plain
from gantrain.data.places import Entry, Folder, Identity, Place, Store
from gantrain.errors import DataError, first_line
from gantrain.terminal import say

OF_SYSTEMS = {"__macosx", "@eadir", "@recycle", "#recycle", "$recycle.bin", "system volume information", "lost+found"}
"""Folders, in lower case, that archivers, network storage and file systems leave behind."""
FILES_OF_SYSTEMS = {"thumbs.db", "desktop.ini"}
OF_A_RUN = ("config.yaml", "metrics.jsonl")
"""Files by which a run's folder is known: the pictures in it are no data."""
SPLIT = re.compile(
    r"(train(ing)?|val(id(ation)?)?|test(ing)?|dev|eval(uation)?|holdout|unlabell?ed)"
    r"([-_ ]?(set|data|images))?([-_ ]?\d+)?",
    re.IGNORECASE,
)
"""Names of the parts that data sets are handed out in."""


@dataclass(frozen=True)
class Sought:
    """What is looked for in a folder."""

    name: str  # in the plural
    suffixes: frozenset[str]  # in lower case


@dataclass
class Listing:
    """The files of a place that were sought, in a fixed order, class by class, and what else lies there."""

    place: Store
    entries: Sequence[Entry]
    labels: Sequence[int] | None  # of each file; None if the folder is flat
    class_names: tuple[str, ...] | None
    passed_over: list[str] = field(default_factory=list)  # a line each


@dataclass
class Others:
    """What lies beside the files that are looked for: counted by kind, and listed by name."""

    sought: Sought = field(default_factory=lambda: Sought("images", suffixes()))
    kinds: Counter[str] = field(default_factory=Counter)
    lines: list[str] = field(default_factory=list)

    def add(self, kind: str, path: Path) -> None:
        """Count a file or folder."""
        self.kinds[kind] += 1
        self.lines.append(f"{plain(path)}: {kind}")

    def remove(self, *paths: Path) -> None:
        """Do not count files that are read after all."""
        read = {f"{plain(path)}: {plain(path.suffix)} file" for path in paths}
        gone = [line for line in self.lines if line in read]
        self.lines = [line for line in self.lines if line not in read]
        self.kinds -= Counter(line.rpartition(": ")[2] for line in gone)

    def __str__(self) -> str:
        return ", ".join(f"{n:,} {kind}{'s' if n > 1 else ''}" for kind, n in self.kinds.most_common())


def find(root: object, labels: str | None = None, class_level: int = 1, sought: Sought | None = None) -> Listing:
    """Return the images, or other files, in a folder, in a zip or tar, or in all tars of a folder.

    Links are followed. Hidden folders, those of the system and those of runs are passed over.

    Args:
        root: the folder or archive.
        labels: where classes come from: ``folders``: the subfolders, in the order in which people sort names, and
            images may lie deeper in them; ``none``: nowhere. None: the list of StyleGAN's tool, or the .cls file of
            WebDataset beside each image, if they are there, else the subfolders.
        class_level: how deep the folders of the classes lie.
        sought: which files; None: images.

    Raises:
        ConfigError: for a way of labelling that there is not.
        DataError: if the folder is missing, cannot be read, holds no image, mixes loose images with class folders, or
            holds the parts of a data set (train, val) in place of classes.
    """
    check_labelling(labels, class_level)
    place, others = place_named(root), (Others() if sought is None else Others(sought))
    top = place.top
    flat, folders = of_folder(place, top, others)
    above = frozenset({place.identity(top)})
    by_class = {f: below(place, f, others, above) for f in sorted(folders, key=lambda f: natural(f.name))}
    by_class = {folder: images for folder, images in by_class.items() if images}
    every = sorted([*flat, *(image for images in by_class.values() for image in images)], key=lambda image: image.path)
    listed = (by_list(place, every) or by_sibling(place, every)) if labels is None and every else None
    if listed is not None or labels == "none":
        others.remove(top / LIST, *(sibling(image.path) for image in every))
        check_any(top, every, others)
        found = listed or Labelled(every, None, None)
    else:
        check_layout(top, flat, by_class, others, class_level)
        found = Labelled(flat, None, None) if flat else by_folders(top, every, class_level)
    if others.kinds:
        say(f"{plain(top)} holds more than {others.sought.name}; passed over: {others}")
    return Listing(place, *found, others.lines)


def place_named(root: object) -> Place:
    """Return the folder or archive that ``data.root`` names, or the folder inside of an archive.

    Raises:
        DataError: if there is none.
    """
    top = folder_named(root)
    if top.is_dir():
        return Shards(top, shards) if (shards := shards_in(top)) else Folder(top)
    file = next((path for path in (top, *top.parents) if path.is_file()), None)
    if file is None or not is_archive(file):
        raise DataError(f"data.root={plain(top)} is neither a folder nor a zip or tar")
    archive = Archive(file, top)
    if top not in archive.folders:
        raise DataError(f"data.root={plain(top)}: there is no such folder in {plain(file)}")
    return archive


def shards_in(top: Path) -> list[Path]:
    """Return the tars of a folder, none if there are images or folders too."""
    with suppress(OSError):  # said when the folder is read
        found = Folder(top).within(top)
        if not any(is_meant(folder) for folder in found.folders):
            names = [entry.path for entry in found.files if is_meant(entry.path)]
            if not any(path.suffix.lower() in suffixes() for path in names):
                return [path for path in names if path.suffix.lower() == ".tar"]
    return []


def of_folder(place: Place, folder: Path, others: Others) -> tuple[list[Entry], list[Path]]:
    """Return the images that lie in a folder itself, sorted, and its subfolders.

    Raises:
        DataError: if the folder cannot be read.
    """
    try:
        found = place.within(folder)
    except OSError as error:
        reason = error.strerror or first_line(error)
        raise DataError(f"{plain(error.filename or folder)} cannot be read ({reason})") from error
    for kind, path in found.others:
        if is_meant(path):
            others.add(kind, path)
    images = []
    for entry in found.files:
        if not is_meant(entry.path):
            continue
        if entry.path.suffix.lower() in others.sought.suffixes:
            images.append(entry)
        else:
            suffix = entry.path.suffix
            others.add(f"{plain(suffix.lower())} file" if suffix else "file without a suffix", entry.path)
    return sorted(images, key=lambda entry: entry.path), [path for path in found.folders if is_meant(path)]


def is_meant(path: Path) -> bool:
    """Return whether a file or folder may be part of the data: it is not hidden, and not the system's."""
    name = path.name.lower()
    return not name.startswith(".") and name not in OF_SYSTEMS | FILES_OF_SYSTEMS


def below(place: Place, folder: Path, others: Others, above: frozenset[Identity]) -> list[Entry]:
    """Return the images in a folder and in its subfolders, sorted by path."""
    return sorted(walk(place, folder, others, above), key=lambda entry: entry.path)


def walk(place: Place, folder: Path, others: Others, above: frozenset[Identity]) -> Iterator[Entry]:
    """Yield the images in a folder and in its subfolders; a link that leads back is passed over."""
    try:
        here, is_run = place.identity(folder), place.holds(folder, OF_A_RUN)
    except OSError as error:
        raise DataError(f"{plain(folder)} cannot be read ({error.strerror})") from error
    if here in above or is_run:
        others.add("run folder" if is_run else "circular link", folder)
        return
    images, folders = of_folder(place, folder, others)
    yield from images
    for subfolder in folders:
        yield from walk(place, subfolder, others, above | {here})


def check_any(top: Path, images: Sequence[object], others: Others) -> None:
    """Raise DataError if there is no image; say what there is."""
    if not images:
        there = f"; there are {others}" if others.kinds else ""
        raise DataError(
            f"data.root={plain(top)} holds no {others.sought.name} ({', '.join(sorted(others.sought.suffixes))}){there}"
        )


def check_layout(
    top: Path, flat: Sequence[Entry], by_class: dict[Path, list[Entry]], others: Others, class_level: int
) -> None:
    """Raise DataError unless the folder holds either files or classes of files; say what a better root would be."""
    name = others.sought.name
    if flat and by_class:
        raise DataError(
            f"data.root={plain(top)} holds both {name} ({plain(flat[0].path.name)}) and folders of {name} "
            f"({plain(next(iter(by_class)).name)}); keep one kind, or point data.root at a subfolder"
        )
    check_any(top, [*flat, *by_class], others)
    if len(parts := [folder for folder in by_class if SPLIT.fullmatch(folder.name)]) > 1:
        names = " and ".join(plain(folder.name) for folder in parts)
        raise DataError(
            f"data.root={plain(top)} holds {names}, which are parts of a data set and no classes; "
            f"name one of them: data.root={plain(better(parts))}"
        )
    if len(by_class) == 1 and class_level == 1:
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
