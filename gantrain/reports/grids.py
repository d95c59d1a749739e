"""The tables of a report, cell by cell, for the page and for Markdown alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gantrain.reports.comparison import Table
from gantrain.reports.runs import Run
from gantrain.reports.statistics import LEAST_FOR_IQM, METHOD, Summary
from gantrain.run import git
from gantrain.run.directions import arrow
from gantrain.run.read import LAST, MEDIAN, PARTS

ORDER = ("best", "final", MEDIAN)
MOST_PAIRS = 12
"""Variants whose pairs are shown; of more only the best."""


@dataclass(frozen=True)
class Cell:
    """What stands in a cell; ``small`` below it, ``value`` to sort by, ``kind`` a class of page.css."""

    text: str
    small: str = ""
    value: float | str | None = None
    kind: str = ""
    shade: float | None = None  # 0 to 1
    picture: str = ""  # a variant's name: where the page draws its seeds


@dataclass(frozen=True)
class Grid:
    """A table."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""


EMPTY = Cell("–", value="")


def grids(table: Table) -> list[Grid]:
    """Return a comparison's tables, the most asked for first."""
    found = [ranking(table), every_metric(table), stability(table)]
    if len(table.ranked) > 1:
        found += [chances(table), differences(table)]
    found += [costs(table), settings(table)]
    if any(run.tags or run.notes or run.commits for variant in table.variants for run in variant.runs):
        found.append(origins(table))
    if table.unfinished:
        found.append(unfinished(table.unfinished))
    return found


def verdict(table: Table) -> str:
    """Return in a sentence whether the first in the ranking can be told from the others, "" for one variant alone."""
    best = table.first(table.metric)
    if best is None or len(table.ranked) < 2:
        return ""
    rivals = table.rivals(table.metric)
    if not rivals:
        return f"{best.name} is best by {table.metric}: its difference from every other, paired by seed, leaves out 0."
    rival, found = rivals[0]
    others = f" (nor from {len(rivals) - 1} more)" if len(rivals) > 1 else ""
    text = f"By {table.metric}, {best.name} ranks first but is not separable from {rival.name}{others}"
    if found is None or found.interval is None:
        n = found.n if found else 0
        return f"{text} with {n} {'seed' if n == 1 else 'seeds'} in common; two or more are needed to tell."
    bounds = f"{found.mean:+.4g} [{found.interval.low:+.4g}, {found.interval.high:+.4g}]"
    enough = f"about {found.needed} would be needed" if found.needed else "more than a thousand would be needed"
    return f"{text} with {found.n} seeds: the difference is {bounds}; {enough} if mean and spread stayed."


def nothing_finished(table: Table) -> str:
    """Return a line about a kind of runs of which none has finished, "" if one has."""
    if table.ranked:
        return ""
    states = [run.state for run in table.unfinished]
    counted = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    names = ", ".join(variant.name for variant in table.variants)
    return f"No run of this kind has finished and been measured ({counted}): {names}."


def number(value: float) -> str:
    """Return a value in four digits."""
    return f"{value:.4g}"


def spread(summary: Summary) -> str:
    """Return mean ± standard deviation."""
    return number(summary.mean) + (f" ± {summary.sd:.2g}" if summary.sd is not None else "")


def interval(found: Summary) -> str:
    """Return a confidence interval."""
    return f"[{number(found.interval.low)}, {number(found.interval.high)}]" if found.interval else ""


def share(count: int, of: int) -> Cell:
    """Return how many of how many, marked where it is not none."""
    if of == 0:
        return EMPTY
    return Cell(f"{count} of {of}", value=count / of, kind="bad" if count else "")


def ranking(table: Table) -> Grid:
    """Mean and spread of the metric that is ranked by."""
    ranks, rows, separated = table.rank(table.metric), [], table.is_separated(table.metric)
    for variant in table.variants:
        found = variant.summary(table.metric, table.part)
        rates = [share(*variant.collapses()), share(*variant.rate("diverged")), share(*variant.others())]
        if found is None:
            rows.append([Cell(variant.name), EMPTY, Cell("0", value=0), EMPTY, EMPTY, EMPTY, EMPTY, *rates])
            continue
        place = ranks[variant.name]
        middle = Cell(spread(found), value=found.mean, kind="first" if place == 1 and separated else "")
        bounds = Cell(interval(found), value=found.interval.low) if found.interval else EMPTY
        rows.append(
            [
                *(Cell(variant.name), Cell(str(place), value=place), Cell(str(found.n), value=found.n), middle, bounds),
                EMPTY if found.iqm is None else Cell(number(found.iqm), value=found.iqm),
                *(Cell("", value="", picture=variant.name), *rates),
            ]
        )
    first = f"{arrow(table.better, table.metric)}, mean ± sd"
    head = ["", "rank", "n", first, "95% CI", "IQM", "seeds", "collapsed", "diverged", "unfinished"]
    note = f"n: seeds that finished. {METHOD} Green: separated from every other by the differences paired by seed."
    if all(row[head.index("IQM")] is EMPTY for row in rows):
        rows = [row[: head.index("IQM")] + row[head.index("IQM") + 1 :] for row in rows]
        head.remove("IQM")
    else:
        note += f" IQM: interquartile mean, from {LEAST_FOR_IQM} seeds on."
    return Grid(f"Ranking by {table.metric}, {PARTS[table.part]}", head, rows, note)


def every_metric(table: Table) -> Grid:
    """Each metric with its rank."""
    ranks, rows = {metric: table.rank(metric) for metric in table.metrics}, []
    separated = {metric for metric in table.metrics if table.is_separated(metric)}
    for variant in table.variants:
        row = [Cell(variant.name)]
        for metric in table.metrics:
            found = variant.summary(metric, table.part)
            if found is None:
                row.append(EMPTY)
                continue
            place = ranks[metric].get(variant.name)
            small = " ".join(filter(None, [f"#{place}" if place else "", interval(found)]))
            first = place == 1 and metric in separated
            row.append(Cell(spread(found), small, found.mean, "first" if first else ""))
        rows.append(row)
    note = (
        "Mean ± sd over seeds; below, the rank (#) and the 95% interval of the mean. Arrows point to the better side."
    )
    return Grid("Every metric", ["", *(arrow(table.better, metric) for metric in table.metrics)], rows, note)


def stability(table: Table) -> Grid:
    """Return the metric at the best step, at the end, and as the median of the last evaluations."""
    rows = []
    for variant in table.variants:
        row = [Cell(variant.name)]
        for part in ORDER:
            found = variant.summary(table.metric, part)
            row.append(Cell(spread(found), interval(found), found.mean) if found else EMPTY)
        steps = [run.best_step / run.step for run in variant.finished if run.best_step is not None and run.step]
        row.append(Cell(f"{sum(steps) / len(steps):.0%}", value=sum(steps) / len(steps)) if steps else EMPTY)
        rows.append(row)
    head = ("", *(PARTS[part] for part in ORDER), "best reached after")
    first = next((run for variant in table.variants for run in variant.runs if run.best_by), None)
    note = (
        f"The best checkpoint is the one with the best {first.best_by}; it is chosen by what it is judged by."
        if first
        else ""
    )
    return Grid(f"Best, final and last {LAST}: {arrow(table.better, table.metric)}", head, rows, note)


def chances(table: Table) -> Grid:
    """Return the probability that a run of the row beats one of the column."""
    shown, rows = table.ranked[:MOST_PAIRS], []
    for a in shown:
        row = [Cell(a.name)]
        for b in shown:
            if a is b:
                row.append(Cell("", value=""))
                continue
            found = table.chance(a, b)
            small = f"[{found.interval.low:.2f}, {found.interval.high:.2f}]" if found.interval else ""
            row.append(Cell(f"{found.probability:.2f}", small, found.probability, "heat", found.probability))
        rows.append(row)
    note = (
        "Over all pairs of their runs, a tie counting half (Agarwal et al. 2021); below, the 95% interval (Newcombe "
        "2006, method 5, with Student's t), from two seeds of each on. 0.5 is no difference." + left_out(table)
    )
    return Grid("Probability that the row beats the column", ["", *(v.name for v in shown)], rows, note)


def differences(table: Table) -> Grid:
    """Return each pair's difference, seed by seed."""
    rows, shown = [], table.ranked[:MOST_PAIRS]
    for k, a in enumerate(shown):
        for b in shown[k + 1 :]:
            found = table.difference(a, b)
            if found is None:
                continue
            bounds = EMPTY
            if found.interval:
                bounds = Cell(f"[{found.interval.low:+.4g}, {found.interval.high:+.4g}]", value=found.interval.low)
            rows.append(
                [
                    *(Cell(f"{a.name} − {b.name}"), Cell(str(found.n), value=found.n)),
                    *(Cell(f"{found.mean:+.4g}", value=found.mean), bounds),
                    Cell(f"{found.wins:g} of {found.n}", value=found.wins / found.n),
                ]
            )
    head = ("", "seeds in common", f"mean difference of {table.metric}", "95% CI", "seeds won by the first")
    note = "The same seed means the same order of the data and, where the networks are, the same initial weights. "
    note += "The interval is Student's t; each holds in 95% of cases by itself, so of many pairs some miss by chance."
    note += left_out(table)
    return Grid("Differences, paired by seed", head, rows, note)


def left_out(table: Table) -> str:
    """Say how many variants pairs are not shown of."""
    more = len(table.ranked) - MOST_PAIRS
    return f" The best {MOST_PAIRS} are shown, {more} more are not." if more > 0 else ""


def settings(table: Table) -> Grid:
    """Return what each variant was trained with, in bold where variants differ."""
    names = ("optimizer of G", "of D", "learning rate of G", "of D", "D : G", "parameters of G", "of D", "command")
    rows = [(variant.name, described_settings(variant.runs[0])) for variant in table.variants]
    differing = [len({row[k] for _, row in rows}) > 1 for k in range(len(names))]
    cells = [
        [Cell(name), *(Cell(text or "–", kind=kind(k, differing[k])) for k, text in enumerate(row))]
        for name, row in rows
    ]
    note = "Of the first seed; the other seeds differ in nothing but the seed. Bold: not the same in all rows."
    return Grid("What each was trained with", ("", *names), cells, note)


def origins(table: Table) -> Grid:
    """Return by which commits of the code each variant's runs were made, where, and what was said of them."""
    rows = []
    for variant in table.variants:
        commits = distinct(git.described(entry) for run in variant.runs for entry in run.commits)
        hosts, tags = distinct(run.host for run in variant.runs), distinct(" ".join(r.tags) for r in variant.runs)
        notes = distinct(run.notes for run in variant.runs)
        several = "differs" if len(commits) > 1 else "left"
        rows.append(
            [
                *(Cell(variant.name), Cell(", ".join(commits) or "–", kind=several)),
                *(Cell(", ".join(found) or "–", kind="left") for found in (hosts, tags)),
                Cell("; ".join(notes) or "–", kind="left"),
            ]
        )
    note = "Over all seeds. With changes: files of the repository differed from that commit. Bold: more than one."
    return Grid("Where they come from", ("", "code", "host", "tags", "notes"), rows, note)


def distinct(texts: Iterable[str]) -> list[str]:
    """Return the texts that are not empty, each once."""
    return list(dict.fromkeys(text for text in texts if text))


def described_settings(run: Run) -> tuple[str, ...]:
    """Return a run's settings as words; "" for what an older gantrain has not recorded."""
    players = [run.players.get(name, {}) for name in ("G", "D")]
    betas = [f" β {tuple(p['betas'])}" if "betas" in p else "" for p in players]
    optimizers = [f"{p.get('optimizer', '')}{beta}" for p, beta in zip(players, betas, strict=True)]
    rates = [f"{p['learning_rate']:g}" if "learning_rate" in p else "" for p in players]
    sizes = [f"{p['parameters']:,}" if "parameters" in p else "" for p in players]
    return (*optimizers, *rates, run.ratio, *sizes, run.command)


def kind(column: int, differs: bool) -> str:
    """Return the class of a cell of the settings: the command's own, else that of what differs."""
    return "command" if column == 7 else "differs" if differs else ""


def costs(table: Table) -> Grid:
    """Return the mean cost of a run."""
    units = (
        ("training_seconds", 1, "training, s"),
        ("other_seconds", 1, "evaluation and records, s"),
        ("flops", 1e12, "TFLOP"),
        ("peak_memory_bytes", 2**30, "peak memory, GiB"),
    )
    rows = []
    for variant in table.variants:
        row = [Cell(variant.name), steps(variant.finished, "steps"), steps(variant.finished, "images")]
        for name, unit, _ in units:
            found = variant.cost(name)
            sd = f" ± {found[1] / unit:.2g}" if found and found[1] is not None and name != "flops" else ""
            row.append(Cell(f"{found[0] / unit:.4g}{sd}", value=found[0]) if found else EMPTY)
        rows.append(row)
    head = ("", "steps", "real images seen", *(name for *_, name in units))
    environments = {
        tuple(sorted((k, str(v)) for k, v in run.environment.items())) for v in table.variants for run in v.finished
    }
    where = "; ".join(" ".join(f"{k} {v}" for k, v in environment) for environment in sorted(environments))
    note = f"Measured on {where}." if where else ""
    note += " Not all on the same: times do not compare." if len(environments) > 1 else ""
    return Grid("What it cost, a run", head, rows, f"{note} Peak memory is the process's on a CPU, torch's on a GPU.")


def steps(runs: Sequence[Run], unit: str) -> Cell:
    """Return how much of a unit runs have used, one number if it is the same for all."""
    used = sorted({run.step * run.per_step[unit] for run in runs})
    if not used:
        return EMPTY
    return Cell(f"{used[0]:,}" if len(used) == 1 else f"{used[0]:,} to {used[-1]:,}", value=used[-1])


def unfinished(runs: Sequence[Run]) -> Grid:
    """Return the runs that are counted in no mean, and why."""
    rows = [
        [
            Cell(str(r.path)),
            Cell(r.state, kind="bad"),
            Cell(f"{r.step:,}", value=r.step),
            Cell(r.reason or "–", kind="left"),
        ]
        for r in runs
    ]
    return Grid("Runs that did not finish", ("", "state", "step", "reason"), rows, "They stand in no mean above.")
