"""A full memory, said in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gantrain.errors import MemoryFullError, first_line


@contextmanager
def explained(remedy: str) -> Iterator[None]:
    """Turn what Python and torch raise on a full memory into MemoryFullError, which says what needs less."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_full(error):
            raise
        raise MemoryFullError(f"out of memory ({first_line(error)[:120]}). {remedy}") from error


def for_training(batch_size: int) -> str:
    """Return what needs less memory in a training."""
    return f"A smaller batch_size than {batch_size}, a narrower architecture, or precision=bf16 needs less"


def is_full(error: BaseException | None) -> bool:
    """Tell whether an error says that the memory is full; torch's own is a RuntimeError, on a CPU only by its text."""
    return type(error).__name__ in ("MemoryError", "OutOfMemoryError") or "can't allocate memory" in str(error)
