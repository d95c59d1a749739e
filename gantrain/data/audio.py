"""Folders of WAV files: each a signal of one channel, at one rate and of one length."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor

from gantrain.data import listing, memory
from gantrain.data.benchmarks import check_choice
from gantrain.data.names import plain
from gantrain.data.signals import StoredSignals
from gantrain.data.subset import Which, choose
from gantrain.data.unreadable import attempted, check_on_bad, left_after
from gantrain.errors import ConfigError, DataError, first_line
from gantrain.kinds import Units
from gantrain.terminal import each

SOUGHT = listing.Sought("WAV files", frozenset({".wav", ".wave"}))
CUTS = ("middle", "first")
FASTEST = 1_000_000
"""Hz: a damaged header may name a rate from which resampling would take all memory."""
SIZES = {np.dtype(np.uint8): (128, 128), np.dtype(np.int16): (0, 2**15), np.dtype(np.int32): (0, 2**31)}
"""Middle and half-width of whole numbers; 24 bits are given as 32 with zeros at the end."""


@dataclass(frozen=True)
class Listener:
    """Reads WAV files.

    Args:
        length: numbers of a sound; shorter ones end in silence.
        rate: numbers in a second.
        resample: whether files may have another rate.
        mix: whether files may have several channels, of which the mean is taken.
        cut: which part of longer files is kept, ``middle`` or ``first``.
    """

    length: int
    rate: int
    resample: bool
    mix: bool
    cut: str

    def __call__(self, path: Path, source: Callable[[Path], Any] = Path) -> np.ndarray:
        """Return a file's sound (length,) float32 in [-1, 1].

        Args:
            path: of the file.
            source: returns what scipy opens.

        Raises:
            DataError: if it cannot be read, is empty, or has another rate or more channels than are allowed.
        """
        rate, channels = content(path, source)
        if channels.shape[1] > 1 and not self.mix:
            raise DataError(f"{plain(path)} has {channels.shape[1]} channels; data.mix=true takes their mean")
        if rate != self.rate and not self.resample:
            raise DataError(f"{plain(path)} has {rate:,} Hz; use data.resample=true, or data.rate={rate}")
        return self.fitted(channels.mean(1), rate)

    def fitted(self, sound: np.ndarray, rate: int) -> np.ndarray:
        """Return a sound (n,) of a rate at the rate and of the length that are wanted."""
        if rate != self.rate:
            from scipy.signal import resample_poly  # takes a second, and most folders have the right rate

            common = math.gcd(rate, self.rate)
            sound = resample_poly(sound, self.rate // common, rate // common).clip(-1, 1)
        start = (len(sound) - self.length) // 2 if self.cut == "middle" and len(sound) > self.length else 0
        kept = sound[start : start + self.length]
        found: np.ndarray = np.pad(kept, (0, self.length - len(kept))).astype(np.float32)
        return found


class AudioFolder(StoredSignals):
    """The WAV files of a folder, zip or tar as signals (1, length), all held in memory.

    Args:
        root: the folder or archive; each subfolder is a class, or the files lie in it directly (no labels).
        length: numbers of a sound.
        rate: numbers in a second.
        resample: take files of other rates, too.
        mix: take files of several channels, too.
        cut: which part of longer files is kept, ``middle`` or ``first``.
        on_bad: ``error``, or ``skip`` files that cannot be read; they are listed in ``skipped``.
        skip_limit: share of the files that may be skipped.
        which: the part of the files that is read at all, see ``gantrain.data.subset.choose``.

    Raises:
        ConfigError: for a setting that makes no sense, or more sound than the memory should hold.
        DataError: for a missing or empty folder, or a file that cannot be read; it names the file.
    """

    def __init__(
        self,
        root: str,
        length: int,
        rate: int,
        resample: bool,
        mix: bool,
        cut: str,
        on_bad: str = "error",
        skip_limit: float = 0.01,
        **which: Unpack[Which],
    ) -> None:
        check_settings(length, rate, resample, mix, cut)
        check_on_bad(on_bad, skip_limit)
        self.listener = Listener(length, rate, resample, mix, cut)
        found = listing.find(root, sought=SOUGHT)
        numbers = None if found.labels is None else torch.tensor(found.labels)
        kept, self.labels, names = choose(numbers, len(found.entries), found.class_names or (), **which)
        self.passed_over, self.class_names = found.passed_over, names or None
        self.classes, self.count, self.shape = len(names), len(kept), (1, length)
        self.units = Units((0.0,), (1.0,), rate=rate)
        if (needed := 4 * self.count * length) > memory.limit() / 4:
            raise ConfigError(
                f"{self.count:,} sounds of data.length={length} take {needed / 2**30:.1f} GB, more than a quarter of "
                "the memory; use a smaller data.length, or fewer files"
            )
        sounds, unreadable = torch.empty(self.count, 1, length), list[tuple[int, str]]()
        for k, number in enumerate(each(kept.tolist(), "reading sounds", "file")):
            sound = attempted(partial(self.listener, found.entries[number].path, found.place.source), on_bad)
            if isinstance(sound, DataError):
                unreadable.append((k, str(sound)))
            else:
                sounds[k, 0] = torch.from_numpy(sound)
        left = left_after(unreadable, self.count, self.labels, self.class_names, skip_limit, "sounds")
        self.skipped, self.count = [reason for _, reason in unreadable], len(left)
        self.signals = sounds[left] if unreadable else sounds
        self.labels = None if self.labels is None else self.labels[left]
        self.digest = hashlib.sha256(self.signals.numpy().data).hexdigest()[:12]

    def __str__(self) -> str:
        return f"{self.count:,} sounds of {self.shape[1]:,} numbers at {self.listener.rate:,} Hz, " + (
            f"{self.classes} classes" if self.classes else "no labels"
        )

    def fingerprint(self) -> str:
        """Return the description and a digest of every number."""
        return f"{self} ({self.digest})"

    def at(self, index: Sequence[int]) -> Tensor:
        """Return sounds by their numbers, (n, 1, length) float32 in [-1, 1]."""
        assert self.signals is not None
        return self.signals[torch.as_tensor(index)]


def content(path: Path, source: Callable[[Path], Any] = Path) -> tuple[int, np.ndarray]:
    """Return the rate of a WAV file in Hz and its numbers (n, channels) float64 in [-1, 1].

    Raises:
        DataError: if it cannot be read, is cut off or empty, or holds numbers beyond that.
    """
    from scipy.io import wavfile  # takes long, and only sounds need it

    try:
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            rate, numbers = wavfile.read(source(path))
        if any("prematurely" in str(warning.message) for warning in found):
            raise ValueError("it is cut off")
    except Exception as error:  # damaged files bring up all kinds
        reason = getattr(error, "strerror", None) or first_line(error)
        raise DataError(f"{plain(path)} cannot be read as WAV ({plain(reason)}); remove or replace it") from error
    if not numbers.size:
        raise DataError(f"{plain(path)} holds no sound; remove or replace it")
    if not 0 < rate <= FASTEST:
        raise DataError(f"{plain(path)} names a rate of {rate:,} Hz, and {FASTEST:,} is the most; remove or replace it")
    middle, half = SIZES.get(numbers.dtype, (0, 1))
    sound = (numbers.reshape(len(numbers), -1).astype(np.float64) - middle) / half
    if not (np.abs(sound) <= 1).all():
        raise DataError(
            f"{plain(path)} has numbers that are not finite or beyond -1 and 1; scale them, or leave it out"
        )
    return int(rate), sound


def check_settings(length: Any, rate: Any, resample: Any, mix: Any, cut: Any) -> None:
    """Raise ConfigError for a setting that makes no sense."""
    for key, value in {"length": length, "rate": rate}.items():
        if type(value) is not int or not 0 < value <= (FASTEST if key == "rate" else 2**31):
            raise ConfigError(f"data.{key} must be a whole number above 0, of rate at most {FASTEST:,}, got {value!r}")
    for key, value in {"resample": resample, "mix": mix}.items():
        if value not in (True, False):
            raise ConfigError(f"data.{key} must be true or false, got {value!r}")
    check_choice("data.cut", cut, CUTS)
