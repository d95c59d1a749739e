"""``gantrain-data``: look at a data set before anyone trains on it; nothing is written but what is asked for."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from gantrain.cli import runs
from gantrain.cli.entry import reported, start
from gantrain.cli.overrides import check_kinds
from gantrain.cli.own_files import check_own_files
from gantrain.errors import DiskError, first_line, memory_errors
from gantrain.run import files
from gantrain.run.signals import StopSignal
from gantrain.schema import InspectConfig, validated
from gantrain.terminal import check_delivered

if TYPE_CHECKING:
    from gantrain.inspection import Facts

OWN = ("json", "out")
"""Settings of this command that a training does not take."""


@hydra.main(version_base="1.3", config_path="pkg://gantrain.configs", config_name="inspect")
def job(cfg: DictConfig) -> None:
    """Check the settings, look and print; a signal ends it at once."""

    def checked() -> None:
        check_own_files()
        lines = check_kinds(list(HydraConfig.get().overrides.task), cfg, "inspect", InspectConfig)
        typed = validated(cfg, InspectConfig)
        with memory_errors("A smaller data.limit or data.size needs less"):
            show(typed, lines)
        check_delivered(sys.stdout)

    with StopSignal("it was done").listening():
        reported(checked)


def main() -> None:
    """Start the ``gantrain-data`` command."""
    start(job, "inspect")


def show(cfg: DictConfig, lines: list[str]) -> None:
    """Look at the data set, write the picture if one is asked for, and print what was found."""
    out = None if cfg.out is None else runs.new_file(cfg.out, ".png")

    facts = look(cfg)  # imports torch, which takes seconds: not before it is needed
    found: dict[str, Any] = (
        {"data": HydraConfig.get().runtime.choices["data"]} | facts.found | {"out": None if out is None else str(out)}
    )
    found["command"] = command(lines, found["suggestions"])
    if out is not None:
        from gantrain.inspection import picture

        try:
            files.make_folder(out.parent)
            files.clear_debris(out.parent, out.name)
            runs.new_file(cfg.out, ".png")  # it may have come meanwhile
            picture.draw(facts, out)
        except OSError as error:
            raise DiskError(f"{out} cannot be written ({first_line(error)}); choose another out=") from error
    if cfg.json:
        print(json.dumps(found))
        return
    from gantrain.inspection import text

    print(text.lines(found))


def look(cfg: DictConfig) -> Facts:
    """Return what there is to say about the data set, its files looked at one by one if it reads files."""
    from gantrain.build import build_data, build_survey
    from gantrain.inspection import inspect_data, inspect_files

    survey = build_survey(cfg)
    if survey is None:
        return inspect_data(build_data(cfg), cfg.batch_size)
    return inspect_files(survey, cfg.batch_size)


def command(lines: list[str], suggestions: dict[str, Any]) -> list[str]:
    """Return the words of the command that trains on these data with the settings that are suggested."""
    kept = [line for line in lines if line.split("=")[0].lstrip("+") not in (*OWN, *suggestions)]
    return ["gantrain", *kept, *(f"{key}={value}" for key, value in suggestions.items())]
