"""Trainer: the alternating game of Goodfellow et al. 2014 (arXiv:1406.2661), Algorithm 1."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from gantrain.checkpoint import Checkpoints, Rng, tree
from gantrain.data import Batches
from gantrain.errors import CheckpointError, StoppedError, first_line, is_memory_full
from gantrain.losses import Loss
from gantrain.losses.turn import Critic, Precision, Turn
from gantrain.run.records import Records
from gantrain.sampling import samples_of
from gantrain.terminal import Progress
from gantrain.training.cadence import Cadence
from gantrain.training.clock import Clock
from gantrain.training.eager import Eager
from gantrain.training.ema import Ema
from gantrain.training.nonfinite import Watch, diverged
from gantrain.training.player import Player, frozen

if TYPE_CHECKING:
    from gantrain.evaluation import Live

Stop = Callable[[], bool]  # the default, bool, returns False when called: never stop


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
    watch: Watch
    one_forward: bool = False  # D scores real and fake batch in one forward pass
    perform: Eager = field(default_factory=Eager)  # how turns are carried out: as they are written, or from recordings
    clock: Clock = field(default_factory=Clock)
    step: int = 0
    rollbacks: int = 0
    scalars: dict[str, Tensor] = field(default_factory=dict)  # the latest of each, still on the device
    logged: dict[str, float] = field(default_factory=dict)  # the last line of the records

    STATEFUL = ("g", "d", "ema", "loss", "augment", "data", "rng")

    def train(self, records: Records, checkpoints: Checkpoints, stop: Stop = bool, live: Live | None = None) -> None:
        """Play until ``total_steps`` or until the clock is up, keeping records and evaluating on the way.

        Raises:
            DivergedError: when a loss or a measured gradient norm is not finite.
            StoppedError: when ``stop()`` turned true; the state has been saved.
        """
        self.total_steps = self.clock.start(self.step, self.total_steps)
        with self.clock.paused():
            if self.step == 0:
                self.draw(records)
            else:
                self.evaluate(records, checkpoints, stop, live)  # if it was stopped in the middle of that
        with Progress(self.total_steps, self.step) as progress:
            while self.step < self.total_steps:
                progress.total = self.total_steps = self.clock.last_step(self.step, self.total_steps)
                measure = self.every.due(self.every.log, self.step + 1, self.total_steps)
                self.play(measure)
                progress.update()
                if measure:
                    self.log(records, progress)
                    checkpoints.check_best(self.scalars.keys() - self.loss.whole | self.logged.keys())
                with self.clock.paused():
                    self.keep(records, checkpoints, stop, live)

    def play(self, measure: bool = False) -> None:
        """Play one step of the game."""
        for _ in range(self.d_steps):
            self.d_turn(*self.data.next(), measure)
        for _ in range(self.g_steps):
            self.g_turn(*self.data.next(), measure)
        self.d.end_step()
        self.g.end_step()
        self.step += 1

    def d_turn(self, real: Tensor, labels: Tensor | None, measure: bool = False) -> None:
        """Move D once. G's weights stay and no graph runs through it; its batch-norm statistics see one more batch."""
        self.scalars |= self.perform(self.move_d, self.d, real, labels, measure)
        self.d.turns += 1

    def g_turn(self, real: Tensor, labels: Tensor | None, measure: bool = False) -> None:
        """Move G once through a D whose weights get no gradients, then the average of G."""
        self.ema.advance(len(real))
        self.scalars |= self.perform(self.move_g, self.g, real, labels, measure)
        self.g.turns += 1

    def move_d(self, real: Tensor, labels: Tensor | None, measure: bool) -> dict[str, Tensor]:
        """Carry out D's turn on the device, and nothing else: recordings hold exactly this. Returns scalars to log."""
        with torch.no_grad():
            fake = self.generate(len(real), labels)
        cost = self.loss.for_d(self.turn(self.d, real, fake, labels, measure))
        scalars = cost.scalars("d")
        self.watch.see(self.d, cost.total, self.step + 1, scalars)
        scalars["d/gradient_norm"] = self.d.descend(cost.total, measure)
        self.loss.after_d_step(cost.turn)
        return scalars

    def move_g(self, real: Tensor, labels: Tensor | None, measure: bool) -> dict[str, Tensor]:
        """Carry out G's turn on the device, and nothing else. Returns scalars to log."""
        with frozen(self.d.weights):
            fake = self.generate(len(real), labels)
            cost = self.loss.for_g(self.turn(self.g, real, fake, labels, measure))
            scalars = cost.scalars("g")
            self.watch.see(self.g, cost.total, self.step + 1, scalars)
            scalars["g/gradient_norm"] = self.g.descend(cost.total, measure)
        self.ema.follow()
        return scalars

    def turn(self, player: Player, real: Tensor, fake: Tensor, labels: Tensor | None, measure: bool) -> Turn:
        """Return the view that ``player`` has when it moves."""
        critic = Critic(self.d.net, self.precision, self.precision.forward, labels, self.augment, self.one_forward)
        return Turn(critic, self.g.net, real, fake, player.turns, measure)

    def generate(self, n: int, labels: Tensor | None) -> Tensor:
        """Return ``n`` samples (n, *shape) float32 from fresh latents z ~ N(0, I)."""
        z = torch.randn(n, self.grid_latents.shape[1], device=self.precision.device)
        with self.precision.autocast(self.precision.forward):
            fake: Tensor = self.g.net(z, labels)
        return fake.float()

    def log(self, records: Records, progress: Progress) -> None:
        """Write the latest scalars; refuse to go on if one is not finite."""
        self.watch.refuse(self.step, self.scalars)
        scalars = {name: value for name, value in self.scalars.items() if name not in self.loss.whole}
        # One transfer for all: .item() on each would make the device wait as many times.
        values = dict(zip(scalars, torch.stack(list(scalars.values())).tolist(), strict=True))
        if not self.g.scaler.is_enabled():  # in float16 it may be a step that the scaler skips, not an end
            if not all(map(math.isfinite, values.values())):
                raise diverged(self.step, values)
        else:
            values |= {f"{name}/skipped_steps": p.skipped.item() for name, p in (("d", self.d), ("g", self.g))}
        steps_per_s = self.clock.steps_per_s(self.step)
        images_per_s = steps_per_s * self.d_steps * self.batch_size
        values |= {"d/learning_rate": self.d.learning_rate, "g/learning_rate": self.g.learning_rate}
        values |= {"speed/steps_per_s": steps_per_s, "speed/images_per_s": images_per_s}
        records.scalars(self.step, values)
        self.logged = {name: value for name, value in values.items() if math.isfinite(value)}
        progress.note(f"d={values['d/loss']:.3f} g={values['g/loss']:.3f}, {images_per_s:,.0f} images/s")

    def keep(self, records: Records, checkpoints: Checkpoints, stop: Stop, live: Live | None = None) -> None:
        """Draw, save and evaluate if it is time, stop if asked to; between steps."""
        if self.due(self.every.samples):
            self.draw(records)
        stopping, measuring = stop(), live is not None and self.due(self.every.evaluation)
        if stopping or measuring or self.due(self.every.checkpoint):  # before the evaluation, which may be killed
            self.watch.refuse(self.step, self.scalars)
            records.flush()
            last = stopping or self.step == self.total_steps
            checkpoints.save(self.step, self.state_dict(), self.logged, last)
        if stopping and self.step < self.total_steps:
            raise self.stopped()
        self.evaluate(records, checkpoints, stop, live)

    def evaluate(self, records: Records, checkpoints: Checkpoints, stop: Stop, live: Live | None) -> None:
        """Evaluate if it is time and has not been done; raise StoppedError if that was stopped."""
        if live is not None and self.due(self.every.evaluation) and not live.measured(self.step):
            if not live.evaluate({"ema": self.ema.net, "raw": self.g.net}, self.step, records, stop):
                raise self.stopped()
            checkpoints.remove_old()

    def due(self, every: int) -> bool:
        """Tell whether something that happens ``every`` steps happens now."""
        return self.every.due(every, self.step, self.total_steps)

    def stopped(self) -> StoppedError:
        """Return the error that ends a run that was asked to stop."""
        return StoppedError(f"stopped at step {self.step:,}, state saved; the same command with resume=auto goes on")

    def draw(self, records: Records) -> None:
        """Draw the grid latents through the averaged G and through G as it is."""
        records.picture("samples/ema", self.step, self.sample(self.ema.net), f"step-{self.step:09d}.png")
        records.picture("samples/raw", self.step, self.sample(self.g.net))

    def sample(self, net: nn.Module) -> Tensor:
        """Return ``net``'s samples of the grid latents, in evaluation mode (running batch-norm statistics)."""
        return torch.cat(list(samples_of(net, self.grid_latents)))

    def state_dict(self) -> dict[str, Any]:
        """Return everything the rest of the run depends on."""
        parts = {name: getattr(self, name).state_dict() for name in self.STATEFUL}
        # The scalars too: a lazy term is logged as it last was, and that may have been before the checkpoint. Norms are
        # measured anew for each line. A value that is not finite is of a turn that float16 skipped.
        kept = [name for name, value in self.scalars.items() if "gradient_norm" not in name and value.isfinite()]
        scalars = {name: self.scalars[name] for name in sorted(kept)}
        numbers = {"step": self.step, "rollbacks": self.rollbacks}
        return {name: dict(part) for name, part in parts.items()} | {"scalars": scalars} | numbers

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the result of ``state_dict``; the random numbers last, because restoring may draw some.

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
            if is_memory_full(error):
                raise
            raise CheckpointError(f"the checkpoint cannot be restored: {first_line(error)}") from error
        self.step, self.rollbacks = state["step"], state["rollbacks"]
        self.watch.forget()
        self.perform.forget()

    def go_on_elsewhere(self, state: dict[str, Any], seed: int) -> None:
        """Restore an earlier state, but with the data yet to come and other random numbers.

        The same ones would lead to the same end. What is new is a function of ``seed`` and the count of rollbacks, so
        that a run that rolled back is repeatable too.
        """
        position, rollbacks = self.data.position, self.rollbacks + 1
        self.load_state_dict(state)
        self.data.position, self.rollbacks = position, rollbacks
        self.rng.seed(seed, rollbacks)
