"""Full, unwritable and slow disks, full memory, and the power cut."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from gantrain.checkpoint import Checkpoints, Retention
from gantrain.errors import CheckpointError, DiskError
from gantrain.run.directory import RunDirectory
from tests.conftest import REPOSITORY, until, with_board
from tests.reliability.conftest import Start, error_of, same_state, status
from tests.reliability.test_kill import GAMES, SMALL

pytestmark = pytest.mark.thorough

Figure = Callable[[str], None]
RING = (*GAMES["solver"], *SMALL, "run.dir=run")


def left_over(run: Path) -> list[str]:
    return [p.name for p in (run / "checkpoints").iterdir() if not p.name.startswith("step-")]


@pytest.mark.row("F6", "no space left (ENOSPC) at saves 4 to 5, then at saves 4 to 6; a limit on the file size (EFBIG)")
def test_a_full_disk_costs_a_warning_not_the_run(start: Start, tmp_path: Path, figure: Figure) -> None:
    assert start(*RING[:-1], "run.dir=whole").wait() == 0
    child = start(*RING, faults=(("saves_fail", 4, 5),))
    assert child.wait() == 0, child.text()
    assert child.text().count("could not be saved") == 2 and "going on" in child.text()
    assert "the last good checkpoint is of step 30" in child.text() and "Traceback" not in child.text()
    assert status(tmp_path / "run")["counters"]["failed_saves"] == 2 and not left_over(tmp_path / "run")
    assert same_state(tmp_path / "whole", tmp_path / "run")

    child = start(*RING[:-1], "run.dir=full", faults=(("saves_fail", 4, 6),))
    assert child.wait() == 7 and "3 saves in a row failed" in error_of(child)
    assert Checkpoints(tmp_path / "full" / "checkpoints").latest()[1]["step"] == 30
    assert status(tmp_path / "full")["exit_code"] == 7 and not left_over(tmp_path / "full")
    assert start(*RING[:-1], "run.dir=full").wait() == 0 and same_state(tmp_path / "whole", tmp_path / "full")

    child = start(*RING[:-1], "run.dir=limit", faults=(("file_size_limit", 10_000),))
    assert child.wait() == 7 and "there is no checkpoint yet" in error_of(child), child.text()
    assert not left_over(tmp_path / "limit")
    figure("2 failed saves: 2 warnings, same end; 3 in a row: exit 7, older ones valid, the same command ends the same")


def test_the_last_save_of_a_run_may_not_fail(start: Start, tmp_path: Path) -> None:
    child = start(*RING, faults=(("saves_fail", 12, 12),))
    assert child.wait() == 7 and "step 120 could not be saved" in error_of(child)
    assert status(tmp_path / "run")["state"] == "failed"
    assert start(*RING).wait() == 0 and status(tmp_path / "run")["state"] == "finished"


@pytest.mark.row("F6", "a real file system of 20 MB and a file that fills it while 4 MB states are saved")
def test_a_really_full_disk_is_survived_and_saving_works_again(small_disk: Path, figure: Figure) -> None:
    warnings: list[str] = []
    checkpoints = Checkpoints(small_disk / "checkpoints", Retention(2), warn=warnings.append)
    hog, outcome = small_disk / "hog", []
    for step in range(1, 9):
        if step == 4:
            hog.write_bytes(bytes(9 * 2**20))
        if step == 6:
            hog.unlink()
        checkpoints.save(step, {"x": torch.full((1_000_000,), float(step)), "step": step})
        assert not list(checkpoints.folder.glob(".tmp-*"))
        outcome.append(checkpoints.latest()[1]["step"])
    assert outcome == [1, 2, 3, 3, 3, 6, 7, 8] and len(warnings) == 2 and "MiB are free" in warnings[0]
    hog.write_bytes(bytes(9 * 2**20))
    with pytest.raises(DiskError, match="3 saves in a row failed"):
        for step in range(9, 12):
            checkpoints.save(step, {"x": torch.zeros(1_000_000)})
    assert checkpoints.latest()[1]["step"] == 8
    figure("saves 4-5 failed and left nothing, 6-8 worked; the newest valid one was never lost")


@pytest.mark.row("F7", "the disk is full for metrics.jsonl, TensorBoard and pictures for half of the run")
def test_lost_records_cost_a_warning_not_the_run(
    small_disk: Path, capsys: pytest.CaptureFixture[str], figure: Figure
) -> None:
    run = RunDirectory(small_disk / "run")
    with with_board(run) as written:
        for step in range(1, 301):
            if step == 100:
                with (small_disk / "hog").open("wb", buffering=0) as hog:
                    while True:
                        try:
                            if hog.write(bytes(4096)) < 4096:
                                break
                        except OSError:
                            break
            if step == 200:
                (small_disk / "hog").unlink()
            written.scalars(step, {"d/loss": float(step)})
            if step % 50 == 0:
                written.picture("samples/ema", step, torch.zeros(4, 1, 8, 8), f"{step}.png")
                written.flush()
    captured = capsys.readouterr().err
    assert captured.count("warning") == 1 and "Traceback" not in captured and run.lost_records > 0
    steps = [line["step"] for line in run.metrics()]
    assert steps[:99] == list(range(1, 100)) and steps[-101:] == list(range(200, 301)) and steps == sorted(set(steps))
    assert run.metrics_file.read_text().count("\n") == len(steps)  # no torn line in the middle

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = [e.step for e in EventAccumulator(str(run.path), {"scalars": 0}).Reload().Scalars("d/loss")]
    assert board == sorted(set(board)) and board[-50:] == list(range(251, 301))
    figure(f"one warning, {run.lost_records} records lost and counted, no torn line; both files went on afterwards")


@pytest.mark.row("F8", "a file where the run directory should be; a folder that takes no files (/proc)")
@pytest.mark.parametrize("folder", ["taken/run", "/proc/gantrain"])
def test_a_run_directory_that_cannot_be_made_is_refused(
    start: Start, tmp_path: Path, folder: str, figure: Figure
) -> None:
    (tmp_path / "taken").touch()
    child = start(*RING[:-1], f"run.dir={folder}")
    assert child.wait() == 2 and "cannot be written" in error_of(child)
    figure("exit 2 before the first step")


@pytest.mark.row("F28", "torch.OutOfMemoryError at step 25; a limit on the address space that a batch exceeds")
def test_a_full_memory_is_said_and_the_last_checkpoint_is_good(start: Start, tmp_path: Path, figure: Figure) -> None:
    child = start(*RING, faults=(("out_of_gpu_memory", 25),))
    assert child.wait() == 8 and "A smaller batch_size than 16" in error_of(child)
    assert status(tmp_path / "run")["exit_code"] == 8
    assert Checkpoints(tmp_path / "run" / "checkpoints").latest()[1]["step"] == 20
    big = ("data=ring", "device=cpu", "batch_size=20000000", "run.dir=big")
    child = start(*big, faults=(("memory_limit", 2**30),))
    assert child.wait() == 8 and "A smaller batch_size than 20000000" in error_of(child)
    figure("2/2: exit 8, what to change, last checkpoint valid")


# ---- power cut --------------------------------------------------------------------------------------------------


@pytest.fixture
def ext4(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """An image file with an ext4 file system, and where it is mounted."""
    image, folder = tmp_path / "image", tmp_path / "mounted"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(200 * 2**20)
    made = shutil.which("mkfs.ext4") and subprocess.run(["mkfs.ext4", "-q", image], capture_output=True)
    if not made or subprocess.run(["mount", "-o", "loop", image, folder], capture_output=True).returncode:
        pytest.skip("loop devices need root")
    yield image, folder
    subprocess.run(["umount", "-l", folder], check=True)


def newest_step(folder: Path) -> int:
    """The step of the newest usable checkpoint, -1 if there is none."""
    try:
        found = Checkpoints(folder / "checkpoints").latest()
    except CheckpointError:
        return -1
    return -1 if found is None else found[0]["step"]


@pytest.mark.slow
@pytest.mark.row("F3", "ext4 on a loop device; the writer is stopped, its backing file copied and mounted: 40 cuts")
def test_after_a_power_cut_every_acknowledged_checkpoint_is_there(
    ext4: tuple[Path, Path], tmp_path: Path, figure: Figure
) -> None:
    image, folder = ext4
    program = "import sys; from tests.reliability.children import save_forever; save_forever(sys.argv[1])"
    lost = 0
    writer = subprocess.Popen(
        [sys.executable, "-c", program, folder / "checkpoints"],
        cwd=REPOSITORY,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=(tmp_path / "acknowledged").open("w"),
    )
    after, copy = tmp_path / "after", tmp_path / "copy"
    after.mkdir()
    until((tmp_path / "acknowledged").read_text)
    for cut in range(40):
        time.sleep(0.05 + 0.01 * (cut % 7))  # somewhere in the saves that follow; where, does not matter
        writer.send_signal(signal.SIGSTOP)
        acknowledged = int((tmp_path / "acknowledged").read_text().split()[-1])
        shutil.copyfile(image, copy)
        writer.send_signal(signal.SIGCONT)
        subprocess.run(["mount", "-o", "loop", copy, after], check=True)
        try:
            lost += newest_step(after) < acknowledged or (after / "checkpoints" / "damaged").exists()
        finally:
            subprocess.run(["umount", after], check=True)
    writer.kill()
    writer.wait()
    figure(f"{40 - lost}/40: every acknowledged checkpoint there and valid")
    assert lost == 0
