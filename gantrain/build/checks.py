"""What cannot work together, found before the first step."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable

import torch
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.lr_scheduler import LRScheduler

from gantrain.data import Data
from gantrain.distributed import Alone
from gantrain.errors import ConfigError, GantrainError, first_line, is_memory_full
from gantrain.inputs import Codes, Inputs, Latent, Normal, is_conditional
from gantrain.kinds import KINDS, Kind
from gantrain.losses import Loss, Objective
from gantrain.losses.turn import Verdict
from gantrain.regularizers import Information
from gantrain.regularizers.classes import ClassTerm
from gantrain.training.player import Player

ROUNDING = 1e-4
"""Largest change of a score, relative to the size of scores, that other rows of a matrix product may cause."""


def check_kind(data: Data) -> None:
    """Raise ConfigError unless the data set's kind is one of those that there are, and takes samples of its shape."""
    kind = data.kind
    if not isinstance(kind, Kind) or KINDS.get(kind.name) is None:
        raise ConfigError(f"{type(data).__name__}.kind must be one of gantrain.kinds: {', '.join(KINDS)}, got {kind!r}")
    if not kind.takes(data.shape):
        raise ConfigError(
            f"{type(data).__name__} says that its samples are {kind.name}, but their shape is {data.shape}"
        )


@torch.no_grad()
def check_shapes(g: nn.Module, d: nn.Module, inputs: Inputs, shape: tuple[int, ...], device: torch.device) -> Verdict:
    """Return what D says of two samples of G's, from one tiny forward of both.

    Raises:
        ConfigError: unless G makes samples of ``shape`` and D gives each a score.
    """
    labels = torch.zeros(2, dtype=torch.int64, device=device) if inputs.classes else None
    try:
        fake = g.eval()(torch.zeros(2, inputs.latent.dim, device=device), labels)
        found = d.eval()(fake, labels)
    except GantrainError:
        raise
    except Exception as error:  # perhaps somebody's own code
        if is_memory_full(error):
            raise
        said = first_line(error) if isinstance(error, RuntimeError) else f"{type(error).__name__}: {first_line(error)}"
        raise ConfigError(f"architecture: the networks do not fit together: {said}") from error
    if inputs.classes > 1 and not hasattr(g, "conditional") and uses_labels(g, inputs.latent.dim, device):
        raise ConfigError(
            f"{type(g).__name__} uses the labels: let the class say conditional = True, so that it is asked for "
            "classes wherever it is drawn from"
        )
    verdict = Verdict(found) if isinstance(found, Tensor) else Verdict(*found)
    g.train(), d.train()
    if tuple(fake.shape[1:]) != tuple(shape):
        raise ConfigError(f"architecture.generator makes samples of {tuple(fake.shape[1:])}, data has {tuple(shape)}")
    if len(verdict.scores) != 2:
        raise ConfigError(f"architecture.discriminator gives scores of {tuple(verdict.scores.shape)} for 2 samples")
    return verdict


def uses_labels(g: nn.Module, dim: int, device: torch.device) -> bool:
    """Tell whether a generator in evaluation mode makes another sample of another class."""

    def sample_of(label: int) -> Tensor:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(0)
            labels = torch.full((2,), label, dtype=torch.int64, device=device)
            sample: Tensor = g(torch.ones(2, dim, device=device), labels)
        return sample

    first, again, other = sample_of(0), sample_of(0), sample_of(1)  # one may differ by noise that is not torch's
    return torch.equal(first, again) and not torch.allclose(first, other, equal_nan=True)


def check_terms(loss: Loss, verdict: Verdict, classes: int) -> None:
    """Raise ConfigError if a term needs labels, or something of D that it does not tell."""
    for term in loss.regularizers.values():
        if not isinstance(term, ClassTerm):
            continue
        found, _ = term.of(verdict, torch.empty(0) if classes else None)
        wanted, there = term.outputs(classes), 0 if found.logits is None else found.logits.shape[1]
        if there != wanted:
            raise ConfigError(
                f"{type(term).__name__} needs {wanted} logits for {classes} classes, and D gives {there}; the option "
                "of conditioning that brings the term brings such a D"
            )


def check_objective(objective: Objective, verdict: Verdict) -> None:
    """Raise ConfigError unless an objective of somebody's own gives each player a scalar to descend."""
    if type(objective).__module__.startswith("gantrain."):
        return
    real, fake = (verdict.scores.detach().clone().requires_grad_() for _ in range(2))
    losses: dict[str, Callable[[], object]] = {
        "d_loss": lambda: objective.d_loss(real, fake),
        "g_loss": lambda: objective.g_loss(fake, real if objective.g_uses_real else None),
    }
    for name, loss in losses.items():
        what = f"loss: {type(objective).__name__}.{name}"
        try:
            with torch.enable_grad():
                found = loss()
        except Exception as error:  # somebody's own code
            if is_memory_full(error):
                raise
            raise ConfigError(f"{what} fails: {type(error).__name__}: {first_line(error)}") from error
        if not isinstance(found, Tensor):
            raise ConfigError(f"{what} must return a scalar tensor, got {type(found).__name__}")
        if found.dim():
            raise ConfigError(f"{what} must return a scalar, got a tensor of shape {tuple(found.shape)}; take its mean")
        if not found.requires_grad:
            raise ConfigError(f"{what} does not depend on the scores: nothing would be learnt from it")


def check_codes(loss: Loss, verdict: Verdict, latent: Latent) -> None:
    """Raise ConfigError unless the codes in z, those that D guesses and those of the term are the same."""
    own = (latent.categories, latent.continuous) if isinstance(latent, Codes) else None
    for name, term in loss.regularizers.items():
        if not isinstance(term, Information):
            continue
        if own != (term.categories, term.continuous):
            raise ConfigError(
                f"the term {name} is for the codes {list(term.categories)} and {term.continuous}, and latent has "
                f"{'none' if own is None else f'{list(own[0])} and {own[1]}'}; choose latent=codes, which sets both"
            )
        there = 0 if verdict.guesses is None else verdict.guesses.shape[1]
        if there != term.numbers:
            raise ConfigError(
                f"the term {name} needs a discriminator that gives {term.numbers} guesses of codes, and this one gives "
                f"{there}; latent=codes sets architecture.discriminator.categories and .continuous"
            )


def check_latent(g: nn.Module, latent: Latent) -> None:
    """Raise ConfigError if G draws latents of its own, which are normal, and those that it is given are not."""
    off, name = getattr(g, "normal_latents_only", ""), type(latent).__name__.lower()
    if off and not isinstance(latent, Normal):
        raise ConfigError(
            f"{type(g).__name__} mixes latents of its own, from N(0, I), into those of latent={name}; set {off}, or "
            "latent=normal"
        )


def check_conditioning(conditioning: DictConfig, loss: Loss, g: nn.Module) -> None:
    """Raise ConfigError if one network is told the class and the other is not: then no game about classes is played."""
    told = {role: conditioning[role] != "none" for role in ("generator", "discriminator")}
    if told["generator"] != told["discriminator"]:
        alone, other = ("generator", "discriminator") if told["generator"] else ("discriminator", "generator")
        raise ConfigError(
            f"conditioning.{alone}={conditioning[alone]} beside conditioning.{other}=none: both networks must be told "
            "the class, or none; choose one option of conditioning"
        )
    terms = [term for term in loss.regularizers.values() if isinstance(term, ClassTerm)]
    if terms and not is_conditional(g):
        raise ConfigError(
            f"{type(terms[0]).__name__} asks G for classes that it is not told; choose an option of conditioning, or "
            "let the class of your own G say conditional = True"
        )


def check_ratio(ratio: DictConfig, g: Player, d: Player) -> None:
    """Raise ConfigError where players cannot move at once, or one that looks ahead would fall out of step."""
    if ratio.simultaneous and (ratio.d_steps, ratio.g_steps) != (1, 1):
        raise ConfigError("ratio.simultaneous=true needs one turn of each player in a step; use ratio=1to1")
    solvers = {type(p.optimizer).__name__ for p in (g, d) if getattr(p.optimizer, "turns_in_pairs", False)}
    if solvers and (ratio.d_steps, ratio.g_steps) != (1, 1):
        raise ConfigError(f"{solvers.pop()} needs both players to look ahead at once; use ratio=1to1")
    if solvers and g.scaler.is_enabled():
        raise ConfigError(f"{solvers.pop()} cannot skip a step, as float16 at times must; use precision=bf16 or fp32")


def check_parts(cfg: DictConfig, loss: Loss, shape: tuple[int, ...]) -> None:
    """Raise ConfigError where a batch cannot go through the networks in parts and still count as a whole."""
    if cfg.accumulate == 1:
        return
    for key in ("batch_size", "batch_size_g"):
        if cfg[key] is not None and cfg[key] % cfg.accumulate:
            raise ConfigError(f"accumulate={cfg.accumulate} must divide {key}={cfg[key]}")
    if why := loss.why_whole(shape):
        raise ConfigError(f"accumulate={cfg.accumulate} cannot be used: {why}")


def check_ranks(cfg: DictConfig, loss: Loss, shape: tuple[int, ...], ranks: Alone) -> None:
    """Raise ConfigError where a batch cannot be divided among the ranks and still count as a whole."""
    if ranks.world == 1:
        return
    shares = ranks.world * cfg.accumulate
    for key in ("batch_size", "batch_size_g"):
        if cfg[key] is not None and cfg[key] % shares:
            each = f"{ranks.world} ranks" + (f" times accumulate={cfg.accumulate}" if cfg.accumulate > 1 else "")
            fitting = max(shares, round(cfg[key] / shares) * shares)
            raise ConfigError(f"{key}={cfg[key]} cannot be divided by {each}; use {key}={fitting}, for example")
    if why := loss.why_alone(shape):
        raise ConfigError(f"ranks={ranks.world} cannot be used: {why}")


def check_batch_norm(nets: list[nn.Module], batch_size: int) -> None:
    """Raise ConfigError where batch norm would have a single sample to take its statistics from."""
    if batch_size == 1 and any(isinstance(m, _BatchNorm) for net in nets for m in net.modules()):
        raise ConfigError(
            "batch norm cannot take its statistics from one sample; use batch_size=2 or more (for each part, with "
            "accumulate), or an architecture without it (norm=layer, where that is an option)"
        )


def check_optimizer(optimizer: torch.optim.Optimizer, key: str) -> None:
    """Raise ConfigError for an optimizer whose step evaluates the loss again; a turn computes it once."""
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise ConfigError(
            f"{key}: {type(optimizer).__name__} evaluates the loss several times in a step, which an alternating game "
            "does not offer; use an optimizer that steps by one gradient, like torch.optim.Adam"
        )


def check_schedule(schedule: LRScheduler, optimizer: torch.optim.Optimizer, total_steps: int, key: str) -> None:
    """Play a schedule to the end of the run, on an optimizer that is thrown away.

    Raises:
        ConfigError: if it ends before the run does.
    """
    optimizer.step()  # torch warns of a schedule that moves first
    for step in range(1, total_steps + 1):
        try:
            schedule.step()
        except Exception as error:  # a class of the user's may raise anything
            raise ConfigError(
                f"{key} ends at step {step:,} of {total_steps:,}: {first_line(error)}; "
                "give it the run's length as ${total_steps}"
            ) from error


@torch.no_grad()
def check_each_alone(d: nn.Module, loss: Loss, data: Data, device: torch.device) -> None:
    """Raise ConfigError if a term needs D to score each sample by itself, and D does not.

    What a class says of itself is checked elsewhere; if D says ``mixes_samples = True``, that is all. Here the other
    samples of a batch are changed, on a copy of D and with the same random numbers: then the score of the first one
    must stay.
    """
    terms = [r for r in loss.regularizers.values() if getattr(r, "differentiates_twice", False)]
    if not terms or any(getattr(module, "mixes_samples", False) for module in d.modules()):
        return
    d = copy.deepcopy(d).train()
    state = copy.deepcopy(d.state_dict())
    numbers = torch.Generator().manual_seed(0)
    batch = torch.rand(4, *data.shape, generator=numbers) * 2 - 1
    other = torch.cat([batch[:1], 0.1 * torch.randn(3, *data.shape, generator=numbers)])
    labels = torch.zeros(4, dtype=torch.int64, device=device) if data.classes else None

    def first_score(x: Tensor) -> Tensor:
        d.load_state_dict(state)  # spectral norms and the like move with each pass
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(0)
            found = d(x.to(device), labels)
        scores: Tensor = found if isinstance(found, Tensor) else found[0]
        return scores.double().reshape(4, -1)

    scores, changed = first_score(batch), first_score(other)
    size = max(float(scores.abs().max()), float((scores - scores.mean(0)).abs().max()))
    if float((scores[0] - changed[0]).abs().max()) > ROUNDING * size:
        raise ConfigError(
            f"{type(d).__name__} cannot be used with {type(terms[0]).__name__}: the score of a sample changes with the "
            "other samples of its batch, so its gradient is not that of one score. Remove the layer that compares "
            "samples, or choose a loss without this term"
        )
