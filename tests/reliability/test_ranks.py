"""Several ranks: one that dies, hangs, fails or is told to stop ends the job, and the same command goes on."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import GUARD, REPOSITORY, until
from tests.reliability.conftest import same_state, status

Figure = Callable[[str], None]
RING = ("data=ring", "device=cpu", "batch_size=16", "architecture.generator.width=8", "evaluation=none",
        "architecture.discriminator.width=8", "checkpoint.every=10", "log.every=5", "samples.every=0")  # fmt: skip
GAME = (*RING, "loss=rasgan", "total_steps=200", "regularizer=[lecam]", "schedule=cosine")


class Job:
    """The ``gantrain`` command on two ranks.

    Args:
        folder: where it is given.
        arguments: of the command, beside ``ranks=2``.
        command: the program.
        more: variables of its environment.
    """

    def __init__(self, folder: Path, *arguments: str, command: tuple[str, ...] = (), **more: str) -> None:
        self.out = folder / f"out-{len(list(folder.glob('out-*')))}"
        words = command or (sys.executable, "-m", "gantrain", "ranks=2")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
        with self.out.open("w") as out:
            self.process = subprocess.Popen(
                [*words, *arguments],
                cwd=folder,
                env=environment | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)} | more,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def text(self) -> str:
        return self.out.read_text()

    def rank(self, number: int) -> int:
        """The process of a rank."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for child in map(int, children):
            variables = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
            if f"RANK={number}".encode() in variables:
                return child
        raise AssertionError(f"rank {number} is not there: {self.text()}")

    def has_ranks(self) -> bool:
        """Whether both ranks are there."""
        try:
            self.rank(0), self.rank(1)
        except (AssertionError, OSError):
            return False
        return True

    def until(self, condition: Callable[[], object]) -> Job:
        """Wait for what the job, which goes on, is to bring about."""

        def come() -> object:
            met = condition()
            assert met or self.process.poll() is None, self.text()[-3000:]
            return met

        until(come, lambda: self.text()[-3000:])
        return self

    def until_saved(self, run: Path) -> Job:
        """Wait for the first checkpoint."""
        return self.until(lambda: list(run.glob("checkpoints/step-*")))

    def code(self) -> int:
        """Wait for its end."""
        return self.process.wait(GUARD)

    def errors(self) -> list[str]:
        """Its error lines; there is no traceback."""
        text = self.text()
        assert "Traceback" not in text, text
        return [line for line in text.splitlines() if "gantrain: error:" in line]


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Callable[..., Job]]:
    started = []

    def start(*arguments: str, folder: Path = tmp_path, **options: object) -> Job:
        started.append(Job(folder, *arguments, **options))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            os.killpg(one.process.pid, signal.SIGKILL)
            one.process.wait(GUARD)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole")
    done = Job(folder, *GAME, "run.dir=run")
    assert done.code() == 0, done.text()
    return folder / "run"


@pytest.mark.xdist_group("ranks")
@pytest.mark.row("F29", "SIGKILL to the first rank or another, the same command again")
@pytest.mark.parametrize("number", [pytest.param(0, marks=pytest.mark.thorough), 1])
def test_a_rank_that_is_killed_ends_the_job_and_the_same_command_goes_on(
    number: int, job: Callable[..., Job], whole: Path, tmp_path: Path, figure: Figure
) -> None:
    killed = job(*GAME, "run.dir=run").until_saved(tmp_path / "run")
    os.kill(killed.rank(number), signal.SIGKILL)
    assert killed.code() == 9
    (error,) = killed.errors()
    assert f"rank {number} " in error and "the same command goes on" in error
    again = job(*GAME, "run.dir=run")
    assert again.code() == 0, again.text()
    assert "resumed" in again.text()
    assert same_state(tmp_path / "run", whole)
    figure(f"rank {number} named, bit-identical end")


@pytest.mark.thorough
@pytest.mark.xdist_group("ranks")
@pytest.mark.row("F29", "SIGKILL to a rank before it has met the others")
@pytest.mark.parametrize("number", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_a_rank_that_is_killed_before_it_has_joined_ends_the_job_at_once(
    number: int, job: Callable[..., Job], tmp_path: Path, figure: Figure
) -> None:
    killed = job(*GAME, "run.dir=run", "distributed.timeout=100000")  # nobody is to wait for that
    killed.until(killed.has_ranks)
    os.kill(killed.rank(number), signal.SIGKILL)
    assert killed.code() == 9
    (error,) = killed.errors()
    assert f"rank {number} was ended by SIGKILL" in error and not (tmp_path / "run").exists()
    figure(f"rank {number} named, nothing written")


@pytest.mark.thorough
@pytest.mark.xdist_group("ranks")
@pytest.mark.row("F29", "SIGSTOP to a rank, distributed.timeout=8")
def test_a_rank_that_hangs_ends_the_job_in_time(job: Callable[..., Job], tmp_path: Path, figure: Figure) -> None:
    hung = job(*GAME, "run.dir=run", "distributed.timeout=8").until_saved(tmp_path / "run")
    os.kill(hung.rank(1), signal.SIGSTOP)
    assert hung.code() == 9
    assert any("rank 1 " in error for error in hung.errors())
    figure("all ranks gone, rank 1 named")


FAILS = """
import os
import torch

class Points(torch.utils.data.Dataset):
    def __len__(self):
        return 64
    def __getitem__(self, k):
        if os.environ.get("RANK") == "1" and os.path.exists("fail"):
            raise OSError(f"sample {k} is gone")
        return torch.randn(2, generator=torch.Generator().manual_seed(k))
"""


@pytest.mark.thorough
@pytest.mark.xdist_group("ranks")
@pytest.mark.row("F29", "a rank raises: its data cannot be read any more")
def test_a_rank_that_fails_says_why_and_ends_the_job(job: Callable[..., Job], tmp_path: Path, figure: Figure) -> None:
    (tmp_path / "points_of.py").write_text(FAILS)
    own = ("data=dataset", "trusted_modules=[points_of]", "architecture=mlp",
           "data.dataset={_target_:points_of.Points}", "data.in_memory=false", "total_steps=4000")  # fmt: skip
    failing = job(*RING[1:], *own, "run.dir=run").until_saved(tmp_path / "run")
    (tmp_path / "fail").touch()
    assert failing.code() == 3, failing.text()
    (error,) = failing.errors()
    assert "rank 1: " in error and "is gone" in error
    assert "is gone" in status(tmp_path / "run")["reason"] and status(tmp_path / "run")["state"] == "failed"
    figure("its sentence, once, and in status.json")


@pytest.mark.slow
@pytest.mark.xdist_group("ranks")
@pytest.mark.row("F29", "a file system that is full, on the first rank")
def test_a_full_disk_ends_all_ranks(job: Callable[..., Job], small_disk: Path, figure: Figure) -> None:
    wide = ("architecture.generator.width=300", "architecture.discriminator.width=300")
    full = job(*GAME, *wide, "total_steps=4000", f"run.dir={small_disk}/run", "checkpoint.keep_last=9")
    assert full.code() == 7, full.text()
    (error,) = full.errors()
    assert "saves in a row failed" in error and "MiB needed" in error
    figure("exit 7 on all, said once")


@pytest.mark.xdist_group("ranks")
@pytest.mark.row("F30", "SIGINT to the command, SIGTERM to one rank alone, the same command again")
@pytest.mark.parametrize("whom", [pytest.param(w, marks=pytest.mark.thorough) for w in ("command", "rank 1")])
def test_a_signal_stops_all_ranks_after_one_step(
    whom: str, job: Callable[..., Job], whole: Path, tmp_path: Path, figure: Figure
) -> None:
    stopped = job(*GAME, "run.dir=run").until_saved(tmp_path / "run")
    process, number = (stopped.process.pid, signal.SIGINT) if whom == "command" else (stopped.rank(1), signal.SIGTERM)
    os.kill(process, number)
    assert stopped.code() == 75, stopped.text()
    (error,) = stopped.errors()
    step = status(tmp_path / "run")["step"]
    assert f"stopped at step {step}" in error and status(tmp_path / "run")["state"] == "stopped"
    assert stopped.text().count("stopping after this step") == (whom == "command")
    again = job(*GAME, "run.dir=run")
    assert again.code() == 0, again.text()
    assert same_state(tmp_path / "run", whole)
    figure("one step, one save, exit 75, bit-identical end")


def started_by_hand(job: Callable[..., Job], *each: tuple[str, ...]) -> list[Job]:
    """Ranks started as torchrun would, each with arguments of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    alone = (sys.executable, "-m", "gantrain")
    return [
        job(*arguments, command=alone, RANK=str(rank), WORLD_SIZE=str(len(each)), LOCAL_RANK=str(rank),
            MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
        for rank, arguments in enumerate(each)
    ]  # fmt: skip


@pytest.mark.thorough
@pytest.mark.xdist_group("ranks")
@pytest.mark.row("F30", "a rank that is started with other settings")
def test_a_rank_with_other_settings_is_refused_and_nothing_is_written(
    job: Callable[..., Job], tmp_path: Path, figure: Figure
) -> None:
    ranks = started_by_hand(job, (*GAME, "run.dir=run"), (*GAME, "run.dir=run", "ema.halflife_images=7"))
    assert [rank.code() for rank in ranks] == [2, 2]
    (error,) = [error for rank in ranks for error in rank.errors()]
    assert "rank 1 was started with ema.halflife_images=7.0, rank 0 with ema.halflife_images=10000.0" in error
    assert not (tmp_path / "run").exists()
    figure("the setting named, exit 2 on both")


@pytest.mark.thorough
@pytest.mark.xdist_group("ranks")
@pytest.mark.row("F30", "a rank that never comes, distributed.timeout=6")
def test_ranks_do_not_wait_for_ever_for_one_that_does_not_come(job: Callable[..., Job], tmp_path: Path) -> None:
    only = (sys.executable, "-m", "gantrain")
    waiting = job(*GAME, "run.dir=run", "distributed.timeout=6", command=only, RANK="0", WORLD_SIZE="2",
                  MASTER_ADDR="127.0.0.1", MASTER_PORT="29731")  # fmt: skip
    assert waiting.code() == 9
    (error,) = waiting.errors()
    assert "has not met all 2 ranks" in error and not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.xdist_group("ranks")
def test_a_run_goes_on_with_another_number_of_ranks_and_says_so(job: Callable[..., Job], tmp_path: Path) -> None:
    stopped = job(*GAME, "run.dir=run").until_saved(tmp_path / "run")
    stopped.process.send_signal(signal.SIGTERM)
    assert stopped.code() == 75
    alone = job(*GAME, "run.dir=run", command=(sys.executable, "-m", "gantrain"))
    assert alone.code() == 0, alone.text()
    assert "not bit-exact: ranks 2 → 1" in alone.text()
    assert status(tmp_path / "run")["state"] == "finished"


@pytest.mark.slow
@pytest.mark.xdist_group("ranks")
def test_torchrun_starts_the_same_game(job: Callable[..., Job], whole: Path, tmp_path: Path) -> None:
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "gantrain")
    done = job(*GAME, "run.dir=run", command=torchrun)
    assert done.code() == 0, done.text()
    assert same_state(tmp_path / "run", whole)


@pytest.mark.slow
@pytest.mark.row("F29", "50 kills of a random rank at random moments")
def test_killed_fifty_times_the_run_ends_bit_for_bit_the_same(
    job: Callable[..., Job], whole: Path, tmp_path: Path, figure: Figure
) -> None:
    rng, kills, runs = random.Random(5), 0, 0
    while kills < 50:
        run, runs = tmp_path / f"run{runs}", runs + 1
        code = None
        while code != 0:
            one = job(*GAME, f"run.dir={run.name}")
            metrics, lines = run / "metrics.jsonl", rng.randint(0, 12)
            before = metrics.read_text().count("\n") if metrics.exists() else 0

            def moment(one: Job = one, metrics: Path = metrics, wanted: int = before + lines) -> bool:
                there = metrics.exists() and metrics.read_text().count("\n") >= wanted
                return one.process.poll() is not None or (there and one.has_ranks())

            until(moment)
            if one.process.poll() is None and kills < 50:
                os.kill(one.rank(rng.randrange(2)), signal.SIGKILL)
                kills += 1
            code = one.code()
            assert code in (0, 9), one.text()
        assert same_state(run, whole)
    figure(f"{runs}/{runs} runs bit-identical after {kills} kills")


LATE = """
import os
import torch

class Late(torch.optim.Adam):
    steps = 0
    def step(self, closure=None):
        super().step()
        Late.steps += 1
        if Late.steps == 25:
            with torch.no_grad():
                self.param_groups[0]["params"][-1][0] = float("nan")

class Points(torch.utils.data.Dataset):
    def __init__(self):
        if os.environ.get("RANK") == "1":
            raise OSError("the disk of rank 1 is gone")
    def __len__(self):
        return 64
    def __getitem__(self, k):
        return torch.zeros(2) + k
"""


@pytest.mark.thorough
@pytest.mark.xdist_group("ranks")
def test_all_ranks_go_back_where_a_save_finds_a_value_that_is_not_finite(
    job: Callable[..., Job], tmp_path: Path
) -> None:
    (tmp_path / "late.py").write_text(LATE)
    own = ("trusted_modules=[late]", "optimizer.g._target_=late.Late", "nonfinite.policy=rollback")
    done = job(*RING, *own, "architecture.generator.norm=none", "checkpoint.every=5", "total_steps=40", "run.dir=run")
    assert done.code() == 0, done.text()
    assert done.text().count("Rolled back to step 20") == 1
    assert status(tmp_path / "run")["counters"]["rollbacks"] == 1


@pytest.mark.thorough
@pytest.mark.xdist_group("ranks")
@pytest.mark.row("F29", "a rank raises before the first step")
def test_a_rank_that_cannot_be_built_says_why_and_the_others_leave(job: Callable[..., Job], tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text(LATE)
    own = ("data=dataset", "trusted_modules=[late]", "architecture=mlp", "data.dataset={_target_:late.Points}")
    failing = job(*RING[1:], *own, "total_steps=40", "run.dir=run")
    assert failing.code() in (2, 3), failing.text()
    (error,) = failing.errors()
    assert "rank 1: " in error and "the disk of rank 1 is gone" in error
    assert not (tmp_path / "run").exists()


@pytest.mark.thorough
@pytest.mark.xdist_group("ranks")
@pytest.mark.row("F30", "Ctrl-C twice, and SIGKILL to the command")
@pytest.mark.parametrize("how", [pytest.param("twice", marks=pytest.mark.slow), "killed"])
def test_no_rank_outlives_the_command(how: str, job: Callable[..., Job], tmp_path: Path) -> None:
    one = job(*GAME, "total_steps=4000", "run.dir=run").until_saved(tmp_path / "run")
    ranks = [one.rank(0), one.rank(1)]
    if how == "killed":
        one.process.kill()
    else:
        one.process.send_signal(signal.SIGINT)
        until(lambda: "SIGINT" in one.text())
        one.process.send_signal(signal.SIGINT)
    one.code()
    until(lambda: not any(Path(f"/proc/{rank}").exists() for rank in ranks))
    if how == "killed":
        assert status(tmp_path / "run")["state"] in ("stopped", "failed")
