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
from tests.conftest import REPOSITORY, only, until
from tests.reliability.conftest import Child, Start, Zygote, error_of, records, same_state, status

Figure = Callable[[str], None]
SMALL = ("device=cpu", "batch_size=16", "architecture.generator.width=8", "architecture.discriminator.width=8",
         "total_steps=120", "checkpoint.every=10", "log.every=5", "samples.every=60", "samples.count=4")  # fmt: skip
GAMES = {
    "ring": ("data=ring", "loss=rasgan", "schedule=linear", "regularizer=[lecam]", "accumulate=2", "latent=codes",
             "latent.categories=[8]", "architecture.latent_dim=12",
             "+schedule.ema.halflife_images={_target_:gantrain.schedules.Cosine,end:100.0}",
             "+schedule.loss.regularizers.lecam.weight={_target_:gantrain.schedules.Linear,end:0.0}"),
    "penalty": ("data=ring", "loss=wgan_gp", "loss.regularizers.gp.every=3", "ratio.d_steps=2", "schedule=cosine"),
    "images": ("data=digits", "loss=hinge", "ratio=1to1", "augment=diffaug", "precision=bf16",
               "architecture.discriminator.norm=spectral"),
    "float16": ("data=ring", "loss=fisher", "precision=fp16", "ratio=1to1", "gradient_clip_norm=1"),
    "threads": ("data=ring", "loss=vanilla", "regularizer=[gradient_penalty]", "batch_size=256",
                "architecture.discriminator.width=64"),
    "classes": ("data=digits", "loss=hinge", "conditioning=acgan", "latent=mixture", "ratio=1to1"),
    "solver": ("data=ring", "loss=rahinge", "optimizer=extra_adam"),
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, int]]:
    """The uninterrupted run of a game, and how many moments it has to be killed at."""
    done: dict[str, tuple[Path, int]] = {}

    def run(game: str) -> tuple[Path, int]:
        if game not in done:
            folder = tmp_path_factory.mktemp(game)
            faults = (*faults_of(game), ("count_moments", "moments"))
            child = zygote.call("train", [*command_of(game), "run.dir=run"], *faults, folder=folder)
            assert child.wait() == 0, child.text()
            done[game] = folder / "run", int((folder / "moments").read_text())
        return done[game]

    return run


def command_of(game: str) -> tuple[str, ...]:
    """The small settings, overridden by the game's own."""
    return (*SMALL, *GAMES[game])


def faults_of(game: str) -> tuple[tuple, ...]:
    return (("threads", 2),) if game == "threads" else ()


def kill_and_finish(begin: Callable[..., Child], moments: int, times: int, rng: random.Random) -> int:
    """Kill a run up to ``times`` times at random moments, then let it end; returns the number of kills.

    The first kill is certain: its moment lies within the whole run. Later ones may lie beyond what is left of it.
    """
    kills = 0
    for k in range(times):
        child = begin(("kill_at", rng.randint(1, int(0.9 * moments) if k == 0 else moments)))
        code = child.wait()
        assert code in (0, -signal.SIGKILL), child.text()
        kills += code != 0
    assert kills
    last = begin()
    assert last.wait() == 0, last.text()
    return kills


def kill_runs(
    runs: range, times: int, start: Start, whole: Callable[[str], tuple[Path, int]], folder: Path
) -> tuple[int, int]:
    """Play the games in turn, two at a time, each killed and finished; return the kills and how many are equal."""
    references = {game: whole(game) for game in GAMES}

    def one(k: int) -> tuple[int, bool]:
        game = list(GAMES)[k % len(GAMES)]
        reference, moments = references[game]

        def begin(*faults: tuple) -> Child:
            return start(*command_of(game), f"run.dir={k}", faults=(*faults_of(game), *faults))

        kills = kill_and_finish(begin, moments, times, random.Random(k))
        return kills, same_state(reference, folder / str(k))

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(one, runs))
    return sum(kills for kills, _ in results), sum(equal for _, equal in results)


@pytest.mark.row("F1", "SIGKILL at random openings of files and turns of D, the same command again until it finishes")
@pytest.mark.parametrize(
    ("runs", "times"), [(range(6), 1), pytest.param(range(6, 18), 2, marks=pytest.mark.thorough)], ids=str
)
def test_killed_at_any_moment_the_run_ends_bit_for_bit_the_same(
    start: Start, whole: Callable[[str], tuple[Path, int]], tmp_path: Path, runs: range, times: int, figure: Figure
) -> None:
    kills, equal = kill_runs(runs, times, start, whole, tmp_path)
    figure(f"{equal}/{len(runs)} runs of {len(GAMES)} games bit-identical after {kills} kills, metrics.jsonl too")
    assert equal == len(runs)


@pytest.mark.slow
@pytest.mark.row("F1", "the same, 50 runs, and 10 through the installed command, killed after random log lines")
def test_killed_hundreds_of_times_the_runs_end_bit_for_bit_the_same(
    start: Start, whole: Callable[[str], tuple[Path, int]], tmp_path: Path, figure: Figure
) -> None:
    kills, equal = kill_runs(range(50), 6, start, whole, tmp_path)
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
            metrics, lines = tmp_path / f"real{k}" / "metrics.jsonl", rng.randint(0, 20)
            until(lambda m=metrics, n=lines, p=process: p.poll() is not None or (m.exists() and lines_in(m) >= n))
            process.kill()
            real_kills += process.wait() == -signal.SIGKILL
        last = start(*command)
        assert last.wait() == 0, last.text()
        real_equal += same_state(reference, tmp_path / f"real{k}")
    figure(f"{equal}/50 bit-identical after {kills} kills; {real_equal}/10 through the command, {real_kills} kills")
    assert equal == 50 and real_equal == 10


def lines_in(file: Path) -> int:
    return file.read_text().count("\n")


def kill_saves(zygote: Zygote, folder: Path, times: int, rng: random.Random) -> tuple[int, int, int]:
    """Kill an endless saver; return how often the newest was unusable, an acknowledged one lost, or debris left."""
    unusable = lost = debris = 0
    for _ in range(times):
        child = zygote.call("save_forever", str(folder / "checkpoints"), folder=folder)
        child.until(child.text)
        time.sleep(rng.uniform(0.002, 0.15))  # somewhere in the saves that follow; where, does not matter
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
@pytest.mark.parametrize("times", [15, pytest.param(45, marks=pytest.mark.thorough)])
def test_killed_within_a_save_nothing_acknowledged_is_lost(
    zygote: Zygote, tmp_path: Path, times: int, figure: Figure
) -> None:
    unusable, lost, debris = kill_saves(zygote, tmp_path, times, random.Random(times))
    figure(f"{times} kills: {unusable} unusable, {lost} lost, debris left {debris} times")
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


@pytest.mark.row("F26", "two processes start at once in one directory, again and again")
@pytest.mark.parametrize("times", [3, pytest.param(17, marks=pytest.mark.thorough)])
def test_of_two_processes_in_one_directory_exactly_one_trains(
    start: Start, tmp_path: Path, times: int, figure: Figure
) -> None:
    won = 0
    for k in range(times):
        pair = [start(*GAMES["ring"], *SMALL, "total_steps=1000000", f"run.dir={k}") for _ in range(2)]
        until(lambda pair=pair: any(child.poll() is not None for child in pair))
        loser, winner = sorted(pair, key=lambda child: child.poll() is None)
        assert loser.code == 6 and f"in use by process {winner.pid} on {os.uname().nodename}" in error_of(loser)
        winner.until(lambda k=k: (tmp_path / str(k) / "metrics.jsonl").exists())
        won += winner.poll() is None
        winner.kill()
    figure(f"{won}/{times}: one trains, the other exits 6 naming process and host")
    assert won == times


@pytest.mark.row("F27", "SIGKILL of a run that reads images with threads, then its lock is taken")
def test_the_lock_of_a_killed_run_is_free_at_once(start: Start, tmp_path: Path, images: Path, figure: Figure) -> None:
    child = start(*folder_of(images), "data.in_memory=false", "data.copy=false", "total_steps=1000000", "run.dir=run")
    child.until((tmp_path / "run" / "metrics.jsonl").exists)
    run = RunDirectory(tmp_path / "run")
    assert run.is_in_use()
    child.kill()
    with run.open():  # refuses, without waiting, while the lock is held
        pass
    figure("free at once")


def folder_of(images: Path) -> tuple[str, ...]:
    return ("data=image_folder", f"data.root={images}", "data.size=8", "data.flip=true", *SMALL)


@pytest.mark.thorough
@pytest.mark.row("F31", "three processes, the same seed")
def test_the_same_seed_gives_the_same_run_in_every_process(start: Start, tmp_path: Path, figure: Figure) -> None:
    for name in "abc":
        assert start(*GAMES["solver"], *SMALL, f"run.dir={name}").wait() == 0
    assert same_state(tmp_path / "a", tmp_path / "b") and same_state(tmp_path / "b", tmp_path / "c")
    figure("3/3 bit-identical")


@pytest.mark.thorough
@pytest.mark.row("F32", "a run in memory, stopped; goes on reading from disk with threads, and the other way round")
@pytest.mark.parametrize("first", only(["true"], ["true", "false"]))
def test_how_images_are_read_may_change_at_a_resume(
    start: Start, tmp_path: Path, images: Path, first: str, figure: Figure
) -> None:
    second = {"true": "false", "false": "true"}[first]
    assert start(*folder_of(images), f"data.in_memory={first}", "run.dir=whole").wait() == 0
    held = (("hold", "training", "mark", "go", 47),)
    half = start(*folder_of(images), f"data.in_memory={first}", "run.dir=parts", faults=held)
    half.until((tmp_path / "mark").exists)
    half.send(signal.SIGTERM)
    half.until(lambda: "SIGTERM: stopping" in half.text())
    (tmp_path / "go").touch()
    assert half.wait() == 75 and status(tmp_path / "parts")["step"] == 47
    assert start(*folder_of(images), f"data.in_memory={second}", "run.dir=parts").wait() == 0
    assert same_state(tmp_path / "whole", tmp_path / "parts")
    figure(f"in_memory {first} → {second}: bit-identical")


@pytest.mark.row("F33", "two threads instead of one, an image replaced, another torch or device in the manifest")
@pytest.mark.parametrize("key", only(["threads", "data"], ["threads", "data", "torch", "device"]))
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


@pytest.mark.thorough
@pytest.mark.row("F36", "SIGKILL after 150 log lines; TensorBoard's events are read back")
def test_a_kill_loses_no_line_of_the_metrics(start: Start, tmp_path: Path, figure: Figure) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    command = (*GAMES["ring"], *SMALL, "total_steps=1000000", "checkpoint.every=100", "log.every=1", "run.dir=run")
    child, metrics = start(*command), tmp_path / "run" / "metrics.jsonl"
    child.until(lambda: metrics.exists() and metrics.read_text().count("\n") >= 150)
    child.kill()
    steps = [line["step"] for line in records(tmp_path / "run")]
    assert steps == list(range(1, len(steps) + 1))

    def board() -> list[int]:
        scalars = EventAccumulator(str(tmp_path / "run"), {"scalars": 0}).Reload().Scalars("d/loss")
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
