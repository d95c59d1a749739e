"""The contract of data sets, their batches, and images held in memory."""

from __future__ import annotations

import hashlib
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, lru_cache
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from gantrain.data.ahead import Ahead, in_a_thread
from gantrain.data.depth import in_bytes, in_floats, tensor_of
from gantrain.distributed import Alone
from gantrain.errors import DataError
from gantrain.kinds import Kind, Units, kind_of

Batch = tuple[Tensor, Tensor | None]
"""Samples (B, *shape) float32, and labels (B,) int64 or None."""
WHOLE = slice(None)
"""Which samples of a batch are read: all."""


class Batches:
    """An endless stream of batches, each a pure function of its position, so its whole state is the position.

    Args:
        batch_at: position -> batch.
        world: among how many processes a batch is divided: ``batch_at`` gives every ``world``-th of its samples.
    """

    def __init__(self, batch_at: Callable[[int], Batch], world: int = 1) -> None:
        self._batch_at, self.world = batch_at, world
        self.memory_format = torch.preserve_format
        self.position = 0

    def next(self, n: int | None = None) -> Batch:
        """Return the next batch, its samples in ``memory_format``.

        With ``n`` it has that many samples, this process's share of them: of as many batches as that takes, whose last
        one may be cut.
        """
        n = None if n is None else n // self.world
        samples, labels = self._take()
        while n is not None and len(samples) < n:
            more, more_labels = self._take()
            samples = torch.cat([samples, more])
            labels = None if labels is None or more_labels is None else torch.cat([labels, more_labels])
        if n is not None and n < len(samples):
            samples, labels = samples[:n], None if labels is None else labels[:n]
        if self.memory_format != torch.preserve_format:
            samples = samples.contiguous(memory_format=self.memory_format)
        return samples, labels

    def at(self, position: int) -> Batch:
        """Return the batch at a position; the stream's own stays."""
        return self._batch_at(position)

    def _take(self) -> Batch:
        batch = self._batch_at(self.position)
        self.position += 1
        return batch

    def peek(self, n: int) -> Tensor:
        """Return the stream's first ``n`` samples (n, *shape); the position stays."""
        samples = self._batch_at(0)[0]
        position = 1
        while len(samples) < n:
            samples = torch.cat([samples, self._batch_at(position)[0]])
            position += 1
        return samples[:n]

    def state_dict(self) -> dict[str, int]:
        """Return the number of batches drawn."""
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue after that many batches."""
        self.position = state["position"]


class Data(ABC):
    """A data set: the shape of a sample, and batches of samples."""

    shape: tuple[int, ...]
    """Shape of one sample: (2,) for points, (channels, length) for signals, (C, H, W) for images."""
    classes: int
    """Number of classes; 0 when samples carry no label."""
    class_names: tuple[str, ...] | None = None
    """Name of each class, None where they have none."""
    count: int | None = None
    """Number of samples; None when they are drawn fresh without end."""
    labels: Tensor | None = None
    """Class of each sample (count,) int64, if they have one."""
    skipped: Sequence[str] = ()
    """Samples left out because they cannot be read, a line each."""
    passed_over: Sequence[str] = ()
    """Files beside the samples that are not read, a line each."""
    survey: ClassVar[type | None] = None
    """What ``gantrain-data`` builds in this class's place from the same settings, to look at the files themselves."""
    freedom: int = 0
    """In how many directions the samples are known to vary: of fewer latents no generator makes them all."""
    units: Units | None = None
    """What the numbers of a sample stand for; None: for themselves."""

    @property
    def kind(self) -> Kind:
        """What a sample is: by its shape, unless a data set says otherwise. Networks are told the shape alone."""
        return kind_of(self.shape)

    @abstractmethod
    def stream(self, batch_size: int, seed: int, device: torch.device, take: slice = WHOLE) -> Batches:
        """Return endless batches on ``device``; the order of the samples depends on ``seed`` and position alone.

        Of each batch only the samples in ``take`` are read and returned, in their order.
        """

    def at(self, index: Sequence[int]) -> Tensor:
        """Return the samples of these numbers, in [0, count), as stored: images (n, C, H, W) uint8, never mirrored.

        Raises:
            TypeError: if the samples are drawn fresh without end.
        """
        raise TypeError(f"{self} has no samples with numbers")

    def once(self, batch_size: int) -> Iterator[Tensor]:
        """Yield every sample once, as ``at`` returns them, in the order of their numbers."""
        for start in range(0, self.count or 0, batch_size):
            yield self.at(range(start, min(start + batch_size, self.count or 0)))

    def fingerprint(self) -> str:
        """Return a text that changes when the samples change, as far as a quick look can tell."""
        return str(self)

    def identity(self) -> str:
        """Return a text that differs between any two data sets whose samples or labels differ."""
        labels = "" if self.labels is None else hashlib.sha256(self.labels.numpy().data).hexdigest()[:12]
        return f"{self.fingerprint()} {labels}".rstrip()

    def shares(self) -> list[float] | None:
        """Return the share of each class among the samples (classes,); None without labels, or if it is not known."""
        if self.labels is None or not self.classes:
            return None
        counts = np.bincount(self.labels.numpy(), minlength=self.classes)
        shares: list[float] = (counts / counts.sum()).tolist()
        return shares

    def freshness(self) -> str:
        """Return a text that changes also when files are rewritten in place; it guards what this machine has cached."""
        return ""

    def __str__(self) -> str:
        """Describe the set in a few words."""
        size = "×".join(map(str, self.shape))
        return f"{size}, {self.classes} classes" if self.classes else f"{size}, no labels"


DIGESTED = 1024
"""Images whose bytes are brought in order in one go."""


def stream_of(data: Data, batch_size: int, seed: int, device: torch.device, ranks: Alone) -> Batches:
    """Return a process's share of endless batches: every ``ranks.world``-th sample of each.

    A data set of the user's own whose ``stream`` knows no ``take`` reads whole batches, of which the rest is dropped.
    """
    if ranks.world == 1:
        return data.stream(batch_size, seed, device)
    if "take" in inspect.signature(data.stream).parameters:
        share = data.stream(batch_size, seed, device, ranks.take)
        share.world = ranks.world
        return share
    whole = data.stream(batch_size, seed, device)

    def batch_at(position: int) -> Batch:
        samples, labels = whole.at(position)
        return ranks.own(samples), None if labels is None else ranks.own(labels)

    return Batches(batch_at, ranks.world)


class EpochOrder:
    """Shuffled indices of ``n`` samples in whole batches: each epoch is a new permutation, the rest dropped.

    Of each batch it gives those in ``take``.
    """

    def __init__(self, n: int, batch_size: int, seed: int, device: torch.device, take: slice = WHOLE) -> None:
        if n < batch_size:
            raise DataError(f"the data set has {n} samples, fewer than batch_size={batch_size}. Set batch_size={n}")
        self.batch_size, self.per_epoch, self.take = batch_size, n // batch_size, take

        # A whole epoch's indices travel to the device at once; three epochs stay because a prefetching reader
        # may look into the next one.
        @lru_cache(maxsize=3)
        def epoch_indices(epoch: int) -> Tensor:
            permutation = np.random.default_rng([seed, epoch]).permutation(n)
            return torch.from_numpy(permutation).to(device)

        self._epoch_indices = epoch_indices

    def __call__(self, position: int) -> Tensor:
        """Return the indices of the batch at ``position``, (batch_size,) if all are taken."""
        epoch, batch = divmod(position, self.per_epoch)
        return self._epoch_indices(epoch)[batch * self.batch_size : (batch + 1) * self.batch_size][self.take]


def channels_first(pixels: np.ndarray) -> Tensor:
    """Turn pixels (N, H, W, C) into (N, C, H, W), as ``tensor_of`` holds them; in memory they stay channels-last."""
    return tensor_of(pixels).permute(0, 3, 1, 2)


def as_floats(pixels: Tensor) -> Tensor:
    """Map pixels (B, C, H, W) to float32 in [-1, 1], channels last in memory, the layout convolutions prefer."""
    return in_floats(pixels, torch.channels_last)


def numbered(classes: int) -> tuple[str, ...]:
    """Return the names of classes that have none but their numbers."""
    return tuple(map(str, range(classes)))


def flip_some(images: Tensor, seed: int, position: int, take: slice = WHOLE) -> Tensor:
    """Mirror each image (B, C, H, W) left to right with probability ½, a function of seed and position alone.

    The images are those in ``take`` of a batch.
    """
    n = len(images) * (take.step or 1)
    chosen = torch.from_numpy((np.random.default_rng([seed, position, 1]).random(n) < 0.5)[take])
    return torch.where(chosen.to(images.device, non_blocking=True)[:, None, None, None], images.flip(-1), images)


class Images(Data):
    """Images held in memory as bytes, or 16 bits, on the device when there is room.

    Args:
        pixels: (N, C, H, W) uint8, or of 16 bits as ``tensor_of`` holds them.
        labels: (N,) int64, or None.
        classes: number of classes, 0 without labels.
        flip: mirror each image with probability ½.
        class_names: of each class, if they have names.
    """

    mapped = False
    """Whether the images lie in a file of which only what a batch needs is read."""

    def __init__(
        self,
        pixels: Tensor,
        labels: Tensor | None,
        classes: int,
        flip: bool = False,
        class_names: Sequence[str] | None = None,
    ) -> None:
        self.pixels, self.labels, self.classes, self.flip = pixels, labels, classes, flip
        self.class_names = None if class_names is None else tuple(class_names)
        self.shape, self.count = tuple(pixels.shape[1:]), len(pixels)

    def __str__(self) -> str:
        return f"{len(self.pixels):,} images {super().__str__()}"

    def fingerprint(self) -> str:
        """Return the description and a digest of every pixel."""
        return f"{self} ({self._digest})"

    @cached_property
    def _digest(self) -> str:
        digest, pixels = hashlib.sha256(), self.pixels.permute(0, 2, 3, 1)  # the order in which most sets are held
        for start in range(0, len(pixels), DIGESTED):
            digest.update(pixels[start : start + DIGESTED].contiguous().numpy().data)
        return digest.hexdigest()[:12]

    def at(self, index: Sequence[int]) -> Tensor:
        """Return images by their numbers, (n, C, H, W) uint8."""
        self.check_there()
        if isinstance(index, range):
            return in_bytes(self.pixels[index.start : index.stop])
        return in_bytes(self.pixels[torch.as_tensor(index)])

    def check_there(self) -> None:
        """Raise DataError if images that are read when they are needed cannot be read any more."""

    def stream(self, batch_size: int, seed: int, device: torch.device, take: slice = WHOLE) -> Batches:
        """Return batches of images in [-1, 1] and their labels."""
        fits = self._has_room(device)
        home = device if fits else torch.device("cpu")
        pixels = self.pixels.to(home)
        labels = None if self.labels is None else self.labels.to(home)
        order = EpochOrder(len(pixels), batch_size, seed, home, take)

        def chosen(position: int) -> Batch:
            self.check_there()
            index = order(position)
            return pixels[index], None if labels is None else labels[index]

        def staged(position: int) -> Batch:
            # Only from pinned memory does a GPU copy while it computes.
            bytes_, classes = chosen(position)
            if device.type == "cuda":
                return bytes_.pin_memory(), None if classes is None else classes.pin_memory()
            return bytes_, classes

        at = chosen if fits and not self.mapped else Ahead(in_a_thread(staged))

        def batch_at(position: int) -> Batch:
            bytes_, classes = at(position)
            images = as_floats(bytes_.to(device, non_blocking=True))
            if self.flip:
                images = flip_some(images, seed, position, take)
            return images, None if classes is None else classes.to(device, non_blocking=True)

        return Batches(batch_at)

    def _has_room(self, device: torch.device) -> bool:
        if device.type != "cuda":
            return device.type == "cpu"
        free, _ = torch.cuda.mem_get_info(device)
        return self.pixels.nbytes < free / 4  # the networks and their activations need the rest
