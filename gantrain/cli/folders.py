"""``gantrain-eval real=DIR fake=DIR``: two folders of images, measured by a protocol without any run."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from gantrain.cli import runs
from gantrain.errors import ConfigError, DiskError, first_line
from gantrain.run import files
from gantrain.run.directions import arrow, shown
from gantrain.run.identity import plain
from gantrain.schema import EvaluationAlone, as_text, validated
from gantrain.terminal import visible

DEFAULT = "pixels"
"""The protocol of folders, as of ``data=image_folder``: it needs neither a download nor classes."""
OF_GENERATORS = ("generator", "truncation", "split", "every", "best")
"""Settings of an evaluation that say nothing about two folders."""
OF_FOLDERS = ("fake", "size", "channels", "out")
"""Settings of this command that say nothing about runs."""


def are_meant(cfg: DictConfig) -> bool:
    """Tell whether two folders are to be measured, and not runs.

    Raises:
        ConfigError: if it is not clear, or one of the folders is missing.
    """
    if cfg.real is None:
        if given := [key for key in OF_FOLDERS if cfg[key] is not None]:
            raise ConfigError(f"{given[0]}= is for two folders of images; name the other one too: real=DIR fake=DIR")
        return False
    if cfg.fake is None:
        raise ConfigError(f"real={cfg.real} has nothing to be compared with; add fake=DIR, the generated images")
    if cfg.run is not None:
        raise ConfigError("real= and fake= measure two folders, and run= measures runs; leave one out")
    return True


def evaluate(cfg: DictConfig, given: dict[str, Any], keys: set[str]) -> None:
    """Measure, print, and write the result if a file is named.

    Args:
        cfg: the settings of the command.
        given: those of the protocol that the command line says.
        keys: those that it says by themselves, ``evaluation.KEY=…``.

    Raises:
        ConfigError, DataError: for folders that cannot be compared, or not by this protocol.
    """
    if idle := sorted(keys.intersection(OF_GENERATORS)):
        raise ConfigError(f"evaluation.{idle[0]} is a setting for runs, not for two folders of images; leave it out")
    out = None if cfg.out is None else runs.new_file(cfg.out, ".json")
    settings = protocol(given)
    row = measured(cfg, settings)
    if out is not None:
        write(out, json.dumps(row, indent=1) + "\n")
    print(json.dumps(row) if cfg.json else table(row))


def protocol(given: dict[str, Any]) -> DictConfig:
    """Return the settings of the protocol: those given, over those of ``DEFAULT`` where no other was chosen."""
    loader = GlobalHydra.instance().config_loader()
    base = plain(loader.load_configuration(f"evaluation/{DEFAULT}", [], RunMode.RUN))["evaluation"]
    laid = as_text(base | given | {key: base[key] for key in ("generator", "truncation", "split")})
    checked: DictConfig = validated(OmegaConf.create({"evaluation": laid | {"best": None}}), EvaluationAlone).evaluation
    return checked


def measured(cfg: DictConfig, settings: DictConfig) -> dict[str, Any]:
    """Return the values with all that they depend on."""
    from gantrain.build import build_quality, pick_device  # imports torch, which takes seconds
    from gantrain.evaluation.folders import read_alike, some_of
    from gantrain.evaluation.images import LEAST

    device = pick_device(cfg.device)
    real, fake = read_alike(cfg.real, cfg.fake, cfg.size, cfg.fit, cfg.channels, cfg.on_bad)
    there = len(fake.paths)
    if there < LEAST:
        raise ConfigError(f"fake={cfg.fake} has {there} images, too few to measure anything by: {LEAST} are needed")
    settings.n_fake = min(settings.n_fake or there, there)
    quality = build_quality(
        OmegaConf.create({"data": {}, "evaluation": settings, "trusted_modules": list(cfg.trusted_modules)}),
        real,
        device,
    )
    assert quality is not None  # there are metrics, and nothing is left out here
    found = quality.protocol = replace(quality.protocol, generator="folder")
    batches, labels = some_of(fake, found.n_fake, found.seed)
    result = quality.measure(batches, asked=labels if fake.class_names == real.class_names else None)
    row: dict[str, Any] = {"real": str(cfg.real), "fake": str(cfg.fake), **result.values}
    row |= {"n_fake": found.n_fake, "n_real": found.n_real, "features": found.features, "protocol": found.hash}
    row |= {"data": real.fingerprint(), "fake_data": fake.fingerprint(), "described": str(found)}
    return row | {"better": quality.gives, "settings": asdict(found)}


def table(row: dict[str, Any]) -> str:
    """Return the values below each other, under the protocol and the folders."""
    lines = [f"{name:<5} {row[name]}  {row[of]}" for name, of in (("real", "data"), ("fake", "fake_data"))]
    names = [name for name in shown(row["better"]) if name in row]
    labels = [arrow(row["better"], name) for name in names]
    width = max(map(len, labels), default=0)
    values = [
        f"{label:<{width}}  {row[name]:.4g}" + (f" ± {row[f'{name}_std']:.2g}" if f"{name}_std" in row else "")
        for label, name in zip(labels, names, strict=True)
    ]
    return "\n".join(visible(line) for line in (row["described"], *lines, *values))


def write(path: Path, text: str) -> None:
    """Write the result; raise DiskError if the disk does not take it."""
    try:
        files.make_folder(path.parent)
        files.write_new(path, text)
    except OSError as error:
        raise DiskError(f"{path} cannot be written ({first_line(error)}); choose another out=") from error
