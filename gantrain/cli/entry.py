"""How every command starts and ends: one line for a user's mistake, its own exit code, a traceback only for a bug."""

from __future__ import annotations

import difflib
import os
import re
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import FrameType

from hydra import initialize_config_module
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.errors import HydraException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from gantrain.cli import overrides
from gantrain.errors import ConfigError, GantrainError, Reported, StoppedError, first_line
from gantrain.run import identity
from gantrain.run.signals import StopSignal
from gantrain.schema import one_line
from gantrain.sweep import follow
from gantrain.terminal import folded, named, unbreakable

GROUPS = (*identity.GROUPS, "generated", "experiment")
EXTRAS = {"hydra_joblib_launcher": "sweep", "hydra_submitit_launcher": "slurm", "hydra_ray_launcher": "ray"}
LAUNCHERS = ("joblib", "ray", "submitit")
NO_OPTION = re.compile(r"null|[\d.]*|[\[{].*")  # values for which Hydra would print a traceback


STARTED = False
"""Whether a command was started in this process: in the workers of a launcher none was."""


def fail(error: Exception) -> int:
    """Print an error, the traceback too if it is not one the user can act on, and return the exit code."""
    if isinstance(error, OmegaConfBaseException):
        error = ConfigError(one_line(error))
    if isinstance(error, GantrainError):
        print(folded(f"gantrain: error: {named(str(error))}", sys.stderr), file=sys.stderr)
        return error.exit_code
    traceback.print_exception(error)
    message = f"gantrain: internal error: {named(f'{type(error).__name__}: {error}')}"
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
    if any(a.startswith("hydra/sweeper=") for a in sys.argv[1:]):  # an editable install hides it from Hydra's own look
        from hydra_plugins.gantrain_search import SearchSweeper

        Plugins.instance().register(SearchSweeper)
    store = ConfigStore.instance()
    store.__deepcopy__ = lambda memo: store  # type: ignore[attr-defined]  # --help copies it for each group it lists
    sys.path.append(str(Path.cwd()))  # so that _target_ may name a module of the user's own, beside the command
    helps = any(a in ("-h", "--help", "--hydra-help") for a in sys.argv[1:])
    listener = SweepSignal() if is_sweep(sys.argv[1:]) else StopSignal()
    with tempfile.TemporaryDirectory(prefix="gantrain-") as scratch, unbreakable(helps):
        try:
            sys.argv[1:] = prepared(sys.argv[1:], scratch)
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
        except (HydraException, OmegaConfBaseException) as error:
            with initialize_config_module("gantrain.configs", version_base="1.3"):
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


def origin(error: Exception) -> str:
    """Return the package in whose code an error was raised."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__", "")).split(".")[0]


def is_sweep(arguments: Iterable[str]) -> bool:
    """Tell whether a command line asks for many jobs."""
    options = ("-m", *("--multirun"[:k] for k in range(4, 11)))  # argparse takes any beginning of a name
    return any(a in options or a.startswith("hydra.mode=") for a in arguments)


def prepared(arguments: list[str], scratch: str) -> list[str]:
    """Return the arguments for hydra, so that it writes only into ``scratch`` and meets no group without an option.

    Hydra makes its run and sweep directories before any check of ours; so ``hydra.run.dir`` and ``hydra.sweep.dir`` are
    passed on as ``run.dir`` and ``run.root``, and hydra gets an empty folder of its own.

    Raises:
        ConfigError: for a group that is given something else than the name of an option.
    """
    ours = {"hydra.run.dir": "run.dir", "hydra.sweep.dir": "run.root"}
    result = []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        group = key.lstrip("+~")
        if group == "regularizer" and re.fullmatch(r"null|[\d.]*", value):
            raise ConfigError(
                f"{argument}: regularizer takes a list of options, as regularizer=[r1,lecam]; [] for none"
            )
        if group in GROUPS and (not equals or key.startswith("~") or NO_OPTION.fullmatch(value)):
            if group == "experiment":
                continue  # none is chosen by default
            raise ConfigError(f"{argument}: {group} takes the name of one option, as --help lists them")
        result.append(f"{ours[key]}={value}" if key in ours else argument)
    alone = [a for a in arguments if a.startswith(("hydra/sweeper=", "hydra/launcher="))]
    if alone and not is_sweep(arguments):
        raise ConfigError(f"{alone[0]} is for many jobs; add -m")
    if is_sweep(arguments):  # beside the other overrides: argparse takes them in one row only
        first = next((k for k, a in enumerate(result) if "=" in a and not a.startswith("-")), len(result))
        result.insert(first, f"hydra.sweep.dir={scratch}")
    return result


def explained(error: Exception, arguments: list[str], config_name: str) -> str:
    """Return hydra's complaint about the command line in one sentence, with a suggestion if there is a likely one."""
    lines = [line for e in (error, error.__cause__) if e is not None for line in str(e).splitlines() if line]
    first = lines[0] if lines else type(error).__name__
    if match := re.search(r"Could not find '(.+)/(.+)'", first):
        group, option = match.groups()
        known = overrides.options(group)
        near = difflib.get_close_matches(option, known, n=3)
        near.sort(key=lambda name: sorted(name) != sorted(option))  # two letters swapped before one replaced
        hint = f"did you mean {group}={near[0]}? " if near else ""
        return f"{group}={option} does not exist; {hint}There is {', '.join(known)}"
    if match := re.match(r"Could not override '([^'@]+)", first):
        return f"{match[1]} is not a setting; {overrides.suggestion(match[1], arguments, config_name)}"
    if isinstance(error, OverrideParseException):
        key, _, value = error.override.partition("=")
        quoted = f"quote the value: '{key}=\"{value}\"'" if value else "write key=value"
        return f"{error.override} cannot be read; {quoted}"
    if match := re.match(r"Error merging override (.+)", first):
        return f"{match[1]}: {lines[1]}" if len(lines) > 1 else first
    return first if len(lines) < 2 else f"{first} ({lines[1]})"
