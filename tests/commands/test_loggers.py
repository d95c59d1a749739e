"""``logger=[…]`` as users meet it: several at once, none, one of their own, and what is refused."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gantrain.loggers import Csv, TensorBoard, guarded
from gantrain.run.directory import RunDirectory
from gantrain.run.records import Records
from tests.conftest import Outcome, run_files

Command = Callable[..., Outcome]
RING = ("data=ring", "loss=hinge", "ratio=1to1", "total_steps=2", "batch_size=16", "device=cpu", "log.every=1")
MINE = """
import json
from pathlib import Path
from gantrain.loggers import Logger

class Mine(Logger):
    def __init__(self, uri="", bad=False):
        super().__init__()
        self.uri, self.bad = uri, bad
    def begin(self, facts):
        self.file = Path(facts.folder, "mine.json")
        self.noted = {"uri": self.uri[-9:], "name": facts.name, "group": facts.group, "values": []}
    def scalars(self, step, values):
        if self.bad:
            raise RuntimeError("no more http://me:s3cret@host")
        self.noted["values"].append([step, values.get("d/loss")])
    def finish(self, state, reason):
        self.file.write_text(json.dumps(self.noted | {"state": state}))

class NoLogger:
    pass
"""


@pytest.fixture
def mine(tmp_path: Path) -> tuple[str, ...]:
    """The settings of a logger of the user's own, which lies in the current folder."""
    (tmp_path / "my_logger.py").write_text(MINE)
    return ("+logger.mine._target_=my_logger.Mine", "trusted_modules=[my_logger]")


def rows(run: Path) -> list[tuple[int, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        return [(int(row["step"]), row["tag"]) for row in csv.DictReader(file)]


def test_several_loggers_take_the_same_values_and_none_leaves_none(gantrain: Command, tmp_path: Path) -> None:
    outcome = gantrain(*RING, "logger=[tensorboard,csv]", "run.dir=both")
    assert outcome.exit_code == 0 and "TensorBoard   " in outcome.out, outcome.err
    board = EventAccumulator(str(tmp_path / "both")).Reload()
    assert [event.step for event in board.Scalars("d/loss")] == [1, 2]
    assert [step for step, tag in rows(tmp_path / "both") if tag == "d/loss"] == [1, 2]
    outcome = gantrain(*RING, "logger=[]", "run.dir=none")
    assert outcome.exit_code == 0 and "TensorBoard" not in outcome.out
    assert not list((tmp_path / "none").glob("events*")) and (tmp_path / "none" / "metrics.jsonl").is_file()


def test_a_run_goes_on_with_other_loggers_in_the_same_folder(gantrain: Command, tmp_path: Path) -> None:
    assert gantrain(*RING).exit_code == 0
    (status,) = tmp_path.rglob("status.json")
    settings = yaml.safe_load((status.parent / "config.yaml").read_text())
    del settings["logger"]  # as a run that began before there were loggers
    (status.parent / "config.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    longer = ["total_steps=4" if setting == "total_steps=2" else setting for setting in RING]
    outcome = gantrain(*longer, "logger=[csv]", f"run.dir={status.parent}")  # the name has a hash of the length
    assert outcome.exit_code == 0, outcome.err
    assert json.loads(status.read_text())["step"] == 4
    assert [step for step, tag in rows(status.parent) if tag == "d/loss"] == [3, 4]


def test_the_folder_s_name_does_not_change_with_the_loggers(gantrain: Command, tmp_path: Path) -> None:
    assert gantrain(*RING, "logger=[]").exit_code == 0
    outcome = gantrain(*RING, "logger=[csv]", "+logger.csv.timeout=3")
    assert outcome.exit_code == 0 and "is finished" in outcome.out
    assert len(list(tmp_path.rglob("status.json"))) == 1


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("logger=3", "logger takes a list of options, as logger=[tensorboard,csv]; [] for none"),
        ("logger=[tensorbord]", "did you mean logger=tensorboard?"),
        ("+logger.csv.depth=3", "remove what it does not take: ~logger.csv.depth"),
        ("+logger.x._target_=os.system", "_target_=os.system is not trusted"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_a_line(gantrain: Command, tmp_path: Path, setting: str, said: str) -> None:
    outcome = gantrain(*RING, *(["logger=[csv]"] if "=[" not in setting and "=3" not in setting[:9] else []), setting)
    assert outcome.exit_code == 2 and said in outcome.err and "Traceback" not in outcome.err, outcome.err
    assert not run_files(tmp_path)


@pytest.mark.parametrize("package", ["wandb", "mlflow", "aim"])
def test_a_package_that_is_missing_is_named_before_anything_is_written(
    gantrain: Command, tmp_path: Path, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == package else found(name, *more)
    )
    outcome = gantrain(*RING, f"logger=[tensorboard,{package}]")
    assert outcome.exit_code == 2 and f"pip install 'gantrain[{package}]'" in outcome.err, outcome.err
    assert not run_files(tmp_path)


def test_a_logger_of_ones_own_is_told_everything(gantrain: Command, tmp_path: Path, mine: tuple[str, ...]) -> None:
    outcome = gantrain(*RING, *mine, "run.root=here")
    (file,) = tmp_path.rglob("mine.json")
    noted = json.loads(file.read_text())
    assert outcome.exit_code == 0 and noted["state"] == "finished" and noted["group"] is None
    assert noted["name"] == str(file.parent.relative_to(tmp_path / "here"))
    assert [step for step, _ in noted["values"]] == [1, 2]
    assert list(file.parent.glob("events*"))  # beside the default


def test_one_that_fails_costs_a_warning_and_one_that_is_none_is_refused(
    gantrain: Command, tmp_path: Path, mine: tuple[str, ...]
) -> None:
    outcome = gantrain(*RING, *mine, "+logger.mine.bad=true", "run.dir=run")
    assert outcome.exit_code == 0 and outcome.err.count("logger mine is off from here on (no more") == 1
    assert "s3cret" not in outcome.err
    assert json.loads((tmp_path / "run" / "status.json").read_text())["state"] == "finished"
    outcome = gantrain(*RING, "+logger.mine._target_=my_logger.NoLogger", mine[1], "run.dir=other")
    assert outcome.exit_code == 2 and "is no gantrain.loggers.Logger" in outcome.err


def test_a_password_reaches_the_logger_and_no_file(gantrain: Command, tmp_path: Path, mine: tuple[str, ...]) -> None:
    outcome = gantrain(*RING, *mine, "+logger.mine.uri=http://me:Sesame@host:80", "run.dir=run")
    assert outcome.exit_code == 0 and "Sesame" not in outcome.out + outcome.err
    assert json.loads((tmp_path / "run" / "mine.json").read_text())["uri"] == "e@host:80"
    assert "http://me:***@host:80" in (tmp_path / "run" / "config.yaml").read_text()
    holding = [path.name for path in run_files(tmp_path) if b"Sesame" in path.read_bytes()]
    assert holding == []


def test_a_password_in_a_file_of_settings_is_refused(gantrain: Command, tmp_path: Path, mine: tuple[str, ...]) -> None:
    (tmp_path / "own" / "logger").mkdir(parents=True)
    (tmp_path / "own" / "logger" / "mine.yaml").write_text(
        "mine:\n  _target_: my_logger.Mine\n  uri: http://me:s3cret@host\n"
    )
    outcome = gantrain("--config-dir=own", *RING, "logger=[mine]", mine[1], "run.dir=run")
    assert outcome.exit_code == 2 and "logger.mine.uri holds a password" in outcome.err, outcome.err
    assert "s3cret" not in outcome.err and not (tmp_path / "run").exists()


def test_the_jobs_of_a_sweep_are_runs_of_one_group(gantrain: Command, tmp_path: Path, mine: tuple[str, ...]) -> None:
    outcome = gantrain("-m", *RING, *mine, "seed=0,1", "run.root=both")
    assert outcome.exit_code == 0, outcome.err
    noted = [json.loads(path.read_text()) for path in sorted(tmp_path.rglob("mine.json"))]
    assert [one["group"] for one in noted] == ["both", "both"] and len({one["name"] for one in noted}) == 2


def test_after_a_kill_no_logger_in_the_folder_has_a_value_twice(tmp_path: Path) -> None:
    def played(begin: int, steps: tuple[int, ...]) -> None:
        run = RunDirectory(tmp_path)
        outlets = guarded({"tensorboard": TensorBoard(), "csv": Csv()}, run)
        with Records(run, begin, outlets=outlets) as records:
            for step in steps:
                records.scalars(step, {"d/loss": float(step + 10 * begin)})
            records.flush()
            os.kill(os.getpid(), signal.SIGKILL)

    # TensorBoard reads the files of one second in the order of the processes that wrote them.
    for begin, steps in ((0, (1, 2, 3)), (2, (3, 4))):
        if (child := os.fork()) == 0:
            try:
                played(begin, steps)
            finally:
                os._exit(1)  # it was not killed
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    board = EventAccumulator(str(tmp_path)).Reload().Scalars("d/loss")
    assert [(event.step, event.value) for event in board] == [(1, 1.0), (2, 2.0), (3, 23.0), (4, 24.0)]
    with (tmp_path / "metrics.csv").open(newline="") as file:
        assert [(row["step"], row["value"]) for row in csv.DictReader(file)] == [
            ("1", "1.0"), ("2", "2.0"), ("3", "23.0"), ("4", "24.0"),
        ]  # fmt: skip
