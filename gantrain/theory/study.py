"""Study: D alone, trained between two known densities, beside what theory predicts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from gantrain.data import Batches, Mixture
from gantrain.errors import DivergedError, StoppedError
from gantrain.losses import Loss
from gantrain.losses.turn import Critic, Precision, Turn
from gantrain.run.records import Records
from gantrain.terminal import Progress
from gantrain.theory import divergences
from gantrain.theory.divergences import Array, Discrete, Samples
from gantrain.training.player import Player


@dataclass
class Curves:
    """The data of a picture of D, at points (N, d) of a regular grid."""

    points: Array
    critic: Array  # (N,), the witness function: for most objectives the score
    gradient: Array  # (N, d), of the critic by the point
    learned: Array | None  # (N,), D as a probability; None if the objective's optimum tells none
    optimal: Array  # (N,), D*(x) = p/(p+q)
    real: Array  # (N,), p
    generated: Array  # (N,), q


@dataclass
class Study:
    """D's turns of a training, with a known distribution in place of the generator's samples.

    ``total_steps`` counts updates of D. Every ``log_every`` of them, the objective's estimate is logged with the truth.
    """

    real: Mixture
    generated: Mixture
    d: Player
    loss: Loss
    precision: Precision
    batch_size: int
    seed: int
    total_steps: int
    log_every: int
    step: int = 0
    history: list[tuple[int, dict[str, float]]] = field(default_factory=list)

    @cached_property
    def truths(self) -> dict[str, float]:
        """The true distances of the two distributions, by the names of their estimates."""
        return truths(self.real, self.generated)

    def train(self, records: Records, stop: Callable[[], bool] = lambda: False) -> None:
        """Train D, keeping records.

        Raises:
            DivergedError: when an estimate is not finite.
            StoppedError: when ``stop()`` turned true.
        """
        sources = self.sources()
        with Progress(self.total_steps) as progress:
            while self.step < self.total_steps:
                measure = (self.step + 1) % self.log_every == 0 or self.step + 1 == self.total_steps
                turn = self.turn(sources, measure)
                cost = self.loss.for_d(turn)
                self.d.descend(cost.total)
                self.loss.after_d_step(cost.turn)
                self.d.turns += 1
                self.step += 1
                progress.update()
                if measure:
                    self.compare({name: value.item() for name, value in cost.readings.items()}, records)
                    progress.note(f"d={cost.total.item():.3f}")
                if stop() and self.step < self.total_steps:
                    raise StoppedError(f"stopped at step {self.step:,}; run the same command again to start over")

    def sources(self) -> tuple[Batches, Batches]:
        """Return streams of both distributions. With one seed, equal distributions would give equal samples."""
        device = self.precision.device
        return (
            self.real.stream(self.batch_size, self.seed, device),
            self.generated.stream(self.batch_size, self.seed + 1, device),
        )

    def turn(self, sources: tuple[Batches, Batches], measure: bool) -> Turn:
        """Return D's next turn."""
        (real, _), (fake, _) = (source.next() for source in sources)
        critic = Critic(self.d.net, self.precision, self.precision.forward)
        return Turn(critic, nn.Identity(), real, fake, self.d.turns, measure)

    def compare(self, readings: dict[str, float], records: Records) -> None:
        """Record the estimates beside the truths."""
        bad = [name for name, value in readings.items() if not math.isfinite(value)]
        if bad:
            raise DivergedError(f"{bad[0]} is {readings[bad[0]]} at step {self.step}. A smaller learning rate may help")
        estimates = {name: value for name, value in readings.items() if not name.startswith("score_")}
        self.history.append((self.step, estimates))
        tagged = {f"estimate/{name}": value for name, value in estimates.items()}
        records.scalars(self.step, tagged | {f"truth/{name}": value for name, value in self.truths.items()})

    def averaged_estimates(self) -> dict[str, float]:
        """Return each estimate's mean over the last tenth of the study: single batches are noisy."""
        late = [values for step, values in self.history if step > 0.9 * self.total_steps]
        return {name: sum(values[name] for values in late) / len(late) for name in late[0]}

    def truth_of(self, estimate: str) -> float | None:
        """Return the true value that belongs to an estimate, None if there is none."""
        return self.truths.get(estimate.replace("_lower_bound", ""))

    def curves(self, side: int) -> Curves:
        """Return D and the optimal D on a regular grid of ``side`` points along each axis."""
        points = box(self.real, self.generated, side)
        turn = self.loss.for_d(self.turn(self.sources(), measure=False)).turn
        self.d.net.eval()  # the grid is no batch of samples: batch norm must not take its statistics from it
        x = torch.from_numpy(points).float().to(self.precision.device).requires_grad_()
        outputs = turn.critic(x)
        score = one_number(turn.witness(outputs))
        (gradient,) = torch.autograd.grad(score.sum(), x)
        self.d.net.train()
        log_ratio = self.loss.objective.log_ratio(outputs)
        log_p, log_q = self.real.log_density(points), self.generated.log_density(points)
        return Curves(
            points=points,
            critic=as_array(score),
            gradient=as_array(gradient),
            learned=None if log_ratio is None else as_array(one_number(torch.sigmoid(log_ratio))),
            optimal=1 / (1 + np.exp(np.clip(log_q - log_p, -700, 700))),
            real=np.exp(log_p),
            generated=np.exp(log_q),
        )


def one_number(scores: Tensor) -> Tensor:
    """Return scores (N,) or (N, k) as (N,), averaged over a sample's outputs as every objective does."""
    return scores.flatten(1).mean(1) if scores.ndim > 1 else scores


def as_array(x: Tensor) -> Array:
    """Return a tensor as a float64 array."""
    array: Array = x.detach().double().cpu().numpy()
    return array


def box(real: Mixture, generated: Mixture, side: int) -> Array:
    """Return a regular grid (side^d, d) over the square that holds both distributions, four deviations around."""
    reach = max(float(np.abs(m.centers).max()) + 4 * m.std for m in (real, generated))
    d = real.shape[0]
    return divergences.grid([-reach] * d, [reach] * d, side)


def truths(real: Mixture, generated: Mixture, samples: int = 1000) -> dict[str, float]:
    """Return every distance that an objective may estimate, by the names of their estimates.

    They are integrated by points as dense as the narrowest component needs; ∞ is infinite. The Wasserstein distance in
    the plane is that of ``samples`` of each, which is a little too high, as for any finite samples.
    """
    p, q = on_nodes(real, generated)
    values = {name: divergences.f_divergence(p, q, name) for name in divergences.F_DIVERGENCES}
    values |= dict.fromkeys(infinite(real, generated), math.inf)
    twice_js = values.pop("jensen_shannon")
    named = {
        f"{name}_{'nats' if divergences.F_DIVERGENCES[name].in_nats else 'unitless'}": value
        for name, value in values.items()
        if name != "gan"
    }
    return named | {
        "js_nats": twice_js / 2,
        "twice_js_nats": twice_js,
        "twice_js_minus_log4_nats": twice_js - math.log(4),
        "fisher_distance_unitless": divergences.fisher_distance(p, q),
        "wasserstein_1_data_units": wasserstein_1(real, generated, samples),
    }


def infinite(real: Mixture, generated: Mixture) -> list[str]:
    """Return the f-divergences that are infinite: ∫ p²/q is, and with it Pearson's, if p is √2 times as wide or more.

    Far out p² falls as exp(-x²/σ_p²) and q as exp(-x²/2σ_q²).
    """
    wide, narrow = real.std**2, generated.std**2
    return ["pearson"] * (wide >= 2 * narrow) + ["neyman"] * (narrow >= 2 * wide)


def on_nodes(real: Mixture, generated: Mixture) -> tuple[Discrete, Discrete]:
    """Return both as probabilities of points to integrate by: dense around every component, and far enough for p²/q."""
    axes = []
    for k in range(real.shape[0]):
        axis = [(float(c), m.std) for m in (real, generated) for c in np.unique(m.centers[:, k])]
        for a, b in ((real, generated), (generated, real)):
            if (precision := 2 / a.std**2 - 1 / b.std**2) > 0:  # of a²/b
                axis += [(float(c), precision**-0.5) for c in (axis_end(a, b, k, precision))]
        axes.append(axis)
    points, weights = divergences.nodes(axes)
    p, q = (divergences.from_log_density(m.log_density(points) + np.log(weights), points) for m in (real, generated))
    return p, q


def axis_end(a: Mixture, b: Mixture, k: int, precision: float) -> set[float]:
    """Return along an axis the outermost centres of a²/b, whose components have this precision."""
    centres = [
        (2 * x / a.std**2 - y / b.std**2) / precision
        for x in (a.centers[:, k].min(), a.centers[:, k].max())
        for y in (b.centers[:, k].min(), b.centers[:, k].max())
    ]
    return {min(centres), max(centres)}


def wasserstein_1(real: Mixture, generated: Mixture, samples: int) -> float:
    """Return the distance: exact on a line, between samples in the plane."""
    if real.shape == (1,):
        mixtures = ([(w, c, m.std) for w, c in zip(m.weights, m.centers[:, 0], strict=True)] for m in (real, generated))
        return divergences.wasserstein_1_on_a_line(*mixtures)
    x, y = (Samples(m.sample(samples, np.random.default_rng(k))[0]) for k, m in enumerate((real, generated)))
    return divergences.wasserstein(x, y)
