"""Checkpoints: exact, pickle-free, verified, and never lost in a save."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from gantrain.checkpoint import Checkpoints, Retention, Rng, format, read, tree
from gantrain.checkpoint.format import read_manifest
from gantrain.errors import CheckpointError, ConfigError, DamagedError, DivergedError
from gantrain.run import files

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


def saved(folder: Path, *steps: int, keep_last: int = 9, warn: Callable[[str], None] = print) -> Checkpoints:
    checkpoints = Checkpoints(folder, Retention(keep_last), lambda: {"config": "abc"}, warn=warn)
    for step in steps:
        checkpoints.save(step, STATE | {"step": step})
    return checkpoints


def test_state_comes_back_exactly(tmp_path: Path) -> None:
    manifest, state = saved(tmp_path, 7).latest()
    assert_same(state, STATE)
    assert manifest["step"] == 7 and manifest["config"] == "abc" and manifest["format"] == 1
    assert {p.name for p in (tmp_path / "step-000000007").iterdir()} == {
        "state.safetensors",
        "state.json",
        "manifest.json",
    }


def test_channels_last_tensors_come_back_with_their_values(tmp_path: Path) -> None:
    x = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {"x": x})
    assert torch.equal(checkpoints.latest()[1]["x"], x)


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
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {"rng": rng.state_dict()})
    expected = draws()
    draws()
    rng.load_state_dict(checkpoints.latest()[1]["rng"])
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
    assert checkpoints.latest()[1]["step"] == 40


def test_tied_weights_are_saved_under_both_names(tmp_path: Path) -> None:
    weight = torch.randn(3)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {"a": weight, "b": weight})
    state = checkpoints.latest()[1]
    assert torch.equal(state["a"], weight) and torch.equal(state["b"], weight)


def test_a_foreign_tensor_file_with_a_fitting_manifest_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path, 1).path(1)
    (folder / "state.safetensors").write_bytes(b"\x80\x04not tensors at all, but a pickle perhaps")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["state.safetensors"] = format.describe(folder / "state.safetensors")
    manifest["sha256"] = format.own_digest(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="damaged"):
        read(folder)


def test_another_format_is_refused_by_its_number_and_stays_where_it_is(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 1)
    folder = checkpoints.path(1)
    manifest = json.loads((folder / "manifest.json").read_text()) | {"format": 99}
    manifest["sha256"] = format.own_digest(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="format 99"):
        checkpoints.latest()
    assert folder.is_dir() and not (tmp_path / "damaged").exists()


@pytest.mark.parametrize("moment", ["before rename", "while removing"])
def test_what_a_killed_save_leaves_is_cleared_and_nothing_is_lost(
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
    assert checkpoints.latest()[1]["step"] == expected
    assert not any(p.name.startswith(".") for p in tmp_path.iterdir())


def test_another_course_is_refused_where_there_are_later_checkpoints(tmp_path: Path) -> None:
    Checkpoints(tmp_path / "new").refuse_beyond(-1)
    old = saved(tmp_path / "old", 0, 5)
    old.refuse_beyond(5)
    for step in (-1, 3):
        with pytest.raises(ConfigError, match="up to step 5"):
            old.refuse_beyond(step)


def test_what_was_set_aside_is_never_replaced(tmp_path: Path) -> None:
    for _ in range(2):
        shutil.rmtree(tmp_path / "step-000000001", ignore_errors=True)
        checkpoints = saved(tmp_path, 1, 2)
        (checkpoints.path(2) / "state.json").write_text("{}")
        checkpoints.latest()
    assert {p.name for p in (tmp_path / "damaged").iterdir()} == {"step-000000002", "step-000000002-2"}


def test_what_the_disk_does_not_give_back_stays_and_the_one_before_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints, sha256 = saved(tmp_path, 1, 2), files.sha256

    def failing(path: Path) -> str:
        if "step-000000002" in str(path):
            raise OSError(5, "Input/output error")
        return sha256(path)

    monkeypatch.setattr(files, "sha256", failing)
    assert checkpoints.latest()[1]["step"] == 1 and checkpoints.steps() == [1, 2]


def test_protected_steps_stay_whatever_else_is_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, Retention(2, 0, "d/loss"))
    checkpoints.protected = lambda: {2, 77}
    for step, loss in {1: 0.5, 2: 3.0, 3: 2.0, 4: 5.0, 5: 4.0}.items():
        checkpoints.save(step, {"x": torch.ones(1)}, {"d/loss": loss})
    assert checkpoints.steps() == [1, 2, 4, 5]  # the best by its own value, the protected one, and the newest
    checkpoints.protected = set
    checkpoints.remove_old()
    assert checkpoints.steps() == [1, 4, 5]


def test_a_manifest_is_read_up_to_a_megabyte(tmp_path: Path) -> None:
    manifest = saved(tmp_path, 1).path(1) / "manifest.json"
    text = manifest.read_text()
    manifest.write_text(text + " " * (2**20 - len(text)))
    assert read_manifest(manifest.parent)["step"] == 1
    manifest.write_text(text + " " * (2**20 - len(text) + 1))
    with pytest.raises(DamagedError, match="1,048,577 bytes"):
        read_manifest(manifest.parent)


def test_a_new_run_is_refused_beside_checkpoints_later_than_where_it_begins(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 1, 2, 3)
    checkpoints.refuse_beyond(3)
    for step in (-1, 2):
        with pytest.raises(ConfigError, match="up to step 3"):
            checkpoints.refuse_beyond(step)
