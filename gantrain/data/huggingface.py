"""Images of a data set of the Hugging Face hub, or of one that its library has saved."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Unpack

from gantrain.data.files import ImageFiles
from gantrain.data.form import Formed
from gantrain.data.listing import Listing
from gantrain.data.names import path_named, plain
from gantrain.data.places import Entry, Store
from gantrain.errors import ConfigError, DataError, first_line
from gantrain.terminal import has_bar, tell

OLDEST = 4
"""Version of ``datasets`` from which on no set can bring code that is run."""
SAVED, SAVED_SPLITS = "state.json", "dataset_dict.json"
"""By what a folder is known that ``save_to_disk`` has written, without and with splits."""


class HuggingFace(ImageFiles):
    """The images of a column; no code that a set brings is ever run.

    Args:
        name: of the set on the hub; or a folder that ``save_to_disk`` has written, a folder of Parquet or other files
            as the hub has them, or a Parquet file.
        split: of it; of a set that was saved without splits, train.
        config: which of its configurations, None for the only one.
        image: the column of the images, None for the only one.
        label: the column of the classes, or of whole numbers; None for the only column of classes if there is one;
            ``none`` for no labels.
        depth: bits of each pixel that the networks see, 8 or 16 (gray images).
        range: what is black and white in images of more than 8 bits; see ``gantrain.data.depth``.
        formed: settings that all sets of image files have; see ``gantrain.data.form.FormedFiles``.

    Raises:
        ConfigError: for a setting that makes no sense, or without the package datasets.
        DataError: for a set that cannot be had.
    """

    def __init__(
        self,
        name: str,
        split: str,
        config: str | None,
        image: str | None,
        label: str | None,
        depth: int = 8,
        range: Sequence[float] | None = None,
        **formed: Unpack[Formed],
    ) -> None:
        found = loaded(name, split, config)
        column = image_column(found, image)
        labels, names = labels_of(found, label, name)
        rows = Rows(Path(name, *([] if config is None else [config]), split), found, column)
        super().__init__(Listing(rows, rows.entries(), labels, names), depth=depth, range=range, **formed)


class Rows(Store):
    """The rows of a set; the path of an image ends with its row.

    Args:
        top: name and split.
        found: the set.
        column: of the images.
    """

    def __init__(self, top: Path, found: Any, column: str) -> None:
        from datasets import Image

        super().__init__(top)
        self.column = column
        try:
            self.rows = found.select_columns([column]).cast_column(column, Image(decode=False))
        except Exception as error:  # pyarrow's, which says what the column holds
            raise ConfigError(f"data.image={column} holds no images ({plain(first_line(error))})") from error
        self.files = [Path(file["filename"]) for file in found.cache_files]

    def source(self, path: Path) -> Path | BinaryIO:
        """Return an image's bytes, or the file that is named in their place."""
        found = self.rows[int(path.name.removeprefix("row "))][self.column]
        if found is None or (found["bytes"] is None and not found["path"]):
            raise ValueError("it is empty")
        if found["bytes"] is not None:
            return io.BytesIO(found["bytes"])
        if "://" in found["path"]:
            raise ValueError(f"it is only a link, to {found['path']}")
        return Path(found["path"])

    def known_as(self, path: Path) -> Path:
        """Return the first of the files that the library keeps the rows in, with split and row behind."""
        return self.files[0] / self.top.name / path.name if self.files else super().known_as(path)

    def entries(self) -> list[Entry]:
        """Return every row as a file of as many bytes as the image has, 0 if they lie elsewhere."""
        import pyarrow.compute

        written = max((file.stat().st_mtime_ns for file in self.files), default=0)
        sizes: list[int | None] = []
        for table in self.rows.with_format("arrow").iter(1024):
            of_bytes = pyarrow.compute.struct_field(table[self.column], "bytes")
            sizes += pyarrow.compute.binary_length(of_bytes).to_pylist()
        return [Entry(self.top / f"row {k}", size or 0, written) for k, size in enumerate(sizes)]


def library() -> Any:
    """Return the library.

    Raises:
        ConfigError: if it is not installed, or so old that a set could bring code.
    """
    try:
        import datasets
    except ImportError as error:
        raise ConfigError("data=huggingface needs the package datasets: pip install 'gantrain[huggingface]'") from error
    if int(datasets.__version__.partition(".")[0]) < OLDEST:
        raise ConfigError(
            f"data=huggingface needs the package datasets from version {OLDEST} on, because older ones may run code of "
            f"a data set, and {datasets.__version__} is installed: pip install -U 'gantrain[huggingface]'"
        )
    if not has_bar():
        datasets.disable_progress_bars()
    return datasets


def loaded(name: str, split: str, config: str | None) -> Any:
    """Return a split of a set, downloaded if it is one of the hub that was not before.

    Raises:
        ConfigError, DataError: as ``HuggingFace`` does.
    """
    datasets = library()
    path = path_named(name, "set", "data.name")
    saved = [path / file for file in (SAVED, SAVED_SPLITS) if (path / file).is_file()]
    if saved and config is not None:
        raise ConfigError(f"data.config={config}: {plain(path)} was saved without configurations; use data.config=null")
    try:
        if saved:
            return of_saved(datasets.load_from_disk(str(path)), split)
        if path.is_file():
            return datasets.load_dataset("parquet", name=config, data_files=str(path), split=split)
        if not path.exists():
            tell(f"loading {name} with Hugging Face's library, which downloads what it has not yet")
        return datasets.load_dataset(str(path.absolute()) if path.exists() else name, name=config, split=split)
    except Exception as error:  # those of the library, of the hub, of the connection and of pyarrow
        remedy = f"it must be whole, written by save_to_disk or of Parquet files, and have the split {split}"
        if not path.exists():
            remedy = (
                "without a connection, let another machine save it with "
                f"datasets.load_dataset({name!r}).save_to_disk(FOLDER), and use data.name=FOLDER"
            )
        raise DataError(f"data.name={plain(name)} cannot be loaded ({plain(first_line(error))}); {remedy}") from error


def of_saved(found: Any, split: str) -> Any:
    """Return a split of what was saved with or without splits; raise ValueError if there is none of that name."""
    splits = dict(found) if isinstance(found, dict) else {str(found.split or "train"): found}
    if split not in splits:
        raise ValueError(f"there is no split {split}, but {', '.join(splits)}")
    return splits[split]


def image_column(found: Any, wanted: str | None) -> str:
    """Return the name of the column of images.

    Raises:
        ConfigError: if it is not there; or for None, if there is none or there are several.
    """
    from datasets import Image

    if wanted is not None:
        check_column(found, "image", wanted)
        return wanted
    columns: list[str] = [name for name, feature in found.features.items() if isinstance(feature, Image)]
    if len(columns) != 1:
        which = f"the columns {', '.join(columns)}" if columns else f"none of the columns {', '.join(found.features)}"
        raise ConfigError(f"data.image: {which} hold images as the library knows them; name the one that is meant")
    return columns[0]


def check_column(found: Any, key: str, name: str) -> None:
    """Raise ConfigError if there is no such column."""
    if name not in found.features:
        raise ConfigError(f"data.{key}={name}: there is no such column, but {', '.join(found.features)}")


def labels_of(found: Any, wanted: str | None, name: str) -> tuple[list[int] | None, tuple[str, ...] | None]:
    """Return the class of each row and the names of the classes, None and None for no labels.

    Numbers that are no classes for the library become classes in their order, each named by itself.

    Raises:
        ConfigError: for a column that does not exist, or holds something else; or for None, if several could be meant.
        DataError: for a row without a class.
    """
    from datasets import ClassLabel

    columns = [column for column, feature in found.features.items() if isinstance(feature, ClassLabel)]
    if wanted is None and len(columns) > 1:
        raise ConfigError(f"data.label: the columns {', '.join(columns)} hold classes; name the one that is meant")
    column = wanted if wanted is not None else columns[0] if columns else None
    if column is None or (column == "none" and column not in found.features):
        return None, None
    check_column(found, "label", column)
    feature, labels = found.features[column], found.select_columns([column])[:][column]
    is_class = isinstance(feature, ClassLabel)
    if not is_class and not str(getattr(feature, "dtype", "")).startswith(("int", "uint", "bool")):
        raise ConfigError(f"data.label={column} must be a column of classes or whole numbers, and is {feature}")
    if without := sum(label is None or (is_class and not 0 <= label < feature.num_classes) for label in labels):
        raise DataError(
            f"{without:,} rows of {plain(name)} have no class in {column}; data.label=none takes no classes"
        )
    if is_class:
        return labels, tuple(feature.names)
    numbers = sorted(set(labels))
    place = {number: k for k, number in enumerate(numbers)}
    return [place[label] for label in labels], tuple(str(int(number)) for number in numbers)
