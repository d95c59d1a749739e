"""What a run says about itself before and after."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from gantrain.better import SHOWN
from gantrain.terminal import say

if TYPE_CHECKING:
    from gantrain.build import Built, Quality
    from gantrain.evaluation import Live
    from gantrain.training.player import Player

GROUPS = (
    "data",
    "architecture",
    "loss",
    "optimizer",
    "schedule",
    "ratio",
    "precision",
    "augment",
    "performance",
    "evaluation",
    "budget",
)

MOST_OF_THE_TIME = 0.05


def chosen() -> dict[str, str]:
    """Return the option of each config group."""
    choices: dict[str, str] = dict(HydraConfig.get().runtime.choices)
    return {group: choices[group] for group in GROUPS}


def hyperparameters(cfg: DictConfig, g: Player, d: Player) -> dict[str, str | int | float | bool]:
    """Return what distinguishes this run from others, for TensorBoard's HParams tab."""
    settings = {"seed": cfg.seed, "batch_size": cfg.batch_size, "total_steps": cfg.total_steps}
    settings |= {"budget_amount": cfg.budget.amount}
    return chosen() | settings | {"g/learning_rate": g.learning_rate, "d/learning_rate": d.learning_rate}


def table(cfg: DictConfig, path: Path, built: Built, quality: Quality | None = None) -> str:
    """Return the run directory and the resolved choices, a line each."""
    choice, trainer = chosen(), built.trainer
    terms = " + ".join([type(trainer.loss.objective).__name__, *trainer.loss.regularizers])
    rows = {
        "run": str(path),
        "data": f"{choice['data']}: {built.data}",
        "architecture": choice["architecture"],
        "G": player(trainer.g, cfg.architecture.generator),
        "D": player(trainer.d, cfg.architecture.discriminator),
        "loss": f"{choice['loss']}: {terms}",
        "optimizer": f"{choice['optimizer']}, {choice['schedule']} learning rate",
        "ratio": f"{cfg.ratio.d_steps} D : {cfg.ratio.g_steps} G",
        "precision": f"{choice['precision']} on {trainer.precision.device}, augment {choice['augment']}",
        "performance": str(built.performance),
        "steps": f"{cfg.total_steps:,} of batch {cfg.batch_size}, seed {cfg.seed}; "
        f"samples every {cfg.samples.every:,}, checkpoint every {cfg.checkpoint.every:,}",
    }
    if quality is not None:
        network = f" ({quality.features})" if quality.features else ""
        rows["evaluation"] = f"{quality.protocol}{network}, every {cfg.evaluation.every:,}"
    return "\n".join(f"{name:<13} {row}" for name, row in rows.items())


def evaluation(live: Live, seconds: float) -> str:
    """Return best, final and median of the last five of each value that can be good or bad, and what it took.

    ``seconds`` are those of the whole training.
    """
    found = live.history.summary()
    best, final, middle = found["best"] or {}, found["final"], found["median_of_last_5"]
    heads = ["", f"best (step {best['step']:,})" if best else "best", f"final (step {final['step']:,})"]
    lines = [f"evaluation    {live.protocol}, {found['evaluations']} times; best by {found['best_by']}"]
    rows = [[*heads, "median of last 5"]]
    for name in (name for name in final if name in SHOWN):
        rows.append([name, *(f"{part[name]:.4g}" if name in part else "" for part in (best, final, middle))])
    lines += ["".join(f"{cell:<22}" for cell in ["", *row][1:]).rstrip() for row in rows]
    share = live.seconds / max(seconds, 1e-9)
    lines.append(f"It took {live.seconds:.1f} s, {share:.1%} of the training")
    if share > MOST_OF_THE_TIME and live.seconds > 10:
        say(f"evaluation took {share:.0%} of the time; a larger evaluation.every or a smaller evaluation.n_fake saves")
    return "\n              ".join(lines)


def player(player: Player, architecture: DictConfig) -> str:
    """Describe a player: size, normalization, and how it moves."""
    group = player.optimizer.param_groups[0]
    betas = f", betas {tuple(group['betas'])}" if "betas" in group else ""
    return (
        f"{sum(p.numel() for p in player.net.parameters()):,} parameters, norm {architecture.get('norm')}; "
        f"{type(player.optimizer).__name__} lr {group['lr']:g}{betas}"
    )


def where(path: Path, picture: str = "step-*") -> str:
    """Return where to look: the last of the pictures of that name, and TensorBoard."""
    last = max((path / "samples").glob(f"{picture}.png"), default=path / "samples")
    # After `make train` the environment's programs are not on the PATH; then the command needs their folder.
    program = "tensorboard" if shutil.which("tensorboard") else str(Path(sys.executable).with_name("tensorboard"))
    return f"samples       {last}\nTensorBoard   {shlex.quote(program)} --logdir {shlex.quote(str(path))}"
