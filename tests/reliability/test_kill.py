"""kill -9 at any moment: nothing acknowledged is lost, and the end is the same to the last bit."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from PIL import Image

from gantrain.checkpoint import Checkpoints
from gantrain.run.directory import RunDirectory
from tests.conftest import REPOSITORY
from tests.reliability.conftest import Child, Start, Zygote, error_of, records, same_state, status

Figure = Callable[[str], None]
SMALL = ("device=cpu", "batch_size=16", "architecture.generator.width=8", "architecture.discriminator.width=8",
         "total_steps=120", "checkpoint.every=10", "log.every=5", "samples.every=60", "samples.count=4")  # fmt: skip
GAMES = {
    "ring": ("data=ring", "loss=vanilla", "schedule=linear", "regularizer=[lecam]"),
    "penalty": ("data=ring", "loss=wgan_gp", "loss.regularizers.gp.every=3", "ratio.d_steps=2", "schedule=cosine"),
    "images": ("data=digits", "loss=hinge", "ratio=1to1", "augment=diffaug", "precision=bf16",
               "architecture.discriminator.norm=spectral"),
    "float16": ("data=ring", "loss=fisher", "precision=fp16", "ratio=1to1", "gradient_clip_norm=1"),
    "threads": ("data=ring", "loss=vanilla", "regularizer=[gradient_penalty]", "batch_size=256",
                "architecture.discriminator.width=64"),
    "solver": ("data=ring", "loss=rahinge", "optimizer=extra_adam"),
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, float]]:
    """The uninterrupted run of a game, and the seconds it took."""
    done: dict[str, tuple[Path, float]] = {}

    def run(game: str) -> tuple[Path, float]:
        if game not in done:
            folder = tmp_path_factory.mktemp(game)
            begin = time.monotonic()
            child = zygote.call("train", [*command_of(game), "run.dir=run"], *faults_of(game), folder=folder)
            assert child.wait() == 0, child.text()
            done[game] = folder / "run", time.monotonic() - begin
        return done[game]

    return run


def command_of(game: str) -> tuple[str, ...]:
    """The small settings, overridden by the game's own."""
    return (*SMALL, *GAMES[game])


def faults_of(game: str) -> tuple[tuple, ...]:
    return (("threads", 2),) if game == "threads" else ()


def kill_until_finished(begin: Callable[[], Child], seconds: float, rng: random.Random) -> int:
    """Start and kill a run at random moments until one start reaches the end; return the number of kills."""
    kills = 0
    while True:
        child = begin()
        end = time.monotonic() + rng.uniform(0.01, seconds)
        while time.monotonic() < end and child.poll() is None:
            time.sleep(0.002)
        if child.poll() is not None:
            assert child.code == 0, child.text()
            return kills
        child.kill()
        kills += 1


def kill_runs(
    runs: int, patience: float, start: Start, whole: Callable[[str], tuple[Path, float]], folder: Path
) -> tuple[int, int]:
    """Play the games in turn, two at a time, each killed until finished; return the kills, and how many runs are equal.

    A run is killed after up to ``patience`` times the seconds that the whole run takes.
    """
    references = {game: whole(game) for game in GAMES}

    def one(k: int) -> tuple[int, bool]:
        game = list(GAMES)[k % len(GAMES)]
        reference, seconds = references[game]
        command = (*command_of(game), f"run.dir={k}")
        kills = kill_until_finished(
            lambda: start(*command, faults=faults_of(game)), patience * seconds, random.Random(k)
        )
        return kills, same_state(reference, folder / str(k))

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(one, range(runs)))
    return sum(kills for kills, _ in results), sum(equal for _, equal in results)


@pytest.mark.row("F1", "SIGKILL at random moments of start and training, the same command again until it finishes")
def test_killed_at_any_moment_the_run_ends_bit_for_bit_the_same(
    start: Start, whole: Callable[[str], tuple[Path, float]], tmp_path: Path, figure: Figure
) -> None:
    kills, equal = kill_runs(15, 1.2, start, whole, tmp_path)
    figure(f"{equal}/15 runs of {len(GAMES)} games bit-identical after {kills} kills, metrics.jsonl too")
    assert equal == 15 and kills >= 15


@pytest.mark.slow
@pytest.mark.row("F1", "the same, 50 runs, and 10 through the installed command")
def test_killed_hundreds_of_times_the_runs_end_bit_for_bit_the_same(
    start: Start, whole: Callable[[str], tuple[Path, float]], tmp_path: Path, figure: Figure
) -> None:
    kills, equal = kill_runs(50, 0.7, start, whole, tmp_path)
    rng, real_kills, real_equal = random.Random(8), 0, 0
    for k, game in enumerate([game for game in GAMES if game != "threads"] * 2):
        reference, _ = whole(game)
        command = (*command_of(game), f"run.dir=real{k}")
        for _ in range(3):
            process = subprocess.Popen(
                [sys.executable, "-m", "gantrain", *command],
                cwd=tmp_path,
                env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                process.wait(rng.uniform(2, 12))
            except subprocess.TimeoutExpired:
                process.kill()
                real_kills += 1
            process.wait()
        last = start(*command)
        assert last.wait() == 0, last.text()
        real_equal += same_state(reference, tmp_path / f"real{k}")
    figure(f"{equal}/50 bit-identical after {kills} kills; {real_equal}/10 through the command, {real_kills} kills")
    assert equal == 50 and real_equal == 10 and kills >= 250 and real_kills >= 10


def kill_saves(zygote: Zygote, folder: Path, times: int, rng: random.Random) -> tuple[int, int, int]:
    """Kill an endless saver; return how often the newest was unusable, an acknowledged one lost, or debris left."""
    unusable = lost = debris = 0
    for _ in range(times):
        child = zygote.call("save_forever", str(folder / "checkpoints"), folder=folder)
        child.until(child.text)
        time.sleep(rng.uniform(0.002, 0.15))
        child.kill()
        acknowledged = max(map(int, child.text().split()))
        checkpoints = Checkpoints(folder / "checkpoints")
        debris += len(list(checkpoints.folder.iterdir())) > 4  # two kept, one being saved, one being removed
        found = checkpoints.latest()
        unusable += found is None or checkpoints.steps()[-1] != found[0]["step"]
        lost += found is None or found[0]["step"] < acknowledged
        debris += any(path.name.startswith(".") for path in checkpoints.folder.iterdir())
    return unusable, lost, debris


@pytest.mark.row("F2", "an endless saver of 8 MB, SIGKILL 2-150 ms after an acknowledged save")
def test_killed_within_a_save_nothing_acknowledged_is_lost(zygote: Zygote, tmp_path: Path, figure: Figure) -> None:
    unusable, lost, debris = kill_saves(zygote, tmp_path, 60, random.Random(1))
    figure(f"60 kills: {unusable} unusable, {lost} lost, debris left {debris} times")
    assert (unusable, lost, debris) == (0, 0, 0)


@pytest.mark.slow
@pytest.mark.row("F2", "the same, 200 kills")
def test_killed_within_a_save_200_times_nothing_is_lost(zygote: Zygote, tmp_path: Path, figure: Figure) -> None:
    unusable, lost, debris = kill_saves(zygote, tmp_path, 200, random.Random(2))
    figure(f"200 kills: {unusable} unusable, {lost} lost, debris left {debris} times")
    assert (unusable, lost, debris) == (0, 0, 0)


@pytest.mark.row("F3a", "a patched os records the order of every fsync and rename")
def test_files_are_forced_to_disk_before_the_checkpoint_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figure: Figure
) -> None:
    events: list[str] = []
    open_files: dict[int, str] = {}
    os_open, os_fsync, rename = os.open, os.fsync, Path.rename

    def opened(path: os.PathLike, *rest: int, **options: int) -> int:
        descriptor = os_open(path, *rest, **options)
        open_files[descriptor] = Path(path).name
        return descriptor

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, "fsync", lambda d: (events.append(f"fsync {open_files[d]}"), os_fsync(d))[1])
    monkeypatch.setattr(
        Path, "rename", lambda self, to: (events.append(f"rename {self.name} {Path(to).name}"), rename(self, to))[1]
    )
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.save(1, {"x": torch.zeros(3)})
    events.append("acknowledged")
    expected = [
        f"fsync {tmp_path.name}",  # the new folder's name
        "fsync state.safetensors",
        "fsync state.json",
        "fsync manifest.json",
        "fsync .tmp-step-000000001",
        "rename .tmp-step-000000001 step-000000001",
        "fsync checkpoints",
        "acknowledged",
    ]
    assert events == expected
    figure("6 fsyncs and the rename, in exactly the order that the design asks for")


@pytest.mark.row("F26", "two processes start at once in one directory, 20 times")
def test_of_two_processes_in_one_directory_exactly_one_trains(start: Start, tmp_path: Path, figure: Figure) -> None:
    slowest, won = 0.0, 0
    for k in range(20):
        begin = time.monotonic()
        pair = [start(*GAMES["ring"], *SMALL, "total_steps=100000", f"run.dir={k}") for _ in range(2)]
        while all(child.poll() is None for child in pair):
            assert time.monotonic() < begin + 30
            time.sleep(0.003)
        slowest = max(slowest, time.monotonic() - begin)
        loser, winner = sorted(pair, key=lambda child: child.poll() is None)
        assert loser.code == 6 and f"in use by process {winner.pid} on {os.uname().nodename}" in error_of(loser)
        winner.until(lambda k=k: (tmp_path / str(k) / "metrics.jsonl").exists())
        won += winner.poll() is None
        winner.kill()
    figure(f"{won}/20: one trains, the other exits 6 naming process and host, after at most {slowest:.1f} s")
    assert won == 20 and slowest < 5


@pytest.mark.row("F27", "SIGKILL of a run that reads images with threads, then its lock is taken")
def test_the_lock_of_a_killed_run_is_free_at_once(start: Start, tmp_path: Path, images: Path, figure: Figure) -> None:
    child = start(*folder_of(images), "data.in_memory=false", "total_steps=100000", "run.dir=run")
    child.until((tmp_path / "run" / "metrics.jsonl").exists)
    run = RunDirectory(tmp_path / "run")
    assert run.is_in_use()
    child.kill()
    begin = time.monotonic()
    with run.open():
        waited = time.monotonic() - begin
    figure(f"free after {waited:.2f} s")
    assert waited < 1


def folder_of(images: Path) -> tuple[str, ...]:
    return ("data=image_folder", f"data.root={images}", "data.size=8", "data.flip=true", *SMALL)


@pytest.mark.row("F31", "three processes, the same seed")
def test_the_same_seed_gives_the_same_run_in_every_process(start: Start, tmp_path: Path, figure: Figure) -> None:
    for name in "abc":
        assert start(*GAMES["solver"], *SMALL, f"run.dir={name}").wait() == 0
    assert same_state(tmp_path / "a", tmp_path / "b") and same_state(tmp_path / "b", tmp_path / "c")
    figure("3/3 bit-identical")


@pytest.mark.row("F32", "a run in memory, stopped; goes on reading from disk with threads, and the other way round")
@pytest.mark.parametrize("first", ["true", "false"])
def test_how_images_are_read_may_change_at_a_resume(
    start: Start, tmp_path: Path, images: Path, first: str, figure: Figure
) -> None:
    second = {"true": "false", "false": "true"}[first]
    assert start(*folder_of(images), f"data.in_memory={first}", "run.dir=whole").wait() == 0
    half = start(*folder_of(images), f"data.in_memory={first}", "run.dir=parts", faults=(("slow", "training", "mark"),))
    half.until((tmp_path / "mark").exists)
    half.send(signal.SIGTERM)
    assert half.wait() == 75
    assert start(*folder_of(images), f"data.in_memory={second}", "run.dir=parts").wait() == 0
    assert same_state(tmp_path / "whole", tmp_path / "parts")
    figure(f"in_memory {first} → {second}: bit-identical")


@pytest.mark.row("F33", "two threads instead of one, an image replaced, another torch or device in the manifest")
@pytest.mark.parametrize("key", ["threads", "data", "torch", "device"])
def test_changed_circumstances_are_said_and_kept_on_record(
    start: Start, tmp_path: Path, images: Path, key: str, figure: Figure
) -> None:
    from gantrain.checkpoint import format

    command = folder_of(images) if key == "data" else (*GAMES["solver"], *SMALL)
    assert start(*command, "total_steps=20", "run.dir=run").wait() == 0
    if key == "data":
        (images / "a" / "00.png").unlink()
        Image.new("RGB", (8, 8)).save(images / "a" / "00.png")
    if key in ("torch", "device"):
        folder = max((tmp_path / "run" / "checkpoints").glob("step-*"))
        manifest = json.loads((folder / "manifest.json").read_text()) | {key: "other"}
        (folder / "manifest.json").write_text(json.dumps(manifest | {"sha256": format.own_digest(manifest)}))
    faults = (("threads", 2),) if key == "threads" else ()
    for total in (30, 40):  # said once, remembered ever after
        child = start(*command, f"total_steps={total}", "run.dir=run", faults=faults)
        assert child.wait() == 0, child.text()
        assert (f"not bit-exact: {key} " in child.text()) == (total == 30), child.text()
        assert [d["step"] for d in status(tmp_path / "run")["departures"]] == [20]
    figure(f"{key}: said, and kept in status.json and the manifests")


@pytest.mark.row("F36", "SIGKILL after 150 log lines; TensorBoard's events are read back")
def test_a_kill_loses_no_line_of_the_metrics(start: Start, tmp_path: Path, figure: Figure) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    command = (*GAMES["ring"], *SMALL, "total_steps=100000", "checkpoint.every=100", "log.every=1", "run.dir=run")
    child, metrics = start(*command), tmp_path / "run" / "metrics.jsonl"
    child.until(lambda: metrics.exists() and metrics.read_text().count("\n") >= 150)
    child.kill()
    steps = [line["step"] for line in records(tmp_path / "run")]
    assert steps == list(range(1, len(steps) + 1))

    def board() -> list[int]:
        scalars = EventAccumulator(str(tmp_path / "run" / "tb"), {"scalars": 0}).Reload().Scalars("d/loss")
        return [event.step for event in scalars]

    behind = steps[-1] - board()[-1]
    again = start(*command)
    again.until(lambda: (lines := records_so_far(metrics)) and lines[-1] > steps[-1])
    again.kill()
    assert board() == sorted(set(board()))
    figure(f"{len(steps)} lines, none lost; TensorBoard {behind} steps behind, none twice after going on")
    assert behind <= 10


def records_so_far(metrics: Path) -> list[int]:
    return [json.loads(line)["step"] for line in metrics.read_text().splitlines() if line.endswith("}")]
