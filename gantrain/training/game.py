"""Game: the alternating game of Goodfellow et al. 2014 (arXiv:1406.2661), Algorithm 1, step by step."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from gantrain.data import Batch, Batches
from gantrain.distributed import ALONE, Alone
from gantrain.inputs import Given, Inputs
from gantrain.losses import Loss
from gantrain.losses.turn import Cost, Critic, Precision, Turn
from gantrain.training.eager import Eager
from gantrain.training.ema import Ema
from gantrain.training.nonfinite import Watch
from gantrain.training.parts import differentiated_in_parts
from gantrain.training.player import Player, frozen
from gantrain.training.scheduled import Schedules
from gantrain.training.shared import of_all_ranks


@dataclass(kw_only=True)
class Game:
    """Per step: ``d_steps`` turns of D, then ``g_steps`` turns of G, every turn on a fresh batch.

    If ``simultaneous``, it is one of each at once.
    """

    g: Player
    d: Player
    ema: Ema
    loss: Loss
    augment: nn.Module
    data: Batches
    precision: Precision
    inputs: Inputs  # what G gets beside its weights
    batch_size: int
    batch_size_g: int | None  # samples per turn of G; None: as many as D's
    accumulate: int  # parts in which a batch goes through the networks
    d_steps: int
    g_steps: int
    schedules: Schedules  # the numbers that change while the game goes on
    simultaneous: bool  # both players move at once, from the weights that both had before
    one_forward: bool  # D scores real and fake batch in one forward pass
    watch: Watch
    ranks: Alone = ALONE  # the processes that play; each sees a part of every batch
    perform: Eager = field(default_factory=Eager)  # how turns are carried out: as they are written, or from recordings
    step: int = 0
    scalars: dict[str, Tensor] = field(default_factory=dict)  # the latest of each, still on the device

    def play(self, measure: bool = False) -> None:
        """Play one step of the game."""
        if self.simultaneous:
            self.turn_together(self.data.next(), self.data.next(self.batch_size_g), measure)
        else:
            for _ in range(self.d_steps):
                self.d_turn(*self.data.next(), measure)
            for _ in range(self.g_steps):
                self.g_turn(*self.data.next(self.batch_size_g), measure)
        self.d.end_step()
        self.g.end_step()
        self.step += 1
        self.schedules.set(self.step)

    def d_turn(self, real: Tensor, labels: Tensor | None, measure: bool = False) -> None:
        """Move D once. G's weights stay and no graph runs through it; its batch-norm statistics see one more batch."""
        self.scalars |= self.perform(self.move_d, self.d, real, labels, measure)
        self.d.turns += 1

    def g_turn(self, real: Tensor, labels: Tensor | None, measure: bool = False) -> None:
        """Move G once through a D whose weights get no gradients, then the average of G."""
        self.count_images(len(real) * self.ranks.world)
        self.scalars |= self.perform(self.move_g, self.g, real, labels, measure)
        self.g.turns += 1

    def turn_together(self, for_d: Batch, for_g: Batch, measure: bool = False) -> None:
        """Move both players at once, each by its gradient at the weights that both have now."""
        self.count_images(len(for_g[0]) * self.ranks.world)
        d_cost = self.differentiated(self.d, *for_d, measure)
        d_scalars = self.seen(self.d, "d", d_cost)
        with frozen(self.d.weights):
            g_cost = self.differentiated(self.g, *for_g, measure)
        g_scalars = self.seen(self.g, "g", g_cost)
        d_scalars["d/gradient_norm"] = self.d.move(measure)
        g_scalars["g/gradient_norm"] = self.g.move(measure)
        self.after_d_step(d_cost.turn)
        self.loss.after_g_step(g_cost.turn)
        self.follow()
        self.scalars |= d_scalars | g_scalars
        self.d.turns += 1
        self.g.turns += 1

    def move_d(self, real: Tensor, labels: Tensor | None, measure: bool) -> dict[str, Tensor]:
        """Carry out D's turn on the device, and nothing else: recordings hold exactly this. Returns scalars to log."""
        cost = self.differentiated(self.d, real, labels, measure)
        scalars = self.seen(self.d, "d", cost)
        scalars["d/gradient_norm"] = self.d.move(measure)
        self.after_d_step(cost.turn)
        return scalars

    def move_g(self, real: Tensor, labels: Tensor | None, measure: bool) -> dict[str, Tensor]:
        """Carry out G's turn on the device, and nothing else. Returns scalars to log."""
        with frozen(self.d.weights):
            cost = self.differentiated(self.g, real, labels, measure)
        scalars = self.seen(self.g, "g", cost)
        scalars["g/gradient_norm"] = self.g.move(measure)
        self.loss.after_g_step(cost.turn)
        self.follow()
        return scalars

    @torch.no_grad()
    def after_d_step(self, turn: Turn) -> None:
        """Let the loss, and an augmentation that adapts, act after D's step, which was made from ``turn.scores``."""
        self.loss.after_d_step(turn)
        if (adapt := getattr(self.augment, "after_d_step", None)) is not None:
            adapt(turn.scores)

    def differentiated(self, player: Player, real: Tensor, labels: Tensor | None, measure: bool) -> Cost:
        """Compute a player's gradients on a batch, and return what it costs."""
        if self.accumulate > 1:
            cost = differentiated_in_parts(self, player, real, labels, measure)
        else:
            cost = (self.cost_of_d if player is self.d else self.cost_of_g)(real, labels, measure)
            player.differentiate(cost.total)
        return cost if self.ranks.world == 1 else of_all_ranks(self, player, cost)

    def cost_of_d(self, real: Tensor, labels: Tensor | None, measure: bool) -> Cost:
        """Return what the present weights cost D on a batch; no graph runs through G."""
        with torch.no_grad():
            z, fake = self.generate(len(real), labels)
        return self.loss.for_d(self.turn(self.d, real, z, fake, labels, measure))

    def cost_of_g(self, real: Tensor, labels: Tensor | None, measure: bool) -> Cost:
        """Return what the present weights cost G on a batch."""
        z, fake = self.generate(len(real), labels)
        return self.loss.for_g(self.turn(self.g, real, z, fake, labels, measure))

    def seen(self, player: Player, name: str, cost: Cost) -> dict[str, Tensor]:
        """Return the scalars of a cost, tagged with the player's name, after looking whether it is finite."""
        scalars = cost.scalars(name)
        self.watch.see(player, cost.total, self.step + 1, scalars)
        return scalars

    def count_images(self, n: int) -> None:
        """Let the average of G know that G makes ``n`` samples; it hears of a look-ahead's with the move."""
        if not self.g.looks_ahead:
            self.ema.advance(n * self.g.turns_per_move)

    def follow(self) -> None:
        """Let the average follow G to where it moved, but not to where it only looked ahead."""
        if not self.g.looks_ahead:
            self.ema.follow()

    def turn(self, player: Player, real: Tensor, z: Tensor, fake: Tensor, labels: Tensor | None, measure: bool) -> Turn:
        """Return the view that ``player`` has when it moves."""
        critic = Critic(self.d.net, self.precision, self.precision.forward, labels, self.augment, self.one_forward)
        return Turn(critic, self.g.net, real, fake, player.moves, measure, z, ranks=self.ranks)

    def generate(self, n: int, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return fresh latents (n, latent_dim), and samples (n, *shape) float32 of them and the labels (n,)."""
        given = self.inputs.draw(n, labels, self.precision.device, self.ranks)
        return given.z, self.made_of(given)

    def made_of(self, given: Given) -> Tensor:
        """Return G's samples (N, *shape) float32 of latents and labels."""
        with self.precision.autocast(self.precision.forward):
            fake: Tensor = self.g.net(*given)
        return fake.float()
