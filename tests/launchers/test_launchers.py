"""A sweep through each launcher: real processes, a real Slurm, a real Ray."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import joblib  # counts the cores that this process may use, which are not all where a container has a share
import pytest

from tests.conftest import GUARD, until
from tests.launchers import slurm

GANTRAIN = [sys.executable, "-m", "gantrain"]
JOBS = ("-m", "data=ring", "evaluation=none", "loss=vanilla,lsgan", "total_steps=60", "batch_size=16", "log.every=10")
TOKEN = secrets.token_hex(32)  # without one, a cluster starts only where another has left its own
FINISHED = [f"finished  outputs/ring/mlp/{loss}/seed0-" for loss in ("lsgan", "vanilla")]


def environment(**more: str) -> dict[str, str]:
    """Without what would fix the number of threads: the launchers do that."""
    kept = {key: value for key, value in os.environ.items() if not key.endswith("_NUM_THREADS")}
    ray = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
    return kept | ray | more


def sweep(folder: Path, *arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [*GANTRAIN, *JOBS, *arguments]
    return subprocess.run(command, cwd=folder, env=env or environment(), capture_output=True, text=True, timeout=GUARD)


def runs(folder: Path) -> dict[str, dict]:
    """What the runs have recorded, by loss."""
    found = [json.loads(path.read_text()) for path in folder.glob("outputs/**/status.json")]
    return {status["choices"]["loss"]: status for status in found}


def check(folder: Path, done: subprocess.CompletedProcess[str], threads: int) -> None:
    """Whether two runs finished, each with its line and its share of the cores."""
    assert done.returncode == 0, done.stderr[-3000:]
    lines = sorted(line for line in done.stdout.splitlines() if line.startswith("finished"))
    assert len(lines) == 2 and all(line.startswith(start) for line, start in zip(lines, FINISHED, strict=True))
    assert all("d/loss=" in line and "60 steps" in line for line in lines)
    found = runs(folder)
    assert {loss: status["state"] for loss, status in found.items()} == dict.fromkeys(("vanilla", "lsgan"), "finished")
    assert {status["environment"]["threads"] for status in found.values()} == {threads}
    assert "validated against ConfigStore" not in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("launcher", "threads"),
    [("joblib", joblib.cpu_count() // 2), pytest.param("submitit_local", 1, marks=pytest.mark.slow)],
)
def test_a_sweep_through_processes_of_this_machine(launcher: str, threads: int, tmp_path: Path) -> None:
    check(tmp_path, sweep(tmp_path, f"hydra/launcher={launcher}"), max(threads, 1))
    again = sweep(tmp_path)  # by whatever launcher: what is finished is skipped
    assert again.returncode == 0 and again.stdout.count("is finished") == 2


@pytest.mark.slow
def test_a_failed_job_of_a_worker_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    one_refused = ("hydra/launcher=joblib", "loss=wgan_gp,lsgan", "architecture.discriminator.norm=batch")
    done = sweep(tmp_path, *one_refused)
    assert done.returncode == 2 and "norm=layer" in done.stdout and "Traceback" not in done.stderr
    assert sorted(line.split()[0] for line in done.stdout.splitlines() if line[0] in "fr") == ["finished", "refused"]
    assert runs(tmp_path).keys() == {"lsgan"}


def last_line(folder: Path, loss: str) -> int:
    """Return the step of the newest line in a run's metrics.jsonl, 0 before there is one."""
    (metrics,) = folder.glob(f"outputs/ring/mlp/{loss}/*/metrics.jsonl")
    whole = [line for line in metrics.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return int(json.loads(whole[-1])["step"]) if whole else 0


@contextmanager
def started(folder: Path, *arguments: str) -> Iterator[subprocess.Popen]:
    """Start a sweep whose output goes to the file ``out``; whatever fails meanwhile, it does not train on."""
    with (folder / "out").open("w") as out:
        command = [*GANTRAIN, *JOBS, *arguments]
        process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=out, stderr=out)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(GUARD)


@pytest.mark.thorough
@pytest.mark.parametrize("how", [signal.SIGTERM, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_a_sweep_through_joblib_stops_at_a_signal_and_goes_on(how: signal.Signals, tmp_path: Path) -> None:
    arguments = ("hydra/launcher=joblib", "total_steps=1000000", "checkpoint.every=0", "samples.every=0")
    with started(tmp_path, *arguments) as process:
        until(lambda: len(list(tmp_path.glob("outputs/**/metrics.jsonl"))) == 2 or process.poll() is not None)
        process.send_signal(how)
        code = process.wait(GUARD)
    assert code == (75 if how == signal.SIGTERM else -signal.SIGKILL), (tmp_path / "out").read_text()[-3000:]
    until(lambda: {status["state"] for status in runs(tmp_path).values()} == {"stopped"})
    at = {loss: status["step"] for loss, status in runs(tmp_path).items()}
    with started(tmp_path, *arguments) as process:
        until(lambda: process.poll() is not None or all(last_line(tmp_path, loss) > step for loss, step in at.items()))
        assert (tmp_path / "out").read_text().count("resumed       from step") == 2
        process.send_signal(signal.SIGTERM)
        assert process.wait(GUARD) == 75
    assert all(status["step"] > at[loss] for loss, status in runs(tmp_path).items())


@pytest.mark.thorough
def test_a_sweep_s_jobs_start_their_own_ranks_name_their_error_and_are_skipped_when_finished(tmp_path: Path) -> None:
    arguments = ("loss=lsgan", "batch_size=16,15", "device=cpu", "ranks=2", "hydra/launcher=joblib")
    done = sweep(tmp_path, *arguments)
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line.startswith(("finished", "refused"))}
    assert done.returncode == 2 and "60 steps" in lines["finished"]
    assert "batch_size=15 cannot be divided by 2 ranks" in lines["refused"] and "Traceback" not in done.stderr
    again = sweep(tmp_path, "loss=lsgan", "device=cpu", "ranks=2")
    assert again.returncode == 0 and "is finished" in again.stdout and " ranks, augment" not in again.stdout


# ---- Ray --------------------------------------------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.xdist_group("ray")
def test_a_sweep_on_a_ray_cluster_that_it_starts(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    # Elsewhere Ray would look for a cluster that another program, perhaps a dead one, has noted as the current one.
    check(tmp_path, sweep(tmp_path, "hydra/launcher=ray", env=environment(RAY_ADDRESS="local")), 1)


class Ray:
    """A cluster of this machine alone, in a folder of its own. It starts with ``start``."""

    def __init__(self, out: Path) -> None:
        self.out, self.port = out, slurm.free_port()
        self.address = f"127.0.0.1:{self.port}"

    def start(self) -> None:
        ray = str(Path(sys.executable).with_name("ray"))
        begin = [ray, "start", "--head", "--block", "--node-ip-address=127.0.0.1", "--num-cpus=2"]
        begin += [f"--port={self.port}", "--include-dashboard=false", "--disable-usage-stats"]
        self.own = tempfile.mkdtemp()  # pytest's path is too long for its sockets
        with self.out.open("w") as out:
            self.head = subprocess.Popen([*begin, f"--temp-dir={self.own}"], env=environment(), stdout=out, stderr=out)
        until(lambda: "Ray runtime started" in self.out.read_text() or self.head.poll() is not None)
        assert self.head.poll() is None, self.out.read_text()[-3000:]

    def kill(self, name: str) -> None:
        """End one of its processes by SIGKILL, and wait until the others have gone for it."""
        children = Path(f"/proc/{self.head.pid}/task/{self.head.pid}/children").read_text().split()
        (number,) = (int(n) for n in children if Path(f"/proc/{n}/comm").read_text().strip() == name)
        os.kill(number, signal.SIGKILL)
        self.stop()

    def stop(self) -> None:
        """End this cluster and no other: `ray stop` ends every Ray of the machine, another test's and the user's."""
        if self.head.poll() is None and "Remaining processes" not in self.out.read_text():
            self.head.terminate()
        self.head.wait(GUARD)
        shutil.rmtree(self.own, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_a_job_on_ray_starts_its_own_ranks(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    arguments = ("hydra/launcher=ray", "ranks=2", "device=cpu")
    check(tmp_path, sweep(tmp_path, *arguments, env=environment(RAY_ADDRESS="local")), 1)


@pytest.fixture
def ray_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ray]:
    """A cluster that was started elsewhere, in another folder."""
    pytest.importorskip("ray")
    cluster = Ray(tmp_path_factory.mktemp("ray") / "out")
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_a_sweep_on_a_ray_cluster_that_is_there(ray_cluster: Ray, tmp_path: Path) -> None:
    check(tmp_path, sweep(tmp_path, "hydra/launcher=ray", f"hydra.launcher.ray.init.address={ray_cluster.address}"), 1)


def states(folder: Path) -> list[str]:
    """How the jobs of sweeps have ended that write into a folder."""
    with suppress(FileNotFoundError):
        return [json.loads(line)["state"] for line in (folder / "outputs" / "sweep.jsonl").read_text().splitlines()]
    return []


def short_jobs(count: int) -> tuple[str, ...]:
    """As little work as a job can be."""
    arguments = ("-m", "data=ring", "evaluation=none", "total_steps=2", "batch_size=4", "samples.every=0")
    return (*arguments, f"seed=range({count})")


@contextmanager
def begun(folder: Path, name: str, *arguments: str, env: dict[str, str]) -> Iterator[subprocess.Popen]:
    """Start a sweep whose output goes to the file ``name``; whatever fails meanwhile, it does not go on."""
    with (folder / name).open("w") as out:
        process = subprocess.Popen([*GANTRAIN, *arguments], cwd=folder, env=env, stdout=out, stderr=out)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(GUARD)


def whole(folder: Path, count: int) -> bool:
    """Whether every job has its run, at its end."""
    found = [json.loads(path.read_text()) for path in folder.glob("outputs/ring/**/status.json")]
    return sorted(status["seed"] for status in found if status["state"] == "finished") == list(range(count))


COUNTS = [pytest.param(6, marks=pytest.mark.thorough), pytest.param(200, marks=pytest.mark.slow)]
"""Jobs of the sweeps whose scheduler is killed."""


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.xdist_group("ray")
def test_a_sweep_whose_ray_is_killed_ends_and_the_same_command_does_the_rest(
    count: int, ray_cluster: Ray, tmp_path: Path
) -> None:
    arguments = (*short_jobs(count), "hydra/launcher=ray", f"hydra.launcher.ray.init.address={ray_cluster.address}")
    with begun(tmp_path, "out", *arguments, env=environment()) as process:
        until(lambda: len(states(tmp_path)) >= count // 3 or process.poll() is not None)
        ray_cluster.kill("gcs_server")
        ray_cluster.start()
        assert process.wait(GUARD) == 1
    text = (tmp_path / "out").read_text()
    # Whoever finds it first: we, who ask the cluster, or Ray, which waits for a job that is lost with it.
    said = [line for line in text.splitlines() if line.startswith("gantrain: error:")]
    assert len(said) == 1 and "the same command goes on with what is left" in said[0] and "Traceback" not in text
    assert "Ray cluster that did the jobs has died" in said[0] or "the launcher failed or lost a job" in said[0]
    before = states(tmp_path).count("finished")
    assert count // 3 <= before < count
    with begun(tmp_path, "again", *arguments, env=environment()) as process:
        until(lambda: process.poll() is not None, patience=4 * GUARD)
    assert process.returncode == 0, (tmp_path / "again").read_text()[-3000:]
    assert whole(tmp_path, count) and states(tmp_path).count("skipped") >= before


# ---- Slurm ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[slurm.Cluster]:
    if why := slurm.missing():
        pytest.skip(why)
    cluster = slurm.Cluster(tmp_path_factory.mktemp("slurm"))
    cluster.environment = environment() | {key: cluster.environment[key] for key in ("SLURM_CONF", "PATH")}
    yield cluster
    cluster.close()


LONG = ("-m", "data=ring", "evaluation=none", "seed=0", "total_steps=1200", "batch_size=16", "log.every=10",
        "checkpoint.every=600", "samples.every=0")  # fmt: skip
ON_SLURM = ("hydra/launcher=submitit_slurm", "hydra.launcher.cpus_per_task=1")


def interrupted(cluster: slurm.Cluster, folder: Path, interrupt, *more: str) -> tuple[dict, str]:
    """Start a sweep of one job on Slurm, interrupt it at work, and return how it ended."""
    with (folder / "out").open("w") as out:
        process = subprocess.Popen(
            [*GANTRAIN, *LONG, *ON_SLURM, *more], cwd=folder, env=cluster.environment, stdout=out, stderr=out
        )

    def lines() -> int:
        return sum(len(path.read_text().splitlines()) for path in folder.glob("outputs/**/metrics.jsonl"))

    until(lambda: lines() >= 10 or process.poll() is not None)
    interrupt(cluster.ask("squeue", "-h", "-o", "%i").split()[0])
    until(lambda: [s["state"] for s in runs(folder).values()] == ["stopped"] or process.poll() is not None)
    # Slurm holds what it requeues for two minutes, unless told otherwise.
    until(lambda: released(cluster, process), lambda: cluster.ask("scontrol", "show", "job"))
    assert process.wait(GUARD) == 0, (folder / "out").read_text()[-3000:]
    log = "".join(path.read_text() for path in sorted(folder.glob("outputs/.submitit/**/*_log.out")))
    return runs(folder)["vanilla"], (folder / "out").read_text() + log


def released(cluster: slurm.Cluster, process: subprocess.Popen) -> bool:
    for line in cluster.ask("squeue", "-h", "-o", "%i %t %r").splitlines():
        job, _, reason = line.split(maxsplit=2)
        if reason == "BeginTime":
            cluster.ask("scontrol", "update", f"JobId={job}", "StartTime=now")
    return process.poll() is not None or "R" in cluster.ask("squeue", "-h", "-p", "low", "-o", "%t").split()


@pytest.mark.thorough
@pytest.mark.parametrize("ranks", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("how", ["preempted", pytest.param("out of time", marks=pytest.mark.slow)])
@pytest.mark.xdist_group("slurm")
def test_a_slurm_job_that_is_interrupted_saves_goes_back_into_the_queue_and_ends_bit_for_bit(
    how: str, ranks: int, cluster: slurm.Cluster, tmp_path: Path
) -> None:
    def interrupt(job: str) -> None:
        if how == "preempted":  # another job takes the whole node
            cluster.begin("srun", "-p", "high", "-c", str(os.cpu_count()), "sleep", "1")
        else:  # what submitit's job is told when its time is almost up
            cluster.ask("scancel", "--signal=USR2", job)

    ended, text = interrupted(cluster, tmp_path, interrupt, f"ranks={ranks}")
    assert ended["state"] == "finished" and ended["step"] == 1200
    assert "resumed       from step" in text and "same torch, threads, device and data" in text
    assert "finished  outputs/ring/mlp/vanilla/seed0-" in text
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    subprocess.run(
        [*GANTRAIN, *LONG, f"ranks={ranks}"],
        cwd=undisturbed,
        env=environment(OMP_NUM_THREADS="1"),
        check=True,
        capture_output=True,
    )
    final = [next(folder.glob("outputs/ring/**/checkpoints/step-000001200")) for folder in (tmp_path, undisturbed)]
    assert all(
        (final[0] / name).read_bytes() == (final[1] / name).read_bytes() for name in ("state.safetensors", "state.json")
    )


def test_without_slurm_a_sweep_on_it_says_so(tmp_path: Path) -> None:
    nowhere = environment(PATH=str(Path(sys.executable).parent))
    if shutil.which("srun", path=nowhere["PATH"]):
        pytest.skip("Slurm lies beside Python")
    done = sweep(tmp_path, *ON_SLURM, env=nowhere)
    assert done.returncode == 1 and "gantrain: error: the launcher failed" in done.stderr and "srun" in done.stderr
    assert "Traceback" not in done.stderr and not runs(tmp_path)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.xdist_group("slurm")
def test_a_sweep_whose_slurm_controller_is_killed_finishes_whole(
    count: int, cluster: slurm.Cluster, tmp_path: Path
) -> None:
    with begun(tmp_path, "out", *short_jobs(count), *ON_SLURM, env=cluster.environment) as process:
        until(lambda: len(states(tmp_path)) >= count // 3 or process.poll() is not None, patience=8 * GUARD)
        assert process.poll() is None, (tmp_path / "out").read_text()[-3000:]
        cluster.kill_and_restart_controller()
        until(lambda: process.poll() is not None, lambda: cluster.ask("squeue"), patience=8 * GUARD)
    assert process.returncode == 0, (tmp_path / "out").read_text()[-3000:]
    assert states(tmp_path) == ["finished"] * count and whole(tmp_path, count)
