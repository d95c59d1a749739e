"""glibc's allocator, told to keep freed memory for the next step instead of giving it back and faulting it in anew."""

from __future__ import annotations

import ctypes
import platform

# Parameter numbers of mallopt(3). Setting any of them switches glibc's own adaptation off for good.
TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4


def is_glibc() -> bool:
    """Tell whether this process allocates with glibc's malloc, judging by the C library's name."""
    return platform.libc_ver()[0] == "glibc" and hasattr(ctypes.CDLL(None), "mallopt")


def keep_memory() -> None:
    """Keep freed memory from now on, until this process ends. Results do not change."""
    mallopt = ctypes.CDLL(None).mallopt
    for parameter, value in ((MMAP_MAX, 0), (TRIM_THRESHOLD, 2**31 - 1), (TOP_PAD, 64 * 2**20)):
        mallopt(ctypes.c_int(parameter), ctypes.c_int(value))
