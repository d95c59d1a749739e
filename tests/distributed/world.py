"""Games on several ranks, each a process of its own, and what they end with."""

from __future__ import annotations

import importlib
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from gantrain.build import build
from gantrain.distributed import ALONE, Alone, Ranks
from gantrain.training.trainer import Trainer
from tests.conftest import REPOSITORY, config, until

SMALL = ("batch_size=16", "device=cpu", "performance=plain", "total_steps=40", "evaluation=none")
STEPS = 20


def in_double(trainer: Trainer) -> Trainer:
    """The same trainer in float64, where the order of sums is hardly seen."""
    for module in (trainer.g.net, trainer.d.net, trainer.ema.net, trainer.loss, trainer.augment):
        module.double()
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


def played(ranks: Alone, cases: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    """What games end with, one after another."""
    return [ends_with(game(case, ranks)) for case in cases]


def on_ranks(world: int, act: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What ``act(ranks, *arguments)``, a function of a test's module, returns on each of several ranks."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "task").write_bytes(pickle.dumps((act.__module__, act.__name__, arguments)))
        command = [sys.executable, "-m", "tests.distributed.world", folder, str(world)]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
        processes = [subprocess.Popen([*command, str(rank)], env=environment, cwd=REPOSITORY) for rank in range(world)]
        try:
            until(lambda: all(p.poll() == 0 for p in processes) or any(p.poll() for p in processes))  # or one failed
            codes = [process.poll() for process in processes]
        finally:
            for process in processes:
                process.kill()
                process.wait()
        assert codes == [0] * world
        return [torch.load(Path(folder, f"rank{rank}"), weights_only=False) for rank in range(world)]


def difference(a: Any, b: Any, path: str = "") -> tuple[float, str]:
    """The largest difference of two nested states, relative to a tensor's largest number or 1, and where it is."""
    if isinstance(a, dict):
        assert a.keys() == b.keys(), path
        return max((difference(a[k], b[k], f"{path}.{k}") for k in a), default=(0.0, path))
    if isinstance(a, list | tuple):
        assert len(a) == len(b), path
        return max(
            (difference(*pair, f"{path}.{k}") for k, pair in enumerate(zip(a, b, strict=True))), default=(0, path)
        )
    if isinstance(a, Tensor) and a.is_floating_point() and a.numel():
        return float((a - b).abs().max()) / max(1.0, float(a.abs().max())), path
    return (0.0 if (torch.equal(a, b) if isinstance(a, Tensor) else a == b) else float("inf")), path


def main(folder: str, world: int, rank: int) -> None:
    torch.set_num_threads(1)
    store = dist.FileStore(f"{folder}/store", world)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world)
    module, name, arguments = pickle.loads(Path(folder, "task").read_bytes())
    torch.manual_seed(0)
    found = getattr(importlib.import_module(module), name)(Ranks(dist.group.WORLD), *arguments)
    torch.save(found, Path(folder, f"rank{rank}"))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
