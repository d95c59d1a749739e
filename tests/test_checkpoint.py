"""Checkpoints: exact, pickle-free, verified, and never lost in a save."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from gantrain import checkpoint, storage, tree
from gantrain.checkpoint import Checkpoints, Rng
from gantrain.errors import CheckpointError, ConfigError, DivergedError

STATE = {
    "g": {
        "weight": torch.randn(3, 4),
        "empty": torch.zeros(0, 2),
        "scalar": torch.tensor(2.5),
        "flag": torch.tensor(True),
    },
    "half": torch.randn(5).bfloat16(),
    "bytes": torch.arange(5, dtype=torch.uint8),
    "optimizer": {
        "state": {0: {"step": torch.tensor(3.0)}, 1: {}},
        "param_groups": [{"betas": (0.5, 0.999), "lr": 1e-4}],
    },
    "odd": [None, True, False, 1, 1.0, -0.0, 2**70, "text", (), [], {}, 5e-324, 0.1 + 0.2],
    "step": 7,
}


def assert_same(a: object, b: object) -> None:
    assert type(a) is type(b)
    if isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype and torch.equal(a, b)
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    else:
        assert repr(a) == repr(b)


def saved(folder: Path, *steps: int, keep_last: int = 9) -> Checkpoints:
    checkpoints = Checkpoints(folder, keep_last, {"config": "abc"})
    for step in steps:
        checkpoints.save(step, STATE | {"step": step})
    return checkpoints


def test_state_comes_back_exactly(tmp_path: Path) -> None:
    manifest, state = saved(tmp_path, 7).latest(print)
    assert_same(state, STATE)
    assert manifest["step"] == 7 and manifest["config"] == "abc" and manifest["format"] == 1
    assert {p.name for p in (tmp_path / "step-000000007").iterdir()} == {
        "state.safetensors",
        "state.json",
        "manifest.json",
    }


def test_channels_last_tensors_come_back_with_their_values(tmp_path: Path) -> None:
    x = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    checkpoints = Checkpoints(tmp_path, 2, {})
    checkpoints.save(1, {"x": x})
    assert torch.equal(checkpoints.latest(print)[1]["x"], x)


@pytest.mark.parametrize("leaf", [np.float64(1), np.zeros(2), Path("x"), {1, 2}, b"bytes", object(), 1j])
def test_what_is_not_plain_data_is_refused_when_it_is_saved(leaf: object) -> None:
    with pytest.raises(TypeError, match=r"a\.1"):
        tree.flatten({"a": [0, leaf]})
    with pytest.raises(TypeError, match="key"):
        tree.flatten({(1, 2): 0})


def test_the_rng_of_python_numpy_and_torch_come_back(tmp_path: Path) -> None:
    def draws() -> list[float]:
        return [random.random(), np.random.rand(), np.random.randn(), torch.rand(()).item()]

    rng = Rng(torch.device("cpu"))
    rng.seed(3)
    np.random.randn()  # leaves a second normal number waiting inside numpy's generator
    checkpoints = Checkpoints(tmp_path, 2, {})
    checkpoints.save(1, {"rng": rng.state_dict()})
    expected = draws()
    draws()
    rng.load_state_dict(checkpoints.latest(print)[1]["rng"])
    assert draws() == expected


def test_a_state_that_is_not_finite_is_not_saved(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 1)
    with pytest.raises(DivergedError, match=r"g\.weight"):
        checkpoints.save(2, {"g": {"weight": torch.tensor([1.0, float("inf")])}})
    assert checkpoints.steps() == [1] and [p.name for p in tmp_path.iterdir()] == ["step-000000001"]


def test_the_newest_keep_last_stay_and_the_newest_by_step_is_used(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 10, 20, 30, 40, keep_last=2)
    assert checkpoints.steps() == [30, 40]
    os.utime(tmp_path / "step-000000030", (2e9, 2e9))
    assert checkpoints.latest(print)[1]["step"] == 40


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "flip":
        at = random.randrange(len(content) * 8)
        flipped = bytearray(content)
        flipped[at // 8] ^= 1 << at % 8
        path.write_bytes(flipped)
    elif how == "truncate":
        path.write_bytes(content[: len(content) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "append":
        path.write_bytes(content + b"\0")
    else:
        path.unlink()


@pytest.mark.parametrize("how", ["flip"] * 12 + ["truncate", "empty", "append", "delete"])
@pytest.mark.parametrize("name", ["state.safetensors", "state.json", "manifest.json"])
def test_any_damage_is_found_and_the_checkpoint_before_is_used(tmp_path: Path, name: str, how: str) -> None:
    checkpoints = saved(tmp_path, 1, 2)
    damage(tmp_path / "step-000000002" / name, how)
    warnings: list[str] = []
    assert checkpoints.latest(warnings.append)[1]["step"] == 1
    assert len(warnings) == 1 and "step-000000002" in warnings[0]
    assert (tmp_path / "damaged" / "step-000000002").is_dir() and checkpoints.steps() == [1]


def test_if_every_checkpoint_is_damaged_it_never_starts_again_silently(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 1, 2)
    for step in (1, 2):
        damage(checkpoints.path(step) / "state.json", "truncate")
    for _ in range(2):  # also on the next try, when both have been set aside
        with pytest.raises(CheckpointError, match="no usable checkpoint"):
            checkpoints.latest(lambda text: None)


def test_tied_weights_are_saved_under_both_names(tmp_path: Path) -> None:
    weight = torch.randn(3)
    checkpoints = Checkpoints(tmp_path, 2, {})
    checkpoints.save(1, {"a": weight, "b": weight})
    state = checkpoints.latest(print)[1]
    assert torch.equal(state["a"], weight) and torch.equal(state["b"], weight)


def test_a_foreign_tensor_file_with_a_fitting_manifest_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path, 1).path(1)
    (folder / "state.safetensors").write_bytes(b"\x80\x04not tensors at all, but a pickle perhaps")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["state.safetensors"] = checkpoint.describe(folder / "state.safetensors")
    manifest["sha256"] = checkpoint.own_digest(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoint.read(folder)


def test_another_format_is_refused_by_its_number_and_stays_where_it_is(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 1)
    folder = checkpoints.path(1)
    manifest = json.loads((folder / "manifest.json").read_text()) | {"format": 99}
    manifest["sha256"] = checkpoint.own_digest(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="format 99"):
        checkpoints.latest(print)
    assert folder.is_dir() and not (tmp_path / "damaged").exists()


def test_nothing_is_ever_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pickle

    def forbidden(*args: object, **kwargs: object) -> None:
        raise AssertionError("unpickled")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, forbidden)
    monkeypatch.setattr(torch, "load", forbidden)
    assert saved(tmp_path, 7).latest(print)[1]["step"] == 7


def test_files_are_forced_to_disk_before_the_checkpoint_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    sync, rename = storage.sync, Path.rename
    monkeypatch.setattr(storage, "sync", lambda path: (events.append(f"sync {path.name}"), sync(path))[1])
    monkeypatch.setattr(
        Path, "rename", lambda self, to: (events.append(f"rename {self.name} {Path(to).name}"), rename(self, to))[1]
    )
    saved(tmp_path / "checkpoints", 1)
    assert events == [
        "sync state.safetensors",
        "sync state.json",
        "sync manifest.json",
        "sync .tmp-step-000000001",
        "rename .tmp-step-000000001 step-000000001",
        "sync checkpoints",
    ]


@pytest.mark.parametrize("moment", ["before rename", "while removing"])
def test_what_a_killed_save_leaves_is_swept_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    class Killed(BaseException):
        pass

    def killed(*args: object, **kwargs: object) -> None:
        raise Killed

    checkpoints = saved(tmp_path, 1, 2, keep_last=2)
    with monkeypatch.context() as patch:
        patch.setattr(*((Path, "rename") if moment == "before rename" else (shutil, "rmtree")), killed)
        if moment == "while removing":
            patch.setattr(shutil, "rmtree", lambda path, ignore_errors=False: None if ignore_errors else killed())
        with pytest.raises(Killed):
            checkpoints.save(3, STATE | {"step": 3})
    assert any(p.name.startswith((".tmp-", ".del-")) for p in tmp_path.iterdir())
    expected = 2 if moment == "before rename" else 3
    assert checkpoints.latest(print)[1]["step"] == expected
    assert not any(p.name.startswith(".") for p in tmp_path.iterdir())


def test_another_course_is_refused_where_there_are_later_checkpoints(tmp_path: Path) -> None:
    Checkpoints(tmp_path / "new", 2, {}).refuse_beyond(-1)
    old = saved(tmp_path / "old", 0, 5)
    old.refuse_beyond(5)
    for step in (-1, 3):
        with pytest.raises(ConfigError, match="up to step 5"):
            old.refuse_beyond(step)
