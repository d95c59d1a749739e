"""The database of a search: opened with a password that is written nowhere, and signs of life of the trials in it.

Wherever a URL is kept or passed on, its password is ``***``. This process remembers the whole URL. A trial in another
process finds it in the environment, or lets the database's own client find the password (``~/.pgpass``).
"""

from __future__ import annotations

import importlib.util
import os
import re
import threading
import time
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from gantrain.errors import HIDDEN, ConfigError, first_line, masked

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial, Trial

ENVIRONMENT = "GANTRAIN_STORAGE"
"""The variable in which a trial's process finds the whole URL."""
SETTINGS = ("hydra.sweeper.storage", "search.storage")
LOGGERS = "logger."
"""Settings of loggers may hold the URL of a server."""
TRIES = 20
MADE_MEANWHILE = ("already exists", "unique constraint", "duplicate")
"""What databases say of a table or row that another process has made in the same moment."""
WITH_PASSWORD = re.compile(r"^([^:]*://[^:/@]*:).*@", re.DOTALL)
"""The beginning of a URL; where nothing else stands around it, a password may hold spaces and quotes."""
BEATING = "beats"
"""The attribute of a trial whose search gives signs of life."""

_whole: dict[str, str] = {}


def hidden(url: str) -> str:
    """Return a URL with ``***`` for its password, and remember the whole in this process."""
    shown = masked(WITH_PASSWORD.sub(rf"\1{HIDDEN}@", url))
    if shown != url:
        _whole[shown] = url
    return shown


def without_passwords(arguments: list[str]) -> list[str]:
    """Return a command line in which no database's or logger's URL has its password; all that is kept comes from it."""
    found = []
    for argument in arguments:
        key, equals, value = argument.lstrip("+").partition("=")
        if equals and (key in SETTINGS or key.startswith(LOGGERS)):
            quote = value[:1] if value[:1] in ("'", '"') and value[-1:] == value[:1] else ""
            shown = hidden(value.strip(quote) if quote else value)
            argument = f"{argument[: len(argument) - len(value)]}{quote}{shown}{quote}"
        found.append(argument)
    return found


def whole(shown: str) -> str:
    """Return the URL that one without its password stands for; if nobody knows the password, the client looks for it.

    PostgreSQL's client looks into ``PGPASSWORD`` and ``~/.pgpass``.
    """
    if shown in _whole:
        return _whole[shown]
    lent = os.environ.get(ENVIRONMENT, "")
    if lent and hidden(lent) == shown:
        return lent
    return anonymous(shown)


def anonymous(shown: str) -> str:
    """Return a URL without the place of its password."""
    return re.sub(rf"(?<=[?&])\w+={re.escape(HIDDEN)}&?", "", shown.replace(f":{HIDDEN}@", "@")).rstrip("?&")


@contextmanager
def lent(shown: str, launcher: str) -> Iterator[None]:
    """Let the processes that a launcher starts inside the block know the password, unless the launcher would store it.

    Slurm keeps the environment of every job on its controller's disk.
    """
    before = os.environ.get(ENVIRONMENT)
    if shown in _whole and not launcher.endswith("SlurmLauncher"):
        os.environ[ENVIRONMENT] = _whole[shown]
    try:
        yield
    finally:
        os.environ.pop(ENVIRONMENT, None)
        if before is not None:
            os.environ[ENVIRONMENT] = before


def opened(shown: str, lost_after: int | None = None) -> RDBStorage:
    """Open a database.

    Args:
        shown: its URL, which may have ``***`` for the password.
        lost_after: seconds without a sign of life after which a trial is lost; None where that is not asked.

    Raises:
        ConfigError: if it cannot be opened.
    """
    import optuna

    # Optuna would say at every trial that its signs of life are meant for its own loop.
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    warnings.filterwarnings("ignore", message="Heartbeat of storage is supposed to be used")
    url = with_driver(whole(shown))
    engine: dict[str, Any] = {"pool_pre_ping": True}  # a server that was restarted is connected to again
    if url.startswith("sqlite"):
        engine["connect_args"] = {"timeout": 60}  # seconds to wait while another process writes
    for left in reversed(range(TRIES)):
        try:
            storage = optuna.storages.RDBStorage(
                url,
                engine_kwargs=engine,
                heartbeat_interval=None if lost_after is None else max(lost_after // 4, 1),
                grace_period=lost_after,
            )
        except Exception as error:  # of whatever database that is
            if left and any(word in str(reason(error)).lower() for word in MADE_MEANWHILE):
                time.sleep(0.1)
                continue
            raise ConfigError(unusable(shown, error)) from None  # whose text may hold the password
        return storage
    raise AssertionError


def with_driver(url: str) -> str:
    """Return a URL that names psycopg where that is the driver there is, whatever SQLAlchemy would take by itself."""
    scheme, colon, rest = url.partition("://")
    if scheme in ("postgres", "postgresql"):
        newer = importlib.util.find_spec("psycopg") is not None
        scheme = "postgresql+psycopg" if newer else "postgresql+psycopg2"
    return scheme + colon + rest


def unusable(shown: str, error: BaseException) -> str:
    """Return why a database cannot be used, and what to do, in one sentence without a password."""
    cause = error.__cause__ if isinstance(error.__cause__, ImportError) else None
    if cause is not None:
        remedy = "pip install 'gantrain[postgres]'" if shown.startswith("postgres") else "install it"
        return f"hydra.sweeper.storage={shown} needs the Python module {cause.name}; {remedy}"
    remedy = ""
    if HIDDEN in shown and whole(shown) == anonymous(shown):
        remedy = f"; here nobody knows its password: put it into ~/.pgpass, or the whole URL into {ENVIRONMENT}"
    return f"hydra.sweeper.storage={shown} cannot be used: {first_line(reason(error))}{remedy}"


def reason(error: BaseException) -> BaseException:
    """Return the error of the database behind those of the packages that pass it on."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def troubles() -> tuple[type[Exception], ...]:
    """Return the errors of a database that was opened and no longer answers."""
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    return (optuna.exceptions.StorageInternalError, SQLAlchemyError)


def settled() -> tuple[type[Exception], ...]:
    """Return the errors of a trial that somebody else has settled."""
    import optuna

    return (optuna.exceptions.UpdateFinishedTrialError, ValueError)  # the second is what Study.tell raises


def begin_to_beat(study: Study, trial: Trial | FrozenTrial) -> None:
    """Record a first sign of life of a trial; from then on it is lost if no further one comes."""
    study._storage.record_heartbeat(trial._trial_id)  # type: ignore[attr-defined]
    study._storage.set_trial_user_attr(trial._trial_id, BEATING, True)


def lost(study: Study) -> set[int]:
    """Return the numbers of the trials of which no sign of life has come for too long."""
    ids = study._storage._get_stale_trial_ids(study._study_id)  # type: ignore[attr-defined]
    return {study._storage.get_trial(id_).number for id_ in ids}


@contextmanager
def beating(study: Study, trials: Collection[Trial]) -> Iterator[None]:
    """Record signs of life of the trials inside the block; one that the database does not take is left out."""
    done = threading.Event()
    every = study._storage.get_heartbeat_interval()  # type: ignore[attr-defined]

    def beat() -> None:
        while not done.wait(every):
            for trial in list(trials):
                with suppress(*troubles()):
                    study._storage.record_heartbeat(trial._trial_id)  # type: ignore[attr-defined]

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
