"""What can go wrong because of the user's input or machine, each with its own exit code.

Only the standard library is imported here, so every floor may raise these.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

HIDDEN = "***"
"""What stands for a password."""
PASSWORDS = (
    re.compile(r"(://[^\s:/?#@'\"]*:)[^\s'\"]*(?=@)"),  # up to the last @: a password may hold one
    re.compile(r"([?&](?:password|passwd|sslpassword)=)[^\s&'\"]*", re.IGNORECASE),
)


def masked(text: str) -> str:
    """Return a text with ``***`` for the password of every URL in it."""
    if "://" not in text:
        return text
    for pattern in PASSWORDS:
        text = pattern.sub(rf"\g<1>{HIDDEN}", text)
    return text


def first_line(error: BaseException) -> str:
    """Return what an error says in its first line, or its kind if it says nothing; never a password."""
    return masked((str(error).splitlines() or [""])[0].rstrip(" .:")) or type(error).__name__


class GantrainError(Exception):
    """An error the user can act on: its text is one sentence that names where and what to do."""

    exit_code = 1


class ConfigError(GantrainError, ValueError):
    """A choice, key or value that cannot work."""

    exit_code = 2


class RecordError(ConfigError):
    """A record of a run that cannot be read: the run is left out, and others may do."""


class DataError(GantrainError):
    """A data set that is missing, empty, damaged or too small."""

    exit_code = 3


class DivergedError(GantrainError):
    """Training produced a value that is not finite."""

    exit_code = 4


class CheckpointError(GantrainError):
    """A checkpoint that is missing, damaged, of another format, or does not fit."""

    exit_code = 5


class DamagedError(CheckpointError):
    """A checkpoint whose bytes are not what its manifest says: another one may do."""


class UnreadableError(CheckpointError):
    """A checkpoint that the disk does not give back, perhaps for the moment: another one may do."""


class RunInUseError(GantrainError):
    """Another process trains in the same run directory."""

    exit_code = 6


class DiskError(GantrainError):
    """The disk is full, or does not take what a run must write."""

    exit_code = 7


class MemoryFullError(GantrainError):
    """The memory of the machine or of the GPU does not suffice."""

    exit_code = 8


class Reported(Exception):  # noqa: N818  (no error of its own: what failed has been printed already)
    """Ends a job after its error has been printed; in a sweep the other jobs go on."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"exit code {exit_code}")
        self.exit_code = exit_code


class PrunedError(GantrainError):
    """A search found that a training is not worth going on with; its state is saved."""

    exit_code = 0


class StoppedError(GantrainError):
    """A signal asked the run to stop; it saved its state and can be continued."""

    exit_code = 75


WITHOUT_IT = "move it out of the folder to go on without it"
"""What to do about a record of the run that is to go on."""


@contextmanager
def memory_errors(remedy: str) -> Iterator[None]:
    """Turn what Python and torch raise on a full memory into MemoryFullError, which says what needs less."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_memory_full(error):
            raise
        raise MemoryFullError(f"out of memory ({first_line(error)[:120]}). {remedy}") from error


@contextmanager
def record_errors(remedy: str) -> Iterator[None]:
    """Add to a RecordError what to do: which command was given decides that, not what is wrong with the record."""
    try:
        yield
    except RecordError as error:
        raise ConfigError(f"{error}; {remedy}") from error


def for_training(batch_size: int) -> str:
    """Return what needs less memory in a training."""
    return f"A smaller batch_size than {batch_size}, a narrower architecture, or precision=bf16 needs less"


def is_memory_full(error: BaseException | None) -> bool:
    """Tell whether an error says that the memory is full; torch's own is a RuntimeError, on a CPU only by its text."""
    return type(error).__name__ in ("MemoryError", "OutOfMemoryError") or "can't allocate memory" in str(error)


def of_a_path(error: BaseException) -> GantrainError | None:
    """Return what to say of a path that leads to itself or is too long, None for any other error."""
    if isinstance(error, RuntimeError) and str(error).startswith("Symlink loop"):  # of Path.resolve before Python 3.13
        return ConfigError(str(error))
    if isinstance(error, OSError) and error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
        return ConfigError(f"{str(error.filename)[:200]}: {error.strerror}")
    return None


class EndedError(StoppedError):
    """A callback ended the run; it saved its state and can be continued."""

    exit_code = 0


class CallbackError(GantrainError):
    """A callback of the user's failed."""


ALIKE = (DivergedError, PrunedError, StoppedError)
"""Errors that all ranks of a game come to at once: a run goes back to a checkpoint, or ends well."""


class RankLostError(GantrainError):
    """Another process of the game is gone or does not answer."""

    exit_code = 9


class ElsewhereError(GantrainError):
    """Another rank has failed, and says why; this one leaves with the same exit code and nothing to say.

    Args:
        text: what the other rank says.
        exit_code: of the other rank's error.
    """

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code
