"""Which runs may stand in one table, which of them differ by chance alone, and how they compare."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean, stdev

import numpy as np

from gantrain.budget import UNITS
from gantrain.errors import ConfigError
from gantrain.reports.runs import Run
from gantrain.reports.statistics import (
    Chance,
    Difference,
    Summary,
    chance_to_beat,
    paired_difference,
    summarise,
)
from gantrain.run.directions import DIRECTIONS, Better, ranked, shown, sign
from gantrain.run.read import described

DONE = "finished"
COUNTED = (DONE, "diverged")
"""States of runs that have come to their end, which rates of divergence are of."""
LEAST_MODES, LEAST_COVERAGE = 0.5, 0.1
COLLAPSE = (
    f"A run counts as collapsed if at its end it covers less than {LEAST_MODES:.0%} of the data's modes where these "
    f"are known, else if its coverage (Naeem et al. 2020) is below {LEAST_COVERAGE}: for fewer than one in ten real "
    "images there is a generated one among their neighbours. Without either it is not known."
)


@dataclass(frozen=True)
class Variant:
    """Runs of the same settings with different seeds."""

    name: str
    runs: tuple[Run, ...]

    @cached_property
    def counted(self) -> tuple[Run, ...]:
        """Return one run of each seed: the last, by its folder's name, of those that finished, or of all."""
        last = {run.seed: run for run in sorted(self.runs, key=lambda run: (run.state == DONE, str(run.path)))}
        return tuple(last[seed] for seed in sorted(last))

    @cached_property
    def finished(self) -> tuple[Run, ...]:
        """Runs that came to their end and were measured."""
        return tuple(run for run in self.counted if run.state == DONE and run.values["final"])

    @property
    def repeated(self) -> list[int]:
        """Seeds of which more than one run finished."""
        seeds = [run.seed for run in self.runs if run.state == DONE]
        return sorted({seed for seed in seeds if seeds.count(seed) > 1})

    def by_seed(self, metric: str, part: str = "final") -> dict[int, float]:
        """Return the finished runs' values of a metric, by seed."""
        return {run.seed: run.values[part][metric] for run in self.finished if metric in run.values[part]}

    def summary(self, metric: str, part: str = "final") -> Summary | None:
        """Return mean and spread over seeds, None if nothing was measured."""
        values = list(self.by_seed(metric, part).values())
        return summarise(values) if values else None

    def rate(self, state: str) -> tuple[int, int]:
        """Return how many of the runs that have ended did so in a state, and how many have ended."""
        ended = [run for run in self.counted if run.state in COUNTED]
        return sum(run.state == state for run in ended), len(ended)

    def others(self) -> tuple[int, int]:
        """Return how many runs neither finished nor diverged, and how many there are."""
        return sum(run.state not in COUNTED for run in self.counted), len(self.counted)

    def collapses(self) -> tuple[int, int]:
        """Return how many finished runs collapsed, and of how many that is known."""
        known = [verdict for run in self.finished if (verdict := collapsed(run)) is not None]
        return sum(known), len(known)

    def cost(self, name: str) -> tuple[float, float | None] | None:
        """Return mean and standard deviation of a cost over the finished runs."""
        values = [run.cost[name] for run in self.finished if name in run.cost]
        return (fmean(values), stdev(values) if len(values) > 1 else None) if values else None

    def curve(self, metric: str, unit: str) -> list[tuple[float, float, float, float]]:
        """Return (cost so far, mean, lowest, highest) of the finished runs.

        At the steps where all were measured; if there are none such, as with a budget of seconds, in between them.
        """
        lines = [
            [(run.cost_at(s, unit), run.curve[s].get(metric), s) for s in sorted(run.curve)] for run in self.finished
        ]
        known = [[(x, y, s) for x, y, s in line if y is not None] for line in lines]
        if not known or not all(known):
            return []
        common = sorted(set.intersection(*({s for *_, s in line} for line in known)))
        if common:
            columns = [[(x, y) for line in known for x, y, s in line if s == step] for step in common]
            return [(fmean(x for x, _ in c), *spread_of([y for _, y in c])) for c in columns]
        first, last = max(line[0][0] for line in known), min(line[-1][0] for line in known)
        grid = np.linspace(first, last, min(map(len, known))) if first < last else np.array([])
        values = np.array([np.interp(grid, [x for x, *_ in line], [y for _, y, _ in line]) for line in known])
        return [(float(x), *spread_of(column.tolist())) for x, column in zip(grid, values.T, strict=True)]


def spread_of(values: list[float]) -> tuple[float, float, float]:
    """Return mean, lowest and highest."""
    return fmean(values), min(values), max(values)


@dataclass(frozen=True)
class Table:
    """Variants that may be compared: the same data, the same protocol, the same budget."""

    name: str  # the data's
    data: str
    protocol: str
    budget: str
    unit: str
    tag: str
    metric: str
    part: str
    better: Better
    variants: tuple[Variant, ...]  # the best first
    metrics: tuple[str, ...]
    unfinished: tuple[Run, ...] = field(default=())

    @cached_property
    def ranked(self) -> tuple[Variant, ...]:
        """The variants that have values."""
        return tuple(v for v in self.variants if v.by_seed(self.metric, self.part))

    def rank(self, metric: str) -> dict[str, int]:
        """Return the place of each variant by its mean of a metric; {} for one that has no better side."""
        if metric not in ranked(self.better):
            return {}
        means = {v.name: s.mean for v in self.variants if (s := v.summary(metric, self.part)) is not None}
        factor = sign(self.better, metric)
        return {
            name: 1 + sum(factor * other < factor * mean for other in means.values()) for name, mean in means.items()
        }

    def difference(self, a: Variant, b: Variant, metric: str | None = None) -> Difference | None:
        """Compare two variants seed by seed, by the ranked metric or another."""
        metric = metric or self.metric
        ours, theirs = a.by_seed(metric, self.part), b.by_seed(metric, self.part)
        return paired_difference(ours, theirs, sign(self.better, metric) > 0)

    def first(self, metric: str) -> Variant | None:
        """Return the variant with the best mean of a metric, None if the metric has no better side or no values."""
        ranks = self.rank(metric)
        return next((v for v in self.variants if ranks.get(v.name) == 1), None)

    def rivals(self, metric: str) -> list[tuple[Variant, Difference | None]]:
        """Return those that the best variant cannot be told from, the nearest first, with what is known of each pair.

        Told apart are two whose interval of the difference, paired by seed, leaves out 0. None: they share no seed.
        """
        best, ranks = self.first(metric), self.rank(metric)
        if best is None:
            return []
        others = sorted((v for v in self.variants if v is not best and v.name in ranks), key=lambda v: ranks[v.name])
        pairs = [(other, self.difference(best, other, metric)) for other in others]
        return [(other, found) for other, found in pairs if found is None or not found.separated]

    def is_separated(self, metric: str) -> bool:
        """Tell whether there are others than the best variant by a metric, and all of them can be told from it."""
        return len(self.rank(metric)) > 1 and not self.rivals(metric)

    def chance(self, a: Variant, b: Variant) -> Chance:
        """Return the probability that a run of A beats one of B."""
        return chance_to_beat(list(self._values(a).values()), list(self._values(b).values()), self.lower_is_better)

    def _values(self, variant: Variant) -> dict[int, float]:
        return variant.by_seed(self.metric, self.part)

    @property
    def lower_is_better(self) -> bool:
        """Whether low values of the ranked metric are the good ones."""
        return sign(self.better, self.metric) > 0


def headings(tables: Sequence[Table]) -> list[str]:
    """Return a heading for each table: the data's name, and what tells apart those that share it."""
    found = []
    for table in tables:
        alike = [other for other in tables if other.name == table.name]
        facts = {"data": table.data, "protocol": table.protocol, "budget": f"{table.budget} each"}
        telling = [text for key, text in facts.items() if len({getattr(other, key) for other in alike}) > 1]
        found.append(": ".join([table.name, ", ".join(telling)]) if telling else table.name)
    return found


def collapsed(run: Run) -> bool | None:
    """Tell whether a finished run collapsed (``COLLAPSE`` says when), None if that is not known."""
    final = run.values["final"]
    if "modes" in final and final.get("modes_of_data"):
        return final["modes"] < LEAST_MODES * final["modes_of_data"]
    return final["coverage"] < LEAST_COVERAGE if "coverage" in final else None


def tables(runs: Iterable[Run], metric: str | None, part: str) -> tuple[list[Table], list[Run]]:
    """Return the tables, and the runs that stand in none because the metric was not measured there.

    Args:
        runs: all there are.
        metric: to rank by; None: what the runs chose their best checkpoint by.
        part: ``final``, ``best`` or ``median_of_last_5``.

    Raises:
        ConfigError: for a metric that none of them has, or that is neither good nor bad.
    """
    groups: dict[tuple[str, str, str], list[Run]] = {}
    unmeasured, waiting = [], []
    for run in runs:
        if run.protocol:
            groups.setdefault((run.data, run.protocol["hash"], budget(run)), []).append(run)
        else:
            waiting.append(run)
    for run in waiting:  # it failed before its first evaluation, and belongs where its like are
        homes = [key for key in groups if (key[0], key[2]) == (run.data, budget(run))]
        if len(homes) == 1 and run.state != DONE:
            groups[homes[0]].append(run)
        else:
            unmeasured.append(run)
    found = [(table(group, metric, part), group) for _, group in sorted(groups.items())]
    kept = [t for t, _ in found if t is not None]
    unmeasured += [run for t, group in found if t is None for run in group]
    if metric is not None and groups and not kept:
        every = [run for group in groups.values() for run in group]
        known = sorted({name for run in every for name in ranked(run.better) if name in run.values[part]})
        measured = any(metric in run.values[part] for run in every)
        why = "has no better and worse" if measured else f"was not measured (of={part})"
        raise ConfigError(f"metric={metric} {why}; there are {', '.join(known) or 'none'}")
    return kept, unmeasured


def table(runs: list[Run], metric: str | None, part: str) -> Table | None:
    """Compare runs of one kind; None if none of them has the metric."""
    names = {name for run in runs for name in run.values[part]}
    better = agreed(runs)
    chosen = metric or next(
        (run.best_by for run in runs if run.best_by in names and run.best_by in ranked(better)), None
    )
    chosen = chosen or next((name for name in ranked(better) if name in names), None)
    if chosen not in names or chosen not in ranked(better):
        return None
    variants = list(named(runs))
    factor = sign(better, chosen)

    def order(variant: Variant) -> tuple[float, str]:
        found = variant.summary(chosen, part)
        return (factor * found.mean if found else float("inf"), variant.name)

    first = next(run for run in runs if run.protocol)
    return Table(
        name=first.choices.get("data", first.data),
        data=first.data,
        protocol=described(first.protocol),
        budget=budget(first),
        unit=first.budget["of"],
        tag=f"{first.protocol['features']}_{first.protocol['hash']}",
        metric=chosen,
        part=part,
        better=better,
        variants=tuple(sorted(variants, key=order)),
        metrics=(chosen, *(name for name in shown(better) if name in names and name != chosen)),
        unfinished=tuple(run for run in runs if run.state != DONE),
    )


def agreed(runs: list[Run]) -> Better:
    """Return for each value the direction that most runs record; one damaged record must not turn a ranking round."""
    every = dict.fromkeys(name for run in runs for name in run.better)
    said = {name: [run.better[name] for run in runs if name in run.better] for name in every}
    return {name: max(DIRECTIONS, key=directions.count) for name, directions in said.items()}


def named(runs: list[Run]) -> Iterator[Variant]:
    """Yield the variants, each named by the choices that distinguish it from the others."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.variant, []).append(run)
    firsts = {variant: group[0] for variant, group in groups.items()}
    keys = dict.fromkeys(key for run in firsts.values() for key in run.choices)
    differing = [key for key in keys if len({run.choices.get(key) for run in firsts.values()}) > 1]
    if "loss" in differing:
        # A loss brings its ratio and optimizer along; they are named only where they differ for one and the same loss.
        pairs = {key: {(run.choices["loss"], run.choices.get(key)) for run in firsts.values()} for key in differing}
        differing = [key for key in differing if key == "loss" or len(pairs[key]) > len(pairs["loss"])]
    shared = set.intersection(*(set(run.overrides) for run in firsts.values()))
    labels = {}
    for variant, run in firsts.items():
        words = [
            run.choices.get(key, "") if key in ("loss", "data") else f"{key}={run.choices.get(key)}"
            for key in differing
        ]
        words += [override for override in run.overrides if override not in shared]
        labels[variant] = " ".join(words) or run.choices.get("loss", variant)
    for variant, group in groups.items():
        twice = sum(label == labels[variant] for label in labels.values()) > 1
        name = f"{labels[variant]} ({variant})" if twice else labels[variant]
        yield Variant(name, tuple(sorted(group, key=lambda run: (run.seed, str(run.path)))))


def budget(run: Run) -> str:
    """Return the budget, which was held equal, in words."""
    amount, of = run.budget["amount"], run.budget["of"]
    return f"{amount:,.10g} {UNITS.get(of, of)}" if isinstance(amount, int | float) else json.dumps(run.budget)
