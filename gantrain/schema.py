"""Types and ranges of all settings but those under a ``_target_``, which its constructor checks.

A setting stands once: its type and range here, its default and meaning in the YAML file of its group.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, get_args, get_type_hints

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gantrain import budget
from gantrain.errors import ConfigError


def setting(**rules: Any) -> Any:
    """Return a field without a default, because that stands in the YAML file; ``rules`` bound its values."""
    return field(default=MISSING, metadata=rules)


def at_least(minimum: int, below: int = 2**53) -> Any:
    """Return a field for numbers from ``minimum`` on and below ``below``: beyond 2^53 a float is no exact count."""
    return setting(at_least=minimum, below=below)


def size(minimum: int) -> Any:
    """Return a field for a number of samples from ``minimum`` on that are held at once; no memory holds 2^31."""
    return at_least(minimum, below=2**31)


def path() -> Any:
    """Return a field for the name of a file or folder: on the command line it may hold any character."""
    return setting(path=True)


def remark() -> Any:
    """Return a field for a sentence or more: on the command line it may hold any character."""
    return setting(longest=10_000)


def words() -> Any:
    """Return a field for a list of words."""
    return setting(words=re.compile(r"[^\s,\[\]]{1,100}"))


def positive() -> Any:
    """Return a field for finite numbers above 0."""
    return setting(positive=True)


def one_of(*words: str) -> Any:
    """Return a field for one of some words."""
    return setting(one_of=words)


PARTS = (
    *("architectures", "augment", "data", "inputs", "loggers", "losses"),
    *("optimizers", "regularizers", "schedules", "theory"),
)
TRUSTED = (
    *(f"gantrain.{part}" for part in PARTS),
    "gantrain.build.own",
    "gantrain.training.callbacks",
    *("torch.nn", "torch.optim"),
)
"""Modules that a ``_target_`` may always name."""


def is_in(module: str, roots: Iterable[str]) -> bool:
    """Tell whether a dotted name is one of ``roots`` or lies in one."""
    return any(module == root or module.startswith(f"{root}.") for root in roots)


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
    halflife_images: float = setting(at_least=0)
    rampup: float | None = setting(at_least=0)


@dataclass
class RunSettings:
    root: str = path()
    dir: str | None = path()


@dataclass
class DistributedSettings:
    timeout: float = positive()
    sync_batchnorm: bool = setting()


@dataclass
class LogSettings:
    every: int = at_least(1)


@dataclass
class SampleSettings:
    every: int | None = at_least(0)
    count: int = size(1)


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

    split: str | None = setting()
    generator: str = one_of("ema", "raw")
    truncation: float | None = positive()
    seed: int = at_least(0, below=2**32)
    kid_subsets: int = at_least(1)
    kid_subset_size: int = at_least(2)
    is_splits: int = at_least(1)
    k_precision_recall: int = at_least(1)
    k_density_coverage: int = at_least(1)
    n_neighbours: int = size(100)
    n_pool: int = size(100)
    slices: int = size(1)
    n_w2: int = size(2)


@dataclass
class EvaluationSettings(ProtocolSettings):
    """``configs/evaluation/none.yaml`` has every key and its default; a file that leaves one out starts from there."""

    metrics: list[Any] = setting()
    features: str | None = one_of("inception", "classifier")
    weights: str | None = path()
    resizer: str = one_of("none", "tensorflow", "bicubic", "clean")
    n_fake: int | None = size(100)
    n_real: int | None = size(100)
    every: int | None = at_least(0)
    best: str | None = setting()
    cache: str = path()


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
class Conditioning:
    generator: str = one_of("none", "auto", "concat", "batch_norm")
    discriminator: str = setting()


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
    batch_size: int = size(1)
    seed: int = at_least(0, below=2**63)
    device: str = setting()
    gradient_clip_norm: Any = setting()
    trusted_modules: list[str] = setting()
    run: RunSettings = field(default_factory=RunSettings)
    log: LogSettings = field(default_factory=LogSettings)


@dataclass
class TrainConfig(SharedConfig):
    """``configs/train.yaml``."""

    augment: Any = setting()
    latent: Any = setting()
    conditioning: Conditioning = field(default_factory=Conditioning)
    batch_size_g: int | None = size(1)
    accumulate: int = at_least(1)
    ranks: int = at_least(1, below=2**16)
    distributed: DistributedSettings = field(default_factory=DistributedSettings)
    budget: BudgetSettings = field(default_factory=BudgetSettings)
    schedule: Any = setting()
    logger: Any = setting()
    resume: str = path()
    allow_changes: list[str] = setting()
    init_from: str | None = path()
    freeze_d: int = at_least(0)
    deterministic: bool = setting()
    profile: bool = setting()
    performance: PerformanceSettings = field(default_factory=PerformanceSettings)
    compile: str | None = one_of("none", "networks", "step")
    notes: str | None = remark()
    tags: list[str] | None = words()
    nonfinite: NonfiniteSettings = field(default_factory=NonfiniteSettings)
    search: SearchSettings = field(default_factory=SearchSettings)
    ema: EmaSettings = field(default_factory=EmaSettings)
    samples: SampleSettings = field(default_factory=SampleSettings)
    checkpoint: CheckpointSettings = field(default_factory=CheckpointSettings)
    callbacks: Any = setting()


@dataclass
class TheoryConfig(SharedConfig):
    """``configs/theory.yaml``."""

    generated: Any = setting()


@dataclass
class DataPlace:
    root: str | None = path()


@dataclass
class ReadRun:
    """Settings of all commands that read a run; ``run`` is a folder or a pattern, or a list of them."""

    run: Any = path()
    step: str = setting()
    trusted_modules: list[str] = setting()


@dataclass
class EvalConfig(ReadRun):
    """``configs/eval.yaml``; its protocol is laid over that of the run, and checked whole then."""

    real: str | None = path()
    fake: str | None = path()
    size: int | None = size(1)
    fit: str = one_of("crop", "pad", "stretch")
    channels: int | None = setting()
    on_bad: str = one_of("error", "skip")
    out: str | None = path()
    json: bool = setting()
    data: DataPlace = field(default_factory=DataPlace)
    device: str = setting()
    evaluation: Any = setting(ranges_of=EvaluationSettings)


@dataclass
class SampleConfig(ReadRun):
    """``configs/sample.yaml``."""

    generator: str = one_of("ema", "raw")
    n: int = size(1)
    seed: int = at_least(0, below=2**63)
    truncation: float | None = positive()
    classes: list[Any] | None = setting()
    interpolate: bool = setting()
    frames: int = size(1)
    save: list[str] = setting()
    out: str | None = path()
    data: DataPlace = field(default_factory=DataPlace)
    device: str = setting()
    cache: str = path()


@dataclass
class InspectConfig:
    """``configs/inspect.yaml``; data sets bring the rest for training, so it is there, and not looked at."""

    data: Any = setting()
    architecture: Any = setting()
    evaluation: Any = setting()
    total_steps: Any = setting()
    batch_size: int = size(1)
    json: bool = setting()
    out: str | None = path()
    trusted_modules: list[str] = setting()


@dataclass
class ExportConfig(ReadRun):
    """``configs/export.yaml``."""

    generator: str = one_of("ema", "raw")
    out: str | None = path()
    onnx: bool = setting()
    license: str | None = setting()


@dataclass
class EvaluationAlone:
    """A protocol by itself, for the same checks."""

    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)


def as_text(node: Any) -> Any:
    r"""Return plain data in which OmegaConf interpolates nothing when it reads it once.

    ``${oc.env:HOME}`` becomes ``\${oc.env:HOME}``, and backslashes before it are doubled, which would else escape that
    one: a stranger's text stays the text that it is.
    """
    if isinstance(node, dict):
        return {key: as_text(value) for key, value in node.items()}
    if isinstance(node, list):
        return [as_text(value) for value in node]
    if not isinstance(node, str) or "${" not in node:
        return node
    return re.sub(r"(\\*)\$\{", lambda found: f"{found[1]}{found[1]}\\${{", node)


def validated(cfg: DictConfig, schema: type = TrainConfig) -> DictConfig:
    """Return a typed copy of ``cfg`` in which every value is of its type and range, and cadences are filled in.

    Interpolations stay in it: what refers to ``total_steps``, like a schedule, follows when a budget sets that later.

    Raises:
        ConfigError: naming the key, its value, and what is allowed.
    """
    try:
        cfg = with_whole_numbers(cfg, schema)
        resolved = OmegaConf.create(as_text(OmegaConf.to_container(cfg, resolve=True)))
        if missing := sorted(OmegaConf.missing_keys(resolved)):
            raise ConfigError(f"{missing[0]} is not set: add {missing[0]}=… to the command")
        check_ranges(OmegaConf.merge(OmegaConf.structured(schema), resolved), schema)
        typed = OmegaConf.merge(OmegaConf.structured(schema), cfg)
    except OmegaConfBaseException as error:
        raise ConfigError(one_line(error)) from error
    assert isinstance(typed, DictConfig)
    if issubclass(schema, SharedConfig):
        clip_norms(typed.gradient_clip_norm)
    if schema is TrainConfig:
        check_reference(typed)
    if schema is TrainConfig and budget.set_length(typed):
        fill_cadences(typed)
    return typed


def check_reference(cfg: DictConfig) -> None:
    """Raise ConfigError unless ``schedule.reference_steps`` is null or a whole number, 1 or more; ``1e4`` is one."""
    value = cfg.schedule.get("reference_steps") if isinstance(cfg.schedule, DictConfig) else None
    if value is not None and is_whole(value):
        value = cfg.schedule.reference_steps = int(value)
    if value is not None and not (type(value) is int and 1 <= value < 2**53):
        raise ConfigError(f"schedule.reference_steps must be a whole number, 1 or more, or null, got {value}")


def clip_norms(setting: Any) -> dict[str, float | None]:
    """Return the largest gradient norm of each player, None for no limit, from ``gradient_clip_norm``.

    Raises:
        ConfigError: unless that is null, a number above 0, or holds one or the other for ``g`` and ``d``.
    """
    each: dict[str, Any] = {"g": setting, "d": setting}
    if isinstance(setting, DictConfig):
        each = {str(name): value for name, value in setting.items()}
    for name, value in each.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if name not in ("g", "d") or not (value is None or (is_number and 0 < value < math.inf)):
            raise ConfigError(
                "gradient_clip_norm must be a number above 0, null for no limit, or one for each player, "
                f"{{g: 1.0, d: null}}; got {setting}"
            )
    return {"g": None, "d": None} | each


def with_whole_numbers(cfg: DictConfig, schema: type) -> DictConfig:
    """Return a copy in which every whole number of the schema that was written as ``1e5`` is the integer 100000."""
    cfg = copy.deepcopy(cfg)
    for key, kind, _ in settings(schema):
        value = OmegaConf.select(cfg, key, throw_on_resolution_failure=False)
        if is_count(kind) and is_whole(value):
            OmegaConf.update(cfg, key, int(value))
    return cfg


def is_count(kind: Any) -> bool:
    """Tell whether a setting of a type takes whole numbers only."""
    return kind is int or int in get_args(kind)


def is_whole(value: Any) -> bool:
    """Tell whether a value is a float that stands for a whole number, as 1e5 does."""
    return isinstance(value, float) and value.is_integer() and abs(value) <= 2**53


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
        if (known := rules.get("one_of")) is not None and value is not None and value not in known:
            raise ConfigError(f"{key} must be one of {', '.join(known)}, got {value!r}")
        if (longest := rules.get("longest")) is not None and value is not None and len(value) > longest:
            raise ConfigError(f"{key} must have at most {longest:,} characters, got {len(value):,}")
        if (word := rules.get("words")) is not None:
            for entry in value or ():
                if word.fullmatch(entry) is None:
                    raise ConfigError(
                        f"{key} must be words without spaces, commas or brackets, like {key}=[baseline,paper]; got "
                        f"{entry[:100]!r}"
                    )


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
