"""Trainer: plays the game to its end, and what happens between steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from gantrain.checkpoint import Checkpoints, Rng, tree
from gantrain.errors import CheckpointError, EndedError, StoppedError, first_line, is_memory_full
from gantrain.inputs import Given
from gantrain.run.records import Records
from gantrain.sampling import samples_of
from gantrain.terminal import Progress
from gantrain.training.cadence import Cadence
from gantrain.training.callbacks import Callbacks
from gantrain.training.clock import Clock
from gantrain.training.game import Game
from gantrain.training.nonfinite import diverged
from gantrain.training.shared import refuse_apart

if TYPE_CHECKING:
    from gantrain.evaluation import Live

Stop = Callable[[], bool]  # the default, bool, returns False when called: never stop


@dataclass(kw_only=True)
class Trainer(Game):
    """Plays the game for ``total_steps``, keeping records, grids and checkpoints, and evaluating on the way.

    Every sample grid is drawn of the same ``grid``.
    """

    rng: Rng
    grid: Given
    total_steps: int
    every: Cadence
    clock: Clock = field(default_factory=Clock)
    callbacks: Callbacks = field(default_factory=Callbacks)
    rollbacks: int = 0
    logged: dict[str, float] = field(default_factory=dict)  # the last line of the records
    logged_at: int = 0  # its step

    STATEFUL = ("g", "d", "ema", "loss", "augment", "data", "rng")

    def train(
        self, records: Records | None, checkpoints: Checkpoints, stop: Stop = bool, live: Live | None = None
    ) -> None:
        """Play until ``total_steps`` or until the clock is up, keeping records and evaluating on the way.

        Of several ranks only the first has ``records``, and saves.

        Raises:
            DivergedError: when a loss or a measured gradient norm is not finite.
            StoppedError: when ``stop()`` turned true; the state has been saved.
            EndedError: when a callback asked for the end; the state has been saved.
        """
        self.total_steps = self.agreed(self.clock.start(self.step, self.total_steps))
        with self.clock.paused():
            if self.step in (0, self.total_steps):  # of an end that came while the run was stopped
                self.draw(records)
            if self.step > 0:
                self.evaluate(records, checkpoints, stop, live)  # if it was stopped in the middle of that
        with Progress(self.total_steps, self.step) as progress:
            while self.step < self.total_steps:
                progress.total = self.total_steps = self.agreed(self.clock.last_step(self.step, self.total_steps))
                measure = self.every.due(self.every.log, self.step + 1, self.total_steps)
                if checkpoints.keep.best is not None:  # it rates a checkpoint by what was measured at its own step
                    measure |= self.every.due(self.every.checkpoint, self.step + 1, self.total_steps)
                self.play(measure)
                progress.update()
                self.callbacks.tell("on_step", self)
                if measure:
                    self.log(records, progress)
                with self.clock.paused():
                    self.keep(records, checkpoints, stop, live)

    def agreed(self, last_step: int) -> int:
        """Return the last step by the first rank's clock, where there is a limit of seconds."""
        return last_step if self.clock.limit == math.inf else self.ranks.from_first(last_step)

    def log(self, records: Records | None, progress: Progress) -> None:
        """Write the latest scalars; refuse to go on if one is not finite."""
        values = self.values()
        if records is not None:
            records.scalars(self.step, values)
        self.logged, self.logged_at = {n: value for n, value in values.items() if math.isfinite(value)}, self.step
        speed = values["speed/images_per_s"]
        self.callbacks.tell("on_log", self, values=values)
        progress.note(f"d={values['d/loss']:.3f} g={values['g/loss']:.3f}, {speed:,.0f} images/s")

    def values(self) -> dict[str, float]:
        """Return the values of a line of the records.

        Raises:
            DivergedError: if one is not finite.
        """
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
        values |= self.schedules.values(self.step)
        return values | {"speed/steps_per_s": steps_per_s, "speed/images_per_s": images_per_s}

    def keep(self, records: Records | None, checkpoints: Checkpoints, stop: Stop, live: Live | None = None) -> None:
        """Draw, save and evaluate if it is time, stop if asked to; between steps."""
        if self.due(self.every.samples):
            self.draw(records)
        stopping = self.ranks.any(stop() or self.callbacks.why is not None)
        measuring = live is not None and self.due(self.every.evaluation)
        if stopping or measuring or self.due(self.every.checkpoint):  # before the evaluation, which may be killed
            self.watch.refuse(self.step, self.scalars)
            if records is not None:
                records.flush()
            self.save(checkpoints, stopping or self.step == self.total_steps)
        if stopping and self.step < self.total_steps:
            raise self.stopped()
        self.evaluate(records, checkpoints, stop, live)

    def save(self, checkpoints: Checkpoints, last: bool) -> None:
        """Save a checkpoint, once it is sure that all ranks hold the same."""
        if self.ranks.world > 1:
            refuse_apart(self)
        state, metrics = self.state_dict(), self.logged if self.logged_at == self.step else {}
        self.ranks.first(lambda: checkpoints.save(self.step, state, metrics, last))
        self.callbacks.tell("on_checkpoint", self, file=checkpoints.path(self.step))

    def evaluate(self, records: Records | None, checkpoints: Checkpoints, stop: Stop, live: Live | None) -> None:
        """Evaluate if it is time and has not been done; raise StoppedError if that was stopped."""
        if live is None or not self.due(self.every.evaluation) or self.ranks.from_first(live.measured(self.step)):
            return
        if not live.evaluate({"ema": self.ema.net, "raw": self.g.net}, self.step, records, stop):
            raise self.stopped()
        self.callbacks.tell("on_evaluation", self, values=live.history.values.get(self.step, {}))
        if self.ranks.any(self.callbacks.why is not None) and self.step < self.total_steps:
            raise self.stopped()
        self.ranks.first(checkpoints.remove_old)

    def due(self, every: int) -> bool:
        """Tell whether something that happens ``every`` steps happens now."""
        return self.every.due(every, self.step, self.total_steps)

    def stopped(self) -> StoppedError:
        """Return the error that ends a run that was asked to stop, by a signal or a callback."""
        if (why := self.ranks.from_first(self.callbacks.why)) is not None:
            said = f"ended at step {self.step:,} by callback {why}"
            return EndedError(f"{said}; state saved, the same command with resume=auto goes on")
        return StoppedError(f"stopped at step {self.step:,}, state saved; the same command with resume=auto goes on")

    def draw(self, records: Records | None) -> None:
        """Draw the grid through the averaged G and through G as it is."""
        if records is None:
            return
        samples, name = self.sample(self.ema.net), f"step-{self.step:09d}.png"
        records.picture("samples/ema", self.step, samples, name)
        records.picture("samples/raw", self.step, self.sample(self.g.net))
        self.callbacks.tell("on_samples", self, samples=samples, file=records.samples / name)

    def sample(self, net: nn.Module) -> Tensor:
        """Return ``net``'s samples of the grid, in evaluation mode (running batch-norm statistics)."""
        return torch.cat(list(samples_of(net, *self.grid)))

    def state_dict(self) -> dict[str, Any]:
        """Return everything the rest of the run depends on."""
        parts = {name: getattr(self, name).state_dict() for name in self.STATEFUL}
        # The scalars too: a lazy term is logged as it last was, and that may have been before the checkpoint. Norms are
        # measured anew for each line. A value that is not finite is of a turn that float16 skipped.
        kept = [name for name, value in self.scalars.items() if "gradient_norm" not in name and value.isfinite()]
        scalars = {name: self.scalars[name] for name in sorted(kept)}
        rest = {"step": self.step, "rollbacks": self.rollbacks, "scalars": scalars}
        if callbacks := self.callbacks.state_dict():  # a run may go on with others, or none
            rest["callbacks"] = callbacks
        return {name: dict(part) for name, part in parts.items()} | rest

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the result of ``state_dict``; the random numbers last, because restoring may draw some.

        Raises:
            CheckpointError: if it is of other networks, another loss or other optimizers.
        """
        if (difference := tree.misfit(self.state_dict() | {"scalars": {}, "callbacks": {}}, state)) is not None:
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
        self.callbacks.load_state_dict(state.get("callbacks", {}))
        self.step, self.rollbacks = state["step"], state["rollbacks"]
        self.schedules.set(self.step)
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
        self.rng.divide(seed + rollbacks)
