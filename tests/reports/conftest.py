"""Runs as they lie on the disk, made by hand, and the command that reports them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gantrain.cli.report import main
from tests.conftest import Outcome, command

Command = Callable[..., Outcome]


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    yield from command(main, "gantrain-report", tmp_path, monkeypatch, capsys)


def left(folder: Path, loss: str, seed: int, fid: float | None, **more: object) -> Path:
    """A run's folder, as a run of so many steps leaves it; ``more`` replaces what status.json says."""
    steps, tag = 400, f"eval_classifier_{more.get('protocol', 'aaaa1111')}"
    run = folder / "digits" / "dcgan" / loss / f"seed{seed}"
    (run / "samples").mkdir(parents=True)
    status = {
        "state": "finished", "exit_code": 0, "reason": "", "step": steps, "total_steps": steps,
        "choices": {"data": "digits", "architecture": "dcgan", "loss": loss, "optimizer": "adam", "ratio": "1to1"},
        "overrides": [], "seed": seed, "variant": loss[:8], "budget": {"of": "d_updates", "amount": 400.0},
        "per_step": {"steps": 1, "d_updates": 1, "images": 64}, "data": "1,797 images 1×8×8 (abc)",
        "environment": {"torch": "2.14", "threads": 1, "device": "cpu", "cpu": "AVX512"},
        "cost": {"training_seconds": 10.0 + seed, "other_seconds": 1.0, "flops_per_step": 1e9, "flops": 4e11,
                 "peak_memory_bytes": 2**30},
    }  # fmt: skip
    status |= {key: value for key, value in more.items() if key in status}
    (run / "status.json").write_text(json.dumps(status))
    for step in (0, 40, 200, 400):
        Image.fromarray(np.full((16, 16), step % 255, np.uint8)).save(run / "samples" / f"step-{step:09d}.png")
    if fid is None:
        return run
    curve = {
        step: {"fid": fid * 400 / step, "recall": 0.5, "coverage": more.get("coverage", 0.6)}
        for step in (100, 200, 400)
    }
    lines = [{"step": step, "d/loss": 1.0} for step in range(10, 401, 10)]
    lines += [
        {"step": step} | {f"{tag}/{name}": value for name, value in found.items()} for step, found in curve.items()
    ]
    (run / "metrics.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in sorted(lines, key=lambda line: line["step"]))
    )
    final = {"step": 400, **curve[400]}
    protocol = {
        "hash": tag[-8:],
        "features": "classifier",
        "n_fake": 1797,
        "n_real": 1797,
        "split": None,
        "generator": "ema",
    }
    evaluation = {"protocol": protocol, "tag": tag, "best_by": "fid", "best": {**final, "step": 400, "fid": fid * 0.9},
                  "final": final, "median_of_last_5": {"fid": fid * 2, "recall": 0.5}}  # fmt: skip
    (run / "evaluation.json").write_text(json.dumps(evaluation))
    return run


FIDS = {"vanilla": (3.0, 3.4, 2.9), "hinge": (2.0, 2.5, 2.2), "wgan_gp": (5.0, 2.4, 7.0)}


def sweep(folder: Path) -> None:
    for loss, fids in FIDS.items():
        for seed, fid in enumerate(fids):
            left(folder, loss, seed, fid)
