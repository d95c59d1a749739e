"""``gantrain-eval``: measure the generators of runs by one protocol or each by its own, or two folders of images."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gantrain.cli import folders, runs
from gantrain.cli.entry import fail, start
from gantrain.errors import ConfigError, GantrainError, first_line
from gantrain.run import files
from gantrain.run.directions import arrow, shown
from gantrain.run.identity import parsed
from gantrain.schema import EvalConfig, EvaluationAlone, EvaluationSettings, as_text, validated
from gantrain.terminal import say, visible, visible_lines

if TYPE_CHECKING:
    import torch

    from gantrain.build import Quality
    from gantrain.trained import Trained

NULLS = {entry.name: None for entry in fields(EvaluationSettings)}
ConfigStore.instance().store(group="as_trained", name="evaluation", package="evaluation", node=NULLS)
OF_THE_CALLER = ("cache", "weights")  # where to read and write on this machine is not for a run's file to say


@hydra.main(version_base="1.3", config_path="pkg://gantrain.configs", config_name="eval")
def job(cfg: DictConfig) -> None:
    """Measure and print."""
    runs.command(cfg, "eval", EvalConfig, evaluate)


def main() -> None:
    """Start the ``gantrain-eval`` command."""
    start(job, "eval")


def evaluate(cfg: DictConfig) -> None:
    """Measure every run; one that cannot be measured does not keep the others from it, but the exit code tells."""
    given, keys = protocol_given(cfg)
    if folders.are_meant(cfg):
        folders.evaluate(cfg, given, keys)
        return
    if cfg.run is None:
        raise ConfigError("run is not set: add run=… to the command, or real=DIR fake=DIR for two folders of images")
    paths = runs.matching(cfg.run)

    from gantrain.build import pick_device  # imports torch, which takes seconds: not before it is needed

    device, rows, code = pick_device(cfg.device), [], 0
    ready: dict[str, Quality] = {}  # measuring objects, by the settings of data and protocol
    for path in paths:
        try:
            row = measured(path, cfg, given, device, ready)
        except (GantrainError, OmegaConfBaseException) as error:
            if len(paths) == 1:
                raise
            exit_code = fail(error)
            code = code or exit_code
            continue
        rows.append(row)
        if cfg.json:
            print(json.dumps(row), flush=True)
    if rows and not cfg.json:
        print(visible_lines(tables(rows)))
    if code:
        raise SystemExit(code)


def of_one(path: Path, cfg: DictConfig) -> dict[str, Any]:
    """Measure one run, and return its values with all they depend on."""
    from gantrain.build import pick_device

    return measured(path, cfg, protocol_given(cfg)[0], pick_device(cfg.device), {})


def protocol_given(cfg: DictConfig) -> tuple[dict[str, Any], set[str]]:
    """Return the settings of the protocol that the caller has chosen, and which of them stand on the command line.

    Raises:
        ConfigError: if they measure nothing.
    """
    chosen = HydraConfig.get().runtime.choices.get("evaluation") is not None
    own_line = parsed(HydraConfig.get().overrides.task)
    keys = {o.key_or_group.removeprefix("evaluation.") for o in own_line if o.key_or_group.startswith("evaluation.")}
    if chosen and not cfg.evaluation.metrics:
        raise ConfigError("evaluation=none measures nothing; choose another")
    settings = OmegaConf.to_container(cfg.evaluation, resolve=True)
    assert isinstance(settings, dict)
    return {str(key): value for key, value in settings.items() if chosen or key in keys or key in OF_THE_CALLER}, keys


def measured(
    path: Path, cfg: DictConfig, given: dict[str, Any], device: torch.device, ready: dict[str, Quality]
) -> dict[str, Any]:
    """Return a run's values with all they depend on, and add them to its ``evaluations.jsonl``."""
    from gantrain.inputs import asked_of
    from gantrain.sampling import samples_of, truncating
    from gantrain.trained import Trained

    trained = Trained.open(path, cfg.step, tuple(cfg.trusted_modules), cfg.data.root)
    trained.cfg.evaluation = protocol(trained, given)
    quality = measuring(trained, device, ready)
    found = quality.protocol
    net = trained.generator(found.generator, device)
    source, bound = truncating(net, found.truncation)
    drawn = trained.inputs.fixed(found.n_fake, found.seed, bound)
    result = quality.measure(samples_of(source, *drawn, device), asked=asked_of(net, drawn))
    row: dict[str, Any] = {"run": str(path), "step": trained.step, **result.values}
    row |= {"n_fake": found.n_fake, "n_real": found.n_real, "features": found.features, "protocol": found.hash}
    row |= {"data": quality.data.fingerprint(), "described": str(found), "better": quality.gives}
    record(path, row | {"settings": asdict(found)})
    return row


def measuring(trained: Trained, device: torch.device, ready: dict[str, Quality]) -> Quality:
    """Return the object that measures a run; runs of the same data and protocol share it."""
    from gantrain.build import build_quality

    key = json.dumps([OmegaConf.to_container(trained.cfg[name]) for name in ("data", "evaluation")], sort_keys=True)
    if key not in ready:
        quality = build_quality(trained.cfg, trained.data(), device)
        assert quality is not None  # there are metrics, and nothing is left out here
        ready[key] = quality
    return ready[key]


def protocol(trained: Trained, given: dict[str, Any]) -> DictConfig:
    """Return the settings of the run's own protocol with those given laid over them.

    Raises:
        ConfigError: for a value of the wrong type or range, or if there is no protocol.
    """
    own = trained.settings.get("evaluation")
    laid = as_text({**(own if isinstance(own, dict) else {}), **given, "best": None, "every": 1})
    if not laid.get("metrics"):
        raise ConfigError(f"{trained.run.path} was trained without evaluation; choose one: evaluation=classifier")
    checked: DictConfig = validated(OmegaConf.create({"evaluation": laid}), EvaluationAlone).evaluation
    return checked


def record(path: Path, row: dict[str, Any]) -> None:
    """Add a line to the run's ``evaluations.jsonl``; a folder that cannot be written costs a warning."""
    try:
        lines = files.Lines(path / "evaluations.jsonl")
        lines.append(json.dumps(row))
        lines.close()
    except OSError as error:
        say(f"{path / 'evaluations.jsonl'} cannot be written ({first_line(error)})")


def tables(rows: list[dict[str, Any]]) -> str:
    """Return a table for each protocol and data set: numbers of two are never side by side."""
    kinds: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        kinds.setdefault((row["described"], row["data"]), []).append(row)
    parts = []
    for (described, data), same in kinds.items():
        better = {name: direction for row in reversed(same) for name, direction in row["better"].items()}
        names = [name for name in shown(better) if any(name in row for row in same)]
        head = ["run", "step", *(arrow(better, name) for name in names)]
        cells = [head] + [
            [visible(row["run"]), f"{row['step']:,}", *(f"{row[n]:.4g}" if n in row else "" for n in names)]
            for row in same
        ]
        widths = [max(len(row[k]) for row in cells) for k in range(len(head))]
        lines = ["  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in cells]
        parts.append("\n".join([visible(described), f"data {visible(data)}", *lines]))
    return "\n\n".join(parts)
