"""One game on two machines: two torchruns, on loopback and in two network namespaces joined by a virtual cable."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import GUARD, REPOSITORY, until
from tests.launchers.slurm import free_port
from tests.reliability.conftest import same_state

GAME = ("data=ring", "device=cpu", "batch_size=16", "architecture.generator.width=8", "evaluation=none", "loss=rasgan",
        "architecture.discriminator.width=8", "checkpoint.every=10", "log.every=5", "samples.every=0",
        "total_steps=200", "distributed.timeout=30", "run.dir=run")  # fmt: skip
LOOPBACK = (((), "127.0.0.1"), ((), "127.0.0.1"))
Machines = tuple[tuple[tuple[str, ...], str], ...]


def torchruns(folder: Path, machines: Machines) -> list[subprocess.Popen]:
    """Start a torchrun on each machine: a command that enters it, and its address."""
    port = free_port()
    variables = {k: v for k, v in os.environ.items() if not k.startswith("SLURM_") and k != "GLOO_SOCKET_IFNAME"}
    variables |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    started = []
    for k, (enter, address) in enumerate(machines):
        words = ["-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d"]
        words += [f"--rdzv-endpoint={machines[0][1]}:{port}", f"--rdzv-conf=is_host={int(k == 0)}"]
        words += [f"--local-addr={address}", "-m", "gantrain", *GAME]
        with (folder / f"out{k}").open("w") as out:
            started.append(subprocess.Popen([*enter, sys.executable, *words], cwd=folder, env=variables,
                                            stdout=out, stderr=out, start_new_session=True))  # fmt: skip
    return started


def text(folder: Path) -> str:
    return "".join((folder / f"out{k}").read_text() for k in range(2))


def finish(folder: Path, machines: Machines) -> str:
    """Play to the end, and return what was printed."""
    started = torchruns(folder, machines)
    try:
        codes = [process.wait(GUARD) for process in started]
    finally:
        end(started)
    assert codes == [0, 0], text(folder)
    return text(folder)


def end(started: list[subprocess.Popen]) -> None:
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(GUARD)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of two torchruns on loopback that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole")
    finish(folder, LOOPBACK)
    return folder / "run"


@pytest.fixture
def namespaces() -> Iterator[Machines]:
    """Two network namespaces, in which the machine's own name leads to loopback as it does in many an /etc/hosts."""
    names = [f"gantrain{os.getpid()}{side}" for side in "ab"]
    cables = [f"gt{os.getpid()}{side}"[-15:] for side in "ab"]

    def ip(*words: str) -> bool:
        try:
            return subprocess.run(["ip", *words], capture_output=True, check=False).returncode == 0
        except FileNotFoundError:
            return False

    try:
        made = all(ip("netns", "add", name) for name in names)
        made = made and ip("link", "add", cables[0], "type", "veth", "peer", "name", cables[1])
        for k, (name, cable) in enumerate(zip(names, cables, strict=True)):
            made = made and ip("link", "set", cable, "netns", name)
            made = made and ip("-n", name, "addr", "add", f"10.99.0.{k + 1}/24", "dev", cable)
            made = made and all(ip("-n", name, "link", "set", device, "up") for device in ("lo", cable))
        if not made:
            pytest.skip("network namespaces need root and iproute2")
        yield tuple((("ip", "netns", "exec", name), f"10.99.0.{k + 1}") for k, name in enumerate(names))
    finally:
        for name in names:
            ip("netns", "del", name)


@pytest.mark.slow
@pytest.mark.xdist_group("machines")
def test_two_machines_that_share_only_a_cable_play_the_game_of_one(
    namespaces: Machines, whole: Path, tmp_path: Path
) -> None:
    finish(tmp_path, namespaces)
    assert same_state(tmp_path / "run", whole)


@pytest.mark.slow
@pytest.mark.xdist_group("machines")
def test_a_machine_that_is_killed_ends_the_other_and_the_same_commands_go_on(whole: Path, tmp_path: Path) -> None:
    started = torchruns(tmp_path, LOOPBACK)
    try:
        until(lambda: any(tmp_path.glob("run/checkpoints/step-*/manifest.json")) or started[0].poll() is not None,
              lambda: text(tmp_path))  # fmt: skip
        # Rank 0 is where the rendezvous is or not; a machine that is gone takes its agent and its rank with it.
        lost = subprocess.run(["pgrep", "-P", str(started[1].pid)], capture_output=True, text=True, check=True)
        for process in (started[1].pid, *map(int, lost.stdout.split())):
            os.kill(process, signal.SIGKILL)
        assert started[0].wait(GUARD) != 0
        assert "gantrain: error: rank" in text(tmp_path), text(tmp_path)
    finally:
        end(started)
    assert "resumed       from step" in finish(tmp_path, LOOPBACK)
    assert same_state(tmp_path / "run", whole)
