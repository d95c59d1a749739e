"""Study: D alone, trained between two known densities, beside what theory predicts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from gantrain.data import Batches, Known
from gantrain.errors import ConfigError, DivergedError, StoppedError
from gantrain.losses import Loss
from gantrain.losses.turn import Critic, Precision, Turn
from gantrain.run.records import Records
from gantrain.terminal import Progress
from gantrain.theory import divergences
from gantrain.theory.divergences import F_DIVERGENCES, Samples, of_mixtures
from gantrain.theory.integration import Array
from gantrain.theory.integration import Mixture as Normals
from gantrain.training.player import Player

COMPARED = 10_000
"""Samples of each distribution at which the learned and the optimal D are compared."""


@dataclass
class Curves:
    """The data of a picture of D, at points (N, d) of a regular grid."""

    points: Array
    critic: Array  # (N,), the witness function: for most objectives the score
    gradient: Array  # (N, d), of the critic by the point
    learned: Array | None  # (N,), D as a probability; None if the objective's optimum tells none
    apart: float | None  # mean of |D - D*| under (p+q)/2, None with ``learned``
    optimal: Array  # (N,), D*(x) = p/(p+q)
    real: Array  # (N,), p
    generated: Array  # (N,), q


@dataclass
class Study:
    """D's turns of a training, with a known distribution in place of the generator's samples.

    ``total_steps`` counts updates of D. Every ``log_every`` of them, the objective's estimate is logged with the truth.
    """

    real: Known
    generated: Known
    d: Player
    loss: Loss
    precision: Precision
    batch_size: int
    seed: int
    total_steps: int
    log_every: int
    truths: dict[str, float]  # as ``truths`` returns them
    step: int = 0
    history: list[tuple[int, dict[str, float]]] = field(default_factory=list)

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
        # Records leave out an infinite truth; it is in status.json, and in the table that TensorBoard shows as text.
        records.scalars(self.step, tagged | {f"truth/{name}": value for name, value in self.truths.items()})

    def averaged_estimates(self) -> dict[str, float]:
        """Return each estimate's mean over the last tenth of the study: single batches are noisy."""
        late = [values for step, values in self.history if step > 0.9 * self.total_steps]
        return {name: sum(values[name] for values in late) / len(late) for name in late[0]}

    def truth_of(self, estimate: str) -> float | None:
        """Return the true value that belongs to an estimate, None if there is none."""
        return self.truths.get(estimate.replace("_lower_bound", ""))

    def recorded_truths(self) -> dict[str, float | str]:
        """Return the truths for status.json: "inf" and "nan" as strings, for which JSON has no number."""
        return {name: value if math.isfinite(value) else str(value) for name, value in self.truths.items()}

    def curves(self, side: int) -> Curves:
        """Return D and the optimal D on a regular grid of ``side`` points along each axis.

        How far they are apart is averaged over samples, because a grid may miss thin distributions.
        """
        points = box(self.real, self.generated, side)
        rng = np.random.default_rng(self.seed)
        samples = np.concatenate([m.sample(COMPARED, rng)[0] for m in (self.real, self.generated)])
        turn = self.loss.for_d(self.turn(self.sources(), measure=False)).turn
        self.d.net.eval()  # the grid is no batch of samples: batch norm must not take its statistics from it
        x = torch.from_numpy(points).float().to(self.precision.device).requires_grad_()
        outputs = turn.critic(x)
        score = one_number(turn.witness(outputs))
        (gradient,) = torch.autograd.grad(score.sum(), x)
        with torch.no_grad():
            at_samples = self.learned(turn.critic(torch.from_numpy(samples).to(self.precision.device)))
        self.d.net.train()
        return Curves(
            points=points,
            critic=as_array(score),
            gradient=as_array(gradient),
            learned=self.learned(outputs),
            apart=None if at_samples is None else float(np.abs(at_samples - self.optimal(samples)).mean()),
            optimal=self.optimal(points),
            real=np.exp(self.real.log_density(points)),
            generated=np.exp(self.generated.log_density(points)),
        )

    def learned(self, outputs: Tensor) -> Array | None:
        """Return D's outputs (N, …) as probabilities (N,), None if the objective's optimum tells none."""
        log_ratio = self.loss.objective.log_ratio(outputs)
        return None if log_ratio is None else as_array(one_number(torch.sigmoid(log_ratio)))

    def optimal(self, points: Array) -> Array:
        """Return D*(x) = p/(p+q) at points (N, d)."""
        log_p, log_q = self.real.log_density(points), self.generated.log_density(points)
        optimal: Array = 1 / (1 + np.exp(np.clip(log_q - log_p, -700, 700)))
        return optimal


def one_number(scores: Tensor) -> Tensor:
    """Return scores (N,) or (N, k) as (N,), averaged over a sample's outputs as every objective does."""
    return scores.flatten(1).mean(1) if scores.ndim > 1 else scores


def as_array(x: Tensor) -> Array:
    """Return a tensor as a float64 array."""
    array: Array = x.detach().double().cpu().numpy()
    return array


def box(real: Known, generated: Known, side: int) -> Array:
    """Return a regular grid (side^d, d) over the square that holds both distributions, four deviations around."""
    reach = max(float(np.abs(m.centers).max()) + 4 * m.std for m in (real, generated))
    axes = np.meshgrid(*[np.linspace(-reach, reach, side)] * real.shape[0], indexing="ij")
    return np.stack([axis.ravel() for axis in axes], axis=1)


def truths(real: Known, generated: Known, samples: int = 1000) -> dict[str, float]:
    """Return every distance that an objective may estimate, by the names of their estimates.

    They are integrated on cells as fine as the thinnest component. The Wasserstein distance in the plane is that of
    ``samples`` of each, which is a little too high, as for any finite samples. A divergence is ∞ if it is infinite or
    too large for a number, and NaN if it cannot be integrated to three digits, which happens to χ² alone.

    Raises:
        ConfigError: if the components are so many and so thin that not even bounded divergences can be integrated.
    """
    p, q = (Normals(m.centers, m.std, m.weights) for m in (real, generated))
    try:
        values = of_mixtures(p, q, [name for name in F_DIVERGENCES if name not in ("pearson", "neyman")])
    except ValueError as error:
        raise ConfigError(f"data and generated cannot be compared: {error}") from error
    values |= {"pearson": chi_squared_or_nan(p, q), "neyman": chi_squared_or_nan(q, p)}
    twice_js = values.pop("jensen_shannon")
    named = {
        f"{name}_{'nats' if F_DIVERGENCES[name].in_nats else 'unitless'}": value
        for name, value in values.items()
        if name != "gan"
    }
    return named | {
        "js_nats": twice_js / 2,
        "twice_js_nats": twice_js,
        "twice_js_minus_log4_nats": twice_js - math.log(4),
        "fisher_distance_unitless": 2 * math.sqrt(values["le_cam"]),
        "wasserstein_1_data_units": wasserstein_1(p, q, real, generated, samples),
    }


def shown(truth: float, form: str = ".4g") -> str:
    """Return a truth as text: the number, inf, or that it is not known."""
    return "not known" if math.isnan(truth) else format(truth, form)


def chi_squared_or_nan(p: Normals, q: Normals) -> float:
    """Return χ² of p from q, NaN if it is refused."""
    try:
        return divergences.chi_squared(p, q)
    except ValueError:
        return math.nan


def wasserstein_1(p: Normals, q: Normals, real: Known, generated: Known, samples: int) -> float:
    """Return the distance: exact on a line, between samples in the plane."""
    if real.shape == (1,):
        return divergences.wasserstein(p, q)
    x, y = (Samples(m.sample(samples, np.random.default_rng(k))[0]) for k, m in enumerate((real, generated)))
    return divergences.wasserstein(x, y)
