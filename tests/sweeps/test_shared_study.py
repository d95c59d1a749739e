"""One study, many processes: no two take one trial, what a killed one left is taken up, and no password is written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
import sqlalchemy

from gantrain.errors import masked
from gantrain.sweeps import search, storage
from tests.conftest import GUARD, Outcome, run_files, until
from tests.sweeps import postgres
from tests.sweeps.test_search import QUICK

Command = Callable[..., Outcome]
PASSWORD = "gehe1m+wort"
SPACE = {"lr": optuna.distributions.FloatDistribution(0.0, 1.0)}
SETTINGS = {"sampler": "random", "seed": 0, "n_trials": 4, "n_jobs": 1, "of": "best"}
SEARCH = ("-m", "hydra/sweeper=optuna", *QUICK, "optimizer.g.lr=tag(log,interval(1e-5,1e-2))", "total_steps=16",
          "hydra/sweeper/space=adam")  # fmt: skip


def study_at(url: str) -> optuna.Study:
    return optuna.create_study(storage=storage.opened(url, 120), study_name="shared", load_if_exists=True)


ONE_OF_MANY = """
import json, sys
import optuna
from hydra.core.utils import JobReturn, JobStatus
from gantrain.sweeps import search, storage

print("ready", flush=True)
sys.stdin.readline()
optuna.logging.set_verbosity(optuna.logging.WARNING)
study = optuna.create_study(storage=storage.opened(sys.argv[1], 120), study_name="shared", load_if_exists=True)
numbers = []

def launched(trials, first):
    numbers.extend(trial.number for trial in trials)
    found = {"run": "x", "state": "finished", "history": {}, "total_steps": 8, "evaluation": {"best": {"w2": 1.0}}}
    return [JobReturn(status=JobStatus.COMPLETED, _return_value=found) for _ in trials]

space = {"lr": optuna.distributions.FloatDistribution(0.0, 1.0)}
settings = {"sampler": "random", "seed": 0, "n_trials": int(sys.argv[2]), "n_jobs": 2, "of": "best"}
search.tried(study, settings, space, "w2", launched)
print(json.dumps(numbers))
"""
"""Searches as a process does, but trains nothing; prints the numbers of the trials that were its own."""


def check_that_no_trial_is_taken_twice(url: str, processes: int, n_trials: int) -> None:
    """Let processes that begin at the same moment search together, on a database that is empty."""
    command = [sys.executable, "-c", ONE_OF_MANY, url, str(n_trials)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    many = [subprocess.Popen(command, text=True, **pipes) for _ in range(processes)]
    for one in many:
        assert one.stdout and one.stdout.readline() == "ready\n"
    for one in many:
        assert one.stdin
        one.stdin.write("\n")
        one.stdin.flush()
    said = [one.communicate(timeout=GUARD) for one in many]
    assert all(one.returncode == 0 for one in many) and not any(err for _, err in said), said
    taken = sorted(number for out, _ in said for number in json.loads(out))
    assert len(taken) == len(set(taken)) == n_trials
    ended = [trial for trial in study_at(url).trials if trial.state.name == "COMPLETE"]
    assert [trial.number for trial in ended] == taken
    assert len({trial.params["lr"] for trial in ended}) == n_trials  # and no settings were tried twice


def test_processes_that_share_a_study_take_each_trial_once(tmp_path: Path) -> None:
    check_that_no_trial_is_taken_twice(f"sqlite:///{tmp_path / 'search.db'}", 2, 6)


def test_a_lost_trial_is_queued_once_whoever_notices() -> None:
    study = study_at("sqlite://")
    trials = [search.ask(study, SETTINGS, SPACE) for _ in range(3)]
    killed, elsewhere, unsigned = (trial for trial in trials if trial is not None)
    killed.set_user_attr("owner", f"{search.machine()}:{2**22 + 1}:12345")
    for trial in (elsewhere, unsigned):
        trial.set_user_attr("owner", "another-machine:1:1")
    study._storage.set_trial_user_attr(unsigned._trial_id, storage.BEATING, False)

    def states() -> list[str]:
        return [trial.state.name for trial in study.get_trials()]

    for _ in range(2):
        search.take_up_what_was_lost(study)
        assert states() == ["FAIL", "RUNNING", "RUNNING", "WAITING"]  # those elsewhere give signs of life
    assert len(search.counted(study)) == 2
    with study._storage._backend.engine.begin() as connection:
        connection.execute(sqlalchemy.text("update trial_heartbeats set heartbeat = '2020-01-01'"))
    for _ in range(2):
        search.take_up_what_was_lost(study)
        assert states() == ["FAIL", "FAIL", "FAIL", "WAITING", "WAITING", "WAITING"]
    again = [search.ask(study, SETTINGS, SPACE) for _ in range(3)]
    assert [trial.params for trial in again if trial] == [trial.params for trial in trials if trial]
    assert search.tell(study, elsewhere, search.JobReturn(status=search.JobStatus.FAILED), "best", "w2") == 0
    assert "failed" not in study.get_trials()[elsewhere.number].user_attrs  # it is no longer this process's


def test_the_last_trial_is_begun_by_one_process_only() -> None:
    study = study_at("sqlite://")
    assert all(search.ask(study, SETTINGS, SPACE) for _ in range(4))
    assert search.ask(study, SETTINGS, SPACE) is None
    assert len(search.counted(study)) == 4


def test_trials_of_equal_settings_wait_for_each_other() -> None:
    study = study_at("sqlite://")
    trials = [search.ask(study, SETTINGS, {"lr": optuna.distributions.CategoricalDistribution([1])}) for _ in range(2)]
    first, second = (trial for trial in trials if trial is not None)
    assert search.free(study, [first, second]) == [first]
    study.tell(first, 1.0)
    assert search.free(study, [second]) == [second]


def test_a_trial_that_fails_to_be_launched_is_another_processs_at_once() -> None:
    study = study_at("sqlite://")

    def launched(trials: list, first: int) -> list:
        raise RuntimeError("the launcher died")

    with pytest.raises(RuntimeError, match="died"):
        search.tried(study, SETTINGS, SPACE, "w2", launched)
    assert [trial.state.name for trial in study.trials] == ["FAIL", "WAITING"] and not search.counted(study)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://u:secret@h/db", "postgresql://u:***@h/db"),
        (
            "no answer of mysql+pymysql://u:sec@ret/x@h:3/db?a=1 now",
            "no answer of mysql+pymysql://u:***@h:3/db?a=1 now",
        ),
        ("postgresql://h/db?user=u&password=secret&a=1", "postgresql://h/db?user=u&password=***&a=1"),
        ("redis://:secret@h", "redis://:***@h"),
        ("sqlite:////a/b@c.db", "sqlite:////a/b@c.db"),
        ("postgresql://u@h/db", "postgresql://u@h/db"),
        ("https://arxiv.org/a:b@c", "https://arxiv.org/a:b@c"),
    ],
)
def test_passwords_of_urls_are_masked(text: str, shown: str) -> None:
    assert masked(text) == shown == masked(shown)


def test_a_command_line_forgets_the_password_and_the_process_knows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_whole", {})
    shown = "postgresql://u:***@h/db"
    for url in ("postgresql://u:sec ret@h/db", "postgresql://u:'s@h/db", "postgresql://u:secret@h/db"):
        for quote in ("", '"'):
            line = storage.without_passwords(["-m", f"++hydra.sweeper.storage={quote}{url}{quote}", "seed=1"])
            assert line == ["-m", f"++hydra.sweeper.storage={quote}{shown}{quote}", "seed=1"]
            assert storage.whole(shown) == url
    monkeypatch.setattr(storage, "_whole", {})
    assert storage.whole(shown) == "postgresql://u@h/db"  # the client may find it
    assert storage.whole("postgresql://h/db?user=u&password=***") == "postgresql://h/db?user=u"
    monkeypatch.setenv(storage.ENVIRONMENT, "postgresql://u:lent@h/db")
    assert storage.whole(shown) == "postgresql://u:lent@h/db"


def test_the_password_is_lent_to_trials_but_not_to_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(storage.ENVIRONMENT, raising=False)
    shown = storage.hidden("postgresql://u:secret@h/db")
    for launcher, known in (("x.JoblibLauncher", "postgresql://u:secret@h/db"), ("x.SlurmLauncher", None)):
        with storage.lent(shown, launcher):
            assert os.environ.get(storage.ENVIRONMENT) == known
        assert storage.ENVIRONMENT not in os.environ


def test_a_launcher_never_sees_a_password_that_a_file_of_the_users_has(monkeypatch: pytest.MonkeyPatch) -> None:
    from hydra.core.plugins import Plugins
    from omegaconf import OmegaConf

    from hydra_plugins.gantrain_search import SearchSweeper

    monkeypatch.setattr(Plugins, "instantiate_launcher", lambda *_, config, **__: OmegaConf.to_yaml(config))
    for given, shown in (("mysql://u:secret@h/db", "mysql://u:***@h/db"), ("${oc.env:NOWHERE}", "${oc.env:NOWHERE}")):
        cfg = OmegaConf.create({"hydra": {"sweeper": {"storage": given}}})
        OmegaConf.set_readonly(cfg.hydra, True)
        sweeper = SearchSweeper()
        sweeper.setup(hydra_context=None, task_function=None, config=cfg)
        assert f"storage: {shown}" in sweeper.launcher and "secret" not in sweeper.launcher


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://u:{}@127.0.0.1:1/db", "Connection refused"),
        ("mysql+nosuchdriver://u:{}@127.0.0.1:1/db", "cannot be used"),
        ("nosuchdb://u:{}@127.0.0.1/db", "cannot be used"),
    ],
)
def test_a_database_that_is_not_there_is_told_without_its_password(
    gantrain: Command, tmp_path: Path, url: str, said: str
) -> None:
    outcome = gantrain(*SEARCH, "hydra.sweeper.n_trials=1", f"hydra.sweeper.storage={url.format(PASSWORD)}")
    assert outcome.exit_code == 2 and said in outcome.err and "u:***@127.0.0.1" in outcome.err
    assert outcome.err.count("\n") == 1 and PASSWORD not in outcome.out + outcome.err and not run_files(tmp_path)


def test_a_missing_driver_is_named_with_its_remedy(
    gantrain: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("psycopg", "psycopg2"):
        monkeypatch.setitem(sys.modules, name, None)
    outcome = gantrain(*SEARCH, "hydra.sweeper.n_trials=1", "hydra.sweeper.storage=postgresql://u@127.0.0.1:1/db")
    assert (
        outcome.exit_code == 2 and "pip install 'gantrain[postgres]'" in outcome.err and "Traceback" not in outcome.err
    )


# ---- PostgreSQL -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Server]:
    if why := postgres.missing():
        pytest.skip(why)
    server = postgres.Server(PASSWORD)
    yield server
    server.close()


def environment(**more: str) -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith(("PG", storage.ENVIRONMENT))} | more


def begin(folder: Path, name: str, *arguments: str, **variables: str) -> subprocess.Popen:
    """Start a search whose output goes to the file ``name``."""
    command = [sys.executable, "-m", "gantrain", *SEARCH, *arguments]
    with (folder / name).open("w") as out:
        return subprocess.Popen(command, cwd=folder, env=environment(**variables), stdout=out, stderr=out)


def check_that_no_password_was_written(folder: Path) -> None:
    assert not [path for path in run_files(folder) if PASSWORD.encode() in path.read_bytes()]


@pytest.mark.thorough
@pytest.mark.xdist_group("postgres")
def test_processes_take_each_trial_of_a_postgresql_once(server: postgres.Server) -> None:
    check_that_no_trial_is_taken_twice(server.url, 4, 24)


@pytest.mark.thorough
@pytest.mark.xdist_group("postgres")
def test_searches_share_a_postgresql_and_go_on_for_one_that_is_killed(server: postgres.Server, tmp_path: Path) -> None:
    arguments = (f"hydra.sweeper.storage={server.url}", "hydra.sweeper.study=killed", "hydra.sweeper.n_trials=4")
    arguments = (*arguments, "hydra.sweeper.startup_trials=2")
    victim = begin(tmp_path, "victim", *arguments)

    def its_run() -> list[Path]:
        return list(tmp_path.glob("outputs/**/metrics.jsonl"))

    until(lambda: its_run() or victim.poll() is not None, (tmp_path / "victim").read_text)
    victim.send_signal(signal.SIGKILL)
    victim.wait(GUARD)
    others = [begin(tmp_path, f"other{k}", *arguments) for k in range(2)]
    assert [other.wait(GUARD) for other in others] == [0, 0], [(tmp_path / f"other{k}").read_text() for k in range(2)]
    study = optuna.load_study(study_name="killed", storage=storage.opened(server.url))
    states = [trial.state.name for trial in study.trials]
    ended = [trial for trial in study.trials if trial.state.name in ("COMPLETE", "PRUNED")]
    assert len(ended) == 4 and set(states) <= {"COMPLETE", "PRUNED", "FAIL"}, states
    assert len({trial.user_attrs["run"] for trial in ended}) == 4  # a folder each
    assert len({trial.user_attrs["owner"] for trial in ended}) >= 2  # both worked
    check_that_no_password_was_written(tmp_path)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("launcher", "given"),
    [("joblib", "written"), pytest.param("submitit_local", "interpolated", marks=pytest.mark.slow)],
)
@pytest.mark.xdist_group("postgres")
def test_trials_that_are_pruned_find_the_password_and_no_file_has_it(
    server: postgres.Server, tmp_path: Path, launcher: str, given: str
) -> None:
    url = server.url if given == "written" else "${oc.env:DATABASE}"
    arguments = (f"hydra/launcher={launcher}", f"hydra.sweeper.storage={url}", f"hydra.sweeper.study={launcher}")
    process = begin(tmp_path, "out", *arguments, "hydra.sweeper.n_trials=1", DATABASE=server.url)
    assert process.wait(GUARD) == 0, (tmp_path / "out").read_text()
    check_that_no_password_was_written(tmp_path)
    config = next(tmp_path.glob("outputs/ring/**/config.yaml")).read_text()
    assert f"storage: {server.url.replace(PASSWORD, '***')}" in config


@pytest.mark.slow
@pytest.mark.xdist_group("postgres")
def test_a_database_that_dies_costs_a_sentence_and_the_same_command_goes_on(
    server: postgres.Server, tmp_path: Path
) -> None:
    arguments = (f"hydra.sweeper.storage={server.address}", "hydra.sweeper.study=died", "hydra.sweeper.n_trials=2")
    search_of_two = begin(tmp_path, "out", *arguments, PGPASSWORD=PASSWORD)
    until(lambda: list(tmp_path.glob("outputs/**/metrics.jsonl")) or search_of_two.poll() is not None)
    server.stop()
    try:
        assert search_of_two.wait(GUARD) == 1
    finally:
        server.start()
    text = (tmp_path / "out").read_text()
    assert "does not answer any more" in text and "the same command goes on" in text and "Traceback" not in text
    assert "does not answer" in text and "the training goes on and is not pruned now" in text
    again = begin(tmp_path, "again", *arguments, PGPASSWORD=PASSWORD)
    assert again.wait(GUARD) == 0, (tmp_path / "again").read_text()
    assert "2 trials to their end, 0 pruned, 0 failed" in (tmp_path / "again").read_text()
    check_that_no_password_was_written(tmp_path)


@pytest.mark.thorough
@pytest.mark.xdist_group("postgres")
def test_a_wrong_password_is_one_sentence_without_it(
    server: postgres.Server, gantrain: Command, tmp_path: Path
) -> None:
    for url in (server.url.replace(PASSWORD, "another-secret"), server.address.replace("@", ":@")):
        outcome = gantrain(*SEARCH, "hydra.sweeper.n_trials=1", f"hydra.sweeper.storage={url}")
        assert outcome.exit_code == 2 and "password" in outcome.err and outcome.err.count("\n") == 1
        assert "another-secret" not in outcome.out + outcome.err and not run_files(tmp_path)
