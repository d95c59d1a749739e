"""Solvers for games: they reach the saddle that gradient descent circles, and resume exactly."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from gantrain.checkpoint import tree
from gantrain.errors import ConfigError
from gantrain.optimizers import ExtraAdam, OptimisticAdam, RMSprop
from gantrain.performance import cost
from gantrain.run.identity import compared
from tests.conftest import built

HOME = "gantrain.optimizers"


def distance_in_the_bilinear_game(make, steps: int = 3000) -> float:
    """Play min_x max_y xy from (1, 1); returns the distance to its only saddle, (0, 0)."""
    x, y = (torch.ones((), dtype=torch.float64, requires_grad=True) for _ in range(2))
    players = make([x]), make([y])
    for _ in range(steps):
        for player, loss in zip(players, (lambda: x * y, lambda: -x * y), strict=True):
            player.zero_grad()
            loss().backward()
            player.step()
    return torch.stack([x, y]).norm().item()


@pytest.mark.thorough
def test_solvers_reach_the_saddle_of_a_bilinear_game_that_adam_circles() -> None:
    settings = {"lr": 0.05, "betas": (0.0, 0.999)}
    adam = distance_in_the_bilinear_game(lambda p: torch.optim.Adam(p, **settings))
    optimistic = distance_in_the_bilinear_game(lambda p: OptimisticAdam(p, **settings))
    extra = distance_in_the_bilinear_game(lambda p: ExtraAdam(p, **settings))
    assert adam > 0.5
    assert optimistic < 0.01 and extra < 0.01


def gradients(steps: int) -> Tensor:
    torch.manual_seed(0)
    return torch.randn(steps, 3)


def play(optimizer: torch.optim.Optimizer, p: Tensor, gradient: Tensor) -> None:
    p.grad = gradient.clone()
    optimizer.step()


def test_optimistic_adam_is_twice_adams_step_less_the_last() -> None:
    p, reference = torch.zeros(3, requires_grad=True), torch.zeros(3, requires_grad=True)
    optimistic, adam = OptimisticAdam([p], lr=0.1), torch.optim.Adam([reference], lr=0.1)
    expected, last = torch.zeros(3), torch.zeros(3)
    for gradient in gradients(5):
        before = reference.detach().clone()
        play(adam, reference, gradient)  # Adam's step depends on the gradients only, not on where it stands
        step = reference.detach() - before
        expected, last = expected + 2 * step - last, step
        play(optimistic, p, gradient)
        torch.testing.assert_close(p.detach(), expected)


def test_extra_adam_looks_ahead_then_steps_from_where_it_stood() -> None:
    p, reference = torch.zeros(3, requires_grad=True), torch.zeros(3, requires_grad=True)
    extra, adam = ExtraAdam([p], lr=0.1), torch.optim.Adam([reference], lr=0.1)
    stood = torch.zeros(3)
    for call, gradient in enumerate(gradients(6)):
        before = reference.detach().clone()
        play(adam, reference, gradient)
        step = reference.detach() - before
        play(extra, p, gradient)
        torch.testing.assert_close(p.detach(), stood + step)
        if call % 2:
            stood = stood + step


@pytest.mark.parametrize("kind", [OptimisticAdam, ExtraAdam])
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("calls", [1, 2, 3])
def test_solvers_resume_exactly(kind: type[torch.optim.Adam], fused: bool, calls: int) -> None:
    p = torch.zeros(3, requires_grad=True)
    optimizer = kind([p], lr=0.1, fused=fused)
    for gradient in gradients(calls):
        play(optimizer, p, gradient)
    twin = p.detach().clone().requires_grad_()
    resumed = kind([twin], lr=0.1, fused=fused)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for gradient in gradients(7)[calls:]:
        play(optimizer, p, gradient)
        play(resumed, twin, gradient)
        assert torch.equal(p, twin)


@pytest.mark.parametrize("kind", [OptimisticAdam, ExtraAdam])
def test_a_step_that_the_float16_scaler_skips_moves_nothing(kind: type[torch.optim.Adam]) -> None:
    net = nn.Linear(3, 1)
    optimizer = kind(net.parameters(), lr=0.1, fused=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=1.0)
    for blow_up in (False, True, False):
        before = net.weight.detach().clone()
        state = copy.deepcopy(optimizer.state_dict()["state"])
        optimizer.zero_grad()
        scaler.scale(net(torch.ones(2, 3)).mean() * (float("inf") if blow_up else 1)).backward()
        scaler.step(optimizer)
        scaler.update()
        assert torch.equal(net.weight, before) == blow_up
        if blow_up:
            assert str(optimizer.state_dict()["state"]) == str(state)


@pytest.mark.parametrize("optimizer", ["optimistic_adam", "extra_adam"])
def test_solvers_train_any_loss_and_their_state_is_checkpointed(optimizer: str) -> None:
    options = ("data=ring", "loss=wgan_gp", f"optimizer={optimizer}", "ratio=1to1")
    one, other = built(*options).trainer, built(*options, "seed=1").trainer
    for trainer in (one, other):
        trainer.d_turn(*trainer.data.next())
        trainer.g_turn(*trainer.data.next())
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    for trainer in (one, other):
        torch.manual_seed(0)
        one.data.load_state_dict({"position": 1})
        batch = one.data.next()
        trainer.d_turn(*batch)
        trainer.g_turn(*batch)
    assert all(torch.equal(a, b) for a, b in zip(one.g.net.parameters(), other.g.net.parameters(), strict=True))


def test_extragradient_is_refused_where_the_players_would_fall_out_of_step() -> None:
    with pytest.raises(ConfigError, match="use ratio=1to1"):
        built("data=ring", "loss=wgan_gp", "optimizer=extra_adam")
    with pytest.raises(ConfigError, match="precision=bf16"):
        built("data=ring", "optimizer=extra_adam", "precision=fp16")
    built("data=ring", "loss=wgan_gp", "optimizer=optimistic_adam", "precision=fp16")


def test_a_lazy_term_falls_on_both_turns_of_a_move_whatever_its_period() -> None:
    regularized = ("loss=r1", "loss.regularizers.r1.every=2")
    trainer = built("data=ring", "optimizer=extra_adam", *regularized).trainer
    seen = []
    for _ in range(8):
        trainer.scalars.clear()
        trainer.play()
        seen.append("d/r1" in trainer.scalars)
    # Turns 1 and 2 are a move, 3 and 4 the next. By turns, every=2 would only ever be applied in looking ahead.
    assert seen == [True, True, False, False, True, True, False, False]
    assert cost.period(trainer) == 4
    adam = built("data=ring", *regularized).trainer
    assert cost.period(adam) == 2 and adam.d.moves == adam.d.turns == 0


def test_a_period_of_lazy_terms_is_one_after_which_all_of_them_repeat() -> None:
    lazy = ("loss=r3gan", "loss.regularizers.r1.every=4", "loss.regularizers.r2.every=6")
    assert cost.period(built("data=ring", *lazy).trainer) == 12


def test_the_average_follows_where_extragradient_moved_and_not_where_it_looked_ahead() -> None:
    trainer = built("data=ring", "optimizer=extra_adam", "ema.halflife_images=0").trainer
    start = [w.clone() for w in trainer.ema.net.parameters()]
    trainer.play()
    assert all(a.equal(b) for a, b in zip(start, trainer.ema.net.parameters(), strict=True))
    assert trainer.ema.images == 0
    trainer.play()
    assert all(a.equal(b) for a, b in zip(trainer.g.weights, trainer.ema.net.parameters(), strict=True))
    assert trainer.ema.images == 2 * trainer.batch_size  # both batches of the move


SMALL = ("data=ring", "architecture.generator.width=8", "architecture.discriminator.width=8")


@pytest.mark.parametrize("optimizer", ["adam", "extra_adam"])
def test_players_that_move_at_once_do_not_see_each_other_move(optimizer: str) -> None:
    arguments = (*SMALL, f"optimizer={optimizer}", "loss=rasgan", "architecture.generator.norm=none")
    one = built(*arguments, "ratio.simultaneous=true").trainer
    for _ in range(3):
        one.play()
    two = built(*arguments).trainer
    state = copy.deepcopy(two.d.net.state_dict())
    for _ in range(3):
        two.d_turn(*two.data.next())  # G's turn from the D of before: put its weights back, and move it afterwards
        moved = copy.deepcopy(two.d.net.state_dict())
        two.d.net.load_state_dict(state)
        two.g_turn(*two.data.next())
        two.d.net.load_state_dict(moved)
        state = moved
    for a, b in zip(one.g.weights + one.d.weights, two.g.weights + two.d.weights, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    assert one.d.turns == one.g.turns == 3


def test_moving_at_once_needs_one_turn_each_and_cannot_be_recorded() -> None:
    with pytest.raises(ConfigError, match=r"ratio\.simultaneous=true needs one turn"):
        built(*SMALL, "ratio=5to1", "ratio.simultaneous=true")
    with pytest.raises(ConfigError, match="both players move at once"):
        built(*SMALL, "ratio.simultaneous=true", "compile=step")


@pytest.mark.parametrize("overflow", [(), (2,), (0, 3)], ids=str)
@pytest.mark.parametrize("unscale", [False, True])
def test_rmsprop_in_float16_skips_and_steps_as_torchs_does_and_looks_at_no_value(
    overflow: tuple[int, ...], unscale: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)
    mine, torchs = RMSprop([weights[0]], lr=0.1), torch.optim.RMSprop([weights[1]], lr=0.1)
    scalers = [torch.amp.GradScaler("cpu", init_scale=1024.0) for _ in weights]
    seen: list[str] = []
    for k, gradient in enumerate(gradients(5)):
        factor = float("inf") if k in overflow else 1.0
        for p, optimizer, scaler in zip(weights, (mine, torchs), scalers, strict=True):
            optimizer.zero_grad()
            scaler.scale((p * gradient * factor).sum()).backward()
            if unscale:
                scaler.unscale_(optimizer)
            with monkeypatch.context() as patch:
                if optimizer is mine:
                    patch.setattr(Tensor, "item", lambda tensor: seen.append("item"))
                scaler.step(optimizer)
            scaler.update()
    torch.testing.assert_close(weights[0], weights[1])
    torch.testing.assert_close(mine.state[weights[0]]["square_avg"], torchs.state[weights[1]]["square_avg"])
    assert not seen
    assert mine.state[weights[0]]["step"] == torchs.state[weights[1]]["step"] == 5 - len(overflow)


def test_rmsprop_is_torchs_bit_for_bit_where_nothing_asks_for_more() -> None:
    weights = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)
    mine, torchs = RMSprop([weights[0]], lr=0.1), torch.optim.RMSprop([weights[1]], lr=0.1)
    for gradient in gradients(5):
        play(mine, weights[0], gradient), play(torchs, weights[1], gradient)
    assert weights[0].equal(weights[1])
    assert tree.flatten(mine.state_dict())[0] == tree.flatten(torchs.state_dict())[0]


def test_an_rmsprop_with_momentum_is_torchs_whatever_its_rate_is() -> None:
    weights = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)
    rate = torch.tensor(0.1)
    mine = RMSprop([weights[0]], lr=0.1, momentum=0.9)
    torchs = torch.optim.RMSprop([weights[1]], lr=0.1, momentum=0.9)
    for optimizer in (mine, torchs):
        optimizer.param_groups[0]["lr"] = rate
    for gradient in gradients(5):
        play(mine, weights[0], gradient), play(torchs, weights[1], gradient)
    assert weights[0].equal(weights[1])


def test_a_run_of_torchs_rmsprop_is_the_same_run() -> None:
    """Runs of before name torch's class in their config.yaml."""
    now, before = ({"optimizer": {"g": {"_target_": f"{home}.RMSprop"}}} for home in (HOME, "torch.optim"))
    other = {"optimizer": {"g": {"_target_": "torch.optim.Adam"}}}
    assert compared(now) == compared(before) != compared(other)
