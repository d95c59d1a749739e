"""The types and ranges of everything in a configuration that is not open to your own classes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gantrain.errors import ConfigError


@dataclass
class Ratio:
    d_steps: int = MISSING
    g_steps: int = MISSING


@dataclass
class PrecisionNames:
    forward: str = MISSING
    penalty: str = MISSING


@dataclass
class EmaSettings:
    halflife_images: float = MISSING
    rampup: float | None = MISSING


@dataclass
class RunSettings:
    root: str = MISSING
    dir: str | None = MISSING


@dataclass
class LogSettings:
    every: int = MISSING


@dataclass
class SampleSettings:
    every: int | None = MISSING
    count: int = MISSING


@dataclass
class CheckpointSettings:
    every: int | None = MISSING
    keep_last: int = MISSING
    keep_every: int = MISSING
    keep_best: str | None = MISSING
    best_is: str = MISSING


@dataclass
class NonfiniteSettings:
    policy: str = MISSING
    max_rollbacks: int = MISSING


@dataclass
class PerformanceSettings:
    channels_last: bool | None = MISSING
    one_forward: bool | None = MISSING
    keep_memory: bool | None = MISSING
    cuda_graphs: bool | None = MISSING


@dataclass
class Schedules:
    g: Any = MISSING
    d: Any = MISSING


@dataclass
class SharedConfig:
    """What every command has; what is Any is built from its ``_target_``, whose constructor is the schema."""

    data: Any = MISSING
    architecture: Any = MISSING
    loss: Any = MISSING
    optimizer: Any = MISSING
    ratio: Ratio = field(default_factory=Ratio)
    precision: PrecisionNames = field(default_factory=PrecisionNames)
    total_steps: int = MISSING
    batch_size: int = MISSING
    seed: int = MISSING
    device: str = MISSING
    gradient_clip_norm: float | None = MISSING
    trusted_modules: list[str] = MISSING
    run: RunSettings = field(default_factory=RunSettings)
    log: LogSettings = field(default_factory=LogSettings)


@dataclass
class TrainConfig(SharedConfig):
    """``configs/train.yaml``."""

    augment: Any = MISSING
    schedule: Schedules = field(default_factory=Schedules)
    resume: str = MISSING
    deterministic: bool = MISSING
    profile: bool = MISSING
    performance: PerformanceSettings = field(default_factory=PerformanceSettings)
    compile: str | None = MISSING
    nonfinite: NonfiniteSettings = field(default_factory=NonfiniteSettings)
    ema: EmaSettings = field(default_factory=EmaSettings)
    samples: SampleSettings = field(default_factory=SampleSettings)
    checkpoint: CheckpointSettings = field(default_factory=CheckpointSettings)


@dataclass
class TheoryConfig(SharedConfig):
    """``configs/theory.yaml``."""

    generated: Any = MISSING


MINIMUM = {
    "total_steps": 1,
    "batch_size": 1,
    "seed": 0,
    "ratio.d_steps": 1,
    "ratio.g_steps": 1,
    "ema.halflife_images": 0,
    "ema.rampup": 0,
    "log.every": 1,
    "samples.every": 0,
    "samples.count": 1,
    "checkpoint.every": 0,
    "checkpoint.keep_last": 2,
    "checkpoint.keep_every": 0,
    "nonfinite.max_rollbacks": 1,
}
FORMATS = ("float32", "bfloat16", "float16")
ONE_OF = {
    "precision.forward": FORMATS,
    "precision.penalty": FORMATS,
    "checkpoint.best_is": ("lowest", "highest"),
    "nonfinite.policy": ("stop", "rollback"),
    "compile": ("none", "networks", "step"),
}


def validated(cfg: DictConfig, schema: type = TrainConfig) -> DictConfig:
    """Return ``cfg`` with interpolations resolved and cadences filled in, every value of its type and range.

    Raises:
        ConfigError: naming the key, its value, and what is allowed.
    """
    try:
        OmegaConf.resolve(cfg)
        missing = sorted(OmegaConf.missing_keys(cfg))
        if missing:
            raise ConfigError(f"{missing[0]} is not set: add {missing[0]}=… to the command")
        typed = OmegaConf.merge(OmegaConf.structured(schema), cfg)
    except OmegaConfBaseException as error:
        raise ConfigError(one_line(error)) from error
    assert isinstance(typed, DictConfig)
    check_ranges(typed)
    if schema is TrainConfig:
        fill_cadences(typed)
    return typed


def fill_cadences(cfg: DictConfig) -> None:
    """Derive from the length of the run how often to save and to draw, where that is not set."""
    if cfg.checkpoint.every is None:
        cfg.checkpoint.every = min(max(cfg.total_steps // 10, 1), 1000)
    if cfg.samples.every is None:
        cfg.samples.every = min(max(cfg.total_steps // 20, 1), 2000)
    kept, saved = cfg.checkpoint.keep_every, cfg.checkpoint.every
    if kept and (saved == 0 or kept % saved):
        raise ConfigError(f"checkpoint.keep_every={kept} must be a multiple of checkpoint.every={saved}")


def check_ranges(cfg: DictConfig) -> None:
    """Raise ConfigError for a number out of range or an unknown word."""
    for key, minimum in MINIMUM.items():
        value = OmegaConf.select(cfg, key)
        if value is not None and not value >= minimum:
            raise ConfigError(f"{key} must be {minimum} or more, got {value}")
    if cfg.seed >= 2**63:
        raise ConfigError(f"seed must be below 2^63, got {cfg.seed}")
    clip = cfg.gradient_clip_norm
    if clip is not None and not clip > 0:
        raise ConfigError(f"gradient_clip_norm must be above 0, or null, got {clip}")
    for key, allowed in ONE_OF.items():
        value = OmegaConf.select(cfg, key)
        if value is not None and value not in allowed:
            raise ConfigError(f"{key} must be one of {', '.join(allowed)}, got {value!r}")


def one_line(error: OmegaConfBaseException) -> str:
    """Return omegaconf's reason, without its table of object types, after the key it speaks of."""
    reason = (str(error.msg or error).splitlines() or [""])[0]
    return f"{error.full_key}: {reason}" if error.full_key else reason
