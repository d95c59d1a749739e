"""Turns played from recordings: compiled (``compile=step``), captured into a CUDA graph, or both.

What a turn does on the device depends on tensors alone once its phase is fixed (``Regularizer.phase``), so it
can be recorded once and replayed. Tracing happens below autograd, where a penalty's second differentiation is ordinary
operations; torch.compile itself starts above it and refuses that.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
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
"""Makes a recording of a function of one batch; what else it reads and writes stays where it is."""

TOLERANCE = {"weights": 0.5, "averages": 0.5}
OTHERS = 0.1
"""Largest distance of a recording from its turn, relative to what the turn changes. Adam's first steps move a weight
whose gradient is rounding noise (a bias before batch norm) as far as any other, so the moments tell more than weights.
"""


class NotFinite(Exception):  # noqa: N818  (no error of the recording)
    """Raised where a turn that is to be recorded does not end in finite numbers."""


@dataclass
class Replay(Eager):
    """Carries out turns from recordings, made when they are first needed.

    The first turn of each player is carried out as it is written: it makes the optimizer's state. A recording is played
    once beside its turn, from the same state and random numbers, before it counts; if that ends elsewhere, or nothing
    can be recorded, a warning says so and the turns are carried out as they are written.

    Args:
        recorders: applied one after another.
        modules: what the turns read and move.
        players: whose optimizers' state they move; fused Adam, see ``performance.why_not_replay``.
        nonfinite: where a loss that is not finite is noted.
        rng: random numbers that the turns draw.
        phase: index of a turn -> what tells apart turns whose computation differs.
        always_measure: record readings on every turn. Compiled code may round otherwise with them than without, so only
            then a run does not depend on how often it is logged.
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

    replays = True

    def __post_init__(self) -> None:
        # As tensors, so that a schedule can move them under a recording.
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
        key = (id(player), measure, self.phase(player.turns))
        self.set_rates(player)
        if key not in self.recordings:
            try:
                self.recordings[key] = self.record(lambda r, c: move(r, c, measure), player, real, labels)
            except NotFinite:  # the turn's own fault: the watch will say so
                return move(real, labels, measure)
            except Exception as error:  # whatever a compiler or a driver raises
                self.forget()
                self.failed = True
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
        """Return a recording of ``turn`` that has been compared with it; the state is as before."""
        state, drawn = self.state(), self.rng.state_dict()
        before = copies(state)

        def back() -> dict[str, list[Tensor]]:
            ended = copies(state)
            with torch.no_grad():
                for name, tensors in state.items():
                    for tensor, old in zip(tensors, before[name], strict=True):
                        tensor.copy_(old)
            self.rng.load_state_dict(drawn)
            player.optimizer.zero_grad(set_to_none=True)
            return ended

        try:
            turn(real, labels)
            expected = back()
            if not all(tensor.isfinite().all() for tensors in expected.values() for tensor in tensors):
                raise NotFinite
            with self.tensor_rates(player), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch advises against capturable=True in the steps before a capture
                for recorder in self.recorders:
                    turn = recorder(turn, real, labels)
                    back()
            turn(real, labels)
        finally:
            found = back()
        for name in state:
            off = distance(before[name], expected[name], found[name])
            if not off <= TOLERANCE.get(name, OTHERS):
                raise RuntimeError(f"its recording leaves other {name}, off by {off:.0%} of their change")
        return turn

    def state(self) -> dict[str, list[Tensor]]:
        """Return every tensor that a turn reads or writes, apart from the batch, by what it is."""
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
        """Yield the modules' state that no optimizer moves."""
        for module in self.modules:
            yield from module.buffers()

    def set_rates(self, player: Player) -> None:
        """Bring the recordings' learning rates up to date."""
        for rate, group in zip(self.rates[id(player)], player.optimizer.param_groups, strict=True):
            rate.fill_(group["lr"])

    @contextmanager
    def tensor_rates(self, player: Player) -> Iterator[None]:
        """Let the optimizer read its learning rates from tensors, as a recording has to."""
        groups = player.optimizer.param_groups
        kept = [{name: group[name] for name in ("lr", "capturable")} for group in groups]
        for rate, group in zip(self.rates[id(player)], groups, strict=True):
            group.update(lr=rate, capturable=self.nonfinite.is_cuda)
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

    A change below a thousandth of the values is taken for that much: what stands still moves by rounding alone.
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
) -> None:
    """Do what ``aten::_fused_adam_`` does, in operations that the compiler can fuse with their neighbours.

    Kingma & Ba 2015, arXiv:1412.6980, Algorithm 1, at the end of its Section 2.
    """
    assert not (amsgrad or maximize or weight_decay or grad_scale is not None or found_inf is not None)
    rate = lr / (1 - beta1 ** steps[0])  # one optimizer moves all its weights together: their counts are equal
    root = (1 - beta2 ** steps[0]).rsqrt()
    for parameter, gradient, mean, square in zip(parameters, gradients, means, squares, strict=True):
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
        aten._foreach_norm.Scalar: norms,
    }
    # A batch without labels has one tensor: None would be traced as an input too, and the compiler takes none for it.
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
    """Make every tensor that a traced graph holds one more of its inputs, and return these tensors in that order.

    Only inputs may be changed in place by a compiled graph.
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
        delattr(traced, name)  # the compiler would take what the module holds for inputs too, aliases of these
    return state


class Captured:
    """Records functions into CUDA graphs that share their memory; a replay is one launch."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Start anew: a pool whose graphs are all gone takes no new ones."""
        self.pool: Any = torch.cuda.graph_pool_handle()
        self.stream = torch.cuda.Stream()
        self.held: list[Recorded] = []  # a compiled function owns tensors that its graph reads

    def __call__(self, function: Recorded, real: Tensor, labels: Tensor | None) -> Recorded:
        """Return ``function`` as a graph."""
        batch = real.clone(), None if labels is None else labels.clone()
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):  # libraries choose their kernels and take their workspaces now
            for _ in range(3):
                scalars = function(*batch)
        torch.cuda.current_stream().wait_stream(self.stream)
        # Outside of the pool, where a graph that is captured later may put what it needs in between.
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
