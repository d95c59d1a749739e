"""metrics.jsonl and pictures, and that the loggers are handed what they show."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer import event_file_writer

from gantrain.kinds.points import GENERATED, REAL
from gantrain.loggers import TensorBoard, guarded
from gantrain.run.directory import RunDirectory
from gantrain.run.records import Records
from gantrain.run.tags import described
from tests.conftest import with_board


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_each_line_of_metrics_is_on_disk_at_once(tmp_path: Path) -> None:
    with Records(RunDirectory(tmp_path), 0) as records:
        for step in (1, 2):
            records.scalars(step, {"d/loss": step / 2, "g/gradient_norm": float("inf")})
            assert lines(tmp_path)[-1] == {"step": step, "d/loss": step / 2}


@pytest.fixture(autouse=True)
def files_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorBoard names files of one second and process by a count, and reads them by name: 10 before 9."""
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(0))


@pytest.mark.parametrize("torn", ["", '{"step": 4, "d/lo', '{"step": 4}'])
def test_after_a_kill_metrics_continue_without_torn_or_repeated_lines(tmp_path: Path, torn: str) -> None:
    with with_board(RunDirectory(tmp_path)) as records:
        for step in (1, 2, 3):
            records.scalars(step, {"d/loss": float(step)})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(torn)
    with with_board(RunDirectory(tmp_path), 2) as records:
        records.scalars(3, {"d/loss": 33.0})
    assert [(line["step"], line["d/loss"]) for line in lines(tmp_path)] == [(1, 1.0), (2, 2.0), (3, 33.0)]
    events = EventAccumulator(str(tmp_path)).Reload().Scalars("d/loss")
    assert [(e.step, e.value) for e in events] == [(1, 1.0), (2, 2.0), (3, 33.0)]


def test_a_picture_is_a_png_file(tmp_path: Path) -> None:
    with Records(RunDirectory(tmp_path), 0) as records:
        records.picture("samples/ema", 3, torch.zeros(4, 3, 32, 32), "step-000000003.png")
        records.picture("samples/raw", 3, torch.zeros(9, 2), "points.png")
    with Image.open(tmp_path / "samples" / "step-000000003.png") as image:
        assert image.size == (70, 70)
    assert (tmp_path / "samples" / "points.png").stat().st_size > 0


def test_samples_of_a_shape_without_a_drawing_leave_no_picture_and_all_else(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    outlets = guarded({"tensorboard": TensorBoard()}, run)
    with Records(run, 0, real=torch.zeros(9, 2, 1, 4, 8), outlets=outlets) as records:
        records.preview(0)
        records.picture("samples/ema", 0, torch.zeros(9, 2, 1, 4, 8), "step-000000000.png")
        records.pairs("1a2b3c4d", 1, torch.zeros(2, 4, 2, 8, 8, dtype=torch.uint8))
        records.scalars(1, {"d/loss": 1.0})
    assert list((tmp_path / "samples").iterdir()) == []
    assert EventAccumulator(str(tmp_path)).Reload().Tags()["tensors"] == []
    assert lines(tmp_path) == [{"step": 1, "d/loss": 1.0}]


def test_generated_points_are_drawn_above_the_real_ones(tmp_path: Path) -> None:
    with Records(RunDirectory(tmp_path), 0, real=torch.tensor([[0.8, 0.8], [-0.8, -0.8]])) as records:
        records.preview(0)
        records.picture("samples/ema", 0, torch.tensor([[0.8, 0.8]]), "step-000000000.png")

    def colours(name: str) -> dict[tuple[int, ...], int]:
        pixels = np.asarray(Image.open(tmp_path / "samples" / name).convert("RGB")).reshape(-1, 3)
        return {pixel: n for pixel, n in Counter(map(tuple, pixels.tolist())).items() if pixel != (255, 255, 255)}

    grey, blue = tuple(int(255 * c + 0.5) for c in REAL), tuple(int(255 * c + 0.5) for c in GENERATED)
    assert colours("real.png") == {grey: 18}  # two dots of 3 × 3
    assert colours("step-000000000.png") == {grey: 9, blue: 9}


@pytest.mark.parametrize("tag", [
    "samples/ema", "samples/raw", "samples/real", "training/nearest_1a2b3c4d", "theory", "d/loss", "g/adversarial",
    "d/gp", "d/js_lower_bound_nats", "g/gradient_norm", "d/learning_rate", "d/skipped_steps", "speed/images_per_s",
    "eval_classifier_1a2b3c4d/fid", "best/sliced_wasserstein_points_1a2b3c4d", "estimate/js_nats", "truth/js_nats",
])  # fmt: skip
def test_every_tag_is_described_in_a_sentence(tag: str) -> None:
    text = described(tag)
    assert text.endswith(".") and len(text.split()) >= 4 and "{" not in text


def test_the_description_of_a_best_value_names_the_values_it_is_the_best_of() -> None:
    assert "`eval_points_1a2b3c4d/sliced_wasserstein`" in described("best/sliced_wasserstein_points_1a2b3c4d")
