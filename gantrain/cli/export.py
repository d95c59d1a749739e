"""``gantrain-export``: a run's generator by itself."""

from __future__ import annotations

import hydra
from omegaconf import DictConfig

from gantrain.cli import runs
from gantrain.cli.entry import start
from gantrain.schema import ExportConfig


@hydra.main(version_base="1.3", config_path="pkg://gantrain.configs", config_name="export")
def job(cfg: DictConfig) -> None:
    """Write and say where."""
    runs.command(cfg, "export", ExportConfig, export)


def main() -> None:
    """Start the ``gantrain-export`` command."""
    start(job, "export")


def export(cfg: DictConfig) -> None:
    """Write the generator's weights and config, with what its run's evaluation found at that step."""
    path = runs.the_one(cfg.run)

    from gantrain import exported  # imports torch, which takes seconds: not before it is needed
    from gantrain.evaluation import recorded
    from gantrain.trained import Trained

    trained = Trained.open(path, cfg.step, tuple(cfg.trusted_modules))
    facts = {"run": str(path), "data": trained.manifest.get("data"), "seed": trained.cfg.get("seed")}
    facts |= {"evaluation": recorded(trained.run, "eval", trained.step).get(trained.step, {})}
    with runs.made_whole(cfg.out, path / "export") as folder:
        exported.export(trained, cfg.generator, folder, facts)
        if cfg.onnx:
            exported.to_onnx(trained, cfg.generator, folder / "generator.onnx")
        names = sorted(entry.name for entry in folder.iterdir())
    target = cfg.out or path / "export"
    print(f"{target}: {', '.join(names)} (step {trained.step:,})")
    print(f'Python        import gantrain; images = gantrain.load("{target}").sample(64, seed=0)')
