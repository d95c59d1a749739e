"""The texts that a run prints before and after it trains."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from gantrain.run.directions import shown
from gantrain.run.identity import choices
from gantrain.run.read import MEDIAN, PARTS
from gantrain.terminal import say

if TYPE_CHECKING:
    from gantrain.build import Built
    from gantrain.evaluation import Live
    from gantrain.losses.turn import Precision
    from gantrain.training.player import Player
    from gantrain.training.trainer import Trainer

MOST_OF_THE_TIME = 0.05
PAYS = "a GPU from Ampere on or a CPU with AMX"


def in_sweep() -> bool:
    """Tell whether this is one job of many."""
    return bool(HydraConfig.get().mode == RunMode.MULTIRUN)


def hyperparameters(cfg: DictConfig, trainer: Trainer) -> dict[str, str | int | float | bool]:
    """Return the settings that distinguish this run from others, for its loggers.

    TensorBoard's HParams tab shows five, those that differ between runs in the order of their names: data, loss and
    seed come before the rest.
    """
    first, chosen = {"seed": cfg.seed}, choices()
    first |= {name: chosen.pop(name) for name in ("data", "loss")}
    rest = chosen | {"batch_size": cfg.batch_size, "total_steps": cfg.total_steps, "budget_amount": cfg.budget.amount}
    rest |= {"g_learning_rate": trainer.g.learning_rate, "d_learning_rate": trainer.d.learning_rate}
    return first | {f"settings/{name}": value for name, value in rest.items()}


def table(cfg: DictConfig, path: Path, built: Built, live: Live | None = None) -> str:
    """Return the run directory and the resolved choices, a line each."""
    choice, trainer = choices(), built.trainer
    from gantrain.training.parts import taking_parts  # imports torch

    terms = " + ".join([type(trainer.loss.objective).__name__, *trainer.loss.regularizers])
    batch = f"{cfg.batch_size} (G {cfg.batch_size_g})" if cfg.batch_size_g else str(cfg.batch_size)
    batch += f" in {cfg.accumulate} parts" if cfg.accumulate > 1 else ""
    rows = {
        "run": str(path),
        "data": f"{choice['data']}: {built.data}",
        "architecture": choice["architecture"],
        "G": player(trainer.g, cfg.architecture.generator),
        "D": player(trainer.d, cfg.architecture.discriminator),
        "loss": f"{choice['loss']}: {terms}",
        "optimizer": f"{choice['optimizer']}, {choice['schedule']} learning rate",
        "ratio": f"{cfg.ratio.d_steps} D : {cfg.ratio.g_steps} G" + ", at once" * cfg.ratio.simultaneous,
        "precision": f"{precision(cfg, trainer.precision, trainer.ranks.world)}, augment {choice['augment']}",
        "performance": str(built.performance),
        "steps": f"{cfg.total_steps:,} of batch {batch}, seed {cfg.seed}; "
        f"samples every {cfg.samples.every:,}, checkpoint every {cfg.checkpoint.every:,}",
    }
    said = trainer.loss.cautions(built.data.shape)
    parts = cfg.accumulate * trainer.ranks.world
    if parts > 1 and (layers := taking_parts([trainer.g.net, trainer.d.net])):
        said.append(f"{', '.join(layers)} sees a part of {cfg.batch_size // parts} samples at a time")
    if said:
        rows["caution"] = "; ".join(said)
    if remarks := trainer.loss.remarks(trainer.d.net):
        rows["note"] = "; ".join(remarks)
    if live is not None:
        network = f" ({live.quality.features})" if live.quality.features else ""
        rows["evaluation"] = f"{live.protocol}{network}, every {cfg.evaluation.every:,}"
    return "\n".join(f"{name:<13} {row}" for name, row in rows.items())


def precision(cfg: DictConfig, numbers: Precision, world: int) -> str:
    """Return the numbers' format, the device and the ranks, and warn if bfloat16 is slower there than float32."""
    from gantrain.losses.arithmetic import bfloat16_pays

    found = f"{choices()['precision']} on {numbers.device}" + (f", {world} ranks" if world > 1 else "")
    if cfg.precision.forward == "bfloat16" and not bfloat16_pays(numbers.device):
        say(f"bfloat16 is slower than float32 on {numbers.device}: it needs {PAYS}; precision=auto picks what is fast")
        found += " (slow: no fast bfloat16 here)"
    if choices()["precision"] == "auto":
        found += f" ({cfg.precision.forward}: the fastest here, or what the run began with)"
    return found + " with TF32" * (cfg.precision.tf32 and numbers.device.type == "cuda")


def evaluation(live: Live, seconds: float) -> str:
    """Return what ``measured`` does, and the time that it took; ``seconds`` are those of the whole training."""
    share = live.seconds / max(seconds, 1e-9)
    if share > MOST_OF_THE_TIME and live.seconds > 10:
        say(f"evaluation took {share:.0%} of the time; a larger evaluation.every or a smaller evaluation.n_fake saves")
    return f"{measured(live)}\n{'':<14}It took {live.seconds:.1f} s, {share:.1%} of the training"


def measured(live: Live) -> str:
    """Return best, final and median of the last values of each metric that tables show."""
    found = live.history.summary()
    best, final, middle = found["best"] or {}, found["final"], found[MEDIAN]
    lines = [f"evaluation    {live.protocol}, {found['evaluations']} times; best by {found['best_by']}"]
    steps = [f"step {part['step']:,}" if part else "" for part in (best, final)]
    median, _, of_last = PARTS[MEDIAN].partition(" ")
    rows = [["", "best", "final", median], ["", *steps, of_last]]
    for name in (name for name in shown(live.history.better) if any(name in part for part in (best, final, middle))):
        rows.append([name, *(f"{part[name]:.4g}" if name in part else "" for part in (best, final, middle))])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines += ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n              ".join(lines)


def player(player: Player, architecture: DictConfig) -> str:
    """Describe a player: size, normalization, and how it moves."""
    facts = player.facts()
    betas = f", betas {tuple(facts['betas'])}" if "betas" in facts else ""
    norm = f", norm {architecture.norm}" if "norm" in architecture else ""
    return f"{facts['parameters']:,} parameters{norm}; {facts['optimizer']} lr {facts['learning_rate']:g}{betas}"


def short(path: Path, root: str) -> str:
    """Return a run's path in its root, where it lies there: TensorBoard's name for it."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def where(path: Path, root: str, picture: str = "step-*") -> str:
    """Return where to look: the last of the pictures of that name, and TensorBoard of all runs with the same root.

    A run without events, as with ``logger=[]``, has nothing for TensorBoard.
    """
    last = max((path / "samples").glob(f"{picture}.png"), default="none was drawn")
    if not any(next(folder.glob("events.out.tfevents.*"), None) for folder in (path, path / "tb")):
        return f"samples       {last}"
    # After `make train` the environment's programs are not on the PATH; then the command needs their folder.
    program = "tensorboard" if shutil.which("tensorboard") else str(Path(sys.executable).with_name("tensorboard"))
    folder = root if path.is_relative_to(root) else str(path)
    return f"samples       {last}\nTensorBoard   {shlex.quote(program)} --logdir {shlex.quote(folder)}"
