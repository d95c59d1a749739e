"""Forked children, and the figures that become docs/reliability.md."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gantrain.run import files
from tests.conftest import GUARD, REPOSITORY, until


class Child:
    """A forked process, with the interface of subprocess.Popen."""

    def __init__(self, zygote: Zygote, pid: int, out: Path) -> None:
        self.zygote, self.pid, self.out, self.code = zygote, pid, out, None

    def poll(self) -> int | None:
        if self.code is None:
            self.code = self.zygote.ask(wait=self.pid)["code"]
        return self.code

    def wait(self) -> int:
        until(lambda: self.poll() is not None, lambda: f"still running: {self.text()[-2000:]}")
        assert self.code is not None
        return self.code

    def kill(self) -> int:
        self.send(signal.SIGKILL)
        return self.wait()

    def send(self, number: signal.Signals, group: bool = False) -> None:
        if self.poll() is None:
            (os.killpg if group else os.kill)(self.pid, number)

    def text(self) -> str:
        return self.out.read_text() if self.out.exists() else ""

    def until(self, condition: Callable[[], object]) -> None:
        """Wait for what the child, still alive, is to bring about."""

        def come() -> object:
            met = condition()
            assert met or self.poll() is None, f"it ended with {self.code}: {self.text()[-2000:]}"
            return met

        until(come, lambda: self.text()[-2000:])


class Zygote:
    """The client of zygote.py: asks it for forked children."""

    def __init__(self) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        environment["OMP_WAIT_POLICY"] = "PASSIVE"  # two children with two threads each would spin against each other
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.reliability.zygote"],
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        assert json.loads(self.process.stdout.readline()) == {"ready": True}
        self.lock = threading.Lock()

    def ask(self, **request: object) -> dict:
        with self.lock:
            print(json.dumps(request), file=self.process.stdin)
            return json.loads(self.process.stdout.readline())

    def call(self, function: str, *arguments: object, folder: Path) -> Child:
        descriptor, out = tempfile.mkstemp(dir=folder, prefix="out-")
        os.close(descriptor)
        pid = self.ask(call=function, arguments=arguments, folder=str(folder), out=out)["pid"]
        return Child(self, pid, Path(out))


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    zygote = Zygote()
    yield zygote
    zygote.process.stdin.close()
    zygote.process.wait(timeout=GUARD)


Start = Callable[..., Child]


@pytest.fixture
def start(zygote: Zygote, tmp_path: Path) -> Iterator[Start]:
    """Start the ``gantrain`` command in a forked child; each planted fault is a name in children.py and arguments."""
    children = []

    def call(*arguments: str, faults: tuple[tuple, ...] = (), folder: Path = tmp_path) -> Child:
        children.append(zygote.call("train", list(arguments), *faults, folder=folder))
        return children[-1]

    yield call
    for child in children:
        child.send(signal.SIGKILL)


def same_state(a: Path, b: Path) -> bool:
    """Whether the newest checkpoints of two runs are equal in every byte of their state, and so are their records."""

    def newest(run: Path) -> list[str]:
        folder = max((run / "checkpoints").glob("step-*"))
        return [folder.name, *(files.sha256(folder / name) for name in ("state.safetensors", "state.json"))]

    return newest(a) == newest(b) and records(a) == records(b)


def records(run: Path) -> list[dict]:
    """The lines of metrics.jsonl, without the values that depend on the clock."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if not name.startswith("speed/")} for line in lines]


def status(run: Path) -> dict:
    return json.loads((run / "status.json").read_text())


def error_of(child: Child) -> str:
    """The one error line of the command; there must be exactly one, and no traceback."""
    text = child.text()
    lines = [line for line in text.splitlines() if "gantrain: error:" in line]
    assert len(lines) == 1 and "Traceback" not in text, text
    return lines[0]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of 60 tiny pictures in two classes."""
    for k in range(60):
        folder = tmp_path / "images" / ("ab"[k % 2])
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(k).integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{k:02}.png")
    return tmp_path / "images"


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """State a measurement, for docs/reliability.md."""
    return lambda text: record_property("figure", text)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 20 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "none", folder], capture_output=True).returncode:
        pytest.skip("mounting needs root")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)
