"""The game: who moves when, who does not, and that a run continues bit for bit."""

from __future__ import annotations

import copy
import itertools
import json
import random
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from gantrain.checkpoint import Checkpoints
from gantrain.data import Digits
from gantrain.errors import DivergedError, StoppedError
from gantrain.losses import Hinge
from gantrain.losses.turn import Precision, Scores
from gantrain.run.directory import RunDirectory
from gantrain.run.records import Records
from gantrain.training.cadence import Cadence
from gantrain.training.player import Player, frozen
from gantrain.training.trainer import Trainer
from tests.conftest import built, config, loss_names, option_names

CONDITIONINGS = [way for way in option_names("conditioning") if way != "none"]
RING = ("data=ring", "architecture.generator.width=16", "architecture.discriminator.width=16")


def weights(net: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in net.parameters()]


def same(before: list[Tensor], net: nn.Module) -> bool:
    return all(torch.equal(b, p) for b, p in zip(before, net.parameters(), strict=True))


def play(trainer: Trainer, folder: Path, **options) -> None:
    with Records(RunDirectory(folder), trainer.step) as records:
        trainer.train(records, Checkpoints(folder / "checkpoints"), **options)


def leaves(tree: object, path: str = "") -> list[tuple[str, object]]:
    if isinstance(tree, dict):
        return [leaf for k, v in tree.items() for leaf in leaves(v, f"{path}.{k}")]
    if isinstance(tree, list | tuple):
        return [leaf for k, v in enumerate(tree) for leaf in leaves(v, f"{path}.{k}")]
    return [(path, tree)]


def assert_identical(a: object, b: object) -> None:
    for (path, x), (path_b, y) in zip(leaves(a), leaves(b), strict=True):
        assert path == path_b
        assert torch.equal(x, y) if isinstance(x, Tensor) else x == y, path


# ---- turns ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", loss_names())
def test_each_turn_moves_its_own_player_and_leaves_the_other_untouched(loss: str) -> None:
    trainer = built(f"loss={loss}").trainer
    g, d, ema = trainer.g.net, trainer.d.net, trainer.ema.net
    g_before, d_before, ema_before = weights(g), weights(d), weights(ema)
    trainer.d_turn(*trainer.data.next())
    assert same(g_before, g) and same(ema_before, ema) and not same(d_before, d)
    assert all(p.grad is None for p in g.parameters())
    d_before = weights(d)
    d_gradients = [p.grad.clone() for p in d.parameters()]
    trainer.g_turn(*trainer.data.next())
    assert same(d_before, d) and not same(g_before, g) and not same(ema_before, ema)
    assert all(torch.equal(a, p.grad) for a, p in zip(d_gradients, d.parameters(), strict=True))
    assert all(p.requires_grad for p in d.parameters())


@pytest.mark.parametrize(("d_steps", "g_steps"), [(1, 1), (5, 1), (1, 3)])
def test_a_step_is_the_configured_number_of_turns_each_on_a_fresh_batch(
    d_steps: int, g_steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = built(*RING, f"ratio.d_steps={d_steps}", f"ratio.g_steps={g_steps}", "total_steps=2").trainer
    order, batches = [], []
    for name in ("d_turn", "g_turn"):
        turn = getattr(trainer, name)

        def spy(real: Tensor, *rest: object, name: str = name, turn=turn) -> None:
            order.append(name[0])
            batches.append(real)
            turn(real, *rest)

        monkeypatch.setattr(trainer, name, spy)
    play(trainer, tmp_path)
    assert "".join(order) == ("d" * d_steps + "g" * g_steps) * 2
    assert (trainer.d.turns, trainer.g.turns) == (2 * d_steps, 2 * g_steps)
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(batches, 2))


def test_generated_samples_are_float32_and_carry_g_graph_in_its_turn_only() -> None:
    trainer = built("precision=bf16").trainer
    _, fake = trainer.generate(3, None)
    assert fake.dtype == torch.float32 and fake.requires_grad and fake.shape == (3, 1, 8, 8)
    with torch.no_grad():
        assert not trainer.generate(3, None)[1].requires_grad


def test_frozen_restores_what_was_trainable_even_after_an_error() -> None:
    net = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    net[0].weight.requires_grad_(False)
    with pytest.raises(RuntimeError), frozen(net.parameters()):
        assert not any(p.requires_grad for p in net.parameters())
        raise RuntimeError
    assert [p.requires_grad for p in net.parameters()] == [False, True, True, True]


def test_gradient_clipping_scales_to_the_norm_and_reports_the_one_before() -> None:
    net = nn.Linear(2, 1, bias=False)
    player = Player(net, torch.optim.SGD(net.parameters(), lr=1.0), Precision(torch.device("cpu")).scaler(), 1.0)
    before = net.weight.detach().clone()
    norm = player.descend(net(torch.tensor([3.0, 4.0])).sum())
    assert norm.item() == pytest.approx(5.0)
    torch.testing.assert_close(before - net.weight.detach(), torch.tensor([[0.6, 0.8]]))
    assert Player(net, player.optimizer, player.scaler).descend(net.weight.sum()).isnan()


def test_a_float16_overflow_skips_the_step_of_that_player_alone() -> None:
    trainer = built(*RING, "precision=fp16").trainer
    assert trainer.d.scaler.is_enabled() and trainer.d.scaler is not trainer.g.scaler
    trainer.d.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**60)
    before, scale_of_g = weights(trainer.d.net), trainer.g.scaler.get_scale()
    trainer.d_turn(*trainer.data.next())
    assert same(before, trainer.d.net)
    assert trainer.d.scaler.get_scale() == 2.0**59 and trainer.g.scaler.get_scale() == scale_of_g


@pytest.mark.parametrize("loss", loss_names())
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_losses_are_near_the_float32_ones(loss: str, precision: str) -> None:
    for turn in ("d_turn", "g_turn"):  # each from the start: float16's first steps may be skipped to find a scale
        costs = {}
        for name in ("fp32", precision):
            trainer = built(f"loss={loss}", f"precision={name}").trainer
            trainer.rng.seed(1)
            getattr(trainer, turn)(*trainer.data.next(), True)
            costs[name] = {k: v.item() for k, v in trainer.scalars.items() if "gradient" not in k}
        assert costs[precision] == pytest.approx(costs["fp32"], abs=0.02, rel=0.02)
        assert costs[precision] != costs["fp32"]


def test_the_same_seed_gives_the_same_run_and_another_seed_another() -> None:
    ends = []
    for seed in (0, 0, 1):
        trainer = built(*RING, f"seed={seed}").trainer
        trainer.d_turn(*trainer.data.next())
        trainer.g_turn(*trainer.data.next())
        ends.append(trainer.state_dict())
    assert_identical(ends[0], ends[1])
    with pytest.raises(AssertionError):
        assert_identical(ends[0], ends[2])


def test_sampling_does_not_disturb_training() -> None:
    trainer = built().trainer
    before = copy.deepcopy(trainer.state_dict())
    images = trainer.sample(trainer.g.net)
    assert images.shape == (64, 1, 8, 8) and trainer.g.net.training
    assert_identical(before, trainer.state_dict())


# ---- the loop ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "choices",
    [
        ("loss=vanilla",),
        ("loss=wgan_gp", "ratio.d_steps=2"),
        ("loss=wgan", "ratio.d_steps=2"),
        ("loss=hinge", "ratio.d_steps=2", "architecture.discriminator.norm=spectral", "augment=diffaug"),
        ("precision=bf16",),
        ("precision=fp16", "gradient_clip_norm=1"),
        *((f"conditioning={way}",) for way in CONDITIONINGS),
        *((f"latent={latent}", "conditioning=projection") for latent in option_names("latent")),
        RING,
    ],
    ids=" ".join,
)
def test_resume_is_bitwise(choices: tuple[str, ...], tmp_path: Path) -> None:
    overrides = (*choices, "total_steps=6", "checkpoint.every=2", "data=digits" if choices is not RING else "seed=0")
    whole = built(*overrides).trainer
    play(whole, tmp_path / "whole")
    first = built(*overrides).trainer
    with pytest.raises(StoppedError):
        play(first, tmp_path / "parts", stop=lambda: first.step == 3)
    torch.manual_seed(99)  # the new process would not know the old one's random numbers
    second = built(*overrides).trainer
    _, state = Checkpoints(tmp_path / "parts" / "checkpoints").latest()
    second.load_state_dict(state)
    assert second.step == 3
    play(second, tmp_path / "parts")
    assert_identical(whole.state_dict(), second.state_dict())


class Drifting(Hinge):
    """An objective with state of its own, which moves after each D step and matters in the next."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift", torch.zeros(()))

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return super().d_loss(real + self.shift, fake)

    def after_d_step(self, real: Tensor, fake: Tensor) -> None:
        self.shift += 0.3


class Adaptive(nn.Module):
    """An augmentation with state of its own, which follows D's scores as an adaptive one does."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("p", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return x * (1 - self.p)

    def after_d_step(self, scores: Scores) -> None:
        self.p += 0.01 + 0.001 * scores.real.sign().mean()


PARTS = ("g.net", "d.net", "g.optimizer", "d.optimizer", "g.schedule", "d.schedule", "d.scaler", "d.turns",
         "ema", "ema.images", "loss", "augment", "data", "rng", "rng.python", "rng.numpy", "rng.torch")  # fmt: skip


class Drawing(Drifting):
    """It also draws from Python's and numpy's generators, as a user's own loss may."""

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return super().d_loss(real, fake) * (1 + random.random() + np.random.rand())


SCHEDULER = "{_target_: torch.optim.lr_scheduler.LinearLR, end_factor: 0.0, total_iters: 8}"


def with_every_kind_of_state(part: str) -> Trainer:
    """A small trainer in which every stored part matters; skipped steps of D would hide the others."""
    overrides = ("loss=wgan_gp", "loss.regularizers.gp.every=3", "ratio.d_steps=1", "total_steps=8", "precision=fp16",
                 "checkpoint.every=2", "ema.halflife_images=1000", *(f"schedule.{p}={SCHEDULER}" for p in "gd"),
                 "architecture.generator.width=8", "architecture.discriminator.width=8")  # fmt: skip
    trainer = built(*overrides).trainer
    trainer.loss.objective, trainer.augment = Drawing(), Adaptive()
    # Its own scale starts where D's first steps overflow; the others need D to move.
    trainer.d.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**20 if part == "d.scaler" else 16.0)
    return trainer


def graft(state: dict, fresh: dict, path: str) -> dict:
    """``state`` with the part at the dotted path as a new process would have it."""
    key, _, rest = path.partition(".")
    return state | {key: graft(state[key], fresh[key], rest) if rest else fresh[key]}


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Trainer, Path]]:
    """The whole run, and the folder of one that was stopped at step 4; they differ in their scaler only."""

    @cache
    def play_both(kind: str) -> tuple[Trainer, Path]:
        folder = tmp_path_factory.mktemp("halves")
        whole, first = with_every_kind_of_state(kind), with_every_kind_of_state(kind)
        whole.rng.seed(5), play(whole, folder / "whole")
        first.rng.seed(5)
        with pytest.raises(StoppedError):
            play(first, folder / "parts", stop=lambda: first.step == 4)
        return whole, folder / "parts"

    return lambda part: play_both("d.scaler" if part == "d.scaler" else "")


@pytest.mark.row("F34", "one stored part at a time as a new process would have it; every part restored as the control")
@pytest.mark.parametrize("part", ["nothing", *PARTS])
def test_leaving_out_any_stored_part_would_change_the_weights(
    part: str, halves: Callable[[str], tuple[Trainer, Path]], tmp_path: Path, record_property: Callable[..., None]
) -> None:
    # The teeth of the test above: only weights are compared, so a part counts if later training depends on it.
    whole, parts = halves(part)
    shutil.copytree(parts, tmp_path / "parts")
    state = Checkpoints(tmp_path / "parts" / "checkpoints").latest()[1]
    second, new = with_every_kind_of_state(part), with_every_kind_of_state(part)
    new.rng.seed(99)
    if part != "nothing":
        state = graft(state, copy.deepcopy(new.state_dict()), part)
    second.load_state_dict(state), play(second, tmp_path / "parts")

    def weights_at_the_end(trainer: Trainer) -> list[Tensor]:
        return [p for net in (trainer.g.net, trainer.d.net, trainer.ema.net) for p in net.state_dict().values()]

    pairs = zip(weights_at_the_end(whole), weights_at_the_end(second), strict=True)
    identical = all(torch.equal(x, y) for x, y in pairs)
    assert identical == (part == "nothing")
    record_property("figure", f"without {part}: {'identical' if identical else 'differs'}")


STYLES = ("data=digits", "architecture=stylegan2", "architecture.latent_dim=4", "architecture.generator.w_dim=4",
          "architecture.generator.channel_max=4", "architecture.generator.style_mixing=0.5",
          "regularizer=[path_length]", "loss.regularizers.path_length.every=2", "total_steps=6",
          "batch_size=4")  # fmt: skip


@pytest.mark.row("F34", "one stored part at a time as a new process would have it; every part restored as the control")
@pytest.mark.parametrize("part", ["nothing", "g.net.average", "loss.regularizers-path_length-mean"])
def test_leaving_out_the_means_that_a_style_based_game_keeps_would_change_it(
    part: str, tmp_path: Path, record_property: Callable[..., None]
) -> None:
    whole, first, second, new = (built(*STYLES).trainer for _ in range(4))
    whole.rng.seed(5), play(whole, tmp_path / "whole")
    first.rng.seed(5)
    with pytest.raises(StoppedError):
        play(first, tmp_path / "parts", stop=lambda: first.step == 3)
    state = Checkpoints(tmp_path / "parts" / "checkpoints").latest()[1]
    if part != "nothing":
        player, *path = part.split(".")
        node, fresh = state[player], new.state_dict()[player]
        for key in path[:-1]:
            node, fresh = node[key], fresh[key]
        name = path[-1].replace("-", ".")
        node[name] = fresh[name]
    second.load_state_dict(state), play(second, tmp_path / "parts")
    ends = [[*t.g.net.state_dict().values(), *t.ema.net.state_dict().values()] for t in (whole, second)]
    identical = all(torch.equal(x, y) for x, y in zip(*ends, strict=True))
    assert identical == (part == "nothing")
    record_property("figure", f"without {part.replace('-', '.')}: {'identical' if identical else 'differs'}")


def test_a_lazy_term_is_logged_as_it_last_was_also_after_a_resume(tmp_path: Path) -> None:
    overrides = ("loss=wgan_gp", "loss.regularizers.gp.every=4", "ratio=1to1", "log.every=2", "total_steps=7", *RING)

    def logged(folder: Path) -> list[float]:
        return [json.loads(line)["d/gp"] for line in (folder / "metrics.jsonl").read_text().splitlines()]

    whole = built(*overrides).trainer
    play(whole, tmp_path / "whole")
    first = built(*overrides).trainer
    with pytest.raises(StoppedError):
        play(first, tmp_path / "parts", stop=lambda: first.step == 3)
    second = built(*overrides).trainer
    second.load_state_dict(Checkpoints(tmp_path / "parts" / "checkpoints").latest()[1])
    play(second, tmp_path / "parts")
    assert logged(tmp_path / "whole") == logged(tmp_path / "parts")
    at_2, at_4, at_6, at_7 = logged(tmp_path / "whole")
    assert at_2 == at_4 != at_6 == at_7  # applied in the turns of steps 1 and 5


@pytest.mark.parametrize("poison", ["d.net", "g.net"])
def test_a_value_that_is_not_finite_stops_the_run_and_is_never_saved(poison: str, tmp_path: Path) -> None:
    trainer = built("total_steps=20", "log.every=5", "checkpoint.every=2").trainer
    player = getattr(trainer, poison[0])

    def stop() -> bool:
        if trainer.step == 4:
            with torch.no_grad():
                next(player.net.parameters()).fill_(float("nan"))
        return False

    with pytest.raises(DivergedError, match=r"not finite|nan"):
        play(trainer, tmp_path, stop=stop)
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    assert max(checkpoints.steps()) <= 4
    state = checkpoints.latest()[1]
    assert all(torch.isfinite(x).all() for _, x in leaves(state) if isinstance(x, Tensor) and x.is_floating_point())


@pytest.mark.parametrize(("schedule", "halfway", "end"), [
    ("constant", 1.0, 1.0), ("linear", 0.5, 0.0), ("cosine", 0.5, 0.0),
])  # fmt: skip
def test_the_learning_rates_follow_their_schedule(schedule: str, halfway: float, end: float, tmp_path: Path) -> None:
    trainer = built(*RING, f"schedule={schedule}", "total_steps=8", "log.every=4", "optimizer=ttur").trainer
    g, d = trainer.g.learning_rate, trainer.d.learning_rate
    assert g != d
    play(trainer, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["g/learning_rate"] for line in lines] == pytest.approx([g * halfway, g * end], abs=1e-12)
    assert [line["d/learning_rate"] for line in lines] == pytest.approx([d * halfway, d * end], abs=1e-12)


def test_things_happen_at_their_cadence_and_at_the_end() -> None:
    every = Cadence(log=4, samples=0, checkpoint=3)
    assert [s for s in range(1, 11) if every.due(every.log, s, 10)] == [4, 8, 10]
    assert [s for s in range(1, 11) if every.due(every.samples, s, 10)] == [10]


@pytest.mark.parametrize("loss", loss_names())
@pytest.mark.parametrize(
    "choices",
    [
        pytest.param((), id="digits"),
        pytest.param(RING, id="ring"),
        pytest.param(("architecture=mlp",), id="mlp digits", marks=pytest.mark.thorough),
    ],
)
def test_every_loss_trains_on_images_and_points(loss: str, choices: tuple[str, ...], tmp_path: Path) -> None:
    if loss in ("began", "ebgan"):  # they bring their own architecture
        choices = tuple(choice for choice in choices if not choice.startswith("architecture="))
    trainer = built(f"loss={loss}", *choices, "total_steps=2").trainer
    play(trainer, tmp_path)
    assert trainer.step == 2
    assert all(torch.isfinite(v) for v in trainer.scalars.values())
    assert {"d/loss", "d/adversarial", "d/score_real", "d/score_fake", "d/gradient_norm"} <= set(trainer.scalars)
    assert {"g/loss", "g/adversarial", "g/score_fake", "g/gradient_norm"} <= set(trainer.scalars)


def test_a_loss_that_is_not_finite_moves_nothing_where_looking_costs_nothing() -> None:
    trainer = built(*RING).trainer
    before = weights(trainer.d.net)
    trainer.generate = lambda n, labels: (torch.zeros(n, 2), torch.full((n, 2), float("nan")))
    with pytest.raises(DivergedError, match="d/adversarial is nan at step 1"):
        trainer.d_turn(*trainer.data.next())
    assert same(before, trainer.d.net)


def test_the_speed_is_the_real_images_that_d_sees_in_a_second(tmp_path: Path) -> None:
    trainer = built(*RING, "ratio=5to1", "total_steps=2", "log.every=1").trainer
    play(trainer, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert all(line["speed/steps_per_s"] > 0 for line in lines)
    for line in lines:
        assert line["speed/images_per_s"] == pytest.approx(5 * trainer.batch_size * line["speed/steps_per_s"])


@pytest.mark.parametrize("size", [8, 16, 40])
def test_a_batch_of_gs_own_size_is_what_g_makes_and_the_average_counts(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = built(*RING, "ratio=2to1", "batch_size=16", f"batch_size_g={size}", "loss=rasgan").trainer
    seen, generate = [], Trainer.generate
    monkeypatch.setattr(Trainer, "generate", lambda self, n, labels: (seen.append(n), generate(self, n, labels))[1])
    trainer.play()
    assert seen == [16, 16, size] and trainer.ema.images == size
    assert trainer.data.position == 2 + -(-size // 16)  # as many batches as G's takes, the last one cut


def test_gs_batches_begin_where_ds_end_and_are_cut_together_with_their_labels() -> None:
    batches = Digits().stream(4, 0, torch.device("cpu"))
    one = [batches.next() for _ in range(4)]
    batches.position = 1
    samples, labels = batches.next(10)
    assert torch.equal(samples, torch.cat([batch[0] for batch in one[1:]])[:10]) and batches.position == 4
    assert torch.equal(labels, torch.cat([batch[1] for batch in one[1:]])[:10])


def test_a_run_with_a_batch_of_gs_own_size_or_players_that_move_at_once_resumes_bit_for_bit() -> None:
    for setting in ("batch_size_g=24", "ratio.simultaneous=true"):
        arguments = (*RING, "batch_size=16", setting)
        whole = built(*arguments).trainer
        for _ in range(4):
            whole.play()
        first = built(*arguments).trainer
        for _ in range(2):
            first.play()
        state = copy.deepcopy(first.state_dict())
        second = built(*arguments, "seed=0").trainer
        second.load_state_dict(state)
        for _ in range(2):
            second.play()
        assert_identical(whole.state_dict(), second.state_dict())


def test_the_experiments_give_g_the_batch_and_the_length_of_their_authors() -> None:
    sngan, wgan_gp = config("experiment=sngan_cifar10"), config("experiment=wgan_gp_cifar10")
    assert (sngan.batch_size, sngan.batch_size_g, sngan.total_steps, sngan.ratio.d_steps) == (64, 128, 50_000, 5)
    assert (wgan_gp.batch_size, wgan_gp.batch_size_g, wgan_gp.total_steps) == (64, 128, 100_000)


@pytest.mark.parametrize(
    ("choices", "with_others"),
    [
        (("loss=vanilla",), set()),
        (("loss=wgan",), set()),  # it projects D's weights, which is no term
        (("loss=wgan_gp",), {"d"}),
        (("loss=vanilla", "regularizer=[orthogonal]"), {"g"}),
        (("loss=vanilla", "regularizer=[orthogonal]", "loss.regularizers.orthogonal.discriminator=true"), {"d", "g"}),
    ],
)
def test_a_term_that_is_the_whole_loss_is_not_logged_twice(
    choices: tuple[str, ...], with_others: set[str], tmp_path: Path
) -> None:
    trainer = built(*choices, *RING, "total_steps=2", "ratio=1to1").trainer
    play(trainer, tmp_path)
    (line,) = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    for player in ("d", "g"):
        assert f"{player}/loss" in line
        assert (f"{player}/adversarial" in line) == (player in with_others)
        whole = line[f"{player}/loss"] == line.get(f"{player}/adversarial", line[f"{player}/loss"])
        assert whole == (player not in with_others)


class Reads(TorchDispatchMode):
    """Counts how often the host asks a device for a number, which makes a GPU wait."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None) -> object:
        asks = (torch.ops.aten._local_scalar_dense, torch.ops.aten.is_nonzero, torch.ops.aten.nonzero)
        self.count += func.overloadpacket in asks
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("loss", loss_names())
def test_no_turn_asks_the_device_for_a_number_where_looking_is_deferred(loss: str) -> None:
    trainer = built(f"loss={loss}", "evaluation=none").trainer
    trainer.watch.late = True  # as on a GPU
    with Reads() as reads:
        for _ in range(2):
            trainer.play()
    assert reads.count == 0
    with reads:
        trainer.watch.refuse(trainer.step, trainer.scalars)
    assert reads.count == 1  # the look that was deferred
