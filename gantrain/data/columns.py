"""Columns of numbers from a CSV or a Parquet file, and what is refused of them."""

from __future__ import annotations

import csv
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from gantrain.data.names import plain
from gantrain.errors import ConfigError, DataError, first_line
from gantrain.terminal import tell

MISSING = {"", "na", "n/a", "nan", "null", "none", "-", "?", "."}
"""What stands, in lower case, for a value that is not there."""
LONGEST = 40
"""Characters of a cell in a message."""
SHOWN = 8
"""Names of columns in a message."""
DELIMITERS = (",", ";", "\t", "|")
"""What may stand between the values of a CSV file."""
LOOKED_AT = 10
"""Lines at the beginning of a file by which its delimiter is known."""


@dataclass(frozen=True)
class Wanted:
    """What to read.

    Args:
        columns: by name, in the order of the coordinates; None: all that hold numbers.
        label: the column whose values are the classes; None: there is none.
        header: whether the first line of a CSV file holds the names; else they are ``column_1`` and on. None: see
            ``is_header``.
        delimiter: one character between the values of a CSV file.
    """

    columns: Sequence[str] | None
    label: str | None
    header: bool | None
    delimiter: str

    def is_header(self, path: Path, first: Sequence[str]) -> bool:
        """Tell whether the first line of a file holds names: if it has those that are asked for, or no number.

        Raises:
            DataError: if it should, and holds nothing but numbers.
        """
        numbers = [cell.strip() for cell in first if is_number(cell)]
        if self.header and len(numbers) == len(first):
            raise DataError(f"{plain(path)}: the first line holds numbers and no names; add data.header=false")
        if self.header is not None:
            return self.header
        asked = {*(self.columns or ()), *([] if self.label is None else [self.label])}
        if not numbers or (asked and asked <= {cell.strip() for cell in first}):
            return True
        said = f"the first line holds the number {plain(numbers[0][:LONGEST])}, so it is read as data"
        tell(f"{plain(path)}: {said}; if it holds names, add data.header=true")
        return False

    def check(self, path: Path, names: Sequence[str]) -> None:
        """Raise DataError for names that stand twice in a file, ConfigError for wanted ones that it has not."""
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise DataError(f"{plain(path)} has two columns of the name {plain(twice[0])!r}; give each its own")
        asked = {"data.columns": self.columns or (), "data.label": [] if self.label is None else [self.label]}
        for key, some in asked.items():
            if unknown := [name for name in some if name not in names]:
                there = ", ".join(map(plain, names[:SHOWN])) + (", …" if len(names) > SHOWN else "")
                raise ConfigError(f"{key}: {plain(unknown[0])} is no column of {plain(path)}; there are {there}")


@dataclass(frozen=True)
class Columns:
    """The numbers of a file, and the classes of its rows."""

    names: tuple[str, ...]
    numbers: np.ndarray  # (n, d) float64, all finite
    labels: list[str] | None
    passed_over: tuple[str, ...]  # columns of texts


def read(path: Path, wanted: Wanted) -> Columns:
    """Return the columns of a file, which is Parquet if it begins so, else CSV.

    Raises:
        ConfigError: for a column that there is not.
        DataError: if it cannot be read, or a value is no finite number; it names the line or row and the column.
    """
    try:
        if not path.is_file():
            raise DataError(f"data.root={plain(path)} is not a file")
        with path.open("rb") as file:
            begin = file.read(4)
        return from_parquet(path, wanted) if begin == b"PAR1" else from_csv(path, wanted)
    except UnicodeDecodeError as error:
        raise DataError(f"{plain(path)} is neither Parquet nor text in UTF-8; save it as CSV in UTF-8") from error
    except csv.Error as error:
        raise DataError(f"{plain(path)} cannot be read as CSV ({plain(first_line(error))})") from error
    except OSError as error:
        raise DataError(f"{plain(path)} cannot be read ({error.strerror or plain(first_line(error))})") from error


def from_csv(path: Path, wanted: Wanted) -> Columns:
    """Return the columns of a CSV file in UTF-8; blank lines are passed over."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        check_delimiter(path, list(islice(file, LOOKED_AT)), wanted.delimiter)
        file.seek(0)
        reader = csv.reader(file, delimiter=wanted.delimiter, strict=True)
        rows = (row for row in reader if row)
        if (first := next(rows, None)) is None:
            raise DataError(f"{plain(path)} is empty")
        named = wanted.is_header(path, first)
        names = [name.strip() for name in first] if named else [f"column_{k + 1}" for k in range(len(first))]
        wanted.check(path, names)
        row = next(rows, None) if named else first
        if row is None:
            raise DataError(f"{plain(path)} has a header and no rows")
        kept = kept_of(path, names, [not is_text(cell) for cell in row], wanted)
        where = [names.index(name) for name in kept]
        label = None if wanted.label is None else names.index(wanted.label)
        numbers, lines, labels = array("d"), array("q"), list[str]()
        while row is not None:
            if len(row) != len(names):
                said = f"has {len(row)} values and {'the header' if named else 'the first'} {len(names)}"
                raise DataError(f"{plain(path)}: line {reader.line_num} {said}; is data.delimiter the right one?")
            cells = [row[k] for k in where]
            try:
                numbers.extend(as_numbers(cells))
            except ValueError:
                refuse(path, f"line {reader.line_num}", dict(zip(kept, cells, strict=True)))
            lines.append(reader.line_num)
            if label is not None:
                labels.append(row[label].strip())
            row = next(rows, None)
    table = np.frombuffer(numbers, dtype=np.float64).reshape(-1, len(kept))
    check_finite(path, kept, table, [f"line {line}" for line in lines] if not np.isfinite(table).all() else [])
    over = tuple(name for name in names if name not in kept and name != wanted.label) if wanted.columns is None else ()
    return Columns(tuple(kept), table, None if label is None else labels, over)


def check_delimiter(path: Path, lines: Sequence[str], delimiter: str) -> None:
    """Raise DataError if lines are rows of equal length by another delimiter, and none by this one."""
    if suits(lines, delimiter):
        return
    for other in DELIMITERS:
        if suits(lines, other):
            is_tab = other == "\t"
            said = f"its values seem to be separated by {'tabs' if is_tab else repr(other)}"
            typed = "data.delimiter=tab" if is_tab else f"""'data.delimiter="{other}"'"""  # as a shell takes it
            raise DataError(f"{plain(path)}: {said}; add {typed}")


def suits(lines: Sequence[str], delimiter: str) -> bool:
    """Tell whether a delimiter makes of each of some lines the same number of values, two or more."""
    try:
        lengths = {len(row) for row in csv.reader(lines, delimiter=delimiter) if row}
    except csv.Error:
        return False
    return len(lengths) == 1 and lengths != {1}


def from_parquet(path: Path, wanted: Wanted) -> Columns:
    """Return the columns of a Parquet file; those of numbers are of a type of numbers."""
    try:
        import pyarrow  # the extra
        from pyarrow import parquet, types
    except ImportError as error:
        raise ConfigError(f"{plain(path)} is Parquet, which needs pyarrow: pip install 'gantrain[table]'") from error
    try:
        file = parquet.ParquetFile(path)
        fields = {field.name: field.type for field in file.schema_arrow}
        wanted.check(path, file.schema_arrow.names)
        of_numbers = (types.is_integer, types.is_floating, types.is_decimal)
        is_numeric = [any(is_of(kind) for is_of in of_numbers) for kind in fields.values()]
        kept = kept_of(path, list(fields), is_numeric, wanted)
        if texts := [name for name in kept if not is_numeric[list(fields).index(name)]]:
            raise DataError(f"{plain(path)}: the column {plain(texts[0])} holds {fields[texts[0]]} and no numbers")
        label = [] if wanted.label is None else [wanted.label]
        table = file.read(columns=[*kept, *label])
        for name in [*kept, *label]:
            if table[name].null_count:
                row = table[name].is_null().index(True).as_py() + 1
                raise DataError(f"{plain(path)}: row {row} has no value of {plain(name)}; {REMEDY}")
        numbers = np.stack([table[name].cast(pyarrow.float64()).to_numpy() for name in kept], axis=1)
    except pyarrow.ArrowException as error:
        raise DataError(f"{plain(path)} cannot be read as Parquet ({plain(first_line(error))})") from error
    check_finite(path, kept, numbers, [f"row {k + 1}" for k in range(len(numbers))])
    labels = [str(value) for value in table[wanted.label].to_pylist()] if wanted.label is not None else None
    over = tuple(name for name in fields if name not in kept and name != wanted.label) if wanted.columns is None else ()
    return Columns(tuple(kept), numbers, labels, over)


def kept_of(path: Path, names: Sequence[str], is_numeric: Sequence[bool], wanted: Wanted) -> list[str]:
    """Return the names of the columns to read: those that were asked for, else all of numbers but the label."""
    if wanted.columns is not None:
        return list(wanted.columns)
    kept = [name for name, is_one in zip(names, is_numeric, strict=False) if is_one and name != wanted.label]
    if not kept:
        hint = "; are names in the first line? Add data.header=true" if wanted.header is False else ""
        raise DataError(f"{plain(path)} has no column of numbers{hint}")
    return kept


REMEDY = "fill it in, leave the row out, or name other columns with data.columns=[…]"


def refuse(path: Path, where: str, cells: dict[str, str]) -> NoReturn:
    """Raise DataError for the first of some cells, by column, that is no number."""
    name, cell = next((name, cell) for name, cell in cells.items() if not is_number(cell))
    if is_text(cell):
        text = plain(cell.strip()[:LONGEST])
        raise DataError(f"{plain(path)}: {where} has the text {text!r} in {plain(name)}, a column of numbers; {REMEDY}")
    raise DataError(f"{plain(path)}: {where} has no value of {plain(name)}; {REMEDY}")


def check_finite(path: Path, names: Sequence[str], numbers: np.ndarray, places: Sequence[str]) -> None:
    """Raise DataError for the first of numbers (n, d) that is not finite; ``places`` says where each row stands."""
    wrong = np.argwhere(~np.isfinite(numbers))
    if len(wrong):
        row, column = wrong[0]
        value = numbers[row, column]
        raise DataError(f"{plain(path)}: {places[row]} has {value} in {plain(names[column])}; {REMEDY}")


def as_numbers(cells: Sequence[str]) -> list[float]:
    """Return cells as numbers, which may be NaN or infinite; raise ValueError for one that is none.

    Python takes 1_000 for a number, because programs may be written so.
    """
    if "_" in "".join(cells):
        raise ValueError("an underscore")
    return [float(cell) for cell in cells]


def is_number(cell: str) -> bool:
    """Tell whether a cell can be read as a number, see ``as_numbers``."""
    try:
        as_numbers([cell])
    except ValueError:
        return False
    return True


def is_text(cell: str) -> bool:
    """Tell whether a cell holds a text: neither a number, nor what stands for a missing one."""
    return cell.strip().lower() not in MISSING and not is_number(cell)


def as_names(key: str, value: Any) -> list[str] | None:
    """Return a setting that names columns; None stays.

    Raises:
        ConfigError: if it is no list of different names.
    """
    if value is None:
        return None
    names = [str(name) for name in value] if isinstance(value, list | tuple) else []
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"{key} must be null or a list of different names, got {value!r}")
    return names
