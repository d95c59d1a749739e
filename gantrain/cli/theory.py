"""``gantrain-theory``: D alone between two known distributions, drawn beside the optimal D of theory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from gantrain import terminal
from gantrain.cli import entry, summary
from gantrain.cli.entry import reported, start
from gantrain.cli.overrides import check_kinds
from gantrain.cli.own_files import check_own_files
from gantrain.errors import WITHOUT_IT, record_errors
from gantrain.run.directory import RunDirectory
from gantrain.run.identity import check_same_run, run_directory
from gantrain.run.signals import StopSignal
from gantrain.schema import TheoryConfig, validated
from gantrain.terminal import folded

if TYPE_CHECKING:
    from gantrain.theory.study import Study


@hydra.main(version_base="1.3", config_path="pkg://gantrain.configs", config_name="theory")
def job(cfg: DictConfig) -> None:
    """Run one study and report its error here, so that in a sweep it stands beside its job."""
    with terminal.job("", shared=not entry.STARTED):
        reported(lambda: run_one(cfg))


def main() -> None:
    """Start the ``gantrain-theory`` command."""
    start(job, "theory")


@record_errors(WITHOUT_IT)
def run_one(cfg: DictConfig) -> None:
    """Check and build everything, then make the directory, train D and draw."""
    check_own_files()
    overrides = check_kinds(list(HydraConfig.get().overrides.task), cfg, "theory", TheoryConfig)
    cfg = validated(cfg, TheoryConfig)
    path = run_directory(cfg, overrides, ("data", "generated", "loss"))
    cfg.run.dir = str(path)
    if summary.in_sweep():
        terminal.call_job(summary.short(path, cfg.run.root))
    run = RunDirectory(path)
    run.refuse_strange()
    check_same_run(cfg, run)
    if run.status().get("state") == "finished":
        print(folded(f"{path} is finished; remove it to study again\n{summary.where(path, cfg.run.root, 'theory')}"))
        return

    from gantrain.build import build_study  # imports torch, which takes seconds: not before it is needed
    from gantrain.loggers import TensorBoard, guarded
    from gantrain.run.records import Records
    from gantrain.theory.draw import picture

    study = build_study(cfg)
    stop, boards = StopSignal(), guarded({"tensorboard": TensorBoard()}, run)
    with run.open():
        run.write_config(OmegaConf.to_yaml(cfg, resolve=True))
        with stop.listening(), run.recording(lambda: facts(study)), Records(run, 0, outlets=boards) as records:
            stop.patient = True
            study.train(records, stop.__bool__)
            records.image("theory", study.step, picture(study), "theory.png")
            records.text("theory", study.step, table(study))
    print(folded(table(study)))
    print(folded(summary.where(path, cfg.run.root, "theory")))


def facts(study: Study) -> dict[str, Any]:
    """Return what status.json records of a study."""
    return {"step": study.step, "truths": study.recorded_truths()}


def table(study: Study) -> str:
    """Return the estimates beside the truths, a line each."""
    from gantrain.theory.study import shown

    rows = [f"p             {study.real}", f"q             {study.generated}"]
    for name, value in study.averaged_estimates().items():
        truth = study.truth_of(name)
        rows.append(f"estimate      {name} {value:.4g}" + ("" if truth is None else f", truth {shown(truth)}"))
    rows += [f"truth         {name} {shown(value)}" for name, value in sorted(study.truths.items())]
    return "\n".join(rows)
