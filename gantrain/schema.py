"""Types and ranges of all settings but those under a ``_target_``, which its constructor checks.

A setting stands once: its type and range here, its default and meaning in the YAML file of its group.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, get_type_hints

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gantrain import budget
from gantrain.errors import ConfigError


def setting(**rules: Any) -> Any:
    """Return a field without a default, because that stands in the YAML file; ``rules`` bound its values."""
    return field(default=MISSING, metadata=rules)


def at_least(minimum: int, below: int | None = None) -> Any:
    """Return a field for numbers from ``minimum`` on, and below ``below`` if that is given."""
    return setting(at_least=minimum, below=below)


def positive() -> Any:
    """Return a field for finite numbers above 0."""
    return setting(positive=True)


def one_of(*words: str) -> Any:
    """Return a field for one of some words."""
    return setting(one_of=words)


FORMATS = ("float32", "bfloat16", "float16")


@dataclass
class Ratio:
    d_steps: int = at_least(1)
    g_steps: int = at_least(1)
    simultaneous: bool = setting()


@dataclass
class BudgetSettings:
    of: str = one_of(*budget.UNITS)
    amount: float | None = positive()


@dataclass
class PrecisionNames:
    forward: str = one_of(*FORMATS, "auto")
    penalty: str = one_of(*FORMATS)
    tf32: bool = setting()


@dataclass
class EmaSettings:
    halflife_images: float = at_least(0)
    rampup: float | None = at_least(0)


@dataclass
class RunSettings:
    root: str = setting()
    dir: str | None = setting()


@dataclass
class LogSettings:
    every: int = at_least(1)


@dataclass
class SampleSettings:
    every: int | None = at_least(0)
    count: int = at_least(1)


@dataclass
class CheckpointSettings:
    every: int | None = at_least(0)
    keep_last: int = at_least(2)
    keep_every: int = at_least(0)
    keep_best: str | None = setting()
    best_is: str = one_of("lowest", "highest")


@dataclass
class NonfiniteSettings:
    policy: str = one_of("stop", "rollback")
    max_rollbacks: int = at_least(1)


@dataclass
class PerformanceSettings:
    channels_last: bool | None = setting()
    one_forward: bool | None = setting()
    keep_memory: bool | None = setting()
    cuda_graphs: bool | None = setting()


@dataclass
class ProtocolSettings:
    """Settings of an evaluation that are part of its protocol as they are; ``run.protocol.Protocol`` adds the rest."""

    split: str | None = one_of("train", "test")
    generator: str = one_of("ema", "raw")
    truncation: float | None = positive()
    seed: int = at_least(0, below=2**32)
    kid_subsets: int = at_least(1)
    kid_subset_size: int = at_least(2)
    is_splits: int = at_least(1)
    k_precision_recall: int = at_least(1)
    k_density_coverage: int = at_least(1)
    n_neighbours: int = at_least(100)
    n_pool: int = at_least(100)
    slices: int = at_least(1)
    n_w2: int = at_least(2)


@dataclass
class EvaluationSettings(ProtocolSettings):
    """``configs/evaluation/none.yaml`` has every key and its default; a file that leaves one out starts from there."""

    metrics: list[Any] = setting()
    features: str | None = one_of("inception", "classifier")
    weights: str | None = setting()
    resizer: str = one_of("none", "tensorflow", "bicubic", "clean")
    n_fake: int | None = at_least(100)
    n_real: int | None = at_least(100)
    every: int | None = at_least(0)
    best: str | None = setting()
    cache: str = setting()


@dataclass
class SearchSettings:
    storage: str | None = setting()
    study: str | None = setting()
    trial: int | None = setting()
    metric: str | None = setting()
    pruner: str = setting()
    startup_trials: int = setting()
    warmup_eighths: int = setting()


@dataclass
class Schedules:
    g: Any = setting()
    d: Any = setting()


@dataclass
class SharedConfig:
    """Settings that several commands have; those of type Any are built from a ``_target_``, which checks them."""

    data: Any = setting()
    architecture: Any = setting()
    loss: Any = setting()
    optimizer: Any = setting()
    ratio: Ratio = field(default_factory=Ratio)
    precision: PrecisionNames = field(default_factory=PrecisionNames)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    total_steps: int = at_least(1)
    batch_size: int = at_least(1)
    seed: int = at_least(0, below=2**63)
    device: str = setting()
    gradient_clip_norm: float | None = positive()
    trusted_modules: list[str] = setting()
    run: RunSettings = field(default_factory=RunSettings)
    log: LogSettings = field(default_factory=LogSettings)


@dataclass
class TrainConfig(SharedConfig):
    """``configs/train.yaml``."""

    augment: Any = setting()
    batch_size_g: int | None = at_least(1)
    budget: BudgetSettings = field(default_factory=BudgetSettings)
    schedule: Schedules = field(default_factory=Schedules)
    resume: str = setting()
    deterministic: bool = setting()
    profile: bool = setting()
    performance: PerformanceSettings = field(default_factory=PerformanceSettings)
    compile: str | None = one_of("none", "networks", "step")
    nonfinite: NonfiniteSettings = field(default_factory=NonfiniteSettings)
    search: SearchSettings = field(default_factory=SearchSettings)
    ema: EmaSettings = field(default_factory=EmaSettings)
    samples: SampleSettings = field(default_factory=SampleSettings)
    checkpoint: CheckpointSettings = field(default_factory=CheckpointSettings)


@dataclass
class TheoryConfig(SharedConfig):
    """``configs/theory.yaml``."""

    generated: Any = setting()


@dataclass
class ReadRun:
    """Settings of all commands that read a run."""

    run: str = setting()
    step: str = setting()
    trusted_modules: list[str] = setting()


@dataclass
class EvalConfig(ReadRun):
    """``configs/eval.yaml``; its protocol is laid over that of the run, and checked whole then."""

    json: bool = setting()
    device: str = setting()
    evaluation: Any = setting(ranges_of=EvaluationSettings)


@dataclass
class SampleConfig(ReadRun):
    """``configs/sample.yaml``."""

    generator: str = one_of("ema", "raw")
    n: int = at_least(1)
    seed: int = at_least(0, below=2**63)
    truncation: float | None = positive()
    classes: list[int] | None = setting()
    interpolate: bool = setting()
    frames: int = at_least(1)
    save: list[str] = setting()
    out: str | None = setting()
    device: str = setting()
    cache: str = setting()


@dataclass
class ExportConfig(ReadRun):
    """``configs/export.yaml``."""

    generator: str = one_of("ema", "raw")
    out: str | None = setting()
    onnx: bool = setting()


@dataclass
class EvaluationAlone:
    """A protocol by itself, for the same checks."""

    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)


def validated(cfg: DictConfig, schema: type = TrainConfig) -> DictConfig:
    """Return a typed copy of ``cfg`` in which every value is of its type and range, and cadences are filled in.

    Interpolations stay in it: what refers to ``total_steps``, like a schedule, follows when a budget sets that later.

    Raises:
        ConfigError: naming the key, its value, and what is allowed.
    """
    try:
        resolved = copy.deepcopy(cfg)
        OmegaConf.resolve(resolved)
        if missing := sorted(OmegaConf.missing_keys(resolved)):
            raise ConfigError(f"{missing[0]} is not set: add {missing[0]}=… to the command")
        check_ranges(OmegaConf.merge(OmegaConf.structured(schema), resolved), schema)
        typed = OmegaConf.merge(OmegaConf.structured(schema), cfg)
    except OmegaConfBaseException as error:
        raise ConfigError(one_line(error)) from error
    assert isinstance(typed, DictConfig)
    if schema is TrainConfig and budget.set_length(typed):
        fill_cadences(typed)
    return typed


def fill_cadences(cfg: DictConfig) -> None:
    """Derive from the length of the run how often to save and to draw, where that is not set."""
    if cfg.checkpoint.every is None:
        cfg.checkpoint.every = min(max(cfg.total_steps // 10, 1), 1000)
    if cfg.samples.every is None:
        cfg.samples.every = min(max(cfg.total_steps // 20, 1), 2000)
    if cfg.evaluation.every is None:
        cfg.evaluation.every = math.ceil(cfg.total_steps / 8)  # so that the last step is not a ninth time
    kept, saved = cfg.checkpoint.keep_every, cfg.checkpoint.every
    if kept and (saved == 0 or kept % saved):
        raise ConfigError(f"checkpoint.keep_every={kept} must be a multiple of checkpoint.every={saved}")


def check_ranges(cfg: Any, schema: type) -> None:
    """Raise ConfigError for a number out of range or an unknown word."""
    for key, _, rules in settings(schema):
        value = OmegaConf.select(cfg, key)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if (least := rules.get("at_least")) is not None and is_number and not value >= least:
            raise ConfigError(f"{key} must be {least} or more, got {value}")
        if (bound := rules.get("below")) is not None and is_number and value >= bound:
            raise ConfigError(f"{key} must be below 2^{bound.bit_length() - 1}, got {value}")
        if rules.get("positive") and is_number and not 0 < value < math.inf:
            raise ConfigError(f"{key} must be above 0 and finite, or null, got {value}")
        if (words := rules.get("one_of")) is not None and value is not None and value not in words:
            raise ConfigError(f"{key} must be one of {', '.join(words)}, got {value!r}")


def settings(schema: type, prefix: str = "") -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Yield dotted key, type and rules of every setting in a dataclass and in those that it holds."""
    types = get_type_hints(schema)
    for entry in fields(schema):
        inner = types[entry.name] if is_dataclass(types[entry.name]) else entry.metadata.get("ranges_of")
        if inner is not None:
            yield from settings(inner, f"{prefix}{entry.name}.")
        else:
            yield f"{prefix}{entry.name}", types[entry.name], dict(entry.metadata)


def one_line(error: OmegaConfBaseException) -> str:
    """Return omegaconf's reason, without its table of object types, after the key it speaks of."""
    reason = (str(error.msg or error).splitlines() or [""])[0]
    return f"{error.full_key}: {reason}" if error.full_key else reason
