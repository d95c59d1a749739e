"""``gantrain-sample``: draw from a run's generator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
import numpy as np
from omegaconf import DictConfig

from gantrain.cli import runs
from gantrain.cli.entry import start
from gantrain.errors import ConfigError
from gantrain.run import files
from gantrain.schema import SampleConfig
from gantrain.terminal import folded

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from gantrain.inputs import Inputs
    from gantrain.kinds import Kind
    from gantrain.trained import Trained

KINDS = ("grid", "files", "npz", "progress")
STOPS = 8  # samples that a walk visits
ROWS, COLUMNS = 8, 10  # of the picture of ways between samples
MOST_COLUMNS = 20  # of a grid with one class a row
DRAWS = 200  # latents tried for each sample wanted, where a classifier picks the class


@hydra.main(version_base="1.3", config_path="pkg://gantrain.configs", config_name="sample")
def job(cfg: DictConfig) -> None:
    """Draw and say where."""
    runs.command(cfg, "sample", SampleConfig, sample)


def main() -> None:
    """Start the ``gantrain-sample`` command."""
    start(job, "sample")


def sample(cfg: DictConfig) -> None:
    """Draw samples and write them in the forms that were asked for."""
    if unknown := [kind for kind in cfg.save if kind not in KINDS]:
        raise ConfigError(f"save: {unknown[0]} is not among {', '.join(KINDS)}")
    path = runs.the_one(cfg.run)

    import torch  # takes seconds: not before it is needed

    from gantrain.build import pick_device
    from gantrain.sampling import samples_of, truncating
    from gantrain.trained import Trained

    trained = Trained.open(path, cfg.step, tuple(cfg.trusted_modules), cfg.data.root)
    device = pick_device(cfg.device)
    net = trained.generator(cfg.generator, device)
    source, bound = truncating(net, cfg.truncation)
    z, labels = chosen(cfg, trained, net, source, bound, device)
    samples = torch.cat([batch.cpu() for batch in samples_of(source, z, labels, device)])
    with runs.made_whole(cfg.out, path / "generated" / name_of(cfg, trained.step), path) as (folder, place):
        write(cfg, trained, folder, samples, z, labels)
        if cfg.interpolate:
            interpolate(cfg, folder, trained.kind, source, z, labels, device)
        if not (names := sorted(entry.name for entry in folder.iterdir())):
            raise ConfigError(f"save={list(cfg.save)}: this run has nothing of that kind; use save=[npz]")
    print(folded(f"{place}: {', '.join(names)} (step {trained.step:,})"))


def name_of(cfg: DictConfig, step: int) -> str:
    """Return the name of the folder, in which every choice that changes the samples has its part."""
    parts = [f"step-{step:09d}", cfg.generator, f"n{cfg.n}", f"seed{cfg.seed}"]
    if cfg.truncation is not None:
        parts.append(f"truncation{cfg.truncation:g}")
    if cfg.classes is not None:
        parts.append("classes" + "-".join(map(str, cfg.classes)))
    return "-".join(parts)


def chosen(
    cfg: DictConfig, trained: Trained, net: nn.Module, source: nn.Module, bound: float | None, device: torch.device
) -> tuple[Tensor, Tensor | None]:
    """Return latents (n, d) and labels (n,), None where an unconditional generator is asked for no classes.

    ``source`` and ``bound`` are what ``truncating`` makes of the generator and ``truncation``.

    Raises:
        ConfigError: for classes that do not exist, or that an unconditional generator does not draw.
    """
    from gantrain.inputs import class_numbers, is_conditional
    from gantrain.kinds import Images

    classes = trained.samples_are()[1]
    if cfg.classes is None and not is_conditional(net):
        return trained.inputs.fixed(cfg.n, cfg.seed, bound).z, None
    names = trained.class_names()
    if names is None and any(isinstance(c, str) for c in cfg.classes or ()):
        names = trained.data().class_names  # a checkpoint of before does not name them
    wanted = class_numbers(list(range(classes) if cfg.classes is None else cfg.classes), classes, names or [])
    if cfg.classes is not None:
        cfg.classes = wanted  # by number: the folder's name has them
    given = trained.inputs.fixed(cfg.n, cfg.seed, bound, wanted)
    assert given.labels is not None
    labels = given.labels.sort().values  # one class after the other, as a grid shows them
    if is_conditional(net):
        return given.z, labels
    if not isinstance(trained.kind, Images):
        raise ConfigError("classes=… of an unconditional generator is for images")
    return picked(cfg, trained, source, bound, labels, device), labels


def picked(
    cfg: DictConfig, trained: Trained, net: nn.Module, bound: float | None, labels: Tensor, device: torch.device
) -> Tensor:
    """Return latents whose samples a classifier of the data reads as ``labels``, which an unconditional G knows not."""
    import torch

    from gantrain.evaluation import Classifier, as_bytes
    from gantrain.evaluation.cache import Cache
    from gantrain.sampling import samples_of
    from gantrain.terminal import say

    classifier = Classifier(trained.data(), None, Cache(cfg.cache), device)
    say(f"the generator is unconditional: its samples are picked by the {classifier}")
    found: dict[int, list[Tensor]] = {int(label): [] for label in labels.unique()}
    wanted = {label: int((labels == label).sum()) for label in found}
    for z in draws(cfg, trained.inputs, bound):
        read = torch.cat([classifier(as_bytes(batch))[1].argmax(-1) for batch in samples_of(net, z, device=device)])
        for label, list_ in found.items():
            list_ += list(z[read == label][: wanted[label] - len(list_)])
        if all(len(list_) == wanted[label] for label, list_ in found.items()):
            return torch.stack([z for label in sorted(found) for z in found[label]])
    label = min(found, key=lambda label: len(found[label]) / wanted[label])
    raise ConfigError(
        f"classes: among {DRAWS * cfg.n:,} samples only {len(found[label])} are read as class {label}, "
        f"{wanted[label]} are wanted; take fewer, or other classes"
    )


def draws(cfg: DictConfig, inputs: Inputs, bound: float | None) -> Iterator[Tensor]:
    """Yield latents to pick from, as many as it may take."""
    size = max(500, cfg.n)
    for k in range(-(-DRAWS * cfg.n // size)):
        seed = int(np.random.SeedSequence([cfg.seed, k]).generate_state(1)[0])
        yield inputs.fixed(size, seed, bound).z


def write(cfg: DictConfig, trained: Trained, folder: Path, samples: Tensor, z: Tensor, labels: Tensor | None) -> None:
    """Write grid, files, arrays and the progress of the training, as far as asked for and drawable."""
    from gantrain.run import pictures
    from gantrain.terminal import say

    kind = trained.kind
    why = kind.undrawn(samples.shape[1:])
    arrays = {"latents": z.numpy(), "seed": np.array(cfg.seed)}
    arrays |= {} if labels is None else {"labels": labels.numpy()}
    arrays |= {kind.name: kind.to_array(samples)}
    drawn = files.own_files(trained.run.path / "samples", "step-*.png")
    writers: dict[str, Callable[[], object]] = {
        "npz": lambda: np.savez_compressed(folder / "samples.npz", **arrays),  # type: ignore[arg-type]
    }
    if why is None:
        writers["grid"] = lambda: pictures.grid(samples, folder / "grid.png", columns_of(labels), kind)
    elif set(cfg.save) - {"npz"}:
        say(f"{why}; npz holds them as numbers")
    names, units = trained.class_names(), trained.units()
    named = None if labels is None or names is None else [names[k] for k in labels.tolist()]
    writers["files"] = lambda: kind.write_files(samples, folder, units, named)
    if drawn and why is None:
        writers["progress"] = lambda: pictures.progress(drawn, folder / "progress.gif")
    for form in writers.keys() & set(cfg.save):
        writers[form]()


def columns_of(labels: Tensor | None) -> int | None:
    """Return the columns of a grid with one class a row; None where the classes have unequal or many samples."""
    if labels is None:
        return None
    counts = labels.bincount()
    counts = counts[counts > 0]
    return int(counts[0]) if (counts == counts[0]).all() and len(counts) > 1 and counts[0] <= MOST_COLUMNS else None


def interpolate(
    cfg: DictConfig, folder: Path, kind: Kind, net: nn.Module, z: Tensor, labels: Tensor | None, device: torch.device
) -> None:
    """Write a walk through the first samples and back to the first, and a picture whose rows lead from one to another.

    Raises:
        ConfigError: for samples that are not drawn one by one, or a single sample.
    """
    import torch

    from gantrain.run import pictures
    from gantrain.sampling import between, samples_of

    if len(z) < 2:
        raise ConfigError("interpolate=true needs n=2 or more")

    def through(pairs: list[tuple[int, int]], steps: int, last: bool) -> Tensor:
        way = torch.cat([between(z[a], z[b], steps + (not last))[: steps if not last else None] for a, b in pairs])
        own = None if labels is None else torch.cat([labels[a].expand(steps) for a, _ in pairs])
        return torch.cat([batch.cpu() for batch in samples_of(net, way, own, device)])

    frames = through(ways(labels, len(z), STOPS), cfg.frames, last=False)
    if why := kind.undrawn(frames.shape[1:]):
        raise ConfigError(f"interpolate=true: {why}")
    if not kind.in_cells:
        raise ConfigError(f"interpolate=true is for samples that are drawn one by one, and {kind.name} are not")
    pictures.walk(frames, folder / "walk.gif", kind)
    rows = through(ways(labels, len(z), ROWS), COLUMNS, last=True)
    pictures.grid(rows, folder / "interpolation.png", COLUMNS, kind)


def ways(labels: Tensor | None, n: int, most: int) -> list[tuple[int, int]]:
    """Return at most ``most`` pairs of samples to go between, round and round; within a class, where there are classes.

    Raises:
        ConfigError: if no class has two samples.
    """
    classes = [list(range(n))]
    if labels is not None:
        classes = [(labels == label).nonzero().flatten().tolist() for label in labels.unique()]
        classes = [members for members in classes if len(members) > 1]
        if not classes:
            raise ConfigError("interpolate=true goes from sample to sample of a class; ask for two of a class or more")
    each = max(2, most // len(classes))
    rounds = [members[:each] for members in classes[: max(1, most // 2)]]
    return [(a, b) for members in rounds for a, b in zip(members, [*members[1:], members[0]], strict=True)]
