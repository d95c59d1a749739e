"""Trainer: the alternating game of Goodfellow et al. 2014 (arXiv:1406.2661), Algorithm 1."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from gantrain import memory, tree
from gantrain.checkpoint import Checkpoints, Rng
from gantrain.data import Batches
from gantrain.ema import Ema
from gantrain.errors import CheckpointError, DivergedError, StoppedError, first_line
from gantrain.losses import Loss
from gantrain.player import Player, frozen
from gantrain.progress import bar
from gantrain.records import Records
from gantrain.turn import Cost, Critic, Precision, Turn


@dataclass(frozen=True)
class Cadence:
    """After how many steps something happens; the last step always counts. 0: at the last step only."""

    log: int
    samples: int
    checkpoint: int

    def due(self, every: int, step: int, total_steps: int) -> bool:
        """Tell whether something that happens ``every`` steps happens after ``step``."""
        return step == total_steps or (every > 0 and step % every == 0)


@dataclass
class Trainer:
    """Per step: ``d_steps`` turns of D, then ``g_steps`` turns of G, every turn on a fresh batch.

    ``total_steps`` counts such steps; ``grid_latents`` (n, latent_dim) are what every sample grid is drawn from.
    """

    g: Player
    d: Player
    ema: Ema
    loss: Loss
    augment: nn.Module
    data: Batches
    rng: Rng
    precision: Precision
    grid_latents: Tensor
    batch_size: int
    d_steps: int
    g_steps: int
    total_steps: int
    every: Cadence
    step: int = 0
    rollbacks: int = 0
    scalars: dict[str, Tensor] = field(default_factory=dict)  # the latest of each, still on the device
    logged: dict[str, float] = field(default_factory=dict)  # the last line of the records

    def __post_init__(self) -> None:
        self.lost = torch.zeros((), dtype=torch.bool, device=self.precision.device)

    STATEFUL = ("g", "d", "ema", "loss", "augment", "data", "rng")

    def train(self, records: Records, checkpoints: Checkpoints, stop: Callable[[], bool] = lambda: False) -> None:
        """Play until ``total_steps``, keeping records on the way.

        Raises:
            DivergedError: when a loss or a measured gradient norm is not finite.
            StoppedError: when ``stop()`` turned true; the state has been saved.
        """
        if self.step == 0:
            self.draw(records)
        clock = (time.monotonic(), self.step)
        with bar(total=self.total_steps, initial=self.step, unit="step") as progress:
            while self.step < self.total_steps:
                measure = self.every.due(self.every.log, self.step + 1, self.total_steps)
                for _ in range(self.d_steps):
                    self.d_turn(*self.data.next(), measure)
                for _ in range(self.g_steps):
                    self.g_turn(*self.data.next(), measure)
                self.d.end_step()
                self.g.end_step()
                self.step += 1
                progress.update()
                if measure:
                    clock = self.log(records, progress, clock)
                    checkpoints.check_best([*self.scalars, *self.logged])
                self.keep(records, checkpoints, stop)

    def d_turn(self, real: Tensor, labels: Tensor | None, measure: bool = False) -> None:
        """Move D once. G's weights stay and no graph runs through it; its batch-norm statistics see one more batch."""
        with torch.no_grad():
            fake = self.generate(len(real), labels)
        cost = self.loss.for_d(self.turn(self.d, real, fake, labels, measure))
        self.watch("d", self.d, cost)
        norm = self.d.descend(cost.total, measure)
        self.loss.after_d_step(cost.turn)
        self.scalars |= cost.scalars("d") | {"d/gradient_norm": norm}

    def g_turn(self, real: Tensor, labels: Tensor | None, measure: bool = False) -> None:
        """Move G once through a D whose weights get no gradients, then the average of G."""
        with frozen(self.d.net):
            fake = self.generate(len(real), labels)
            cost = self.loss.for_g(self.turn(self.g, real, fake, labels, measure))
            self.watch("g", self.g, cost)
            norm = self.g.descend(cost.total, measure)
        self.ema.update(self.g.net, len(real))
        self.scalars |= cost.scalars("g") | {"g/gradient_norm": norm}

    def turn(self, player: Player, real: Tensor, fake: Tensor, labels: Tensor | None, measure: bool) -> Turn:
        """Return what ``player`` sees when it moves."""
        critic = Critic(self.d.net, self.precision, self.precision.forward, labels, self.augment)
        return Turn(critic, self.g.net, real, fake, player.turns, measure)

    def generate(self, n: int, labels: Tensor | None) -> Tensor:
        """Return ``n`` samples (n, *shape) float32 from fresh latents z ~ N(0, I)."""
        z = torch.randn(n, self.grid_latents.shape[1], device=self.precision.device)
        with self.precision.autocast(self.precision.forward):
            fake: Tensor = self.g.net(z, labels)
        return fake.float()

    def watch(self, name: str, player: Player, cost: Cost) -> None:
        """Refuse a loss that is not finite before the optimizer follows it.

        A CPU looks at once. A GPU would have to be waited for: there the finding is kept, and read with the next log
        line and before every save, so that nothing is saved after it.
        """
        lost = player.is_lost(cost.total)
        if self.precision.device.type != "cpu":
            self.lost |= lost
        elif lost:
            values = {tag: value.item() for tag, value in cost.scalars(name).items()}
            raise diverged(self.step + 1, {tag: values[tag] for tag in values if tag != f"{name}/loss"} | values)

    def refuse_lost(self) -> None:
        """Raise DivergedError if a loss has not been finite since the last call."""
        if self.lost:
            measured = {name: value.item() for name, value in self.scalars.items() if "gradient_norm" not in name}
            raise diverged(self.step, measured)

    def log(self, records: Records, progress: tqdm[Any], clock: tuple[float, int]) -> tuple[float, int]:
        """Write the latest scalars; refuse to go on if one is not finite. Returns the time and step of this call."""
        then, step_then = clock
        now = time.monotonic()
        self.refuse_lost()
        # One transfer for all: .item() on each would make the device wait as many times.
        values = dict(zip(self.scalars, torch.stack(list(self.scalars.values())).tolist(), strict=True))
        if not self.g.scaler.is_enabled():  # in float16 it may be a step that the scaler skips, not an end
            if not all(map(math.isfinite, values.values())):
                raise diverged(self.step, values)
        else:
            values |= {f"{name}/skipped_steps": p.skipped.item() for name, p in (("d", self.d), ("g", self.g))}
        steps_per_s = (self.step - step_then) / max(now - then, 1e-9)
        images_per_s = steps_per_s * self.d_steps * self.batch_size
        values |= {"d/learning_rate": self.d.learning_rate, "g/learning_rate": self.g.learning_rate}
        values |= {"speed/steps_per_s": steps_per_s, "speed/images_per_s": images_per_s}
        records.scalars(self.step, values)
        self.logged = {name: value for name, value in values.items() if math.isfinite(value)}
        progress.set_postfix_str(
            f"d={values['d/loss']:.3f} g={values['g/loss']:.3f} {images_per_s:,.0f} images/s", refresh=False
        )
        return now, self.step

    def keep(self, records: Records, checkpoints: Checkpoints, stop: Callable[[], bool]) -> None:
        """Draw and save if it is time, and stop if asked to; always between steps, so nothing half-done is kept."""
        if self.every.due(self.every.samples, self.step, self.total_steps):
            self.draw(records)
        stopping = stop()
        if stopping or self.every.due(self.every.checkpoint, self.step, self.total_steps):
            self.refuse_lost()
            records.flush()
            last = stopping or self.step == self.total_steps
            checkpoints.save(self.step, self.state_dict(), self.logged, last)
        if stopping and self.step < self.total_steps:
            raise StoppedError(f"stopped at step {self.step:,}, state saved; the same command with resume=auto goes on")

    def draw(self, records: Records) -> None:
        """Draw the grid latents through the averaged G and through G as it is."""
        records.picture("samples/ema", self.step, self.sample(self.ema.net), f"step-{self.step:09d}.png")
        records.picture("samples/raw", self.step, self.sample(self.g.net))

    @torch.no_grad()
    def sample(self, net: nn.Module) -> Tensor:
        """Return ``net``'s samples of the grid latents, in evaluation mode (running batch-norm statistics)."""
        training = net.training
        samples: Tensor = net.eval()(self.grid_latents)
        net.train(training)
        return samples

    def state_dict(self) -> dict[str, Any]:
        """Return everything the rest of the run depends on."""
        parts = {name: getattr(self, name).state_dict() for name in self.STATEFUL}
        # The scalars too: a lazy term is logged as it last was, and that may have been before the checkpoint. Norms are
        # measured anew for each line; and what is not finite was a turn that float16 skipped.
        kept = [name for name, value in self.scalars.items() if "gradient_norm" not in name and value.isfinite()]
        scalars = {name: self.scalars[name] for name in sorted(kept)}
        numbers = {"step": self.step, "rollbacks": self.rollbacks}
        return {name: dict(part) for name, part in parts.items()} | {"scalars": scalars} | numbers

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned; the random numbers last, because restoring may draw some.

        Raises:
            CheckpointError: if it is of other networks, another loss or other optimizers.
        """
        if (difference := tree.misfit(self.state_dict() | {"scalars": {}}, state)) is not None:
            raise CheckpointError(f"the checkpoint does not fit this configuration: {difference}")
        try:
            for name in self.STATEFUL:
                getattr(self, name).load_state_dict(state[name])
            scalars = {name: value.to(self.precision.device) for name, value in state["scalars"].items()}
            self.scalars = {name: value.reshape(()) for name, value in scalars.items()}
        except Exception as error:  # of the right build, but a stranger wrote it
            if memory.is_full(error):
                raise
            raise CheckpointError(f"the checkpoint cannot be restored: {first_line(error)}") from error
        self.step, self.rollbacks = state["step"], state["rollbacks"]
        self.lost.zero_()

    def go_on_elsewhere(self, state: dict[str, Any], seed: int) -> None:
        """Restore an earlier state, but with the data yet to come and other random numbers.

        The same ones would lead to the same end. What is new is a function of ``seed`` and the count of rollbacks, so
        that a run that rolled back is repeatable too.
        """
        position, rollbacks = self.data.position, self.rollbacks + 1
        self.load_state_dict(state)
        self.data.position, self.rollbacks = position, rollbacks
        self.rng.seed(seed, rollbacks)


def diverged(step: int, values: dict[str, float]) -> DivergedError:
    """Return the error that names the first value that is not finite."""
    name = next((name for name, value in values.items() if not math.isfinite(value)), "a loss or gradient")
    return DivergedError(
        f"{name} is {values.get(name, 'not finite')} at step {step:,}. "
        "A smaller learning rate, gradient_clip_norm=1, precision=fp32 or nonfinite.policy=rollback may help"
    )
