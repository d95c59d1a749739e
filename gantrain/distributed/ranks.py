"""Ranks: the processes that play one game, as each of them sees the others."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gantrain.distributed.collectives import Averaged, Gathered, average, interleaved
from gantrain.distributed.pulse import SilentError
from gantrain.errors import ALIKE, ElsewhereError, GantrainError, RankLostError, first_line

if TYPE_CHECKING:
    from gantrain.distributed.pulse import Pulse

T = TypeVar("T")
OWN = 0x72616E6B
"""Sets the seeds of what a rank draws for itself apart from all others."""
OF_A_BACKEND = ("gloo", "NCCL", "pair closure", "closed by peer", "Connection reset", "Broken pipe")
"""Words in a RuntimeError of torch's that say that another rank did not answer."""
STATISTICS = ("running_mean", "running_var")
"""Of a batch norm."""


class Alone:
    """One process that plays the whole game: nobody to ask, nothing to share."""

    rank, world, local = 0, 1, 0
    """This process's number, how many there are, and its number among those on its machine."""
    generator: torch.Generator | None = None
    """Of the random numbers that all ranks draw alike; None: torch's own."""

    @property
    def is_first(self) -> bool:
        """Whether this rank writes and prints."""
        return self.rank == 0

    @property
    def take(self) -> slice:
        """Which samples of a whole batch are this rank's: every ``world``-th, so that parts of batches divide alike."""
        return slice(self.rank, None, self.world)

    def own(self, whole: Tensor) -> Tensor:
        """Return this rank's samples (n / world, …) of a whole batch (n, …)."""
        return whole[self.take]

    def draw(self, numbers: Callable[..., Tensor], n: int, *size: int, **options: Any) -> Tensor:
        """Return random numbers (n, …) of this rank's n samples, of ``torch.rand``, ``randn`` and the like.

        They are drawn for the whole batch, so that a batch gets the same ones however many ranks it is divided among.
        """
        return self.own(numbers(n * self.world, *size, generator=self.generator, **options))

    def normal_like(self, x: Tensor) -> Tensor:
        """Return numbers of N(0, 1) for this rank's samples x (n, …), drawn as ``draw`` does."""
        return torch.randn_like(x)

    def uniform_like(self, x: Tensor) -> Tensor:
        """Return numbers of U[0, 1) for this rank's samples x (n, …), drawn as ``draw`` does."""
        return torch.rand_like(x)

    def share(self, x: Tensor) -> Tensor:
        """Return everybody's samples (n · world, …) of this rank's x (n, …), with the graph to all of them.

        What each rank computes of them is the whole batch's, and the mean of the ranks' gradients is its gradient.
        """
        return x

    def share_each(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return ``share`` of several tensors of one shape, in one collective."""
        return list(tensors)

    def seen(self, x: Tensor) -> Tensor:
        """Return the same as ``share`` without a graph."""
        return x.detach()

    def mean(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return the means of tensors over the ranks, with a graph."""
        return list(tensors)

    def std(self, x: Tensor) -> Tensor:
        """Return the standard deviation of all numbers of the whole batch, a scalar, without a graph."""
        return x.detach().std(correction=0)

    def average(self, tensors: list[Tensor]) -> None:
        """Replace tensors by their means over the ranks."""

    def any(self, flag: bool) -> bool:
        """Tell whether a flag is true on any rank."""
        return flag

    def all(self, value: T) -> list[T]:
        """Return the values of all ranks, in their order."""
        return [value]

    def from_first(self, value: T) -> T:
        """Return the first rank's value."""
        return value

    def first(self, act: Callable[[], T]) -> T:
        """Return what ``act`` returns on the first rank, which alone carries it out.

        Raises:
            ElsewhereError: if it raised there; on the first rank the error itself.
        """
        return act()

    def together(self, act: Callable[[], T]) -> T:
        """Carry out ``act`` on every rank, and return once all have done so.

        An error is raised where it happens; the others find that this rank is gone, and why.
        """
        return act()

    def first_then_all(self, act: Callable[[], T]) -> T:
        """Carry out ``act`` on the first rank, then on all others, which find what it has left on the disk."""
        return act()

    def collected(self, own: Iterator[T], stop: Callable[[], bool]) -> Iterator[T]:
        """Yield on the first rank what all ranks make in turn, in order; on the others nothing, while they make it.

        It ends early, on all ranks at once, when the first rank's ``stop()`` turned true.
        """
        for made in own:
            if stop():
                return
            yield made

    def copy_first(self, tensors: Iterable[Tensor]) -> None:
        """Give tensors of every rank the first rank's values."""

    def differing(self, tensors: Mapping[str, Tensor]) -> tuple[int, str] | None:
        """Return a rank and the name of a tensor that is not the same there as on the first rank, None if all are."""
        return None

    def is_of_group(self, error: Exception) -> bool:
        """Tell whether torch raised an error because another rank did not answer."""
        return False

    def lost(self, error: Exception) -> GantrainError:
        """Return what this rank is to raise because another did not answer: one of all says so."""
        return RankLostError(str(error))

    def leave_word(self, error: Exception) -> None:
        """Tell the others why this rank ends."""

    def speaks(self) -> bool:
        """Tell whether this rank is the one that says what went wrong."""
        return True

    def leave(self) -> None:
        """End the game, which all ranks have come to the end of."""

    def begin(self, device: torch.device, seed: int) -> None:
        """Let the ranks draw what concerns the whole batch alike from here on, and all else each for itself."""

    def numbers(self) -> list[dict[str, Any]]:
        """Return the state of each rank's own random numbers; [] for one process, which has no others."""
        return []

    def set_numbers(self, state: list[dict[str, Any]], device: torch.device) -> None:
        """Restore what ``numbers`` returned, if it was of as many ranks."""

    def buffers(self, *nets: nn.Module) -> list[Tensor]:
        """Return the running means that each rank takes of its own samples, so that their means are the whole batch's.

        They are the statistics of batch norms, and the buffers that a module names in its class's ``running_means``.
        """
        return []


ALONE = Alone()


class Ranks(Alone):
    """The processes of a group that torch has set up.

    Args:
        group: of all; it must work for tensors on the CPU, and for those on the device.
        local: this process's number among those on its machine.
        pulse: tells which ranks live; None: a rank that is lost is one that does not answer in time.
    """

    def __init__(self, group: dist.ProcessGroup, local: int = 0, pulse: Pulse | None = None) -> None:
        self.group, self.local, self.pulse = group, local, pulse
        self.acts = 0  # that the first rank carried out alone
        self.rank, self.world = dist.get_rank(group), dist.get_world_size(group)

    def __deepcopy__(self, memo: dict[int, Any]) -> Ranks:
        return self  # a copy of a network plays with the same processes

    def normal_like(self, x: Tensor) -> Tensor:
        """Draw for the whole batch, and keep the own samples."""
        return self.draw(torch.randn, *x.shape, dtype=x.dtype, device=x.device)

    def uniform_like(self, x: Tensor) -> Tensor:
        """Draw for the whole batch, and keep the own samples."""
        return self.draw(torch.rand, *x.shape, dtype=x.dtype, device=x.device)

    def share(self, x: Tensor) -> Tensor:
        """Gather with a graph."""
        shared: Tensor = Gathered.apply(x, self.group)
        return shared

    def share_each(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Gather all in one."""
        return [each.contiguous() for each in self.share(torch.stack(list(tensors), 1)).unbind(1)]

    def seen(self, x: Tensor) -> Tensor:
        """Gather."""
        return interleaved(x, self.group)

    def mean(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Average with a graph."""
        sizes = [tensor.numel() for tensor in tensors]
        flat: Tensor = Averaged.apply(torch.cat([tensor.reshape(-1) for tensor in tensors]), self.group)
        return [part.view(t.shape) for part, t in zip(flat.split(sizes), tensors, strict=True)]

    def std(self, x: Tensor) -> Tensor:
        """Put the ranks' means and variances together."""
        x = x.detach()
        own = torch.stack([x.mean(), x.var(correction=0)])
        mean, variance = interleaved(own[None], self.group).unbind(1)
        return (variance.mean() + mean.var(correction=0)).sqrt()

    def average(self, tensors: list[Tensor]) -> None:
        """Average in place, all tensors of a dtype in one collective."""
        average(tensors, self.group)

    def any(self, flag: bool) -> bool:
        """Ask all ranks."""
        found = torch.tensor([flag], dtype=torch.int32)
        dist.all_reduce(found, dist.ReduceOp.MAX, group=self.group)
        if self.pulse is not None:
            self.pulse.steps += 1  # it is asked once a step
        return bool(found)

    def all(self, value: T) -> list[T]:
        """Ask all ranks."""
        found: list[Any] = [None] * self.world
        dist.all_gather_object(found, value, group=self.group)
        return found

    def from_first(self, value: T) -> T:
        """Hear from the first rank."""
        found = [value if self.is_first else None]
        dist.broadcast_object_list(found, src=0, group=self.group)
        return found[0]  # type: ignore[return-value]

    def first(self, act: Callable[[], T]) -> T:
        """Let the first rank act, and tell all how that ended."""
        failure: Exception | None = None
        outcome: tuple[Any, tuple[str, int, str] | None] = (None, None)
        if self.is_first:
            try:
                outcome = act(), None
            except Exception as error:
                failure, outcome = error, (None, (*told(error), type(error).__name__))
        self.acts += 1
        if self.pulse is not None:  # it may take longer than a collective waits
            self.pulse.set(str(self.acts)) if self.is_first else self.pulse.wait_for(0, str(self.acts))
        value, said = self.from_first(outcome)
        if failure is not None:
            raise failure
        if said is not None:
            text, code, kind = said
            alike = next((error for error in ALIKE if error.__name__ == kind), None)
            raise ElsewhereError(text, code) if alike is None else alike(text)
        return value  # type: ignore[no-any-return]

    def together(self, act: Callable[[], T]) -> T:
        """Let all act, and wait until all have done so."""
        value = act()  # the others may wait within it: they hear of an error by this rank's word and its end
        self.any(False)
        return value

    def first_then_all(self, act: Callable[[], T]) -> T:
        """Let the first rank act, then the others."""
        mine: list[T] = []
        self.first(lambda: mine.append(act()))
        return mine[0] if self.is_first else act()

    def collected(self, own: Iterator[T], stop: Callable[[], bool]) -> Iterator[T]:
        """Gather on the first rank, one thing of each rank at a time."""
        while True:
            made = next(own, None)
            if self.any(self.is_first and stop()) or not self.any(made is not None):
                return
            found: list[T | None] | None = [None] * self.world if self.is_first else None
            dist.gather_object(made, found, dst=0, group=self.group)
            yield from (one for one in found or [] if one is not None)

    def copy_first(self, tensors: Iterable[Tensor]) -> None:
        """Broadcast."""
        for tensor in tensors:
            dist.broadcast(tensor.detach(), src=0, group=self.group)

    @torch.no_grad()
    def differing(self, tensors: Mapping[str, Tensor]) -> tuple[int, str] | None:
        """Compare the tensors' sums."""
        tensors = {name: tensor for name, tensor in tensors.items() if isinstance(tensor, Tensor)}
        sums = torch.stack([tensor.double().sum() for tensor in tensors.values()]).nan_to_num()
        every = interleaved(sums[None], self.group)
        for rank in range(1, self.world):
            for name, first, other in zip(tensors, every[0].tolist(), every[rank].tolist(), strict=True):
                if first != other:
                    return rank, name
        return None

    def is_of_group(self, error: Exception) -> bool:
        """Know torch's errors, and those of its backends."""
        known = isinstance(error, dist.DistError | SilentError)
        return known or any(words in str(error) for words in OF_A_BACKEND)

    def lost(self, error: Exception) -> GantrainError:
        """Ask which rank is silent; the rank that asks first says so."""
        if self.pulse is None:
            return RankLostError(first_line(error))
        if (word := self.pulse.word()) is not None:
            return ElsewhereError(f"rank {word[0]}: {word[1]}" if word[0] else word[1], word[2])
        text = str(error) if isinstance(error, SilentError) else self.pulse.missing()
        if not self.pulse.says_first():
            return ElsewhereError(text, RankLostError.exit_code)
        return RankLostError(f"{text}; the same command goes on from the last checkpoint")

    def leave_word(self, error: Exception) -> None:
        """Leave the sentence in the store."""
        if self.pulse is not None:
            self.pulse.leave_word(*told(error))

    def speaks(self) -> bool:
        """Ask the store: the first rank that asks."""
        return self.pulse is None or self.pulse.says_first()

    def leave(self) -> None:
        """Beat no more, and let the group go."""
        if self.pulse is not None:
            self.pulse.end()
        dist.destroy_process_group()

    def begin(self, device: torch.device, seed: int) -> None:
        """Give the present numbers to all alike, and seed those of this rank."""
        self.generator = torch.Generator(device)
        self.generator.set_state(self.from_first(state_of(device)))
        torch.manual_seed(own_seed(seed, self.rank))

    def numbers(self) -> list[dict[str, Any]]:
        """Ask all ranks."""
        own = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            own["cuda"] = torch.cuda.get_rng_state()
        return self.all(own)

    def set_numbers(self, state: list[dict[str, Any]], device: torch.device) -> None:
        """Go on with the numbers of this rank, or begin new ones."""
        self.generator = torch.Generator(device)
        self.generator.set_state(shared := state_of(device))
        if len(state) == self.world:
            torch.set_rng_state(state[self.rank]["cpu"])
            if device.type == "cuda" and "cuda" in state[self.rank]:
                torch.cuda.set_rng_state(state[self.rank]["cuda"], device)
        else:  # of another number of ranks: numbers of their own, which follow from those that all share
            seed = int.from_bytes(hashlib.sha256(shared.numpy().tobytes()).digest()[:7], "big")
            torch.manual_seed(own_seed(seed, self.rank))

    def buffers(self, *nets: nn.Module) -> list[Tensor]:
        """Find batch norms, and modules that name such buffers."""
        found: list[Tensor | None] = []
        for module in (module for net in nets for module in net.modules()):
            names = STATISTICS if isinstance(module, _BatchNorm) else getattr(module, "running_means", ())
            found += [getattr(module, name) for name in names]
        return [buffer for buffer in found if buffer is not None]


def state_of(device: torch.device) -> Tensor:
    """Return the state of torch's own random numbers on a device."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def own_seed(seed: int, rank: int) -> int:
    """Return a seed for what a rank draws for itself."""
    return int(np.random.SeedSequence([seed, rank, OWN]).generate_state(1, np.uint64)[0] >> 1)


def told(error: Exception) -> tuple[str, int]:
    """Return what to say of an error, and the exit code."""
    if isinstance(error, GantrainError):
        return str(error), error.exit_code
    return f"{type(error).__name__}: {first_line(error)}", 1
