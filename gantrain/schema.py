"""The types and ranges of everything in a configuration that is not open to your own classes."""

from __future__ import annotations

import copy
import math
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
class BudgetSettings:
    of: str = MISSING
    amount: float | None = MISSING


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
class EvaluationSettings:
    """``configs/evaluation/none.yaml`` has every key and its default; a file that leaves one out starts from there."""

    metrics: list[str] = MISSING
    features: str | None = MISSING
    weights: str | None = MISSING
    resizer: str = MISSING
    n_fake: int | None = MISSING
    n_real: int | None = MISSING
    split: str | None = MISSING
    generator: str = MISSING
    truncation: float | None = MISSING
    seed: int = MISSING
    kid_subsets: int = MISSING
    kid_subset_size: int = MISSING
    is_splits: int = MISSING
    k_precision_recall: int = MISSING
    k_density_coverage: int = MISSING
    n_neighbours: int = MISSING
    n_pool: int = MISSING
    slices: int = MISSING
    n_w2: int = MISSING
    every: int | None = MISSING
    best: str | None = MISSING
    cache: str = MISSING


@dataclass
class SearchSettings:
    storage: str | None = MISSING
    study: str | None = MISSING
    trial: int | None = MISSING
    metric: str | None = MISSING
    pruner: str = MISSING
    startup_trials: int = MISSING
    warmup_eighths: int = MISSING


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
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
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
    budget: BudgetSettings = field(default_factory=BudgetSettings)
    schedule: Schedules = field(default_factory=Schedules)
    resume: str = MISSING
    deterministic: bool = MISSING
    profile: bool = MISSING
    performance: PerformanceSettings = field(default_factory=PerformanceSettings)
    compile: str | None = MISSING
    nonfinite: NonfiniteSettings = field(default_factory=NonfiniteSettings)
    search: SearchSettings = field(default_factory=SearchSettings)
    ema: EmaSettings = field(default_factory=EmaSettings)
    samples: SampleSettings = field(default_factory=SampleSettings)
    checkpoint: CheckpointSettings = field(default_factory=CheckpointSettings)


@dataclass
class TheoryConfig(SharedConfig):
    """``configs/theory.yaml``."""

    generated: Any = MISSING


@dataclass
class ReadRun:
    """What the commands share that look at a run."""

    run: str = MISSING
    step: str = MISSING
    trusted_modules: list[str] = MISSING


@dataclass
class EvalConfig(ReadRun):
    """``configs/eval.yaml``; its protocol is laid over that of the run, and checked then."""

    json: bool = MISSING
    device: str = MISSING
    evaluation: Any = MISSING


@dataclass
class SampleConfig(ReadRun):
    """``configs/sample.yaml``."""

    generator: str = MISSING
    n: int = MISSING
    seed: int = MISSING
    truncation: float | None = MISSING
    classes: list[int] | None = MISSING
    interpolate: bool = MISSING
    frames: int = MISSING
    save: list[str] = MISSING
    out: str | None = MISSING
    device: str = MISSING
    cache: str = MISSING


@dataclass
class ExportConfig(ReadRun):
    """``configs/export.yaml``."""

    generator: str = MISSING
    out: str | None = MISSING
    onnx: bool = MISSING


@dataclass
class EvaluationAlone:
    """A protocol by itself, for the same checks."""

    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)


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
    "n": 1,
    "frames": 1,
    "evaluation.every": 0,
    "evaluation.seed": 0,
    "evaluation.n_fake": 100,
    "evaluation.n_real": 100,
    "evaluation.kid_subsets": 1,
    "evaluation.kid_subset_size": 2,
    "evaluation.is_splits": 1,
    "evaluation.k_precision_recall": 1,
    "evaluation.k_density_coverage": 1,
    "evaluation.n_neighbours": 100,
    "evaluation.n_pool": 100,
    "evaluation.slices": 1,
    "evaluation.n_w2": 2,
}
FORMATS = ("float32", "bfloat16", "float16")
ONE_OF = {
    "budget.of": ("steps", "images", "d_updates", "seconds", "flops"),
    "precision.forward": FORMATS,
    "precision.penalty": FORMATS,
    "checkpoint.best_is": ("lowest", "highest"),
    "nonfinite.policy": ("stop", "rollback"),
    "compile": ("none", "networks", "step"),
    "generator": ("ema", "raw"),
    "evaluation.generator": ("ema", "raw"),
    "evaluation.features": ("inception", "classifier"),
    "evaluation.resizer": ("none", "tensorflow", "bicubic"),
    "evaluation.split": ("train", "test"),
}


def validated(cfg: DictConfig, schema: type = TrainConfig) -> DictConfig:
    """Return ``cfg`` with interpolations resolved and cadences filled in, every value of its type and range.

    Raises:
        ConfigError: naming the key, its value, and what is allowed.
    """
    typed = checked(copy.deepcopy(cfg), schema)
    if schema is TrainConfig and spend(typed):
        cfg.total_steps, cfg.budget.amount = typed.total_steps, typed.budget.amount
        typed = checked(cfg, schema)  # again: schedules interpolate the number of steps
        fill_cadences(typed)
    return typed


def checked(cfg: DictConfig, schema: type) -> DictConfig:
    """Return ``cfg``, resolved in place, every value of its type and range; raise ConfigError for one that is not."""
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
    return typed


def per_step(cfg: DictConfig) -> dict[str, int]:
    """Return how much of each budget a step takes, of those that are known beforehand."""
    d_steps: int = cfg.ratio.d_steps
    return {"steps": 1, "d_updates": d_steps, "images": d_steps * cfg.batch_size}


def spend(cfg: DictConfig) -> bool:
    """Set ``total_steps`` to what the budget buys, and ``budget.amount`` where it is null.

    Returns:
        Whether that is known before anything is built: seconds and operations must be measured (``gantrain.budget``).

    Raises:
        ConfigError: if it does not buy a single step.
    """
    budget, price = cfg.budget, per_step(cfg)
    if budget.of not in price:
        return False
    if budget.amount is None:
        at_one_to_one = {"steps": 1, "d_updates": 1, "images": cfg.batch_size}
        budget.amount = cfg.total_steps * at_one_to_one[budget.of]
    cfg.total_steps = int(budget.amount // price[budget.of])
    refuse_nothing(cfg, cfg.total_steps, f"a step takes {price[budget.of]:,}")
    return True


def refuse_nothing(cfg: DictConfig, steps: int, price: str) -> None:
    """Raise ConfigError if a budget buys no step at its ``price``."""
    if steps < 1:
        raise ConfigError(f"budget.amount={cfg.budget.amount:g} {cfg.budget.of} buys no step; {price}")


def fill_cadences(cfg: DictConfig) -> None:
    """Derive from the length of the run how often to save and to draw, where that is not set."""
    if cfg.checkpoint.every is None:
        cfg.checkpoint.every = min(max(cfg.total_steps // 10, 1), 1000)
    if cfg.samples.every is None:
        cfg.samples.every = min(max(cfg.total_steps // 20, 1), 2000)
    if cfg.evaluation.every is None:
        cfg.evaluation.every = max(cfg.total_steps // 8, 1)
    kept, saved = cfg.checkpoint.keep_every, cfg.checkpoint.every
    if kept and (saved == 0 or kept % saved):
        raise ConfigError(f"checkpoint.keep_every={kept} must be a multiple of checkpoint.every={saved}")


def check_ranges(cfg: DictConfig) -> None:
    """Raise ConfigError for a number out of range or an unknown word."""
    for key, minimum in MINIMUM.items():
        value = OmegaConf.select(cfg, key)
        if isinstance(value, int | float) and not value >= minimum:
            raise ConfigError(f"{key} must be {minimum} or more, got {value}")
    for key, bits in (("seed", 63), ("evaluation.seed", 32)):
        value = OmegaConf.select(cfg, key)
        if isinstance(value, int) and value >= 2**bits:
            raise ConfigError(f"{key} must be below 2^{bits}, got {value}")
    for key in ("budget.amount", "gradient_clip_norm", "truncation", "evaluation.truncation"):
        value = OmegaConf.select(cfg, key)
        if isinstance(value, int | float) and not 0 < value < math.inf:
            raise ConfigError(f"{key} must be above 0 and finite, or null, got {value}")
    for key, allowed in ONE_OF.items():
        value = OmegaConf.select(cfg, key)
        if value is not None and value not in allowed:
            raise ConfigError(f"{key} must be one of {', '.join(allowed)}, got {value!r}")


def one_line(error: OmegaConfBaseException) -> str:
    """Return omegaconf's reason, without its table of object types, after the key it speaks of."""
    reason = (str(error.msg or error).splitlines() or [""])[0]
    return f"{error.full_key}: {reason}" if error.full_key else reason
