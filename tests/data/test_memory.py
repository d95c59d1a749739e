"""How much memory a container allows, and how mapped files are read."""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np
import pytest

from gantrain.data import memory

MIB = 2**20


def group(tmp_path: Path, lines: str, **files: str) -> int:
    (tmp_path / "cgroup").write_text(lines)
    for name, content in files.items():
        path = tmp_path / "groups" / name.replace("__", "/").replace("_max", ".max").replace("_in", ".limit_in")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return memory.limit(tmp_path / "cgroup", tmp_path / "groups")


@pytest.mark.parametrize(
    ("lines", "files", "found"),
    [
        ("0::/\n", {"memory_max": f"{64 * MIB}\n"}, 64),
        ("0::/job/step\n", {"job__step__memory_max": "max\n", "job__memory_max": f"{32 * MIB}\n"}, 32),
        ("0::/job\n", {"job__memory_max": f"{32 * MIB}\n", "memory_max": f"{16 * MIB}\n"}, 16),
        ("0::/of/the/host\n", {"memory_max": f"{8 * MIB}\n"}, 8),
        ("5:cpu:/\n4:memory:/docker/ab\n", {"memory__docker__ab__memory_in_bytes": f"{24 * MIB}\n"}, 24),
        ("4:memory:/docker/ab\n", {"memory__memory_in_bytes": f"{12 * MIB}\n"}, 12),
        ("4:hugetlb,memory:/x\n0::/\n", {"memory__x__memory_in_bytes": f"{4 * MIB}\n", "memory_max": "max\n"}, 4),
    ],
)
def test_the_smallest_limit_of_the_groups_of_a_process_counts(
    tmp_path: Path, lines: str, files: dict[str, str], found: int
) -> None:
    assert group(tmp_path, lines, **files) == found * MIB


@pytest.mark.parametrize(
    ("lines", "files"),
    [
        ("", {}),
        ("0::/\n", {"memory_max": "max\n"}),
        ("4:memory:/\n", {"memory__memory_in_bytes": "9223372036854771712\n"}),
        ("nonsense\n0::/\n", {"memory_max": "\n"}),
    ],
)
def test_without_a_limit_it_is_the_machine(tmp_path: Path, lines: str, files: dict[str, str]) -> None:
    machine = memory.limit(tmp_path / "none", tmp_path / "none")
    assert machine > 64 * MIB and group(tmp_path, lines, **files) == machine


def test_a_mapped_file_is_read_at_random_and_other_arrays_stay(tmp_path: Path) -> None:
    advice = []

    class Mapped(np.ndarray):
        _mmap = type("Map", (), {"madvise": lambda self, what: advice.append(what)})()

    memory.read_at_random(np.zeros(3).view(Mapped))
    assert advice == [mmap.MADV_RANDOM]
    np.save(tmp_path / "x.npy", np.arange(9))
    whole = np.load(tmp_path / "x.npy", mmap_mode="r")
    for array in (whole, np.zeros(3)):
        memory.read_at_random(array)
    assert whole.tolist() == [*range(9)]
