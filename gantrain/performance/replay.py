"""Turns played from recordings: compiled (``compile=step``), captured into a CUDA graph, or both.

All turns of one phase (``Regularizer.phase``) do the same work on the device, on other tensors, so one of them can be
recorded and replayed for all. Tracing happens below autograd, where a penalty's second differentiation is ordinary
operations; torch.compile itself starts above autograd and refuses it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from gantrain.checkpoint import Rng
from gantrain.errors import first_line
from gantrain.terminal import say
from gantrain.training.eager import Eager, Move, Scalars
from gantrain.training.player import Player

Recorded = Callable[[Tensor, Tensor | None], Scalars]
Recorder = Callable[[Recorded, Tensor, Tensor | None], Recorded]
"""Makes a recording of a function of one batch; all other tensors that it reads and writes stay in place."""

TOLERANCE = {"weights": 0.5, "averages": 0.5}
OTHERS = 0.1
"""Largest distance of a recording from its turn, relative to the turn's change: of weights and averages, of the rest.

Adam's first steps move a weight whose gradient is rounding noise (a bias before batch norm) as far as any other, so the
moments tell more than the weights.
"""


class NotFinite(Exception):  # noqa: N818  (no error of the recording)
    """Raised if a turn that is to be recorded ends in numbers that are not finite."""


@dataclass
class Replay(Eager):
    """Carries out turns from recordings, made when they are first needed.

    The first turn of each player is carried out as written, because it makes the optimizer's state. Before a recording
    counts, it is compared with its turn, both from the same state and random numbers. If they differ, or a turn cannot
    be recorded, a warning says so, and from then on turns are carried out as written.

    Args:
        recorders: applied one after another.
        modules: whose parameters and buffers the turns read and change.
        players: whose optimizers' state they move; see ``performance.pick.why_no_recording_of`` for which.
        nonfinite: flag that a turn sets if its loss is not finite.
        rng: random numbers that the turns draw.
        phase: index of a turn -> its phase; turns of one phase do the same computation.
        always_measure: compute readings on every turn. Compiled code may round differently with them than without, so
            else a run would depend on how often it is logged.
    """

    recorders: Sequence[Recorder]
    modules: Sequence[nn.Module]
    players: Sequence[Player]
    nonfinite: Tensor
    rng: Rng
    phase: Callable[[int], Hashable]
    always_measure: bool
    recordings: dict[Hashable, Recorded] = field(default_factory=dict)
    failed: bool = False
    failures: int = 0

    replays = True

    def __post_init__(self) -> None:
        # Learning rates as tensors, so that a recording reads what a schedule has set.
        device = self.nonfinite.device
        self.rates = {
            id(player): [torch.zeros((), device=device) for _ in player.optimizer.param_groups]
            for player in self.players
        }

    def __call__(self, move: Move, player: Player, real: Tensor, labels: Tensor | None, measure: bool) -> Scalars:
        """Carry out ``move`` from its recording."""
        measure = measure or self.always_measure
        if player.turns == 0 or self.failed:
            return move(real, labels, measure)
        key = (id(player), measure, self.phase(player.moves), player.looks_ahead)
        self.set_rates(player)
        if key not in self.recordings:
            try:
                self.recordings[key] = self.record(lambda r, c: move(r, c, measure), player, real, labels)
            except NotFinite:  # the turn's own fault, which the watch reports
                return move(real, labels, measure)
            except Exception as error:  # whatever a compiler or a driver raises
                self.forget()
                self.failed = True
                self.failures += 1
                say(f"a turn cannot be recorded ({first_line(error)}); from now on turns are carried out as written")
                return move(real, labels, measure)
        return self.recordings[key](real, labels)

    def forget(self) -> None:
        """Drop all recordings."""
        self.recordings.clear()
        self.failed = False
        for recorder in self.recorders:
            if isinstance(recorder, Captured):
                recorder.forget()

    def record(self, turn: Recorded, player: Player, real: Tensor, labels: Tensor | None) -> Recorded:
        """Return a recording of ``turn`` that has been compared with it; the state ends as it began."""
        state, drawn = self.state(), self.rng.state_dict()
        before = copies(state)

        def back() -> None:
            # It takes no memory, so that it also works where a recording failed for want of that.
            with torch.no_grad():
                for name, tensors in state.items():
                    for tensor, old in zip(tensors, before[name], strict=True):
                        tensor.copy_(old)
            self.rng.load_state_dict(drawn)
            player.optimizer.zero_grad(set_to_none=True)

        try:
            turn(real, labels)
            expected = copies(state)
            back()
            if not all(tensor.isfinite().all() for tensors in expected.values() for tensor in tensors):
                raise NotFinite
            with self.tensor_rates(player), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch advises against capturable=True in the steps before a capture
                for recorder in self.recorders:
                    turn = recorder(turn, real, labels)
                    back()
            turn(real, labels)
            found = copies(state)
        finally:
            back()
        for name in state:
            off = distance(before[name], expected[name], found[name])
            if not off <= TOLERANCE.get(name, OTHERS):
                raise RuntimeError(f"its recording leaves other {name}, off by {off:.0%} of their change")
        return turn

    def state(self) -> dict[str, list[Tensor]]:
        """Return every tensor that a turn reads or writes, apart from the batch, by kind."""
        state: dict[str, list[Tensor]] = {"weights": [], "averages": [], "nonfinite": [self.nonfinite]}
        state |= {f"buffer {k}": [b] for k, b in enumerate(self.buffers())}
        for module in self.modules:
            for parameter in module.parameters():
                state["weights" if parameter.requires_grad else "averages"].append(parameter)
        for player in self.players:
            for kept in player.optimizer.state.values():
                for name, tensor in kept.items():
                    state.setdefault(name, []).append(tensor)
        return state

    def buffers(self) -> Iterator[Tensor]:
        """Yield the modules' buffers: state that no optimizer moves."""
        for module in self.modules:
            yield from module.buffers()

    def set_rates(self, player: Player) -> None:
        """Bring the recordings' learning rates up to date."""
        for rate, group in zip(self.rates[id(player)], player.optimizer.param_groups, strict=True):
            rate.fill_(group["lr"])

    @contextmanager
    def tensor_rates(self, player: Player) -> Iterator[None]:
        """Let the optimizer read its learning rates from tensors, as a recording must."""
        groups = player.optimizer.param_groups
        kept = [{name: group[name] for name in ("lr", "capturable")} for group in groups]
        fused = isinstance(player.optimizer, torch.optim.Adam)
        for rate, group in zip(self.rates[id(player)], groups, strict=True):
            group.update(lr=rate, capturable=self.nonfinite.is_cuda and fused)
        try:
            yield
        finally:
            for group, old in zip(groups, kept, strict=True):
                group.update(old)


def copies(state: dict[str, list[Tensor]]) -> dict[str, list[Tensor]]:
    """Return the values of tensors by name."""
    return {name: [tensor.detach().clone() for tensor in tensors] for name, tensors in state.items()}


def distance(before: list[Tensor], expected: list[Tensor], found: list[Tensor]) -> float:
    """Return ‖found - expected‖ / ‖expected - before‖ over tensors of one kind.

    The change counts as at least a thousandth of the values, because values that stand still change by rounding alone.
    """

    def norm(tensors: Iterable[Tensor]) -> float:
        return math.sqrt(sum(tensor.double().square().sum().item() for tensor in tensors))

    error: float = norm(b.double() - a.double() for a, b in zip(expected, found, strict=True))
    moved = norm(a.double() - old.double() for old, a in zip(before, expected, strict=True))
    change = max(moved, 1e-3 * norm(expected))
    return 0.0 if error == 0 else error / change if change > 0 else math.inf


def adam(
    parameters: list[Tensor],
    gradients: list[Tensor],
    means: list[Tensor],
    squares: list[Tensor],
    largest: list[Tensor],
    steps: list[Tensor],
    *,
    lr: float | Tensor,
    beta1: float,
    beta2: float,
    weight_decay: float,
    eps: float,
    amsgrad: bool,
    maximize: bool,
    grad_scale: Tensor | None = None,
    found_inf: Tensor | None = None,
    decoupled: bool = False,
) -> None:
    """Do what ``aten::_fused_adam_`` does, in operations that the compiler can fuse with their neighbours.

    Kingma & Ba 2015, arXiv:1412.6980, Algorithm 1, with the bias corrections as factors. ``decoupled``: what
    ``aten::_fused_adamw_`` does, Loshchilov & Hutter 2019, arXiv:1711.05101, Algorithm 2.
    """
    assert not (amsgrad or maximize or grad_scale is not None or found_inf is not None)
    rate = lr / (1 - beta1 ** steps[0])  # one optimizer moves all its weights together: their counts are equal
    root = (1 - beta2 ** steps[0]).rsqrt()
    for parameter, gradient, mean, square in zip(parameters, gradients, means, squares, strict=True):
        if decoupled:
            parameter.mul_(1 - lr * weight_decay)
        elif weight_decay:
            gradient = gradient.add(parameter, alpha=weight_decay)
        mean.lerp_(gradient, 1 - beta1)
        square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        parameter.sub_(rate * mean / (square.sqrt() * root + eps))


def norms(tensors: list[Tensor], order: float = 2.0, dtype: torch.dtype | None = None) -> list[Tensor]:
    """Do what ``aten::_foreach_norm`` does, in operations that the compiler can fuse with their neighbours."""
    assert order == 2 and dtype is None
    return [tensor.square().sum().sqrt() for tensor in tensors]


def compiled(function: Recorded, real: Tensor, labels: Tensor | None) -> Recorded:
    """Return ``function`` compiled by torch's inductor: the one place that knows torch's tracer and compiler.

    Random numbers are still drawn by torch's generators in the order of the original.
    """
    from torch._inductor import compile as inductor
    from torch.fx.experimental.proxy_tensor import make_fx

    aten = torch.ops.aten
    written_out: dict[Any, Callable[..., Any]] = {
        aten._fused_adam_.default: adam,
        aten._fused_adam_.tensor_lr: adam,
        aten._fused_adamw_.default: partial(adam, decoupled=True),
        aten._fused_adamw_.tensor_lr: partial(adam, decoupled=True),
        aten._foreach_norm.Scalar: norms,
    }
    # Without labels only one tensor is traced: None would become an input too, and the compiler takes no None.
    batch = [real] if labels is None else [real, labels]
    turn = (lambda real: function(real, None)) if labels is None else function
    traced = make_fx(turn, decomposition_table=written_out)(*batch)
    state = lift(traced)
    options = {"fallback_random": True, "size_asserts": False, "alignment_asserts": False}
    with torch.no_grad():
        run = inductor(traced, [*batch, *state], options=options)

    def replay(real: Tensor, labels: Tensor | None) -> Scalars:
        with torch.no_grad():
            scalars: Scalars = run(real, *([] if labels is None else [labels]), *state)
        return scalars

    return replay


def lift(traced: GraphModule) -> list[Tensor]:
    """Turn every tensor that a traced graph holds into an input, and return these tensors in the inputs' order.

    A compiled graph may change only its inputs in place.
    """
    graph = traced.graph
    inputs: dict[int, Node] = {}
    state: list[Tensor] = []
    last = [node for node in graph.nodes if node.op == "placeholder"][-1]
    for node in list(graph.nodes):
        if node.target is torch.ops.aten.view.default:
            node.target = torch.ops.aten.reshape.default  # the compiler may choose another layout than the turn had
        if node.op != "get_attr":
            continue
        tensor = getattr(traced, node.target)
        if id(tensor) not in inputs:
            with graph.inserting_after(last):
                last = inputs[id(tensor)] = graph.placeholder(f"state_{len(state)}")
            state.append(tensor.detach())
        node.replace_all_uses_with(inputs[id(tensor)])
        graph.erase_node(node)
    traced.recompile()
    for name in {*traced._parameters, *traced._buffers}:
        delattr(traced, name)  # else the compiler would take them for inputs too, aliases of these
    return state


class Captured:
    """Records functions into CUDA graphs that share their memory; a replay is one launch."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Drop all graphs and take a new pool: one whose graphs are all gone takes no new ones."""
        self.pool: Any = torch.cuda.graph_pool_handle()
        self.stream = torch.cuda.Stream()
        self.held: list[Recorded] = []  # a compiled function owns tensors that its graph reads

    def __call__(self, function: Recorded, real: Tensor, labels: Tensor | None) -> Recorded:
        """Return ``function`` as a graph; whatever fails, the process ends on the stream that it was on."""
        stream = torch.cuda.current_stream()
        try:
            return self.captured(function, real, labels)
        finally:
            torch.cuda.set_stream(stream)  # a capture that fails while it ends leaves its own

    def captured(self, function: Recorded, real: Tensor, labels: Tensor | None) -> Recorded:
        """Return ``function`` as a graph."""
        batch = real.clone(), None if labels is None else labels.clone()
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):  # libraries choose their kernels and take their workspaces now
            for _ in range(3):
                scalars = function(*batch)
        torch.cuda.current_stream().wait_stream(self.stream)
        # Results lie outside of the pool: inside it, a graph that is captured later may reuse their memory.
        scalars = {name: torch.empty_like(value) for name, value in scalars.items()}
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self.pool, stream=self.stream):
            for name, value in function(*batch).items():
                scalars[name].copy_(value)
        self.held.append(function)

        def replay(real: Tensor, labels: Tensor | None) -> Scalars:
            batch[0].copy_(real)
            if batch[1] is not None and labels is not None:
                batch[1].copy_(labels)
            graph.replay()
            return scalars

        return replay
