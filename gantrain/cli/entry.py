"""How every command starts and ends: one line for a user's mistake, its own exit code, a traceback only for a bug."""

from __future__ import annotations

import difflib
import os
import re
import sys
import traceback
from collections.abc import Callable

from hydra.errors import HydraException, MissingConfigException
from omegaconf.errors import OmegaConfBaseException

from gantrain.cli import overrides
from gantrain.errors import ConfigError, GantrainError


class Reported(Exception):  # noqa: N818  (no error of its own: what failed has been printed already)
    """Ends a job after its error has been printed; in a sweep the other jobs go on."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"exit code {exit_code}")
        self.exit_code = exit_code


def fail(error: Exception) -> int:
    """Print an error, the traceback too if it is not one the user can act on, and return the exit code."""
    if isinstance(error, GantrainError):
        print(f"gantrain: error: {error}", file=sys.stderr)
        return error.exit_code
    traceback.print_exception(error)
    print(f"gantrain: internal error: {type(error).__name__}: {error}", file=sys.stderr)
    return 1


def start(command: Callable[[], None], config_name: str) -> None:
    """Run a hydra.main command and leave with the right exit code.

    Hydra would print its own composition errors over several lines and exit with 1, so it is asked to raise them.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.path.insert(0, os.getcwd())  # so that _target_ may name a module of the user's own, beside the command
    try:
        command()
    except Reported as done:
        sys.exit(done.exit_code)
    except (HydraException, OmegaConfBaseException) as error:
        sys.exit(fail(ConfigError(explain(error, sys.argv[1:], config_name))))
    except KeyboardInterrupt:
        print("gantrain: interrupted", file=sys.stderr)
        sys.exit(130)


def explain(error: Exception, arguments: list[str], config_name: str) -> str:
    """Return hydra's complaint about the command line in one sentence, with what was probably meant."""
    reasons = [line for e in (error, error.__cause__) if e is not None for line in str(e).splitlines() if line]
    reason = reasons[0] if reasons else type(error).__name__
    if isinstance(error, MissingConfigException) and (match := re.match(r"Could not find '(.+)/(.+)'", reason)):
        return unknown_option(*match.groups())
    if match := re.match(r"In '.*': Could not find '(.+)/(.+)'", reason):
        return unknown_option(*match.groups())
    if match := re.match(r"Could not override '([^']+)'", reason):
        return f"{match[1]} is not a setting{nearest(match[1], arguments, config_name)}"
    if match := re.match(r"Error merging override (.+)", reason):
        return f"{match[1]}: {reasons[1]}" if len(reasons) > 1 else reason
    return " ".join(reasons[:2])


def unknown_option(group: str, option: str) -> str:
    """Return the sentence for a group option that does not exist."""
    with_loader = hydra_loader(group)
    near = difflib.get_close_matches(option, with_loader, n=1)
    hint = f"; did you mean {group}={near[0]}?" if near else ""
    return f"{group}={option} does not exist{hint} There is: {', '.join(with_loader)}".replace("exist There", "exist. There")


def hydra_loader(group: str) -> list[str]:
    """Return the options of a group, after hydra has gone."""
    from hydra import initialize_config_module

    with initialize_config_module("gantrain.configs", version_base="1.3"):
        return overrides.options(group)


def nearest(key: str, arguments: list[str], config_name: str) -> str:
    """Return the suggestion for an unknown key, after hydra has gone."""
    from hydra import initialize_config_module

    with initialize_config_module("gantrain.configs", version_base="1.3"):
        return overrides.nearest(key, arguments, config_name)
