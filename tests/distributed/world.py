"""Games on several ranks, each a process of its own, and what they end with."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from gantrain.build import build
from gantrain.distributed import ALONE, Alone, Ranks
from gantrain.training.trainer import Trainer
from tests.conftest import GUARD, REPOSITORY, config

SMALL = ("batch_size=16", "device=cpu", "performance=plain", "total_steps=40", "evaluation=none")
STEPS = 20


def in_double(trainer: Trainer) -> Trainer:
    """The same trainer in float64, where the order of sums is no longer seen."""
    for module in (trainer.g.net, trainer.d.net, trainer.ema.net, trainer.loss, trainer.augment):
        module.double()
    for player in (trainer.g, trainer.d):
        player.weights = list(player.net.parameters())
    draw, at = trainer.inputs.draw, trainer.data._batch_at

    def double_latents(*args: Any) -> Any:
        given = draw(*args)
        return given._replace(z=given.z.double())

    def double_batch(position: int) -> Any:
        samples, labels = at(position)
        return samples.double(), labels

    trainer.inputs.draw = double_latents
    trainer.data._batch_at = double_batch
    trainer.made_of = lambda given: trainer.g.net(*given)
    return trainer


def game(overrides: Sequence[str], ranks: Alone = ALONE) -> Trainer:
    """A trainer in float64."""
    return in_double(build(config(*SMALL, *overrides), ranks=ranks).trainer)


def ends_with(trainer: Trainer, steps: int = STEPS) -> dict[str, Any]:
    """What a game holds after some steps, and what it logged in the last one."""
    for k in range(steps):
        trainer.play(measure=k == steps - 1)
    state = {name: getattr(trainer, name).state_dict() for name in ("g", "d", "ema", "loss", "augment")}
    return {"state": state, "scalars": trainer.scalars}


def played(cases: Sequence[Sequence[str]], steps: int = STEPS) -> list[dict[str, Any]]:
    """What games of one process end with."""
    return [ends_with(game(case), steps) for case in cases]


def played_by(world: int, cases: Sequence[Sequence[str]], steps: int = STEPS) -> list[list[dict[str, Any]]]:
    """What each rank of games on ``world`` processes ends with, by rank: the processes play one case after another."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "cases").write_bytes(pickle.dumps((list(map(tuple, cases)), steps)))
        command = [sys.executable, "-m", "tests.distributed.world", folder, str(world)]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
        processes = [subprocess.Popen([*command, str(rank)], env=environment, cwd=REPOSITORY) for rank in range(world)]
        try:
            codes = [process.wait(GUARD) for process in processes]
        finally:
            for process in processes:
                process.kill()
        assert codes == [0] * world
        return [torch.load(Path(folder, f"rank{rank}"), weights_only=False) for rank in range(world)]


def largest_difference(a: Any, b: Any, path: str = "") -> tuple[float, str]:
    """The largest difference of two nested states, relative to 1 or the tensor's largest number, and where it is."""
    if isinstance(a, dict):
        assert a.keys() == b.keys(), path
        return max((largest_difference(a[k], b[k], f"{path}.{k}") for k in a), default=(0.0, path))
    if isinstance(a, list | tuple):
        assert len(a) == len(b), path
        return max((largest_difference(x, y, f"{path}.{k}") for k, (x, y) in enumerate(zip(a, b, strict=True))),
                   default=(0.0, path))  # fmt: skip
    if isinstance(a, torch.Tensor) and a.is_floating_point():
        size = max(1.0, float(a.abs().max())) if a.numel() else 1.0
        return (float((a - b).abs().max()) / size if a.numel() else 0.0), path
    same = torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b
    return (0.0 if same else float("inf")), path


def main(folder: str, world: int, rank: int) -> None:
    torch.set_num_threads(1)
    store = dist.FileStore(f"{folder}/store", world)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world)
    cases, steps = pickle.loads(Path(folder, "cases").read_bytes())
    ranks = Ranks(dist.group.WORLD)
    torch.save([ends_with(game(case, ranks), steps) for case in cases], Path(folder, f"rank{rank}"))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
