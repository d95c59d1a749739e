"""Tables of numbers from a CSV or Parquet file: each row is a point, its columns are the coordinates."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gantrain.data.columns import Columns, Wanted, as_names, read
from gantrain.data.names import natural, path_named, plain
from gantrain.data.source import WHOLE, Batch, Batches, Data, EpochOrder
from gantrain.errors import ConfigError, DataError
from gantrain.kinds import Units
from gantrain.terminal import say

LEAST = 2
"""Rows: of one there is no spread."""


class Table(Data):
    """The rows of a file as points (d,), held in memory.

    Args:
        root: a CSV or Parquet file.
        columns: names of the coordinates, in their order; None: all columns of numbers but ``label``.
        label: the column whose values are the classes; None: there are none.
        standardise: give each column mean 0 and standard deviation 1; ``units`` turns samples back.
        header: whether the first line of a CSV file holds the names; None: if none of them is a number, or it has those
            that ``columns`` and ``label`` name.
        delimiter: one character between the values of a CSV file, or ``tab``.

    Raises:
        ConfigError: for a setting that makes no sense, or a column that there is not.
        DataError: if the file is missing, or a value is no finite number.
    """

    def __init__(
        self,
        root: str,
        columns: Sequence[str] | None,
        label: str | None,
        standardise: bool,
        header: bool | None,
        delimiter: str,
    ) -> None:
        delimiter = "\t" if delimiter in ("tab", "\\t") else delimiter
        wanted = Wanted(as_names("data.columns", columns), None if label is None else str(label), header, delimiter)
        check_settings(wanted, standardise)
        self.path = path_named(root, "file")
        found = read(self.path, wanted)
        if found.passed_over:
            names = ", ".join(map(plain, found.passed_over))
            say(f"{plain(self.path)} has columns of texts, which are passed over: {names}")
        self.columns, self.count, self.shape = found.names, len(found.numbers), (len(found.names),)
        self.digest = hashlib.sha256("\n".join(found.names).encode() + found.numbers.tobytes()).hexdigest()[:12]
        mean, std = self._spread(found)
        offset, scale = (mean, std) if standardise else (np.zeros_like(mean), np.ones_like(std))
        self.units = Units(tuple(offset.tolist()), tuple(scale.tolist()), found.names, wanted.label)
        self.rows = torch.from_numpy(((found.numbers - offset) / scale).astype(np.float32))
        self.classes = 0
        if found.labels is not None:
            self._take_labels(found.labels, str(wanted.label))
        self.standardised = standardise

    def __str__(self) -> str:
        classes = f"{self.classes} classes" if self.classes else "no labels"
        as_it_is = "" if self.standardised else ", as they are"
        return f"{self.count:,} rows of {self.shape[0]} columns{as_it_is}, {classes}"

    def fingerprint(self) -> str:
        """Return the description and a digest of every name and number."""
        return f"{self} ({self.digest})"

    def at(self, index: Sequence[int]) -> Tensor:
        """Return rows by their numbers, (n, d) float32."""
        return self.rows[torch.as_tensor(index)]

    def stream(self, batch_size: int, seed: int, device: torch.device, take: slice = WHOLE) -> Batches:
        """Return batches of rows and their labels."""
        rows, labels = self.rows.to(device), None if self.labels is None else self.labels.to(device)
        order = EpochOrder(len(rows), batch_size, seed, device, take)

        def batch_at(position: int) -> Batch:
            index = order(position)
            return rows[index], None if labels is None else labels[index]

        return Batches(batch_at)

    def _spread(self, found: Columns) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation of each column (d,); raise DataError for one that has none."""
        if len(found.numbers) < LEAST:
            raise DataError(f"{plain(self.path)} has {len(found.numbers)} row, and {LEAST} are the least")
        with np.errstate(over="ignore", invalid="ignore"):
            mean, std = found.numbers.mean(0), found.numbers.std(0)
        constant = (found.numbers == found.numbers[0]).all(0)
        for k in np.flatnonzero(constant | ~(np.isfinite(std) & (std > 0))):
            said = f"is {found.numbers[0, k]:g} in every row" if constant[k] else "has too large or too small numbers"
            raise DataError(
                f"{plain(self.path)}: the column {plain(found.names[k])} {said}, which teaches nothing; "
                "leave it out with data.columns=[…]"
            )
        return mean, std

    def _take_labels(self, labels: Sequence[str], name: str) -> None:
        names = sorted(set(labels), key=natural)
        if "" in names:
            raise DataError(f"{plain(self.path)}: row {labels.index('') + 1} has no value of {plain(name)}, its class")
        if len(names) > max(1, len(labels) // 2):
            said = f"has {len(names):,} different values in {len(labels):,} rows"
            raise DataError(f"{plain(self.path)}: data.label={plain(name)} {said}, which are no classes")
        number = {one: k for k, one in enumerate(names)}
        self.labels, self.classes = torch.tensor([number[one] for one in labels]), len(names)
        self.class_names = tuple(map(plain, names))


def check_settings(wanted: Wanted, standardise: Any) -> None:
    """Raise ConfigError for a setting that makes no sense."""
    if standardise not in (True, False):
        raise ConfigError(f"data.standardise must be true or false, got {standardise!r}")
    if wanted.header not in (None, True, False):
        raise ConfigError(f"data.header must be true, false or null, got {wanted.header!r}")
    if not isinstance(wanted.delimiter, str) or len(wanted.delimiter) != 1 or wanted.delimiter in '"\r\n':
        raise ConfigError(f"data.delimiter must be one character, like ',' or ';', or tab, got {wanted.delimiter!r}")
    if wanted.label is not None and wanted.label in (wanted.columns or ()):
        raise ConfigError(f"data.label={plain(wanted.label)} stands in data.columns too; take it out there")
