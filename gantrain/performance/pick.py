"""Pick the ways of going faster that are safe for the chosen pieces, and say why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrize import is_parametrized

from gantrain.checkpoint import Rng
from gantrain.errors import ConfigError
from gantrain.losses import Loss
from gantrain.losses.turn import Precision
from gantrain.optimizers import OptimisticAdam, RMSprop
from gantrain.performance import allocator
from gantrain.performance.replay import Captured, Recorder, Replay, compiled
from gantrain.training.eager import Eager
from gantrain.training.ema import Ema
from gantrain.training.player import Player
from gantrain.training.scheduled import Schedules

RECORDED = "fused Adam and AdamW, OptimisticAdam, and gantrain.optimizers.RMSprop"


@dataclass(frozen=True)
class Choice:
    """One switch: the value picked, and the reason if there is one."""

    value: bool | str
    reason: str = ""

    def __bool__(self) -> bool:
        return bool(self.value)

    def __str__(self) -> str:
        text = {True: "on", False: "off"}[self.value] if isinstance(self.value, bool) else self.value
        return f"{text} ({self.reason})" if self.reason else text


@dataclass(frozen=True)
class Performance:
    """How the turns are carried out; ``docs/performance.md`` says what each may change."""

    channels_last: Choice
    one_forward: Choice
    keep_memory: Choice
    compile: Choice
    cuda_graphs: Choice

    def __str__(self) -> str:
        names = {name.replace("_", " "): choice for name, choice in vars(self).items()}
        return ", ".join(f"{name} {choice}" for name, choice in names.items())

    @property
    def replays(self) -> bool:
        """Whether turns are played from recordings."""
        return self.compile.value == "step" or bool(self.cuda_graphs)

    @property
    def as_written(self) -> bool:
        """Whether turns are carried out as they are written, nothing compiled or recorded."""
        return self.compile.value == "none" and not self.cuda_graphs

    def facts(self) -> str:
        """Return the values of the switches that rounding depends on, for a checkpoint's manifest."""
        picked = {name: choice.value for name, choice in vars(self).items() if name != "keep_memory"}
        return " ".join(f"{name}={str(value).lower()}" for name, value in picked.items())

    def arrange(self, *nets: nn.Module) -> None:
        """Set up the process and the layout of the networks' weights."""
        if self.keep_memory:
            allocator.keep_memory()
        for net in nets if self.channels_last else ():
            net.to(memory_format=torch.channels_last)

    def compile_networks(self, g: nn.Module, d: nn.Module) -> None:
        """Compile G, or both networks, with torch.compile if that was picked."""
        if self.compile.value in ("networks", "generator"):
            g.compile()
        if self.compile.value == "networks":
            d.compile()

    def carry_out(
        self, players: list[Player], ema: Ema, loss: Loss, augment: nn.Module, nonfinite: Tensor, rng: Rng
    ) -> Eager:
        """Return the object that carries out the turns: ``Replay`` if they are recorded, else ``Eager``."""
        recorders: list[Recorder] = []
        if self.compile.value == "step":
            recorders.append(compiled)
        if self.cuda_graphs:
            recorders.append(Captured())
        if not recorders:
            return Eager()
        ema.live_share = torch.zeros((), device=nonfinite.device)
        modules = [*(player.net for player in players), ema.net, loss, augment]
        return Replay(recorders, modules, players, nonfinite, rng, loss.phase, self.compile.value == "step")


def pick(
    cfg: DictConfig,
    g: Player,
    d: Player,
    loss: Loss,
    augment: nn.Module,
    precision: Precision,
    schedules: Schedules,
    world: int = 1,
) -> Performance:
    """Return the switches: as the configuration sets them, and by what is safe where it leaves the choice.

    ``world`` is the number of ranks that play the game.

    Raises:
        ConfigError: if it sets a switch that these pieces do not allow.
    """
    wanted, players = cfg.performance, [g, d]
    on_gpu = precision.device.type == "cuda"
    obstacle = "both players move at once" if cfg.ratio.simultaneous else ""
    if world > 1:
        obstacle = obstacle or "several ranks play, and recordings do not hold what they tell one another"
    if cfg.accumulate > 1:
        obstacle = obstacle or "accumulate lets a batch through the networks in parts"
    if held := schedules.held_by_recordings:
        obstacle = (
            obstacle or f"the schedule moves {held[0]}, and recordings follow none of an optimizer's numbers but lr"
        )
    obstacle = obstacle or why_not_replay(players, loss, augment, precision)
    return Performance(
        channels_last=decided("channels_last", wanted.channels_last, why_not_channels_last(players)),
        one_forward=decided("one_forward", wanted.one_forward, why_not_one_forward(d.net, augment)),
        keep_memory=decided("keep_memory", wanted.keep_memory, why_not_keep_memory(on_gpu)),
        compile=pick_compile(cfg.compile, d.net, loss, obstacle),
        cuda_graphs=decided("cuda_graphs", wanted.cuda_graphs, obstacle if on_gpu else "needs a GPU"),
    )


def decided(name: str, wanted: bool | None, obstacle: str) -> Choice:
    """Return a switch: as the configuration sets it; if it leaves the choice, on unless there is an obstacle.

    Raises:
        ConfigError: if it is set to true and there is an obstacle.
    """
    if wanted and obstacle:
        raise ConfigError(f"performance.{name}=true cannot be used: {obstacle}")
    return Choice(not obstacle, obstacle) if wanted is None else Choice(wanted, "as set")


def pick_compile(wanted: str | None, d: nn.Module, loss: Loss, obstacle: str) -> Choice:
    """Return which part is compiled: none, generator, networks or step.

    Raises:
        ConfigError: if it is set and there is an obstacle.
    """
    if wanted is None:
        return Choice("none", "it pays for small networks in long runs: compile=step")
    if wanted == "none":
        return Choice(wanted, "as set")
    if why := why_no_compiler():
        raise ConfigError(f"compile={wanted} cannot be used: {why}")
    if wanted == "step":
        if obstacle:
            raise ConfigError(f"compile=step cannot be used: {obstacle}")
        return Choice(wanted)
    if loss.differentiates_twice:
        return Choice("generator", "G alone: a term differentiates D twice")
    if any(is_parametrized(module) for module in d.modules()):
        return Choice("generator", "G alone: D's weights are computed anew in each of its passes")
    return Choice(wanted)


def why_no_compiler() -> str:
    """Return what is missing for torch's compiler, "" if nothing is."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        return "there is no C++ compiler; install g++"
    return ""


def why_not_keep_memory(on_gpu: bool) -> str:
    """Return why the allocator stays as it is, "" if it may be told to keep memory."""
    if on_gpu:
        return "only for a CPU"
    return "" if allocator.is_glibc() else "only for glibc's allocator"


def why_not_channels_last(players: Iterable[Player]) -> str:
    """Return why the channels-last layout is of no use, "" if it is of use."""
    convolutions = (nn.Conv2d, nn.ConvTranspose2d)
    found = any(isinstance(module, convolutions) for player in players for module in player.net.modules())
    return "" if found else "no convolutions over images"


def why_not_one_forward(d: nn.Module, augment: nn.Module) -> str:
    """Return why D must score real and fake batches apart, "" if it may score them in one pass."""
    for module in d.modules():
        if isinstance(module, _BatchNorm):
            return "batch norm in D takes its statistics from one kind of samples"
        if getattr(module, "mixes_samples", False):
            return f"{type(module).__name__} in D compares the samples of a batch"
    return why_foreign([d, augment], "scores_each_sample_alone")


def why_not_replay(players: list[Player], loss: Loss, augment: nn.Module, precision: Precision) -> str:
    """Return why turns cannot be recorded, "" if they can."""
    if precision.forward == torch.float16:
        return "float16 at times skips a step; use precision=bf16"
    for player in players:
        if why := why_no_recording_of(player.optimizer):
            return why
        if getattr(player.schedule, "cycle_momentum", False):
            return "the schedule moves Adam's betas; give it cycle_momentum: false"
    home = getattr(loss.lookahead, "__module__", "").split(".")[0]
    if home != "gantrain" and not getattr(loss.lookahead, "replayable", False):
        return "the lookahead does not say replayable = True"
    return why_foreign([*(player.net for player in players), loss, augment], "replayable")


def why_no_recording_of(optimizer: torch.optim.Optimizer) -> str:
    """Return why an optimizer's steps cannot be recorded, "" if they can.

    A recording writes to the tensors that it found, reads its rate from one, and must not look at a value. Torch's
    fused kernels and ``gantrain.optimizers`` do so, but for ExtraAdam: the tensors that it keeps between two calls come
    and go.
    """
    kind = type(optimizer)
    if type(optimizer) is RMSprop and optimizer.plain:
        return ""
    if kind not in (torch.optim.Adam, torch.optim.AdamW, OptimisticAdam):
        return f"{kind.__name__} cannot be recorded; {RECORDED} can"
    if not all(group["fused"] and not (group["amsgrad"] or group["maximize"]) for group in optimizer.param_groups):
        return f"only plain {kind.__name__} with fused=true can be recorded"
    return ""


def why_foreign(modules: Iterable[nn.Module], promise: str) -> str:
    """Return which module has forward hooks, or a class of the user's own without ``promise = True``; "" if none."""
    for module in (part for whole in modules for part in whole.modules()):
        # Parametrizing a module puts a class of torch's before its own.
        kind = type(module).__mro__[1] if is_parametrized(module) else type(module)
        if module._forward_hooks or module._forward_pre_hooks:
            return f"{kind.__name__} has forward hooks"
        if kind.__module__.split(".")[0] not in ("gantrain", "torch") and not getattr(kind, promise, False):
            return f"{kind.__name__} does not say {promise} = True"
    return ""
