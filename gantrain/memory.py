"""A full memory, said in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gantrain.errors import MemoryFullError, first_line


@contextmanager
def explained(batch_size: int) -> Iterator[None]:
    """Turn what Python and torch raise on a full memory into MemoryFullError."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch's OutOfMemoryError is a RuntimeError; a CPU has only its text
        kind, text = type(error).__name__, str(error)
        if not (kind in ("MemoryError", "OutOfMemoryError") or "can't allocate memory" in text):
            raise
        raise MemoryFullError(
            f"out of memory ({first_line(error)[:120]}). A smaller batch_size than {batch_size}, a narrower "
            "architecture, or precision=bf16 needs less"
        ) from error
