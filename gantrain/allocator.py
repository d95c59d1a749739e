"""glibc's allocator, told to keep freed memory for the next step instead of giving it back and faulting it in anew."""

from __future__ import annotations

import ctypes
import platform

# Numbers of mallopt(3), and what glibc starts with.
TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4
KEPT = {MMAP_MAX: 0, TRIM_THRESHOLD: 2**31 - 1, TOP_PAD: 64 * 2**20}
DEFAULT = {MMAP_MAX: 65536, TRIM_THRESHOLD: 128 * 2**10, TOP_PAD: 0}


def is_glibc() -> bool:
    """Tell whether this process allocates with glibc's malloc, as far as the C library's name tells."""
    return platform.libc_ver()[0] == "glibc" and hasattr(ctypes.CDLL(None), "mallopt")


def keep_memory(wanted: bool) -> None:
    """Keep freed memory in this process from now on, or go back to glibc's own ways. Results do not change."""
    mallopt = ctypes.CDLL(None).mallopt
    for parameter, value in (KEPT if wanted else DEFAULT).items():
        mallopt(ctypes.c_int(parameter), ctypes.c_int(value))
