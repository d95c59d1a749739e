"""Weights & Biases without a server: the offline file read back, and a server that never answers."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gantrain.errors import ConfigError
from tests.conftest import GUARD
from tests.loggers.played import play

pytest.importorskip("wandb", reason="pip install 'gantrain[wandb]'")

from gantrain.loggers import WandB

BLOCK, HEADER = 32768, 7


def records(path: Path) -> Iterator[Any]:
    """The records of a .wandb file: LevelDB's log format after seven bytes of its own."""
    from wandb.proto import wandb_internal_pb2 as protocol

    data, at, part = path.read_bytes(), HEADER, b""
    while at + HEADER <= len(data):
        left = BLOCK - at % BLOCK
        _, size, kind = struct.unpack("<IHB", data[at : at + HEADER])
        if left < HEADER or kind == 0:
            at += left
            continue
        part += data[at + HEADER : at + HEADER + size]
        at += HEADER + size
        if kind in (1, 4):  # a whole record, or the last part of one
            record = protocol.Record()
            record.ParseFromString(part)
            yield record
            part = b""


def of_kind(found: list[Any], kind: str) -> list[Any]:
    return [getattr(record, kind) for record in found if record.WhichOneof("record_type") == kind]


def history(found: list[Any]) -> list[dict[str, Any]]:
    rows = of_kind(found, "history")
    return [{item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in row.item} for row in rows]


def offline_files(root: Path) -> list[Path]:
    return sorted((root / "ring" / "seed0" / "wandb").glob("offline-run-*/run-*.wandb"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped at step 3, and went on from its checkpoint at step 2."""
    root = tmp_path_factory.mktemp("runs")
    for begin, steps, stopped in ((0, (1, 2, 3), True), (2, (3, 4), False)):
        outlet = play(root, WandB(mode="offline"), steps, begin, stopped=stopped)
        assert not outlet.off
    return root


def test_the_offline_file_has_values_pictures_texts_settings_artifacts_and_the_end(root: Path) -> None:
    found = list(records(offline_files(root)[0]))
    (run,) = of_kind(found, "run")
    assert (run.project, run.run_group, run.display_name) == ("gantrain", "sweep of rings", "ring/seed0")
    rows = history(found)
    assert [(row["_step"], row["d/loss"]) for row in rows if "d/loss" in row] == [(1, 1.0), (2, 2.0), (3, 3.0)]
    assert rows[-1]["eval_points_1a/fid∞"] == 0.5
    assert rows[-1]["samples/ema/_type"] == "image-file" and rows[-1]["evaluation/_type"] == "html-file"
    config = {item.key or "/".join(item.nested_key): json.loads(item.value_json)
              for one in of_kind(found, "config") for item in one.update}  # fmt: skip
    assert config["loss"] == "hinge" and config["settings/batch_size"] == 16
    artifacts = {one.type: [entry.path for entry in one.manifest.contents] for one in of_kind(found, "artifact")}
    assert artifacts == {"config": ["config.yaml"], "grid": ["step-000000003.png"]}
    summary = {item.key: item.value_json for one in of_kind(found, "summary") for item in one.update}
    assert summary["state"] == '"stopped"' and of_kind(found, "exit")[0].exit_code == 1


def test_a_run_that_goes_on_has_the_same_id(root: Path) -> None:
    ids = {of_kind(list(records(path)), "run")[0].run_id for path in offline_files(root)}
    kept = json.loads((root / "ring" / "seed0" / "loggers" / "tracker.json").read_text())["id"]
    assert len(offline_files(root)) == 2 and ids == {kept}
    second = list(records(offline_files(root)[1]))
    assert [row["_step"] for row in history(second) if "d/loss" in row] == [3, 4]
    assert of_kind(second, "exit")[0].exit_code == 0


def test_values_that_the_server_has_are_not_sent_again() -> None:
    class Run:
        step, sent = 5, []

        def log(self, values: dict[str, float], step: int) -> None:
            self.sent.append(step)

    logger = WandB()
    logger._run, logger._first = Run(), Run.step
    for step in (3, 4, 5, 6):
        logger.scalars(step, {"d/loss": 1.0})
    assert Run.sent == [5, 6]


@pytest.mark.parametrize("key", ["", "a" * 40])
def test_without_a_key_or_an_answer_the_run_goes_on(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import wandb

    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_API_KEY", key)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it accepts, and says nothing
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        wandb.setup().settings.base_url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        outlet = play(tmp_path, WandB(timeout=1.0), (1, 2))
        took = time.monotonic() - began
    said = capfd.readouterr().err
    assert outlet.off and said.count("logger tracker is off") == 1 and "Traceback" not in said, said
    assert ("there is no API key" in said) == (not key) and "aaaa" not in said
    assert took < GUARD and len((tmp_path / "ring" / "seed0" / "metrics.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize(("settings", "said"), [({"mode": "of"}, "must be one of"), ({"timeout": 0}, "above 0")])
def test_a_setting_that_cannot_be_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        WandB(**settings)
