"""Any map-style data set of torch as data: shape, range and classes are learnt from its samples."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor

from gantrain import kinds
from gantrain.data import memory
from gantrain.data.ahead import Ahead, in_a_thread
from gantrain.data.contract import Sample, check, learnt, sample_of
from gantrain.data.source import WHOLE, Batch, Batches, Data, EpochOrder, as_floats, flip_some
from gantrain.data.subset import Which, choose
from gantrain.errors import ConfigError, DataError, first_line
from gantrain.terminal import each, tell

FIRST = 16
"""Samples by which the contract is learnt."""


class TorchDataset(Data):
    """A data set with ``__len__`` and ``__getitem__``, as torch's DataLoader takes it.

    A sample is a tensor or an array, or a pair of one and a whole number, its class. Images are (C, H, W) and signals
    (C, L), as bytes or as fractions in [0, 1] or [-1, 1]; points (d,) are taken as they are. Every sample is looked at
    once before the first step. If the data set gives the same sample every time and all fit into a quarter of the
    memory, they are held there; else they are asked for again, with random numbers that depend on seed, position and
    number alone, so that augmentation in ``__getitem__`` is repeated exactly by a run that goes on.

    Args:
        dataset: the data set.
        flip: mirror each image with probability ½.
        in_memory: whether to hold all; None: as said above.
        which: the part that is used, see ``gantrain.data.subset.choose``.

    Raises:
        ConfigError: for a setting that makes no sense, or an object that is no such data set.
        DataError: for samples that are something else, or unlike the first ones.
    """

    def __init__(self, dataset: Any, flip: bool = False, in_memory: bool | None = None, **which: Unpack[Which]) -> None:
        if in_memory not in (None, True, False):
            raise ConfigError(f"data.in_memory must be true, false or null, got {in_memory!r}")
        self.dataset, self.flip, self.name = dataset, flip, type(dataset).__name__
        size = length(dataset)
        self.draws = False
        first = [self._watched(k, 0) for k in range(min(FIRST, size))]
        self.found = learnt(first, self.name)
        self.shape = self.found.shape
        self.is_images = isinstance(self.kind, kinds.Images)
        repeats = all(torch.equal(self._watched(k, 1).x, sample.x) for k, sample in enumerate(first[:4]))
        fits = size * first[0].x.nbytes <= memory.limit() / 4
        holds = (repeats and not self.draws and fits) if in_memory is None else in_memory
        samples, numbers, self._digest = self._look_over(size, holds)
        repeats &= not self.draws  # what changes rarely, or in few samples, is hardly seen in the first ones
        if in_memory is None and not repeats:
            samples = None
        kept, self.labels, names = choose(*classes_of(numbers, dataset), **which)
        self.class_names, self.classes = names or None, len(names)
        self.index, self.count = kept, len(kept)
        self.samples = None if samples is None else samples[kept]
        held = "held in memory" if samples is not None else "asked for again in every epoch"
        same = "the same each time" if repeats else "other ones each time"
        tell(f"{self.name}: {size:,} samples of {self.found}, {same}, {held}")

    def __str__(self) -> str:
        return f"{self.name} of {self.count:,} samples {super().__str__()}"

    def fingerprint(self) -> str:
        """Return the description and a digest of the samples; with random ones, of those that seed 0 gives."""
        chosen = hashlib.sha256(self.index.tobytes()).hexdigest()[:4] if len(self.index) else ""
        return f"{self} ({self._digest}{chosen})"

    def at(self, index: Sequence[int]) -> Tensor:
        """Return samples by their numbers: images (n, C, H, W) uint8, others float32."""
        if self.samples is not None:
            x = self.samples[torch.as_tensor(index)]
        else:
            rows = self.index[np.asarray(index, dtype=np.int64)].tolist()
            x = torch.stack([self._get(k, (0, k)).x for k in rows])
        if self.is_images and x.dtype != torch.uint8:
            return self._scaled(x).add(1).mul(127.5).round().to(torch.uint8)
        return x if self.is_images else self._scaled(x)

    def stream(self, batch_size: int, seed: int, device: torch.device, take: slice = WHOLE) -> Batches:
        """Return batches of samples, in [-1, 1] but for points, and their labels."""
        order = EpochOrder(len(self.index), batch_size, seed, torch.device("cpu"), take)
        pinned = device.type == "cuda"  # only from there a GPU copies while it computes

        def prepare(position: int) -> Batch:
            index = order(position)
            labels = None if self.labels is None else self.labels[index]
            if self.samples is not None:
                x = self.samples[index]
            else:
                rows = self.index[index.numpy()].tolist()
                x = torch.stack([self._get(k, (2, seed, position, k)).x for k in rows])
            if pinned:
                return x.pin_memory(), None if labels is None else labels.pin_memory()
            return x, labels

        # Only what is held may be fetched by a thread: a data set of somebody's own draws from the process's random
        # numbers, which the training draws from at the same time.
        at: Callable[[int], Batch] = Ahead(in_a_thread(prepare)) if pinned and self.samples is not None else prepare

        def batch_at(position: int) -> Batch:
            x, labels = at(position)
            x = self._scaled(x.to(device, non_blocking=True))
            if self.flip and self.is_images:
                x = flip_some(x, seed, position)
            return x, None if labels is None else labels.to(device, non_blocking=True)

        return Batches(batch_at)

    def _scaled(self, x: Tensor) -> Tensor:
        """Return samples as float32, in [-1, 1] unless they are points."""
        if x.dtype == torch.uint8 and self.is_images:
            return as_floats(x)
        low, high = self.found.low, self.found.high
        if high == np.inf:
            return x
        x = x.float().sub(low).mul(2 / (high - low)).sub(1)
        return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x

    def _look_over(self, size: int, holds: bool) -> tuple[Tensor | None, list[int | None], str]:
        """Return all samples, if they are to be held, their labels, and a digest."""
        digest, labels = hashlib.sha256(), list[int | None]()
        samples = torch.empty(size, *self.shape, dtype=self.found.dtype) if holds else None
        for k in each(range(size), "reading samples", "sample", size):
            sample = self._watched(k, 0)
            check(sample, self.found, f"{self.name}[{k}]")
            digest.update(sample.x.contiguous().numpy().data)
            labels.append(sample.label)
            if samples is not None:
                samples[k] = sample.x
        return samples, labels, digest.hexdigest()[:12]

    def _get(self, k: int, seed: Sequence[int]) -> Sample:
        with seeded(seed):
            return self._ask(k)

    def _watched(self, k: int, look: int) -> Sample:
        """Return a sample, and note whether a random number was drawn for it."""
        with seeded((look, k)):
            begun = states()
            sample = self._ask(k)
            self.draws |= states() != begun
        return sample

    def _ask(self, k: int) -> Sample:
        try:
            found = self.dataset[k]
        except (MemoryError, DataError):
            raise
        except Exception as error:  # somebody's own code
            raise DataError(f"{self.name}[{k}] fails: {type(error).__name__}: {first_line(error)}") from error
        return sample_of(found, f"{self.name}[{k}]")


def adapted(data: Any) -> Data:
    """Return data as they are, or a map-style data set of torch as data."""
    return data if isinstance(data, Data) else TorchDataset(data)


def length(dataset: Any) -> int:
    """Return the number of samples; raise ConfigError for what is no map-style data set."""
    name = type(dataset).__name__
    if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        hint = "; an iterable one cannot go on where a run stopped" if hasattr(dataset, "__iter__") else ""
        raise ConfigError(
            f"data: {name} is neither gantrain's Data nor a map-style data set with __len__ and __getitem__{hint}"
        )
    try:
        size = len(dataset)
    except Exception as error:  # somebody's own code
        raise DataError(f"len({name}) fails: {type(error).__name__}: {first_line(error)}") from error
    if not size:
        raise DataError(f"{name} has no samples")
    return size


def states() -> tuple[Any, ...]:
    """Return the states of Python's, numpy's and torch's random numbers, which differ once one was drawn."""
    of_numpy: Any = np.random.get_state()
    return random.getstate(), of_numpy[1].tobytes(), of_numpy[2], torch.get_rng_state().numpy().tobytes()


@contextmanager
def seeded(seed: Sequence[int]) -> Iterator[None]:
    """Let Python's, numpy's and torch's random numbers inside the block depend on ``seed`` alone, and no others."""
    python, numpy = random.getstate(), np.random.get_state()
    number = int(np.random.SeedSequence([*seed]).generate_state(1)[0])
    with torch.random.fork_rng([]):
        torch.manual_seed(number)
        np.random.seed(number)
        random.seed(number)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


def classes_of(numbers: Sequence[int | None], dataset: Any) -> tuple[Tensor | None, int, Sequence[str]]:
    """Return labels (n,) or None, n, and the names of the classes: the data set's own, else their numbers."""
    if numbers[0] is None:
        return None, len(numbers), ()
    labels = torch.tensor(numbers)
    own = getattr(dataset, "classes", None)
    if isinstance(own, list | tuple) and len(own) > int(labels.max()) and len(set(map(str, own))) == len(own):
        return labels, len(numbers), [str(name) for name in own]
    return labels, len(numbers), [str(k) for k in range(int(labels.max()) + 1)]
