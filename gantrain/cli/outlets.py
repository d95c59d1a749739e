"""The loggers of a training, as its settings choose them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from gantrain.cli.summary import in_sweep, short
from gantrain.run.directory import RunDirectory

if TYPE_CHECKING:
    from gantrain.loggers import Guard


def outlets(cfg: DictConfig, run: RunDirectory) -> list[Guard]:
    """Return the loggers of a run, each behind its guard; nothing is begun yet.

    Raises:
        ConfigError: if one cannot be built, or its package is not installed.
    """
    from gantrain.build import build_loggers
    from gantrain.loggers import Facts, guarded

    group = (cfg.search.study or str(cfg.run.root)) if in_sweep() else None
    facts = Facts(run.path, short(run.path, cfg.run.root), Path(cfg.run.root), group)
    return guarded(build_loggers(cfg), run, facts)
