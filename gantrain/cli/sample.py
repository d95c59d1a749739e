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
from gantrain.schema import SampleConfig

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from gantrain.trained import Trained

KINDS = ("grid", "files", "npz", "progress")
STOPS = 8  # samples that a walk visits
ROWS, COLUMNS = 8, 10  # of the picture of ways between samples
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
    from gantrain.sampling import samples_of
    from gantrain.trained import Trained

    trained = Trained.open(path, cfg.step, tuple(cfg.trusted_modules))
    device = pick_device(cfg.device)
    net = trained.generator(cfg.generator, device)
    z, labels = chosen(cfg, trained, net, device)
    samples = torch.cat([batch.cpu() for batch in samples_of(net, z, labels, device)])
    with runs.made_whole(cfg.out, path / "generated" / name_of(cfg, trained.step)) as (folder, place):
        write(cfg, trained, folder, samples, z, labels)
        if cfg.interpolate:
            interpolate(cfg, folder, net, z, labels, device)
        if not (names := sorted(entry.name for entry in folder.iterdir())):
            raise ConfigError(f"save={list(cfg.save)}: this run has nothing of that kind; use save=[npz]")
    print(f"{place}: {', '.join(names)} (step {trained.step:,})")


def name_of(cfg: DictConfig, step: int) -> str:
    """Return the name of the folder, in which every choice that changes the samples has its part."""
    parts = [f"step-{step:09d}", cfg.generator, f"n{cfg.n}", f"seed{cfg.seed}"]
    if cfg.truncation is not None:
        parts.append(f"truncation{cfg.truncation:g}")
    if cfg.classes is not None:
        parts.append("classes" + "-".join(map(str, cfg.classes)))
    return "-".join(parts)


def chosen(cfg: DictConfig, trained: Trained, net: nn.Module, device: torch.device) -> tuple[Tensor, Tensor | None]:
    """Return latents (n, d) and labels (n,), None where no classes are asked for.

    Raises:
        ConfigError: for classes that do not exist, or that an unconditional generator does not draw.
    """
    import torch

    from gantrain.sampling import latents

    if cfg.classes is None:
        return latents(cfg.n, trained.latent_dim, cfg.seed, cfg.truncation), None
    shape, classes = trained.samples_are()
    if len(shape) != 3:
        raise ConfigError("classes=… is for images")
    if not cfg.classes or not all(0 <= c < classes for c in cfg.classes):
        have = f"there are 0 to {classes - 1}" if classes else "this data set has no labels"
        raise ConfigError(f"classes={list(cfg.classes)}: {have}")
    labels = torch.tensor(sorted(list(cfg.classes)[k % len(cfg.classes)] for k in range(cfg.n)))
    return picked(cfg, trained, net, labels, device), labels


def picked(cfg: DictConfig, trained: Trained, net: nn.Module, labels: Tensor, device: torch.device) -> Tensor:
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
    for z in draws(cfg, trained.latent_dim):
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


def draws(cfg: DictConfig, latent_dim: int) -> Iterator[Tensor]:
    """Yield latents to pick from, as many as it may take."""
    from gantrain.sampling import latents

    size = max(500, cfg.n)
    for k in range(-(-DRAWS * cfg.n // size)):
        seed = int(np.random.SeedSequence([cfg.seed, k]).generate_state(1)[0])
        yield latents(size, latent_dim, seed, cfg.truncation)


def write(cfg: DictConfig, trained: Trained, folder: Path, samples: Tensor, z: Tensor, labels: Tensor | None) -> None:
    """Write grid, files, arrays and the progress of the training, as far as asked for and drawable."""
    from gantrain.evaluation import as_bytes
    from gantrain.run import pictures
    from gantrain.terminal import say

    is_image, why = samples.ndim == 4, pictures.undrawn(samples.shape[1:])
    arrays = {"latents": z.numpy(), "seed": np.array(cfg.seed)}
    arrays |= {} if labels is None else {"labels": labels.numpy()}
    arrays |= {"images": as_bytes(samples).permute(0, 2, 3, 1).numpy()} if is_image else {"points": samples.numpy()}
    drawn = sorted((trained.run.path / "samples").glob("step-*.png"))
    writers: dict[str, Callable[[], None]] = {
        "npz": lambda: np.savez_compressed(folder / "samples.npz", **arrays),  # type: ignore[arg-type]
    }
    if why is None:
        writers["grid"] = lambda: pictures.grid(samples, folder / "grid.png")
    elif set(cfg.save) - {"npz"}:
        say(f"{why}; npz holds them as numbers")
    if is_image and why is None:
        writers["files"] = lambda: pictures.files(as_bytes(samples), folder / "files")
    if drawn and why is None:
        writers["progress"] = lambda: pictures.progress(drawn, folder / "progress.gif")
    for kind in writers.keys() & set(cfg.save):
        writers[kind]()


def interpolate(
    cfg: DictConfig, folder: Path, net: nn.Module, z: Tensor, labels: Tensor | None, device: torch.device
) -> None:
    """Write a walk through the first samples and back to the first, and a picture whose rows lead from one to another.

    Raises:
        ConfigError: for points, for images that are not drawn, or a single sample.
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

    stops = min(STOPS, len(z))
    frames = through([(k, (k + 1) % stops) for k in range(stops)], cfg.frames, last=False)
    if frames.ndim != 4:
        raise ConfigError("interpolate=true is for images")
    if why := pictures.undrawn(frames.shape[1:]):
        raise ConfigError(f"interpolate=true: {why}")
    pictures.walk(frames, folder / "walk.gif")
    rows = [(k, (k + 1) % len(z)) for k in range(min(ROWS, len(z)))]
    pictures.grid(through(rows, COLUMNS, last=True), folder / "interpolation.png", columns=COLUMNS)
