"""``gantrain-export``: a run's generator by itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import hydra
from omegaconf import DictConfig

from gantrain.cli import card, runs
from gantrain.cli.entry import start
from gantrain.errors import RecordError
from gantrain.run import files, read
from gantrain.schema import ExportConfig
from gantrain.terminal import folded, say

if TYPE_CHECKING:
    from gantrain.trained import Trained


@hydra.main(version_base="1.3", config_path="pkg://gantrain.configs", config_name="export")
def job(cfg: DictConfig) -> None:
    """Write and say where."""
    runs.command(cfg, "export", ExportConfig, export)


def main() -> None:
    """Start the ``gantrain-export`` command."""
    start(job, "export")


def export(cfg: DictConfig) -> None:
    """Write the generator's weights, config and card, with the values that its run measured at that step."""
    card.check_license(cfg.license)
    path = runs.the_one(cfg.run)

    from gantrain import export  # imports torch, which takes seconds: not before it is needed
    from gantrain.trained import Trained

    trained = Trained.open(path, cfg.step, tuple(cfg.trusted_modules))
    facts = {"run": str(path), "data": trained.manifest.get("data"), "seed": trained.settings.get("seed")}
    facts |= {"evaluation": (measured := numbers(trained, cfg.generator)), "license": cfg.license}
    with runs.made_whole(cfg.out, path / "export", path) as (folder, place):
        export.export(trained, cfg.generator, folder, facts)
        if cfg.onnx:
            export.to_onnx(trained, cfg.generator, folder / "generator.onnx")
        files.write_durably(folder / card.NAME, card.card(trained, cfg.generator, cfg.license, measured))
        names = sorted(entry.name for entry in folder.iterdir())
    print(folded(f"{place}: {', '.join(names)} (step {trained.step:,})"))
    as_python = json.dumps(str(place), ensure_ascii=False)  # a folder's name must not end the text and go on as code
    print(folded(f"Python        import gantrain; samples = gantrain.load({as_python}).sample(64, seed=0)"))


def numbers(trained: Trained, which: str) -> dict[str, Any]:
    """Return the values that the run measured for these weights at this step, with their protocol; {} if none."""
    summary = read.evaluation(trained.run.path)
    if summary.damaged:
        say(f"{summary.damaged}; the values in it are left out")
    if summary.protocol.get("generator") != which:
        return {}
    try:
        found = read.history(trained.run.path, summary.tag).get(trained.step)
    except RecordError as error:
        say(f"{error}; the values in it are left out")
        return {}
    return {} if found is None else {"protocol": summary.protocol, "values": found}
