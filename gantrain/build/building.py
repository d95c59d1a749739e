"""From a configuration to a Trainer."""

from __future__ import annotations

import copy
import inspect
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from hydra.utils import get_object
from omegaconf import DictConfig, ListConfig, OmegaConf
from torch import Tensor, nn

from gantrain.architectures.layers import SideError
from gantrain.build.checks import (
    check_batch_norm,
    check_codes,
    check_conditioning,
    check_each_alone,
    check_kind,
    check_latent,
    check_objective,
    check_optimizer,
    check_parts,
    check_ranks,
    check_ratio,
    check_shapes,
    check_terms,
)
from gantrain.build.making import make
from gantrain.build.own import class_of
from gantrain.build.scheduling import build_scheduler, build_schedules
from gantrain.build.trust import check_targets
from gantrain.checkpoint import Rng
from gantrain.data import Curves, Data, Known, Mixture, adapted, stream_of
from gantrain.distributed import ALONE, Alone, synchronised
from gantrain.errors import HIDDEN, ConfigError, masked
from gantrain.inputs import Given, Inputs, Latent, Normal, is_conditional
from gantrain.losses import Loss, arithmetic
from gantrain.losses.turn import Precision
from gantrain.performance.pick import Performance, pick
from gantrain.run.identity import flat, plain
from gantrain.schema import as_text, clip_norms
from gantrain.sweeps.storage import whole
from gantrain.training.cadence import Cadence
from gantrain.training.callbacks import Callbacks
from gantrain.training.ema import Ema
from gantrain.training.nonfinite import Watch
from gantrain.training.player import Player
from gantrain.training.trainer import Trainer
from gantrain.training.warm_start import freeze

if TYPE_CHECKING:
    from gantrain.data.survey import FolderSurvey
    from gantrain.evaluation import ImageQuality, Metric, PointQuality, SignalQuality
    from gantrain.loggers import Logger
    from gantrain.theory.study import Study

Quality: TypeAlias = "ImageQuality | PointQuality | SignalQuality"


@dataclass(frozen=True)
class Built:
    """A trainer ready to play, and the facts that a run records about it."""

    trainer: Trainer
    data: Data
    performance: Performance
    preview: Tensor  # real samples, to be drawn beside the generated ones
    columns: int | None  # of the grids; None: as many as rows


def build(cfg: DictConfig, data: Data | None = None, ranks: Alone = ALONE) -> Built:
    """Build everything a validated configuration names: data first, because it tells the networks their shape.

    Args:
        cfg: the configuration.
        data: what it names under ``data``, if that has been read already.
        ranks: the processes that play the game; each of them builds its own, and all begin with the first's weights.

    Raises:
        ConfigError, DataError: for choices that cannot work together, and data that cannot be read.
    """
    check_targets(cfg)
    precision = pick_precision(cfg, ranks)
    repeat_exactly(cfg.deterministic)
    rng, data = Rng(precision.device, ranks), data or build_data(cfg)
    augment: nn.Module = make(cfg.augment, "augment", shape=data.shape)
    rng.seed(cfg.seed)
    g = build_player(cfg, "g", data, precision, ranks)
    d, loss = build_d_and_loss(cfg, data, precision, ranks)
    inputs = build_inputs(cfg, data.classes, data.shares())
    check_game(cfg, g, d, loss, inputs, data, ranks)
    augment = augment.to(precision.device)
    ema = Ema(g.net, cfg.ema.halflife_images, cfg.ema.rampup)
    schedules = build_schedules(cfg, g, d, loss, augment, ema, data.shape)
    performance = pick(cfg, g, d, loss, augment, precision, schedules, ranks.world)
    performance.arrange(g.net, d.net, ema.net)
    performance.compile_networks(g.net, d.net)
    batches = stream_of(data, cfg.batch_size, cfg.seed, precision.device, ranks)
    batches.memory_format = torch.preserve_format if performance.channels_last else torch.contiguous_format
    grid, columns = grid_of(cfg, inputs, g.net, data, precision.device)
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
        inputs=inputs,
        ranks=ranks,
        grid=grid,
        batch_size=cfg.batch_size,
        total_steps=cfg.total_steps,
        batch_size_g=cfg.batch_size_g,
        accumulate=cfg.accumulate,
        **cfg.ratio,
        schedules=schedules,
        every=Cadence(cfg.log.every, cfg.samples.every, cfg.checkpoint.every, cfg.evaluation.every),
        watch=watch,
        callbacks=build_callbacks(cfg, ranks),
        one_forward=bool(performance.one_forward),
        perform=performance.carry_out([g, d], ema, loss, augment, watch.nonfinite, rng),
    )
    # Of several ranks the first alone draws it, of whole batches.
    shown = batches if ranks.world == 1 else data.stream(cfg.batch_size, cfg.seed, torch.device("cpu"))
    preview = shown.peek(len(grid.z) if ranks.is_first else 1)
    rng.divide(cfg.seed)
    return Built(trainer, data, performance, preview, columns)


def check_game(
    cfg: DictConfig, g: Player, d: Player, loss: Loss, inputs: Inputs, data: Data, ranks: Alone = ALONE
) -> None:
    """Raise ConfigError if the pieces of a game cannot work together."""
    verdict = check_shapes(g.net, d.net, inputs, data.shape, g.skipped.device)
    check_objective(loss.objective, verdict)
    check_terms(loss, verdict, data.classes)
    check_codes(loss, verdict, inputs.latent)
    check_latent(g.net, inputs.latent)
    check_conditioning(cfg.conditioning, loss, g.net)
    loss.check_generator(g.net)
    check_each_alone(d.net, loss, data, g.skipped.device)
    smallest = min(cfg.batch_size, cfg.batch_size_g or cfg.batch_size)
    check_batch_norm([g.net, d.net], smallest // (cfg.accumulate * ranks.world))
    check_ranks(cfg, loss, data.shape, ranks)
    check_ratio(cfg.ratio, g, d)
    check_parts(cfg, loss, data.shape)


def scratch(cfg: DictConfig, data: Data, ranks: Alone = ALONE) -> Trainer:
    """Build a trainer to be thrown away; the one that is built next begins with the same random numbers all the same.

    It plays turns as they are written: compiling them takes long, and a recording's operations cannot be counted.
    """
    cfg = copy.deepcopy(cfg)
    cfg.compile, cfg.performance.cuda_graphs = "none", False
    return build(cfg, data, ranks).trainer


def build_study(cfg: DictConfig) -> Study:
    """Build the study of ``gantrain-theory``: D alone, between two known distributions.

    Raises:
        ConfigError: for choices that cannot work together.
    """
    from gantrain.theory.study import Study, truths

    check_targets(cfg)
    precision = pick_precision(cfg)
    kind = get_object(cfg.data._target_)
    if not (isinstance(kind, type) and issubclass(kind, Mixture | Curves)):
        raise ConfigError("gantrain-theory needs a distribution with a known density, like data=ring, mixture or moons")
    real = make(cfg.data, "data")
    if real.shape not in ((1,), (2,)):
        raise ConfigError(
            f"gantrain-theory integrates and draws on a line or in the plane, and data has samples of {real.shape}; "
            "give data of one or two dimensions"
        )
    generated = make(cfg.generated, "generated", data=real)
    if not isinstance(generated, Known) or generated.shape != real.shape:
        raise ConfigError(f"generated must be a known distribution of the data's dimension, {real.shape[0]}")
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
        ConfigError: for a target that is not trusted, or whose kind does not fit its shape.
        DataError: if it cannot be read.
    """
    check_targets(cfg)
    data = adapted(make(cfg.data, "data"))
    check_kind(data)
    return data


def build_survey(cfg: DictConfig) -> FolderSurvey | None:
    """Return what looks at the files of a data set without holding them; None if its class brings nothing of its own.

    Raises:
        ConfigError: for a target that is not trusted, or settings that it refuses.
        DataError: if there are no files.
    """
    check_targets(cfg)
    kind = get_object(cfg.data._target_) if "_target_" in cfg.data else None
    survey = vars(kind).get("survey") if isinstance(kind, type) else None  # a subclass may take other settings
    if survey is None:
        return None
    target = f"{survey.__module__}.{survey.__qualname__}"
    looking: FolderSurvey = make(OmegaConf.create({**cfg.data, "_target_": target}), "data")
    return looking


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

    whole = {key: None for key in ("imbalance", "limit") if cfg.data.get(key) is not None}
    if settings.split is not None and (settings.split != cfg.data.get("split") or whole):
        if "split" not in cfg.data:
            raise ConfigError(f"evaluation.split={settings.split}: this data set has no splits; use null")
        # a split that is named is meant with all its samples
        try:
            compared = adapted(make(OmegaConf.create({**cfg.data, "split": settings.split, **whole}), "data"))
        except ConfigError as error:
            raise ConfigError(f"evaluation.split={settings.split}: {error}") from error
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


def build_loggers(cfg: DictConfig) -> dict[str, Logger]:
    """Return the loggers that ``logger=[…]`` chooses, by name; none has begun.

    Raises:
        ConfigError: for a target that is not trusted or is no Logger, arguments that it refuses, a package that is not
            installed, or a password that stands in the settings, which are stored.
    """
    from gantrain.loggers import Logger

    check_targets(cfg, "logger")
    made: dict[str, Logger] = {}
    for name, node in (cfg.logger or {}).items():
        given = with_passwords(OmegaConf.to_container(node, resolve=True), f"logger.{name}")
        made[str(name)] = make(OmegaConf.create(as_text(given)), f"logger.{name}")
        if not isinstance(made[str(name)], Logger):
            raise ConfigError(f"logger.{name}: {node.get('_target_')} is no gantrain.loggers.Logger")
    return made


def with_passwords(given: Any, key: str) -> Any:
    """Return settings in which URLs have the passwords that were taken out of the command line.

    Raises:
        ConfigError: if there is one already: it came from a file, and would be stored with all settings.
    """
    if isinstance(given, dict):
        return {name: with_passwords(value, f"{key}.{name}") for name, value in given.items()}
    if not isinstance(given, str):
        return given
    if masked(given) != given:
        raise ConfigError(
            f"{key} holds a password, which config.yaml would keep; give it on the command line, where it is taken "
            "out, or in the environment (docs/loggers.md)"
        )
    return whole(given) if HIDDEN in given else given


def directions(cfg: DictConfig) -> dict[str, str]:
    """Return the direction of each value that a run of this configuration can measure, without reading its data.

    Raises:
        ConfigError: as ``build_metrics`` does, and for two metrics that give the same value.
    """
    from gantrain.evaluation import images, points, signals, table
    from gantrain.evaluation.metric import asked_for, joined

    better: dict[str, str] = {}
    metrics = build_metrics(cfg)
    known = {"images": images.METRICS, "points": points.METRICS, "signals": signals.METRICS, "tables": table.METRICS}
    for of, own in known.items():
        better |= joined(asked_for([m for m in metrics if not isinstance(m, str) or m in own], own, of))
    return better


def build_generator(cfg: DictConfig, shape: tuple[int, ...], classes: int, device: torch.device) -> nn.Module:
    """Build G alone, with weights yet to be loaded, for samples of ``shape``.

    Raises:
        ConfigError: for a target that is not trusted, or arguments that it refuses.
    """
    check_targets(cfg, "architecture")
    return build_network(cfg, "generator", shape, classes).to(device)


def pick_precision(cfg: DictConfig, ranks: Alone = ALONE) -> Precision:
    """Return the device and dtypes that a configuration asks for, the device that of a rank."""
    # Gradients of sure scores fall below 1e-38, where a CPU computes many times slower; a GPU flushes them anyway.
    torch.set_flush_denormal(True)
    device = pick_device(cfg.device, ranks)
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


def build_d_and_loss(cfg: DictConfig, data: Data, precision: Precision, ranks: Alone = ALONE) -> tuple[Player, Loss]:
    """Build the discriminator and the loss, and check that the loss can be used with this discriminator."""
    loss: Loss = make(cfg.loss, "loss").to(precision.device)
    if isinstance(kind := class_of(cfg.architecture.discriminator), type):
        loss.objective.check(kind)  # before it is built: arguments meant for the right kind would hide the reason
    d = build_player(cfg, "d", data, precision, ranks)
    loss.check(d.net)
    return d, loss


def pick_device(name: str, ranks: Alone = ALONE) -> torch.device:
    """Return the device that ``auto``, ``cpu``, ``cuda`` or ``cuda:<k>`` means on this machine.

    Of several ranks on a machine each gets a GPU of its own.

    Raises:
        ConfigError: if it is none of these, or not there.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if ranks.world > 1 and name.startswith("cuda:"):
        raise ConfigError(f"device={name}: each of {ranks.world} ranks needs a GPU of its own; use device=cuda")
    if name == "auto":
        return torch.device(f"cuda:{ranks.local}" if gpus else "cpu")
    allowed = ["cpu"] + ["cuda"] * bool(gpus) + [f"cuda:{k}" for k in range(gpus)]
    if name not in allowed:
        have = f"{gpus} GPU(s)" if gpus else "no usable GPU"
        raise ConfigError(f"device={name}: PyTorch sees {have} here; use device=auto{'' if gpus else ' or device=cpu'}")
    return torch.device(f"cuda:{ranks.local}" if name == "cuda" else name)


def with_fractions(optimizer: DictConfig) -> DictConfig:
    """Return an optimizer's node whose betas may have been written as whole numbers, which torch's Adam refuses."""
    betas = optimizer.get("betas")
    if not isinstance(betas, ListConfig) or not all(type(beta) in (int, float) for beta in betas):
        return optimizer
    return OmegaConf.merge(optimizer, {"betas": [float(beta) for beta in betas]})  # type: ignore[return-value]


def build_player(cfg: DictConfig, name: str, data: Data, precision: Precision, ranks: Alone = ALONE) -> Player:
    """Build player ``g`` or ``d``: its network, optimizer, and the schedule of its learning rate if there is one."""
    role = {"g": "generator", "d": "discriminator"}[name]
    net = build_network(cfg, role, data.shape, data.classes).to(precision.device)
    if ranks.world > 1 and cfg.distributed.sync_batchnorm:
        net = synchronised(net, ranks)
    if name == "d" and cfg.get("freeze_d"):
        freeze(net, cfg.freeze_d)
    learning = [weight for weight in net.parameters() if weight.requires_grad]
    optimizer = make(with_fractions(cfg.optimizer[name]), f"optimizer.{name}", params=learning)
    check_optimizer(optimizer, f"optimizer.{name}")
    scheduler = build_scheduler(cfg, name, optimizer)
    named = [str(key) for key in cfg.optimizer[name] if key != "_target_"]
    clip_norm = clip_norms(cfg.gradient_clip_norm)[name]
    return Player(net, optimizer, precision.scaler(), clip_norm, scheduler, named)


def build_callbacks(cfg: DictConfig, ranks: Alone) -> Callbacks:
    """Build what hears of the run as it goes, on the first rank alone.

    Raises:
        ConfigError: for a target that is not trusted, arguments that it refuses, or an object that is no callback.
    """
    if not ranks.is_first:
        return Callbacks()
    nodes = {name: node for name, node in (cfg.get("callbacks") or {}).items() if node is not None}
    return Callbacks({str(n): make(node, f"callbacks.{n}") for n, node in nodes.items()}, Path(cfg.run.dir or ""))


def build_network(cfg: DictConfig, role: str, shape: tuple[int, ...], classes: int) -> nn.Module:
    """Build the ``generator`` or the ``discriminator`` for samples of ``shape``.

    Raises:
        ConfigError: if it is to be conditional and cannot be.
    """
    node, key, facts = cfg.architecture[role], f"architecture.{role}", {"shape": shape, "classes": classes}
    way = cfg.get("conditioning", {}).get(role, "none")
    if way != "none":
        kind = class_of(node)
        if "conditioning" not in inspect.signature(kind).parameters:
            raise ConfigError(
                f"conditioning.{role}={way}: {kind.__module__}.{kind.__name__} takes no conditioning; use another "
                "architecture, such as dcgan, or conditioning=none"
            )
        facts["conditioning"] = way
    try:
        net: nn.Module = make(node, key, **facts)
    except SideError as error:
        sizes = [key for key, _ in flat(plain(cfg)) if key.startswith("data.") and key.endswith(".size")]
        raise SideError(error.needs, f"Set {sizes[0]} to one of these") if sizes else error from None
    return net


def build_inputs(cfg: DictConfig, classes: int, shares: list[float] | None) -> Inputs:
    """Build what G gets beside its weights; a run of before has no ``latent`` and drew N(0, I).

    Raises:
        ConfigError: for a target that is not trusted, or arguments that it refuses.
    """
    check_targets(cfg, "latent")
    dim = cfg.architecture.latent_dim
    latent: Latent = make(cfg.latent, "latent", dim=dim) if cfg.get("latent") is not None else Normal(dim)
    return Inputs(latent, classes, shares)


def grid_of(
    cfg: DictConfig, inputs: Inputs, g: nn.Module, data: Data, device: torch.device
) -> tuple[Given, int | None]:
    """Return the fixed inputs of the sample grids, a function of the seed, and their number of columns.

    Of points many more are drawn than of images. A G that says ``conditional = True`` has one class a row.
    """
    columns: int | None
    if data.classes and is_conditional(g) and data.kind.in_cells:
        given, columns = inputs.rows(cfg.samples.count, cfg.seed)
    else:
        given, columns = inputs.grid(data.kind.grid_count(cfg.samples.count), cfg.seed)
    return Given(given.z.to(device), None if given.labels is None else given.labels.to(device)), columns
