"""How every command starts and ends: one line for a user's mistake, its own exit code, a traceback only for a bug."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from hydra import initialize_config_module
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from gantrain.cli import arguments, own_files
from gantrain.cli.overrides import explained
from gantrain.errors import (
    ConfigError,
    DiskError,
    ElsewhereError,
    GantrainError,
    Reported,
    StoppedError,
    first_line,
    of_a_path,
)
from gantrain.run import files
from gantrain.run.signals import StopSignal
from gantrain.schema import one_line
from gantrain.sweeps import follow, storage
from gantrain.terminal import folded, named, unbreakable, visible, visible_lines
from gantrain.version import versions

EXTRAS = {"hydra_joblib_launcher": "sweep", "hydra_submitit_launcher": "slurm", "hydra_ray_launcher": "ray"}
LAUNCHERS = ("joblib", "ray", "submitit")
SCRATCH = "gantrain-sweep"
"""What the folder that a sweep lends to Hydra is called in the folder for temporary files."""

STARTED = False
"""Whether a command was started in this process: in the workers of a launcher none was."""


def fail(error: Exception) -> int:
    """Print an error, the traceback too if it is not one the user can act on, and return the exit code."""
    if isinstance(error, OmegaConfBaseException):
        error = ConfigError(one_line(error))
    error = of_a_path(error) or error
    if isinstance(error, ElsewhereError):
        return error.exit_code  # another process has said it
    if isinstance(error, GantrainError):
        print(folded(f"gantrain: error: {named(visible(error))}", sys.stderr), file=sys.stderr)
        return error.exit_code
    print(visible_lines("".join(traceback.format_exception(error)).rstrip()), file=sys.stderr)
    message = f"gantrain: internal error: {named(visible(f'{type(error).__name__}: {error}'))}"
    print(folded(message, sys.stderr), file=sys.stderr)
    return 1


def reported(job: Callable[[], object]) -> None:
    """Run a command's job; print its error, and exit with its code."""
    try:
        job()
    except Exception as error:
        raise SystemExit(fail(error)) from None


class SweepSignal(StopSignal):
    """Hands a signal on to the processes that do a sweep's jobs; without any it ends this one, as before a run."""

    def _set(self, number: int, frame: FrameType | None) -> None:
        jobs = children()
        if self or not jobs:
            super()._set(number, frame)
        self.name = StopSignal.received = signal.Signals(number).name
        with suppress(OSError):
            os.write(2, f"\n{self.name}: stopping {len(jobs)} processes; Ctrl-C again leaves at once\n".encode())
        for process in jobs:
            with suppress(OSError):
                os.kill(process, signal.SIGTERM)  # a second SIGINT would make them leave without saving


def children() -> list[int]:
    """Return the processes that this one has begun, as far as the system tells."""
    try:
        return [int(number) for number in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    except OSError:
        return []


def start(command: Callable[[], None], config_name: str) -> None:
    """Run a hydra.main command and leave with the right exit code.

    Hydra would print its own composition errors over several lines and exit with 1, so it is asked to raise them.
    """
    global STARTED
    STARTED, StopSignal.received = True, None
    os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.argv[1:] = storage.without_passwords(sys.argv[1:])
    if any(a.startswith("hydra/sweeper=") for a in sys.argv[1:]):  # an editable install hides it from Hydra's own look
        from hydra_plugins.gantrain_search import SearchSweeper

        Plugins.instance().register(SearchSweeper)
    store = ConfigStore.instance()
    store.__deepcopy__ = lambda memo: store  # type: ignore[attr-defined]  # --help copies it for each group it lists
    helps = any(a in ("-h", "--help", "--hydra-help") for a in sys.argv[1:])
    listener = SweepSignal() if arguments.is_sweep(sys.argv[1:]) else StopSignal()
    with unbreakable(helps), no_code_from_here(), scratch_folder() as scratch:
        try:
            if arguments.asks_for(sys.argv[1:], "--version"):
                print(versions())
                return
            check_folder()
            arguments.prepare(config_name, scratch)
            own_files.prepare()
            with listener.listening(), follow.until_the_end():  # before the first job and between jobs
                command()
        except Reported as done:
            sys.exit(StoppedError.exit_code if StopSignal.received else done.exit_code)
        except GantrainError as error:
            sys.exit(fail(error))
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] != "optuna":
                raise
            sys.exit(fail(ConfigError("a search needs Optuna: pip install 'gantrain[optuna]'")))
        except (*own_files.UNREADABLE, HydraException, OmegaConfBaseException) as error:
            if said := of_a_path(error):
                sys.exit(fail(said))
            if wrong := own_files.wrong(sys.argv[1:]):
                sys.exit(fail(ConfigError(wrong)))
            if not isinstance(error, HydraException | OmegaConfBaseException):
                raise
            with own_files.named(sys.argv[1:]), initialize_config_module("gantrain.configs", version_base="1.3"):
                sys.exit(fail(ConfigError(explained(error, sys.argv[1:], config_name))))
        except Exception as error:
            if StopSignal.received:  # the launcher's own error about jobs that were stopped
                sys.exit(StoppedError.exit_code)
            if match := re.match(r"Unknown plugin class : 'hydra_plugins\.(\w+)", str(error)):
                extra = EXTRAS.get(match[1], match[1])
                sys.exit(fail(ConfigError(f"{match[1]} is not installed; pip install 'gantrain[{extra}]'")))
            if origin(error) not in LAUNCHERS:
                raise
            message = (
                f"the launcher failed or lost a job ({first_line(error)}); the same command goes on with what is left"
            )
            sys.exit(fail(GantrainError(message)))


@contextmanager
def no_code_from_here() -> Iterator[None]:
    """Keep code that lies in the current folder out of the processes that this one starts inside the block.

    ``python -m`` and ``python -c``, by which launchers and torch start processes, would look for every module there
    first. A module of the user's own is found there if ``trusted_modules`` names it, see ``gantrain.build.trust``.
    """
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before


def check_folder() -> None:
    """Raise ConfigError if there is no current folder any more."""
    try:
        Path.cwd()
    except OSError as error:
        raise ConfigError(f"the current folder is gone ({error.strerror}); change to another, as with cd ~") from error


@contextmanager
def scratch_folder() -> Iterator[str]:
    """Give a sweep an empty folder, which is removed also if a signal ends the process; "" to a single run.

    Hydra makes the folder of a sweep before any check of ours. What sweeps that were killed left is removed first.
    """
    if not arguments.is_sweep(sys.argv[1:]):
        yield ""
        return
    place = Path(tempfile.gettempdir(), SCRATCH)
    with suppress(OSError):  # another user's, or another process removes it at this moment
        files.clear_debris(place.parent, place.name)
    folder, mine = place.with_name(files.temporary_name(place)), os.getpid()
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise SystemExit(
            fail(DiskError(f"{folder} cannot be made ({error.strerror}); set TMPDIR to a folder with room"))
        ) from None
    StopSignal.at_exit.append(lambda: shutil.rmtree(folder) if os.getpid() == mine else None)
    try:
        yield str(folder)
    finally:
        StopSignal.at_exit.pop()
        shutil.rmtree(folder, ignore_errors=True)


def origin(error: Exception) -> str:
    """Return the package in whose code an error was raised."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__", "")).split(".")[0]
