"""Unrolled GAN: the looked-ahead critic, its gradient, and that D is left alone."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from gantrain.losses import Loss, NonSaturating, Unrolled
from gantrain.losses.turn import Critic, Precision, Turn
from tests.conftest import built

CPU = Precision(torch.device("cpu"))


class Scorer(nn.Module):
    """Labels in, as every discriminator has them."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.net = nn.Sequential(*layers)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.net(x)


def turn(d: nn.Module, real: Tensor, fake: Tensor) -> Turn:
    return Turn(Critic(d, CPU, real.dtype), nn.Identity(), real, fake, 0)


def smooth() -> Scorer:
    torch.manual_seed(0)
    return Scorer(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 1)).double()


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_the_critic_is_the_one_that_plain_gradient_descent_reaches(steps: int) -> None:
    d = smooth()
    real, fake = torch.randn(2, 6, 2).double()
    trained = copy.deepcopy(d)
    optimizer = torch.optim.SGD(trained.parameters(), lr=0.3)
    for _ in range(steps):
        optimizer.zero_grad()
        NonSaturating().d_loss(trained(real), trained(fake)).backward()
        optimizer.step()
    ahead = Unrolled(steps, 0.3)(turn(d, real, fake), NonSaturating())
    torch.testing.assert_close(ahead(fake), trained(fake).squeeze(1), rtol=1e-12, atol=1e-12)
    assert not torch.allclose(ahead(fake), d(fake).squeeze(1))


def test_no_steps_are_the_critic_as_it_stands() -> None:
    now = turn(smooth(), *torch.randn(2, 6, 2).double())
    assert Unrolled(0, 0.3)(now, NonSaturating()) is now.critic


def test_gs_gradient_through_the_steps_equals_finite_differences() -> None:
    d, real = smooth(), torch.randn(4, 2).double()
    loss = Loss(NonSaturating(), lookahead=Unrolled(3, 0.5))

    def g_loss(fake: Tensor) -> Tensor:
        return loss.for_g(turn(d, real, fake)).total

    fake = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(g_loss, fake)
    (through,) = torch.autograd.grad(g_loss(fake), fake)
    held = NonSaturating().g_loss(Unrolled(3, 0.5)(turn(d, real, fake.detach()), NonSaturating())(fake))
    assert not torch.allclose(through, torch.autograd.grad(held, fake)[0])  # what D's answer adds is not nothing


def test_d_is_left_bit_for_bit_with_its_statistics_and_spectral_vectors() -> None:
    torch.manual_seed(0)
    d = Scorer(spectral_norm(nn.Linear(2, 8)), nn.BatchNorm1d(8), nn.ReLU(), spectral_norm(nn.Linear(8, 1)))
    before = {name: value.clone() for name, value in d.state_dict().items()}
    fake = torch.randn(6, 2, requires_grad=True)
    loss = Loss(NonSaturating(), lookahead=Unrolled(3, 0.5))
    loss.for_g(turn(d, torch.randn(6, 2), fake)).total.backward()
    assert all(torch.equal(value, before[name]) for name, value in d.state_dict().items())
    assert all(p.grad is None for p in d.parameters())
    assert fake.grad.abs().sum() > 0


def test_the_trainer_leaves_d_alone_in_gs_turn() -> None:
    trainer = built("data=ring", "loss=unrolled").trainer
    before = {name: value.clone() for name, value in trainer.d.net.state_dict().items()}
    trainer.g_turn(*trainer.data.next())
    assert all(torch.equal(value, before[name]) for name, value in trainer.d.net.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in trainer.d.net.parameters())
