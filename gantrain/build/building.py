"""From a configuration to a Trainer: the only file that turns names into objects."""

from __future__ import annotations

import copy
import inspect
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from gantrain.build.checks import (
    check_batch_norm,
    check_each_alone,
    check_optimizer,
    check_ratio,
    check_schedule,
    check_shapes,
)
from gantrain.build.trust import check_targets
from gantrain.checkpoint import Rng
from gantrain.data import Data, Mixture
from gantrain.errors import ConfigError, GantrainError, first_line, is_memory_full
from gantrain.losses import Loss, arithmetic
from gantrain.losses.turn import Precision
from gantrain.performance.pick import Performance, pick
from gantrain.training.cadence import Cadence
from gantrain.training.ema import Ema
from gantrain.training.nonfinite import Watch
from gantrain.training.player import Player
from gantrain.training.trainer import Trainer

if TYPE_CHECKING:
    from gantrain.evaluation import ImageQuality, Metric, PointQuality
    from gantrain.theory.study import Study

Quality: TypeAlias = "ImageQuality | PointQuality"


@dataclass(frozen=True)
class Built:
    """A trainer ready to play, and the facts that a run records about it."""

    trainer: Trainer
    data: Data
    performance: Performance
    preview: Tensor  # real samples, to be drawn beside the generated ones


def build(cfg: DictConfig, data: Data | None = None) -> Built:
    """Build everything a validated configuration names: data first, because it tells the networks their shape.

    Args:
        cfg: the configuration.
        data: what it names under ``data``, if that has been read already.

    Raises:
        ConfigError, DataError: for choices that cannot work together, and data that cannot be read.
    """
    check_targets(cfg)
    precision = pick_precision(cfg)
    repeat_exactly(cfg.deterministic)
    rng = Rng(precision.device)
    data = data or build_data(cfg)
    augment: nn.Module = make(cfg.augment, "augment", shape=data.shape)
    rng.seed(cfg.seed)
    g = build_player(cfg, "g", data, precision)
    d, loss = build_d_and_loss(cfg, data, precision)
    latent_dim = cfg.architecture.latent_dim
    check_shapes(g.net, d.net, latent_dim, data.shape, precision.device)
    check_each_alone(d.net, loss, data.shape, precision.device)
    check_batch_norm([g.net, d.net], min(cfg.batch_size, cfg.batch_size_g or cfg.batch_size))
    check_ratio(cfg.ratio, g, d)
    augment = augment.to(precision.device)
    performance = pick(cfg, g, d, loss, augment, precision)
    performance.arrange(g.net, d.net)
    ema = Ema(g.net, cfg.ema.halflife_images, cfg.ema.rampup)
    performance.compile_networks(g.net, d.net)
    batches = data.stream(cfg.batch_size, cfg.seed, precision.device)
    if not performance.channels_last:
        batches.memory_format = torch.contiguous_format
    watch = Watch(precision.device, late=precision.device.type != "cpu" or performance.replays)
    trainer = Trainer(
        g=g,
        d=d,
        ema=ema,
        loss=loss,
        augment=augment,
        data=batches,
        rng=rng,
        precision=precision,
        latent_dim=latent_dim,
        grid_latents=grid_latents(cfg, latent_dim, data).to(precision.device),
        batch_size=cfg.batch_size,
        d_steps=cfg.ratio.d_steps,
        g_steps=cfg.ratio.g_steps,
        total_steps=cfg.total_steps,
        batch_size_g=cfg.batch_size_g,
        simultaneous=cfg.ratio.simultaneous,
        every=Cadence(cfg.log.every, cfg.samples.every, cfg.checkpoint.every, cfg.evaluation.every),
        watch=watch,
        one_forward=bool(performance.one_forward),
        perform=performance.carry_out([g, d], ema, loss, augment, watch.nonfinite, rng),
    )
    preview = batches.peek(len(trainer.grid_latents))
    return Built(trainer, data, performance, preview)


def scratch(cfg: DictConfig, data: Data) -> Trainer:
    """Build a trainer to be thrown away; the one that is built next begins with the same random numbers all the same.

    It plays turns as they are written: compiling them takes long, and a recording's operations cannot be counted.
    """
    cfg = copy.deepcopy(cfg)
    cfg.compile, cfg.performance.cuda_graphs = "none", False
    return build(cfg, data).trainer


def build_study(cfg: DictConfig) -> Study:
    """Build the study of ``gantrain-theory``: D alone, between two known distributions.

    Raises:
        ConfigError: for choices that cannot work together.
    """
    from gantrain.theory.study import Study, truths

    check_targets(cfg)
    precision = pick_precision(cfg)
    kind = get_object(cfg.data._target_)
    if not (isinstance(kind, type) and issubclass(kind, Mixture)):
        raise ConfigError("gantrain-theory needs a distribution with a known density: data=ring, grid or mixture")
    real = make(cfg.data, "data")
    generated = make(cfg.generated, "generated", data=real)
    if not isinstance(generated, Mixture) or generated.shape != real.shape:
        raise ConfigError(f"generated must be a mixture of the data's dimension, {real.shape[0]}")
    Rng(precision.device).seed(cfg.seed)
    d, loss = build_d_and_loss(cfg, real, precision)
    check_batch_norm([d.net], cfg.batch_size)
    if any(getattr(module, "mixes_samples", False) for module in d.net.modules()):
        raise ConfigError(
            "gantrain-theory draws D point by point, so a score may not depend on other samples; "
            "use architecture.discriminator.minibatch_features=0"
        )
    return Study(
        real=real,
        generated=generated,
        d=d,
        loss=loss,
        precision=precision,
        batch_size=cfg.batch_size,
        seed=cfg.seed,
        total_steps=cfg.total_steps,
        log_every=cfg.log.every,
        truths=truths(real, generated),
    )


def build_data(cfg: DictConfig) -> Data:
    """Read the data set.

    Raises:
        ConfigError: for a target that is not trusted.
        DataError: if it cannot be read.
    """
    check_targets(cfg)
    data: Data = make(cfg.data, "data")
    return data


def build_quality(cfg: DictConfig, data: Data, device: torch.device, live: bool = False) -> Quality | None:
    """Build the object that measures generators as ``evaluation=…`` says; None if nothing is to be measured.

    Raises:
        ConfigError, DataError: as ``gantrain.evaluation.prepare`` does, which also says what ``live`` means.
    """
    settings, compared = cfg.evaluation, data
    if not settings.metrics:
        return None
    metrics = build_metrics(cfg)

    from gantrain.evaluation import prepare  # takes a second, which other commands need not pay

    if settings.split is not None and settings.split != cfg.data.get("split"):
        if "split" not in cfg.data:
            raise ConfigError(f"evaluation.split={settings.split}: this data set has no splits; use null")
        compared = make(OmegaConf.create({**cfg.data, "split": settings.split}), "data")
    with torch.random.fork_rng([device] if device.type == "cuda" else []):  # measuring changes nothing in the training
        return prepare(settings, metrics, data, compared, device, live)


def build_metrics(cfg: DictConfig) -> list[str | Metric]:
    """Return the metrics that ``evaluation.metrics`` names, those of your own built.

    Raises:
        ConfigError: for a target that is not trusted, or arguments that it refuses.
    """
    check_targets(cfg, "evaluation")
    return [build_metric(entry) for entry in cfg.evaluation.metrics]


def build_metric(entry: Any) -> str | Metric:
    """Return the metric that an entry of ``evaluation.metrics`` describes by its ``_target_``, else its name."""
    if isinstance(entry, DictConfig) and "_target_" in entry:
        metric: Metric = make(entry, "evaluation.metrics")
        return metric
    return str(entry)


def directions(cfg: DictConfig) -> dict[str, str]:
    """Return the direction of each value that a run of this configuration can measure, without reading its data.

    Raises:
        ConfigError: as ``build_metrics`` does, and for two metrics that give the same value.
    """
    from gantrain.evaluation import images, points
    from gantrain.evaluation.metric import asked_for, joined

    better: dict[str, str] = {}
    metrics = build_metrics(cfg)
    for table, of in ((images.METRICS, "images"), (points.METRICS, "points")):
        better |= joined(asked_for([m for m in metrics if not isinstance(m, str) or m in table], table, of))
    return better


def build_generator(cfg: DictConfig, shape: tuple[int, ...], classes: int, device: torch.device) -> nn.Module:
    """Build G alone, with weights yet to be loaded, for samples of ``shape``.

    Raises:
        ConfigError: for a target that is not trusted, or arguments that it refuses.
    """
    check_targets(cfg)
    net: nn.Module = make(cfg.architecture.generator, "architecture.generator", shape=shape, classes=classes)
    return net.to(device)


def pick_precision(cfg: DictConfig) -> Precision:
    """Return the device and dtypes that a configuration asks for."""
    # Gradients of sure scores fall below 1e-38, where a CPU computes many times slower; a GPU flushes them anyway.
    torch.set_flush_denormal(True)
    device = pick_device(cfg.device)
    if device.type == "cuda":
        torch.cuda.set_device(device)  # streams and graphs belong to the current one
    arithmetic.set_tf32(cfg.precision.tf32)
    forward = settled_format(cfg, device)
    return Precision(device, getattr(torch, forward), getattr(torch, cfg.precision.penalty))


def settled_format(cfg: DictConfig, device: torch.device | None = None) -> str:
    """Return the networks' number format; ``auto`` is the fastest of the device."""
    wanted: str = cfg.precision.forward
    return arithmetic.fastest_format(device or pick_device(cfg.device)) if wanted == "auto" else wanted


def repeat_exactly(wanted: bool) -> None:
    """Allow only kernels that give the same bits each time, or any; operations that have none raise RuntimeError."""
    if wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when it starts
    torch.use_deterministic_algorithms(wanted)


def build_d_and_loss(cfg: DictConfig, data: Data, precision: Precision) -> tuple[Player, Loss]:
    """Build the discriminator and the loss, and check that the loss can be used with this discriminator."""
    loss: Loss = make(cfg.loss, "loss").to(precision.device)
    if isinstance(kind := get_object(cfg.architecture.discriminator._target_), type):
        loss.objective.check(kind)  # before it is built: arguments meant for the right kind would hide the reason
    d = build_player(cfg, "d", data, precision)
    loss.check(d.net)
    return d, loss


def make(node: DictConfig, key: str, **facts: Any) -> Any:
    """Instantiate ``node``, adding the arguments that are not in the configuration (shape, classes, parameters).

    Raises:
        ConfigError: if the constructor refuses its arguments; an error of our own passes through as it is.
    """
    try:
        return instantiate(node, **facts, _convert_="all")
    except InstantiationException as error:
        if isinstance(error.__cause__, GantrainError) or is_memory_full(error.__cause__):
            raise error.__cause__ from None  # type: ignore[misc]
        reason = first_line(error.__cause__ or error)
        if "unexpected keyword" in reason and (unknown := unknown_keys(node)):
            reason += "; remove what it does not take: " + " ".join(f"~{key}.{name}" for name in unknown)
        if key.startswith("architecture") and "unexpected keyword" in reason:
            reason += "; if the loss brought it, this architecture does not suit that loss"
        raise ConfigError(f"{key}: {node.get('_target_')} cannot be built: {reason}") from error


def unknown_keys(node: DictConfig) -> list[str]:
    """Return the settings of a node that its target takes no argument for, as far as its signature tells."""
    try:
        taken = inspect.signature(get_object(node._target_)).parameters
    except (TypeError, ValueError):
        return []
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in taken.values()):
        return []
    return [str(name) for name in node if name != "_target_" and name not in taken]


def pick_device(name: str) -> torch.device:
    """Return the device that ``auto``, ``cpu``, ``cuda`` or ``cuda:<k>`` means on this machine.

    Raises:
        ConfigError: if it is none of these, or not there.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda:0" if gpus else "cpu")
    allowed = ["cpu"] + ["cuda"] * bool(gpus) + [f"cuda:{k}" for k in range(gpus)]
    if name not in allowed:
        have = f"{gpus} GPU(s)" if gpus else "no usable GPU"
        raise ConfigError(f"device={name}: PyTorch sees {have} here; use device=auto{'' if gpus else ' or device=cpu'}")
    return torch.device("cuda:0" if name == "cuda" else name)


def build_player(cfg: DictConfig, name: str, data: Data, precision: Precision) -> Player:
    """Build player ``g`` or ``d``: its network, optimizer, and the schedule of its learning rate if there is one."""
    role = {"g": "generator", "d": "discriminator"}[name]
    key = f"architecture.{role}"
    net: nn.Module = make(cfg.architecture[role], key, shape=data.shape, classes=data.classes).to(precision.device)
    optimizer = make(cfg.optimizer[name], f"optimizer.{name}", params=list(net.parameters()))
    check_optimizer(optimizer, f"optimizer.{name}")
    schedule = build_schedule(cfg, name, optimizer)
    return Player(net, optimizer, precision.scaler(), cfg.gradient_clip_norm, schedule)


def build_schedule(cfg: DictConfig, name: str, optimizer: torch.optim.Optimizer) -> LRScheduler | None:
    """Build the schedule of a player's learning rate, None if it stays.

    Raises:
        ConfigError: if it is none, or ends before the run does.
    """
    schedules = cfg.get("schedule")
    node, key = None if schedules is None else schedules[name], f"schedule.{name}"
    if node is None:
        return None
    if not isinstance(node, DictConfig) or "_target_" not in node:
        raise ConfigError(f"{key} must be null or have a _target_ in torch.optim.lr_scheduler, got {node}")
    schedule = make(node, key, optimizer=optimizer)
    if not isinstance(schedule, LRScheduler) or isinstance(schedule, ReduceLROnPlateau):
        raise ConfigError(f"{key}: {node._target_} is no schedule that moves on by itself after every step")
    spare = make(cfg.optimizer[name], f"optimizer.{name}", params=[nn.Parameter(torch.zeros(1, 1))])
    check_schedule(make(node, key, optimizer=spare), spare, cfg.total_steps, key)
    return schedule


def grid_latents(cfg: DictConfig, latent_dim: int, data: Data) -> Tensor:
    """Return the fixed latents of the sample grids (n, latent_dim), a function of the seed; points need many more."""
    n = cfg.samples.count * (32 if len(data.shape) == 1 else 1)
    return torch.randn(n, latent_dim, generator=torch.Generator().manual_seed(cfg.seed))
