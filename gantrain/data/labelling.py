"""Of which class each image is: by its folder, by the list of StyleGAN's tool, or by WebDataset's files beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gantrain.data.names import natural, plain
from gantrain.data.places import Entry, Place
from gantrain.errors import ConfigError, DataError, first_line

LIST = "dataset.json"
"""What ``dataset_tool.py`` of StyleGAN2-ADA and StyleGAN3 writes beside the images: a class for each path."""
LARGEST = 2**28
"""Bytes of such a list."""
WAYS = (None, "folders", "none")


class Labelled(NamedTuple):
    """Images in their order, the class of each (None: there are none), and the names of the classes."""

    images: list[Entry]
    labels: list[int] | None
    names: tuple[str, ...] | None


def check_labelling(labels: Any, class_level: Any) -> None:
    """Raise ConfigError for a way of labelling that there is not."""
    if labels not in WAYS:
        raise ConfigError(f"data.labels must be folders, none or null, got {labels!r}")
    if not isinstance(class_level, int) or isinstance(class_level, bool) or class_level < 1:
        raise ConfigError(f"data.class_level must be a whole number above 0, got {class_level!r}")


def by_folders(top: Path, images: Sequence[Entry], level: int) -> Labelled:
    """Return images whose class is the folder they lie in, ``level`` folders below ``top``; it is named by its path.

    Classes are in the order in which people sort names, and images in that of their classes and paths.

    Raises:
        DataError: if an image lies less deep.
    """
    inside = [entry.path.relative_to(top).parts[:-1] for entry in images]
    for entry, folders in zip(images, inside, strict=True):
        if len(folders) < level:
            raise DataError(
                f"{plain(entry.path)} lies less than data.class_level={level} folders deep in {plain(top)}, so its "
                "class is not known"
            )
    found = sorted({folders[:level] for folders in inside}, key=lambda folders: [natural(name) for name in folders])
    number = {folders: k for k, folders in enumerate(found)}
    labelled = sorted(
        ((number[folders[:level]], entry) for entry, folders in zip(images, inside, strict=True)),
        key=lambda pair: (pair[0], pair[1].path),
    )
    names = tuple("/".join(map(plain, folders)) for folders in found)
    return Labelled([entry for _, entry in labelled], [label for label, _ in labelled], names)


def by_list(place: Place, images: Sequence[Entry]) -> Labelled | None:
    """Return images whose classes stand in ``dataset.json``, None if that is not there or something else.

    Its ``labels`` are pairs of a path and a whole number, or null: the images have no classes. Those of no label in a
    list of labels are refused, as StyleGAN's own loader does.

    Raises:
        DataError: if it is damaged, or lacks an image.
    """
    path = place.top / LIST
    if not place.holds(place.top, [LIST]):
        return None
    found = read(place, path)
    if not found:
        return None if found is None else Labelled(list(images), None, None)
    labels = []
    for entry in images:
        name = entry.path.relative_to(place.top).as_posix()
        if name not in found:
            raise DataError(
                f"{plain(path)} has no label for {plain(name)}; data.labels=folders takes the folders as classes, "
                "data.labels=none no classes"
            )
        labels.append(found[name])
    return numbered(images, labels)


def numbered(images: Sequence[Entry], labels: Sequence[int]) -> Labelled:
    """Return images whose classes are the numbers that occur, ascending."""
    numbers = sorted(set(labels))
    place_of = {number: k for k, number in enumerate(numbers)}
    return Labelled(list(images), [place_of[number] for number in labels], tuple(map(str, numbers)))


def sibling(path: Path) -> Path:
    """Return where WebDataset has the label of an image: in a file of the same name up to its first dot."""
    return path.with_name(f"{path.name.partition('.')[0]}.cls")


def by_sibling(place: Place, images: Sequence[Entry]) -> Labelled | None:
    """Return images whose classes stand in files beside them, None if the first image has none.

    Raises:
        DataError: if a file is missing, or holds no whole number.
    """
    if not place.holds(images[0].path.parent, [sibling(images[0].path).name]):
        return None
    labels = []
    for entry in images:
        path = sibling(entry.path)
        try:
            source = place.source(path)
            text = source.read_bytes() if isinstance(source, Path) else source.read()
            labels.append(int(text))
        except (OSError, ValueError, KeyError) as error:
            raise DataError(
                f"{plain(path)} must hold the class of {plain(entry.path.name)}, a whole number; or use "
                "data.labels=none"
            ) from error
    return numbered(images, labels)


def read(place: Place, path: Path) -> dict[str, int] | None:
    """Return the label of each path in a list, none if it says that there are none; None if it is another tool's file.

    Raises:
        DataError: if it is damaged, or gives classes as vectors, which StyleGAN takes too.
    """
    try:
        source = place.source(path)
        if isinstance(source, Path):
            if source.stat().st_size > LARGEST:
                raise ValueError(f"it has more than {LARGEST:,} bytes")
            source = source.open("rb")
        with source:
            content = json.load(source)
        if not isinstance(content, dict) or "labels" not in content:
            return None
        found = {str(name).replace("\\", "/"): label for name, label in content["labels"] or ()}
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise DataError(
            f"{plain(path)} is no list of StyleGAN's tool ({plain(first_line(error))}); remove it, or use "
            "data.labels=folders or data.labels=none"
        ) from error
    for name, label in found.items():
        if not isinstance(label, int) or isinstance(label, bool):
            raise DataError(f"{plain(path)} must give each path a whole number, and {plain(name)} has {label!r:.50}")
    return found
